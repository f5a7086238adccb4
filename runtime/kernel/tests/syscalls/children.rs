//! What a child is given, what comes back of it, and how it ends.

use crate::{
    fakes::{Given, done, generate, grant, model_grant, prompt, tokens},
    guest::{any, message, named, plan, same},
    stage::{Stage, crashed, failed, parent, returned, stranger},
};
use remit_abi::{
    Access, BudgetError, ChildEnded, ChildInput, ChildrenError, ChildrenReply, ChildrenRequest, Content, Denial, Fault,
    GrantKind, GrantLimits, GrantSpec, Label, LlmRequest, Order, Plan, Role, Signal, Status, Tokens, limits::Limits,
};
use remit_kernel::Ended;
use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

fn paid_for_fuel(syscalls: u64) -> Tokens {
    Tokens::from_micro(syscalls * 20)
}

#[tokio::test]
async fn a_child_has_exactly_what_it_was_given() {
    let stage = Stage::new();
    let alice = stage.start(parent()).await;
    let (run, part) = (alice.take("run").await, alice.split(tokens(30)).await);
    let helper = alice.attenuate(same(alice.take("chat").await, "helper")).await.expect("it holds chat");
    let grants = vec![named("model", helper)];
    let (_, child) = stage.child(&alice, Plan { grants, ..plan(run, part) }).await;
    assert_eq!(child.labels().await, ["model"]);
    assert_eq!(child.remaining().await, tokens(30));
    assert_eq!(child.start.conversation, []);
    assert_eq!(alice.labels().await, ["chat", "run"]);
    assert_eq!(alice.remaining().await, tokens(970));
    assert_eq!(alice.remaining_in(part).await, Err(BudgetError::Dead), "the part is the child's");
}

#[tokio::test]
async fn what_a_child_did_not_spend_comes_back_and_the_rest_is_in_its_report() {
    let stage = Stage::new();
    let alice = stage.start(parent()).await;
    let (run, part) = (alice.take("run").await, alice.split(tokens(30)).await);
    let grants = vec![named("chat", alice.take("chat").await)];
    let (child, worker) = stage.child(&alice, Plan { grants, ..plan(run, part) }).await;
    let model = worker.open_model().await;
    worker.llm(LlmRequest::Chat(generate(model, prompt("ten chars."), 3))).await.expect("2 + 3 of 30");
    stage.exit(worker.pid, done()).await;
    let report = alice.wait(child).await.expect("it has ended");
    assert_eq!(report.ended, ChildEnded::Done(Status::Complete, None));
    assert_eq!(report.paid, tokens(5).saturating_add(paid_for_fuel(3)));
    assert_eq!(report.paid.saturating_add(report.refunded), tokens(30));
    assert_eq!(alice.remaining().await, tokens(970).saturating_add(report.refunded));
    assert_eq!(alice.labels().await, ["run"], "what was given away is gone");
}

#[tokio::test]
async fn a_childs_result_is_unread_and_labelled() {
    let stage = Stage::new();
    let input = vec![("a document", Label::UNTRUSTED)];
    let alice = stage.start(Given { input, ..parent() }).await;
    let content = Content::Value(alice.start.conversation[0].content);
    let (run, part) = (alice.take("run").await, alice.split(tokens(1)).await);
    let conversation = vec![ChildInput { role: Role::User, content }];
    let (child, worker) = stage.child(&alice, Plan { conversation, ..plan(run, part) }).await;
    assert_eq!(worker.read(worker.start.conversation[0].content).await, "a document");
    let output = worker.make_value(b"a summary").await;
    stage.exit(worker.pid, returned(output)).await;
    let ChildEnded::Done(Status::Complete, Some(output)) = alice.wait(child).await.expect("it has ended").ended else {
        panic!("it returned something");
    };
    assert_eq!(alice.own_label().await, Label::TRUSTED);
    assert_eq!(alice.label_of(output).await, Label::UNTRUSTED);
    assert_eq!(alice.read(output).await, "a summary");
    assert_eq!(alice.own_label().await, Label::UNTRUSTED);
}

