//! Who is started again, when, and with what.

use crate::{
    fakes::{Given, done, grant, tokens},
    guest::{any, message, named, parcel, plan, same},
    stage::{Stage, crashed, failed, parent, stranger},
};
use futures::{FutureExt, poll};
use remit_abi::{
    BudgetError, ChildEnded, Exit, Fault, GrantKind, Label, MailboxError, Plan, Reply, Request, Restart, Shortfall,
    Signal, Tokens, ValueReply, ValueRequest, WaitId, WaitRequest,
};
use remit_kernel::{Ended, RestartPolicy, Selection};

const MS: u64 = 1_000_000;

fn restarted(restart: Restart) -> Given {
    Given { restart: RestartPolicy::of(restart), ..parent() }
}

/// Whether a process of a policy is started again after an exit.
async fn check(restart: Restart, exit: Exit, again: bool) {
    let stage = Stage::new();
    let alice = stage.start(restarted(restart)).await;
    stage.exit(alice.pid, exit.clone()).await;
    stage.pass(100 * MS).await;
    assert_eq!(stage.is_running(alice.pid), again, "{restart:?} {exit:?}");
}

#[tokio::test]
async fn an_end_is_an_end_where_nothing_else_is_asked_for() {
    for exit in [done(), failed("x", true), crashed()] {
        check(Restart::Never, exit, false).await;
    }
}

#[tokio::test]
async fn a_failure_that_may_pass_is_tried_again() {
    for exit in [failed("x", true), crashed()] {
        check(Restart::OnFailure, exit, true).await;
    }
    for exit in [failed("x", false), done()] {
        check(Restart::OnFailure, exit, false).await;
    }
}

#[tokio::test]
async fn a_service_is_started_again_after_its_work_too() {
    check(Restart::Always, done(), true).await;
}

#[tokio::test]
async fn nobody_is_started_again_without_money() {
    let shortfall = Shortfall { needed: tokens(1), remaining: Tokens::ZERO };
    check(Restart::Always, Exit { end: Err(Fault::BudgetExhausted(shortfall)), fuel: None }, false).await;
}

#[tokio::test]
async fn a_killed_process_is_not_started_again() {
    let stage = Stage::new();
    let alice = stage.start(restarted(Restart::Always)).await;
    stage.node.kernel.kill(alice.pid);
    assert_eq!(stage.finished(alice).await.ended, Ended::Faulted(Fault::Killed));
}

#[tokio::test]
async fn pauses_double_by_the_clock() {
    let stage = Stage::new();
    let alice = stage.start(restarted(Restart::OnFailure)).await;
    for pause_ms in [100, 200, 400, 800] {
        stage.exit(alice.pid, crashed()).await;
        stage.pass(pause_ms * MS - 1).await;
        assert!(!stage.is_running(alice.pid), "{pause_ms}");
        stage.pass(1).await;
        assert!(stage.is_running(alice.pid), "{pause_ms}");
    }
    assert_eq!(stage.node.kernel.process(alice.pid).map(|view| view.restarts), Some(4));
}

#[tokio::test]
async fn a_long_run_makes_the_next_pause_short_again() {
    let stage = Stage::new();
    let alice = stage.start(restarted(Restart::OnFailure)).await;
    for _ in 0..3 {
        stage.exit(alice.pid, crashed()).await;
        stage.pass(400 * MS).await;
    }
    stage.pass(60_000 * MS).await;
    stage.exit(alice.pid, crashed()).await;
    stage.pass(100 * MS).await;
    assert!(stage.is_running(alice.pid));
}

#[tokio::test]
async fn a_storm_of_restarts_ends_for_good_and_is_the_parents_to_know() {
    let stage = Stage::new();
    let alice = stage.start(parent()).await;
    let (run, part) = (alice.take("run").await, alice.split(tokens(10)).await);
    let (child, worker) = stage.child(&alice, Plan { restart: Restart::OnFailure, ..plan(run, part) }).await;
    for _ in 0..5 {
        stage.exit(worker.pid, crashed()).await;
        stage.pass(2000 * MS).await;
        assert!(stage.is_running(worker.pid));
        assert_eq!(alice.signal().await, None, "it has not failed for good");
    }
    stage.exit(worker.pid, crashed()).await;
    let report = alice.wait(child).await.expect("it has ended");
    assert_eq!(report.ended, ChildEnded::Faulted(Fault::Trap("unreachable".into())));
    assert_eq!((report.restarts, report.refunded), (5, tokens(10)));
    assert_eq!(alice.signal().await, Some(Signal::ChildFailed));
    assert_eq!(alice.signal().await, None);
}

