//! Signals are kept until they are taken, once each; alarms until they are cancelled.

use crate::{
    fakes::{Given, Play, done, generate, prompt, tokens},
    guest::plan,
    stage::{Stage, crashed, parent, stranger},
};
use remit_abi::{
    AlarmError, AlarmReply, AlarmRequest, BudgetReply, BudgetRequest, LlmRequest, Reply, Request, Signal, Tokens,
    WaitId,
    limits::{self, Limits},
};

const SECOND_NS: u64 = 1_000_000_000;

#[tokio::test]
async fn signals_are_taken_the_most_urgent_first_and_once() {
    let stage = Stage::new();
    let alice = stage.start(Given { soft_limit: tokens(990), ..parent() }).await;
    let (run, part) = (alice.take("run").await, alice.split(tokens(20)).await);
    let (_, worker) = stage.child(&alice, plan(run, part)).await;
    stage.exit(worker.pid, crashed()).await;
    for _ in 0..2 {
        assert!(stage.node.kernel.cancel(alice.pid));
    }
    let order = [Some(Signal::Cancel), Some(Signal::BudgetLow), Some(Signal::ChildFailed), None];
    for expected in order {
        assert_eq!(alice.signal().await, expected);
    }
}

#[tokio::test]
async fn a_child_that_did_its_work_signals_nothing() {
    let stage = Stage::new();
    let alice = stage.start(parent()).await;
    let (run, part) = (alice.take("run").await, alice.split(tokens(20)).await);
    let (_, worker) = stage.child(&alice, plan(run, part)).await;
    stage.exit(worker.pid, done()).await;
    assert_eq!(alice.signal().await, None);
}

#[tokio::test]
async fn a_soft_limit_signals_once_and_again_after_the_balance_rose() {
    let stage = Stage::new();
    let alice = stage.start(Given { soft_limit: tokens(950), ..parent() }).await;
    let part = alice.split(tokens(50)).await;
    assert_eq!(alice.signal().await, None, "950 is not below 950");
    alice.split(tokens(10)).await;
    assert_eq!(alice.signal().await, Some(Signal::BudgetLow));
    alice.split(tokens(10)).await;
    assert_eq!(alice.signal().await, None, "it is still low");
    alice.budget(BudgetRequest::Merge { account: part }).await.expect("it is a part");
    assert_eq!(alice.signal().await, None);
    alice.split(tokens(40)).await;
    assert_eq!(alice.signal().await, Some(Signal::BudgetLow));
}

#[tokio::test]
async fn a_part_has_a_soft_limit_of_its_own_until_it_funds_a_child() {
    let stage = Stage::new();
    let alice = stage.start(parent()).await;
    let (run, part) = (alice.take("run").await, alice.split(tokens(50)).await);
    let limit = BudgetRequest::SetSoftLimit { account: part, threshold: tokens(40) };
    alice.budget(limit).await.expect("it is a part");
    let own = alice.own_account().await;
    for (amount, signal) in [(10, None), (1, Some(Signal::BudgetLow)), (1, None)] {
        let transfer = BudgetRequest::Transfer { from: part, to: own, amount: tokens(amount) };
        alice.budget(transfer).await.expect("both are hers");
        assert_eq!(alice.signal().await, signal, "{amount}");
    }
    let back = BudgetRequest::Transfer { from: own, to: part, amount: tokens(12) };
    alice.budget(back).await.expect("both are hers");
    let (_, worker) = stage.child(&alice, plan(run, part)).await;
    worker.split(tokens(30)).await;
    assert_eq!(alice.signal().await, None, "it is the child's");
}

#[tokio::test]
async fn a_soft_limit_signals_again_after_a_refund() {
    let stage = Stage::new();
    let alice = stage.start(Given { soft_limit: tokens(950), ..parent() }).await;
    let model = alice.open_model().await;
    for _ in 0..2 {
        stage.node.engine.plays.lock().push_back(Play::Words(&["a"]));
        alice.llm(LlmRequest::Chat(generate(model, prompt("ten chars."), 60))).await.expect("62 of 1000");
        assert_eq!(alice.signal().await, Some(Signal::BudgetLow), "62 were set aside, and 59 came back");
        assert!(alice.remaining().await > tokens(990));
    }
}