#[tokio::test]
async fn a_childs_choice_of_a_result_is_as_tainted_as_the_child() {
    let stage = Stage::new();
    let input = vec![("a document", Label::UNTRUSTED)];
    let alice = stage.start(Given { input, ..parent() }).await;
    let content = Content::Value(alice.start.conversation[0].content);
    let (run, part) = (alice.take("run").await, alice.split(tokens(1)).await);
    let conversation = vec![ChildInput { role: Role::User, content }];
    let (child, worker) = stage.child(&alice, Plan { conversation, ..plan(run, part) }).await;
    let (yes, _no) = (worker.make_value(b"yes").await, worker.make_value(b"no").await);
    assert_eq!(worker.label_of(yes).await, Label::TRUSTED);
    worker.read(worker.start.conversation[0].content).await;
    stage.exit(worker.pid, returned(yes)).await;
    let ChildEnded::Done(_, Some(output)) = alice.wait(child).await.expect("it has ended").ended else {
        panic!("it returned something");
    };
    assert_eq!(alice.label_of(output).await, Label::UNTRUSTED);
}

#[tokio::test]
async fn a_childs_failure_speaks_with_the_childs_label() {
    let stage = Stage::new();
    let input = vec![("a document", Label::UNTRUSTED)];
    let alice = stage.start(Given { input, ..parent() }).await;
    let content = Content::Value(alice.start.conversation[0].content);
    let (run, part) = (alice.take("run").await, alice.split(tokens(1)).await);
    let conversation = vec![ChildInput { role: Role::User, content }];
    let (child, worker) = stage.child(&alice, Plan { conversation, ..plan(run, part) }).await;
    worker.read(worker.start.conversation[0].content).await;
    stage.exit(worker.pid, failed("no such page", true)).await;
    let ChildEnded::Failed { message, retryable: true } = alice.wait(child).await.expect("it has ended").ended else {
        panic!("it failed");
    };
    assert_eq!(alice.label_of(message).await, Label::UNTRUSTED);
    assert_eq!(alice.read(message).await, "no such page");
}

#[tokio::test]
async fn a_child_that_crashed_is_reported_in_the_kernels_words() {
    let stage = Stage::new();
    let alice = stage.start(parent()).await;
    let (run, part) = (alice.take("run").await, alice.split(tokens(1)).await);
    let (child, worker) = stage.child(&alice, plan(run, part)).await;
    stage.exit(worker.pid, crashed()).await;
    let report = alice.wait(child).await.expect("it has ended");
    assert_eq!(report.ended, ChildEnded::Faulted(Fault::Trap("unreachable".into())));
    assert_eq!((report.refunded, report.restarts), (tokens(1), 0));
    assert_eq!(alice.signal().await, Some(Signal::ChildFailed));
}

#[tokio::test]
async fn a_report_is_taken_once() {
    let stage = Stage::new();
    let alice = stage.start(parent()).await;
    let (run, part) = (alice.take("run").await, alice.split(tokens(1)).await);
    let (child, worker) = stage.child(&alice, plan(run, part)).await;
    stage.exit(worker.pid, done()).await;
    assert!(alice.wait(child).await.is_ok());
    assert_eq!(alice.wait(child).await, Err(ChildrenError::Taken));
    assert_eq!(alice.children(ChildrenRequest::Drop { child }).await, Ok(ChildrenReply::Done));
    assert_eq!(alice.wait(child).await, Err(ChildrenError::Dead));
}

#[tokio::test]
async fn a_report_waits_until_its_parent_has_room_for_it() {
    let stage = Stage::new();
    let limits = Limits { objects_max: 1, ..Limits::default() };
    let alice = stage.start(Given { limits, ..parent() }).await;
    let (run, part) = (alice.take("run").await, alice.split(tokens(1)).await);
    let (child, worker) = stage.child(&alice, plan(run, part)).await;
    stage.exit(worker.pid, failed("no", false)).await;
    let value = alice.make_value(b"in the way").await;
    assert_eq!(alice.wait(child).await, Err(ChildrenError::NoRoom));
    let drop = remit_abi::Request::Value(remit_abi::ValueRequest::Drop { value });
    alice.call(drop).await;
    assert!(matches!(alice.wait(child).await.expect("there is room now").ended, ChildEnded::Failed { .. }));
}