#[tokio::test]
async fn a_run_goes_on_from_the_state_that_was_committed_last() {
    let stage = Stage::new();
    let input = vec![("the task", Label::TRUSTED)];
    let alice = stage.start(Given { input, ..restarted(Restart::OnFailure) }).await;
    assert_eq!(alice.start.resumed, None);
    alice.commit(b"one").await;
    alice.commit(b"two").await;
    for _ in 0..2 {
        stage.exit(alice.pid, crashed()).await;
        stage.pass(400 * MS).await;
        let run = stage.run_of(alice.pid);
        assert_eq!(run.start.resumed.as_deref(), Some(&b"two"[..]));
        assert_eq!(run.read(run.start.conversation[0].content).await, "the task");
    }
    let finished = stage.end(alice, done()).await;
    assert_eq!((finished.checkpoint.as_deref(), finished.restarts), (Some(&b"two"[..]), 2));
}

#[tokio::test]
async fn grants_account_mailbox_alarms_and_label_outlive_a_run() {
    let stage = Stage::new();
    let input = vec![("a document", Label::UNTRUSTED)];
    let alice = stage.start(Given { input, ..restarted(Restart::OnFailure) }).await;
    let bob = stage.start(Given { grants: vec![grant("tool", GrantKind::Tool, &["search"])], ..stranger() }).await;
    let to_alice = stage.connect(&bob, &alice);
    alice.attenuate(same(alice.take("chat").await, "derived")).await.expect("it holds it");
    alice.alarm("later", 77).await;
    alice.read(alice.start.conversation[0].content).await;
    bob.send(to_alice, parcel("early", vec![named("tool", bob.take("tool").await)])).await.expect("there is room");
    stage.exit(alice.pid, crashed()).await;
    bob.send(to_alice, message("in the pause", "")).await.expect("it has not ended");
    stage.pass(100 * MS).await;
    let run = stage.run_of(alice.pid);
    assert_eq!(run.labels().await, ["chat", "derived", "run"]);
    assert!(run.alarm_under("later").await.is_some());
    assert_eq!(run.own_label().await, Label::UNTRUSTED);
    let spent = run.remaining().await;
    assert!(spent < tokens(1000) && spent > tokens(999), "the first run's syscalls are paid");
    assert_eq!(run.next_topic(any()).await.as_deref(), Some("early"));
    assert_eq!(run.labels().await, ["chat", "derived", "run", "tool"]);
    assert_eq!(run.next_topic(any()).await.as_deref(), Some("in the pause"));
}

#[tokio::test]
async fn values_timers_and_parts_of_the_account_do_not_outlive_a_run() {
    let stage = Stage::new();
    let alice = stage.start(restarted(Restart::OnFailure)).await;
    let (value, timer) = (alice.make_value(b"x").await, alice.timer(5).await);
    let part = alice.split(tokens(400)).await;
    stage.exit(alice.pid, crashed()).await;
    stage.pass(100 * MS).await;
    let run = stage.run_of(alice.pid);
    let read = Request::Value(ValueRequest::Read { value, offset: 0, length: 1 });
    assert!(!matches!(run.call(read).await, Reply::Value(Ok(ValueReply::Read(_)))));
    let ready = Request::Wait(WaitRequest::IsReady { id: WaitId::Timer(timer) });
    assert!(matches!(run.call(ready).await, Reply::Fault(Fault::Protocol(_))));
    assert_eq!(run.remaining_in(part).await, Err(BudgetError::Dead));
    assert!(run.remaining().await > tokens(999), "the part is back in the account");
}