#[tokio::test]
async fn a_soft_limit_signals_again_after_a_child_gave_its_funds_back() {
    let stage = Stage::new();
    let alice = stage.start(Given { soft_limit: tokens(950), ..parent() }).await;
    let run = alice.take("run").await;
    for _ in 0..2 {
        let part = alice.split(tokens(60)).await;
        assert_eq!(alice.signal().await, Some(Signal::BudgetLow));
        let (child, worker) = stage.child(&alice, plan(run, part)).await;
        stage.exit(worker.pid, done()).await;
        alice.wait(child).await.expect("it has ended");
    }
}

#[tokio::test]
async fn a_soft_limit_above_the_balance_signals_at_once_and_nothing_never_does() {
    let stage = Stage::new();
    let alice = stage.start(stranger()).await;
    let account = alice.own_account().await;
    let set = |threshold| BudgetRequest::SetSoftLimit { account, threshold };
    assert_eq!(alice.budget(set(tokens(101))).await, Ok(BudgetReply::Done));
    assert_eq!(alice.signal().await, Some(Signal::BudgetLow));
    assert_eq!(alice.budget(set(Tokens::ZERO)).await, Ok(BudgetReply::Done));
    alice.split(tokens(100)).await;
    assert_eq!(alice.signal().await, None);
}

#[tokio::test]
async fn an_alarm_is_ready_from_its_moment_on_until_it_is_cancelled() {
    let stage = Stage::new();
    let alice = stage.start(stranger()).await;
    // The wall clock of these tests begins at a second.
    let alarm = alice.alarm("lunch", SECOND_NS + 10).await;
    let ready = || Request::Wait(remit_abi::WaitRequest::IsReady { id: WaitId::Alarm(alarm) });
    stage.node.clock.advance(9);
    assert_eq!(alice.call(ready()).await, Reply::Ready([].into()));
    stage.node.clock.advance(1);
    for _ in 0..2 {
        assert_eq!(alice.call(ready()).await, Reply::Ready([0].into()));
    }
    assert_eq!(alice.alarm_under("lunch").await, Some(alarm));
    let cancel = || Request::Alarm(AlarmRequest::Cancel { alarm });
    assert_eq!(alice.call(cancel()).await, Reply::Alarm(Ok(AlarmReply::Cancelled)));
    assert_eq!(alice.call(cancel()).await, Reply::Alarm(Err(AlarmError::Dead)));
    assert_eq!(alice.alarm_under("lunch").await, None);
}

#[tokio::test]
async fn an_alarm_of_a_label_takes_the_place_of_the_one_before() {
    let stage = Stage::new();
    let alice = stage.start(stranger()).await;
    let (first, second) = (alice.alarm("lunch", 5).await, alice.alarm("lunch", 7).await);
    let moment = |alarm| Request::Alarm(AlarmRequest::Moment { alarm });
    assert_eq!(alice.call(moment(first)).await, Reply::Alarm(Err(AlarmError::Dead)));
    assert_eq!(alice.call(moment(second)).await, Reply::Alarm(Ok(AlarmReply::Moment(7))));
    assert_eq!(alice.alarm_under("lunch").await, Some(second));
}

#[tokio::test]
async fn alarms_are_bounded_in_number_and_their_labels_in_length() {
    let stage = Stage::new();
    let limits = Limits { objects_max: 1, ..Limits::default() };
    let alice = stage.start(Given { limits, ..stranger() }).await;
    let set = |label: &str| Request::Alarm(AlarmRequest::Set { label: label.into(), at_ns: 1 });
    for label in ["", &"x".repeat(limits::NAME_BYTES_MAX + 1)] {
        assert!(matches!(alice.call(set(label)).await, Reply::Alarm(Err(AlarmError::Invalid(_)))));
    }
    alice.alarm("one", 1).await;
    assert_eq!(alice.call(set("two")).await, Reply::Alarm(Err(AlarmError::TooMany { limit: 1 })));
    assert!(matches!(alice.call(set("one")).await, Reply::Alarm(Ok(_))), "its place is its own");
}