#[tokio::test]
async fn the_end_of_a_parent_ends_its_children_and_their_funds_are_back_before_its_own_account_closes() {
    let stage = Stage::new();
    let alice = stage.start(parent()).await;
    let (run, part) = (alice.take("run").await, alice.split(tokens(100)).await);
    let deeper = alice.attenuate(same(run, "deeper")).await.expect("it holds run");
    let grants = vec![named("run", deeper), named("chat", alice.take("chat").await)];
    let (_, bob) = stage.child(&alice, Plan { grants, ..plan(run, part) }).await;
    let part = bob.split(tokens(50)).await;
    let grants = vec![named("chat", bob.take("chat").await)];
    let (_, carol) = stage.child(&bob, Plan { grants, ..plan(bob.take("run").await, part) }).await;
    let model = carol.open_model().await;
    carol.llm(LlmRequest::Chat(generate(model, prompt("ten chars."), 3))).await.expect("2 + 3 of 50");
    let finished = stage.end(alice, done()).await;
    assert_eq!(finished.paid.saturating_add(finished.refunded), tokens(1000));
    // Bob's syscalls are the spawn and four before it, with one more for its pid by its parent; Carol's are three.
    let below = finished.paid.saturating_sub(finished.ledger.paid);
    assert_eq!(below, tokens(5).saturating_add(paid_for_fuel(6)).saturating_add(paid_for_fuel(3)));
    assert_eq!(stage.assert_empty(), finished.refunded);
}

#[tokio::test]
async fn a_child_that_is_let_go_is_killed() {
    let stage = Stage::new();
    let alice = stage.start(parent()).await;
    let (run, part) = (alice.take("run").await, alice.split(tokens(10)).await);
    let (child, worker) = stage.child(&alice, plan(run, part)).await;
    assert_eq!(alice.children(ChildrenRequest::Drop { child }).await, Ok(ChildrenReply::Done));
    stage.node.settle().await;
    assert!(stage.node.kernel.process(worker.pid).is_none());
    assert_eq!(alice.remaining().await, tokens(1000));
    assert_eq!(alice.signal().await, None, "whoever lets go of a child need not be told");
}

#[tokio::test]
async fn a_child_that_was_just_let_go_still_gives_its_funds_back_to_its_parent() {
    let stage = Stage::new();
    let alice = stage.start(parent()).await;
    let (run, part) = (alice.take("run").await, alice.split(tokens(10)).await);
    let (child, _) = stage.child(&alice, plan(run, part)).await;
    stage.will_exit(alice.pid, done());
    assert_eq!(alice.children(ChildrenRequest::Drop { child }).await, Ok(ChildrenReply::Done));
    let finished = stage.finished(alice).await;
    assert_eq!(finished.paid, finished.ledger.paid, "the child spent nothing");
    assert_eq!(stage.assert_empty(), finished.refunded);
}

#[tokio::test]
async fn a_detached_child_lives_on_and_its_funds_go_where_its_parents_came_from() {
    let stage = Stage::new();
    let alice = stage.start(parent()).await;
    let (run, part) = (alice.take("run").await, alice.split(tokens(10)).await);
    let (child, worker) = stage.child(&alice, plan(run, part)).await;
    assert_eq!(alice.children(ChildrenRequest::Detach { child }).await, Ok(ChildrenReply::Done));
    assert_eq!(alice.wait(child).await, Err(ChildrenError::Dead));
    let finished = stage.end(alice, done()).await;
    assert_eq!(worker.remaining().await, tokens(10), "it lives and has what it had");
    stage.exit(worker.pid, done()).await;
    let back = finished.refunded.saturating_add(tokens(10)).saturating_sub(paid_for_fuel(2));
    assert_eq!(stage.assert_empty(), back);
}

#[tokio::test]
async fn a_detached_childs_failure_is_nobodys() {
    let stage = Stage::new();
    let alice = stage.start(parent()).await;
    let (run, part) = (alice.take("run").await, alice.split(tokens(10)).await);
    let (child, worker) = stage.child(&alice, plan(run, part)).await;
    assert_eq!(alice.children(ChildrenRequest::Detach { child }).await, Ok(ChildrenReply::Done));
    stage.exit(worker.pid, crashed()).await;
    assert_eq!(alice.signal().await, None);
}