#[tokio::test]
async fn children_do_not_outlive_a_run_of_their_parent() {
    let stage = Stage::new();
    let alice = stage.start(restarted(Restart::OnFailure)).await;
    let (run, part) = (alice.take("run").await, alice.split(tokens(400)).await);
    let (_, worker) = stage.child(&alice, plan(run, part)).await;
    stage.exit(alice.pid, crashed()).await;
    assert!(stage.node.kernel.process(worker.pid).is_none());
    stage.pass(100 * MS).await;
    let run = stage.run_of(alice.pid);
    assert_eq!(run.signal().await, None);
    assert!(run.remaining().await > tokens(999), "what the child had is back");
    let finished = stage.end(alice, done()).await;
    assert_eq!(finished.paid, finished.ledger.paid);
    assert_eq!(stage.assert_empty(), finished.refunded);
}

#[tokio::test]
async fn calls_do_not_outlive_a_run_on_either_side() {
    let stage = Stage::new();
    let alice = stage.start(restarted(Restart::OnFailure)).await;
    let bob = stage.start(stranger()).await;
    let (to_alice, to_bob) = (stage.connect(&bob, &alice), stage.connect(&alice, &bob));
    alice.ask(to_bob, message("from the old run", ""), 1000 * MS).await.expect("there is room");
    let taken = bob.ask(to_alice, message("taken", ""), 1000 * MS).await.expect("there is room");
    alice.receive(any()).await.expect("there is room");
    let waiting = bob.ask(to_alice, message("waiting", ""), 1000 * MS).await.expect("there is room");
    stage.exit(alice.pid, crashed()).await;
    assert_eq!(bob.collect(taken).await, Err(MailboxError::Unanswered), "the run that had it is gone");
    let incoming = bob.receive(any()).await.expect("there is room");
    let refused = bob.reply(incoming.answer.expect("it is a call"), message("answer", "")).await;
    assert_eq!(refused, Err(MailboxError::Gone), "nobody waits for it any more");
    stage.pass(100 * MS).await;
    let run = stage.run_of(alice.pid);
    let incoming = run.receive(any()).await.expect("there is room");
    run.reply(incoming.answer.expect("it is a call"), message("answer", "")).await.expect("Bob waits");
    assert!(bob.collect(waiting).await.is_ok(), "what the old run had not received is the new one's");
}

#[tokio::test]
async fn a_kill_during_the_pause_needs_no_clock() {
    let stage = Stage::new();
    let alice = stage.start(restarted(Restart::OnFailure)).await;
    stage.exit(alice.pid, crashed()).await;
    stage.node.kernel.kill(alice.pid);
    let finished = stage.finished(alice).await;
    assert_eq!(finished.ended, Ended::Faulted(Fault::Killed));
    assert_eq!(stage.assert_empty(), finished.refunded);
}

#[tokio::test]
async fn a_process_that_is_frozen_in_its_pause_starts_when_it_is_thawed() {
    let stage = Stage::new();
    let alice = stage.start(restarted(Restart::OnFailure)).await;
    stage.exit(alice.pid, crashed()).await;
    stage.node.kernel.freeze(&Selection::All);
    stage.pass(1000 * MS).await;
    assert!(!stage.is_running(alice.pid));
    stage.node.kernel.thaw(&Selection::All);
    stage.node.settle().await;
    assert!(stage.is_running(alice.pid));
}

#[tokio::test]
async fn a_process_that_is_suspended_in_its_pause_can_be_killed() {
    let stage = Stage::new();
    let alice = stage.start(restarted(Restart::OnFailure)).await;
    stage.exit(alice.pid, crashed()).await;
    assert!(stage.node.kernel.suspend(alice.pid));
    stage.pass(1000 * MS).await;
    assert!(!stage.is_running(alice.pid));
    stage.node.kernel.kill(alice.pid);
    assert_eq!(stage.finished(alice).await.ended, Ended::Faulted(Fault::Killed));
}

#[tokio::test]
async fn who_waits_for_a_child_waits_over_its_restarts() {
    let stage = Stage::new();
    let alice = stage.start(parent()).await;
    let (run, part) = (alice.take("run").await, alice.split(tokens(10)).await);
    let (child, worker) = stage.child(&alice, Plan { restart: Restart::OnFailure, ..plan(run, part) }).await;
    let mut waiting = alice.wait(child).boxed();
    assert!(poll!(&mut waiting).is_pending());
    stage.exit(worker.pid, crashed()).await;
    assert!(poll!(&mut waiting).is_pending());
    stage.pass(100 * MS).await;
    stage.exit(worker.pid, done()).await;
    assert_eq!(waiting.await.expect("it has ended").restarts, 1);
}