#[tokio::test]
async fn detaching_needs_a_grant_of_read_write_access() {
    let stage = Stage::new();
    let run = GrantSpec { access: Access::ReadOnly, ..grant("run", GrantKind::Process, &["worker"]) };
    let alice = stage.start(Given { grants: vec![run], ..parent() }).await;
    let (run, part) = (alice.take("run").await, alice.split(tokens(10)).await);
    let (child, worker) = stage.child(&alice, plan(run, part)).await;
    let denied = Denial::OutOfScope { grant: "run".into() };
    assert_eq!(alice.children(ChildrenRequest::Detach { child }).await, Err(denied.into()));
    assert_eq!(alice.child_pid(child).await, worker.pid, "it is still its child");
}

#[tokio::test]
async fn a_child_can_be_killed_where_it_stands() {
    let stage = Stage::new();
    let alice = stage.start(parent()).await;
    let (run, part) = (alice.take("run").await, alice.split(tokens(10)).await);
    let (child, _) = stage.child(&alice, plan(run, part)).await;
    assert_eq!(alice.children(ChildrenRequest::Kill { child }).await, Ok(ChildrenReply::Done));
    let report = alice.wait(child).await.expect("it is dead");
    assert_eq!(report.ended, ChildEnded::Faulted(Fault::Killed));
    assert_eq!((report.paid, report.refunded), (Tokens::ZERO, tokens(10)));
}

#[tokio::test]
async fn a_suspended_child_takes_no_turn_until_it_is_resumed() {
    let stage = Stage::new();
    let turns = Arc::new(AtomicU32::new(0));
    stage.node.install("counter", {
        let turns = turns.clone();
        move |guest| {
            let turns = turns.clone();
            async move {
                while guest.receive(any()).await.is_ok() {
                    turns.fetch_add(1, Ordering::SeqCst);
                }
                done()
            }
        }
    });
    let alice = stage.start(parent()).await;
    let (run, part) = (alice.take("run").await, alice.split(tokens(10)).await);
    let child = alice.spawn(Plan { agent: "counter".into(), ..plan(run, part) }).await.expect("installed");
    let mailbox = alice.child_mailbox(child).await;
    alice.send(mailbox, message("one", "")).await.expect("it listens");
    stage.node.settle().await;
    alice.order(child, Order::Suspend).await;
    alice.send(mailbox, message("two", "")).await.expect("its mailbox has room");
    stage.node.settle().await;
    assert_eq!(turns.load(Ordering::SeqCst), 1);
    alice.order(child, Order::Resume).await;
    stage.node.settle().await;
    assert_eq!(turns.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_suspended_child_can_be_killed() {
    let stage = Stage::new();
    let alice = stage.start(parent()).await;
    let (run, part) = (alice.take("run").await, alice.split(tokens(10)).await);
    let (child, _) = stage.child(&alice, plan(run, part)).await;
    alice.order(child, Order::Suspend).await;
    assert_eq!(alice.children(ChildrenRequest::Kill { child }).await, Ok(ChildrenReply::Done));
    assert_eq!(alice.wait(child).await.expect("it is dead").ended, ChildEnded::Faulted(Fault::Killed));
}

#[tokio::test]
async fn a_child_that_is_to_end_politely_gets_one_signal() {
    let stage = Stage::new();
    let alice = stage.start(parent()).await;
    let (run, part) = (alice.take("run").await, alice.split(tokens(10)).await);
    let (child, worker) = stage.child(&alice, plan(run, part)).await;
    alice.order(child, Order::Cancel).await;
    alice.order(child, Order::Cancel).await;
    assert_eq!(worker.signal().await, Some(Signal::Cancel));
    assert_eq!(worker.signal().await, None);
}

#[tokio::test]
async fn orders_to_a_child_that_has_ended_are_not_heard() {
    let stage = Stage::new();
    let alice = stage.start(parent()).await;
    let (run, part) = (alice.take("run").await, alice.split(tokens(10)).await);
    let (child, worker) = stage.child(&alice, plan(run, part)).await;
    stage.exit(worker.pid, done()).await;
    for order in [Order::Cancel, Order::Suspend, Order::Resume] {
        alice.order(child, order).await;
    }
    assert_eq!(alice.children(ChildrenRequest::Kill { child }).await, Ok(ChildrenReply::Done));
    assert_eq!(alice.wait(child).await.expect("it had ended").ended, ChildEnded::Done(Status::Complete, None));
}

#[tokio::test]
async fn a_childs_label_begins_as_its_parents() {
    let stage = Stage::new();
    let input = vec![("a document", Label::UNTRUSTED)];
    let alice = stage.start(Given { input, ..parent() }).await;
    let (run, part) = (alice.take("run").await, alice.split(tokens(1)).await);
    let (_, early) = stage.child(&alice, plan(run, part)).await;
    alice.read(alice.start.conversation[0].content).await;
    let part = alice.split(tokens(1)).await;
    let (_, late) = stage.child(&alice, plan(run, part)).await;
    assert_eq!(early.own_label().await, Label::TRUSTED);
    assert_eq!(late.own_label().await, Label::UNTRUSTED, "what it is to do was chosen by who had read");
}

#[tokio::test]
async fn data_above_a_grants_ceiling_starts_no_child() {
    let stage = Stage::new();
    let limits = GrantLimits { ceiling: Some(Label::TRUSTED), ..GrantLimits::default() };
    let run = GrantSpec { limits, ..grant("run", GrantKind::Process, &["worker"]) };
    let input = vec![("a document", Label::UNTRUSTED)];
    let alice = stage.start(Given { grants: vec![run], input, ..parent() }).await;
    let (run, part) = (alice.take("run").await, alice.split(tokens(1)).await);
    let content = Content::Value(alice.start.conversation[0].content);
    let conversation = vec![ChildInput { role: Role::User, content }];
    let refused = alice.spawn(Plan { conversation, ..plan(run, part) }).await;
    assert_eq!(refused, Err(Denial::Tainted { grant: "run".into() }.into()));
    let part = alice.split(tokens(1)).await;
    assert!(alice.spawn(plan(run, part)).await.is_ok());
}

#[tokio::test]
async fn a_part_of_a_childs_funds_that_its_parent_kept_is_still_the_parents() {
    let stage = Stage::new();
    let alice = stage.start(parent()).await;
    let (run, part) = (alice.take("run").await, alice.split(tokens(10)).await);
    let split = remit_abi::BudgetRequest::Split { account: part, amount: tokens(4) };
    let Ok(remit_abi::BudgetReply::Split(kept)) = alice.budget(split).await else { panic!("it has 10") };
    let (child, worker) = stage.child(&alice, plan(run, part)).await;
    assert_eq!(worker.remaining().await, tokens(6));
    stage.exit(worker.pid, done()).await;
    let report = alice.wait(child).await.expect("it has ended");
    assert_eq!(report.paid.saturating_add(report.refunded), tokens(6));
    assert_eq!(alice.remaining_in(kept).await, Ok(tokens(4)));
    let finished = stage.end(alice, done()).await;
    assert_eq!(finished.paid, finished.ledger.paid.saturating_add(report.paid));
    assert_eq!(stage.assert_empty(), finished.refunded);
}

#[tokio::test]
async fn a_parent_that_is_killed_takes_its_children_with_it() {
    let stage = Stage::new();
    let alice = stage.start(parent()).await;
    let (run, part) = (alice.take("run").await, alice.split(tokens(10)).await);
    stage.child(&alice, plan(run, part)).await;
    stage.node.kernel.kill(alice.pid);
    let finished = stage.finished(alice).await;
    assert_eq!(finished.ended, Ended::Faulted(Fault::Killed));
    assert_eq!(stage.assert_empty(), finished.refunded);
}

#[tokio::test]
async fn a_stranger_starts_nothing() {
    let stage = Stage::new();
    let given = Given { grants: vec![model_grant(GrantLimits::default())], ..stranger() };
    let mallory = stage.start(given).await;
    let (chat, part) = (mallory.take("chat").await, mallory.split(tokens(1)).await);
    let refused = mallory.spawn(plan(chat, part)).await;
    assert_eq!(refused, Err(Denial::NotGranted("process".into()).into()));
    assert_eq!(mallory.remaining().await, tokens(100), "the funds are back");
}
