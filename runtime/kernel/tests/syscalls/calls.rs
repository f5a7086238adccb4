//! Calls: a message, and an answer whose place was kept.

use crate::{
    fakes::{Given, done, grant},
    guest::{any, message, named, parcel, topic},
    stage::{Played, Stage, stranger},
};
use futures::{FutureExt, poll};
use remit_abi::{
    CallId, GrantId, GrantKind, Incoming, Label, MailboxError, MailboxReply, MailboxRequest, NamedGrant,
    limits::{self, Limits},
};

const SECOND_NS: u64 = 1_000_000_000;

/// Alice may send to Bob.
async fn pair() -> (Stage, Played, Played, GrantId) {
    let stage = Stage::new();
    let (alice, bob) = (stage.start(stranger()).await, stage.start(stranger()).await);
    let to_bob = stage.connect(&alice, &bob);
    (stage, alice, bob, to_bob)
}

/// Alice has called Bob, who has the call.
async fn called() -> (Stage, Played, Played, CallId, Incoming) {
    let (stage, alice, bob, to_bob) = pair().await;
    let call = alice.ask(to_bob, message("question", "why?"), SECOND_NS).await.expect("there is room");
    let incoming = bob.receive(any()).await.expect("there is room");
    (stage, alice, bob, call, incoming)
}

#[tokio::test]
async fn a_call_is_answered_to_its_caller_alone() {
    let (_stage, alice, bob, call, incoming) = called().await;
    assert_eq!(bob.read(incoming.body).await, "why?");
    let mut collecting = alice.collect(call).boxed();
    assert!(poll!(&mut collecting).is_pending());
    bob.reply(incoming.answer.expect("it is a call"), message("answer", "because")).await.expect("Alice waits");
    let answer = collecting.await.expect("it was answered");
    assert_eq!((answer.sender, &*answer.topic, answer.answer), (bob.pid, "answer", None));
    assert_eq!(alice.read(answer.body).await, "because");
    assert_eq!(alice.next_topic(any()).await, None, "an answer is no message");
}

#[tokio::test]
async fn an_answer_is_taken_once() {
    let (_stage, alice, bob, call, incoming) = called().await;
    let answer = incoming.answer.expect("it is a call");
    bob.reply(answer, message("answer", "")).await.expect("Alice waits");
    assert_eq!(bob.reply(answer, message("another", "")).await, Err(MailboxError::Dead));
    assert!(alice.collect(call).await.is_ok());
    assert_eq!(alice.collect(call).await, Err(MailboxError::Taken));
}

#[tokio::test]
async fn a_call_that_is_not_answered_in_time_is_timed_out_for_good() {
    let (stage, alice, bob, call, incoming) = called().await;
    let tool = stage.node.kernel.give(bob.pid, grant("tool", GrantKind::Tool, &["search"])).expect("it has room");
    let mut collecting = alice.collect(call).boxed();
    assert!(poll!(&mut collecting).is_pending());
    stage.node.clock.advance(SECOND_NS - 1);
    assert!(poll!(&mut collecting).is_pending());
    stage.node.clock.advance(1);
    assert_eq!(collecting.await, Err(MailboxError::TimedOut));
    let late = bob.reply(incoming.answer.expect("it is a call"), parcel("late", vec![named("x", tool)])).await;
    assert_eq!(late, Err(MailboxError::Gone));
    assert_eq!(bob.take("tool").await, tool, "what was not taken is still Bob's, under its label");
    assert_eq!(alice.collect(call).await, Err(MailboxError::TimedOut));
}

#[tokio::test]
async fn an_answer_that_came_in_time_can_be_collected_later() {
    let (stage, alice, bob, call, incoming) = called().await;
    bob.reply(incoming.answer.expect("it is a call"), message("answer", "")).await.expect("Alice waits");
    stage.node.clock.advance(10 * SECOND_NS);
    assert!(alice.collect(call).await.is_ok());
}

#[tokio::test]
async fn an_answer_is_not_held_up_by_a_full_mailbox() {
    let (stage, alice, bob, call, incoming) = called().await;
    let to_alice = stage.connect(&bob, &alice);
    for _ in 0..limits::MESSAGES_QUEUED_MAX {
        bob.send(to_alice, message("flood", "")).await.expect("there is room");
    }
    assert_eq!(bob.try_send(to_alice, message("flood", "")).await, Err(MailboxError::Full));
    assert_eq!(bob.reply(incoming.answer.expect("it is a call"), message("answer", "")).await, Ok(()));
    assert_eq!(&*alice.collect(call).await.expect("it was answered").topic, "answer");
}

#[tokio::test]
async fn a_call_whose_answer_is_let_go_is_unanswered() {
    let (_stage, alice, bob, call, incoming) = called().await;
    let mut collecting = alice.collect(call).boxed();
    assert!(poll!(&mut collecting).is_pending());
    let answer = incoming.answer.expect("it is a call");
    assert_eq!(bob.mailbox(MailboxRequest::DropAnswer { answer }).await, Ok(MailboxReply::Done));
    assert_eq!(collecting.await, Err(MailboxError::Unanswered));
    assert_eq!(alice.collect(call).await, Err(MailboxError::Unanswered));
}

#[tokio::test]
async fn a_call_whose_receiver_ends_is_unanswered() {
    let (stage, alice, bob, to_bob) = pair().await;
    let unread = alice.ask(to_bob, message("unread", ""), SECOND_NS).await.expect("there is room");
    let read = alice.ask(to_bob, message("read", ""), SECOND_NS).await.expect("there is room");
    bob.receive(topic("read")).await.expect("there is room");
    let mut collecting = alice.collect(unread).boxed();
    assert!(poll!(&mut collecting).is_pending());
    stage.end(bob, done()).await;
    assert_eq!(collecting.await, Err(MailboxError::Unanswered));
    assert_eq!(alice.collect(read).await, Err(MailboxError::Unanswered));
    assert_eq!(alice.ask(to_bob, message("late", ""), SECOND_NS).await, Err(MailboxError::Gone));
}

#[tokio::test]
async fn an_answer_to_a_caller_that_has_gone_is_refused() {
    let (stage, alice, bob, _call, incoming) = called().await;
    stage.end(alice, done()).await;
    let refused = bob.reply(incoming.answer.expect("it is a call"), message("answer", "")).await;
    assert_eq!(refused, Err(MailboxError::Gone));
}

#[tokio::test]
async fn an_answer_to_a_call_that_was_forgotten_is_refused() {
    let (_stage, alice, bob, call, incoming) = called().await;
    assert_eq!(alice.mailbox(MailboxRequest::DropCall { call }).await, Ok(MailboxReply::Done));
    let refused = bob.reply(incoming.answer.expect("it is a call"), message("answer", "")).await;
    assert_eq!(refused, Err(MailboxError::Gone));
    assert_eq!(alice.collect(call).await, Err(MailboxError::Dead));
}

#[tokio::test]
async fn grants_come_with_an_answer() {
    let (stage, alice, bob, call, incoming) = called().await;
    let tool = stage.node.kernel.give(bob.pid, grant("tool", GrantKind::Tool, &["search"])).expect("it has room");
    let answer = incoming.answer.expect("it is a call");
    bob.reply(answer, parcel("answer", vec![named("search", tool)])).await.expect("Alice waits");
    assert_eq!(bob.labels().await, [""; 0]);
    let answer = alice.collect(call).await.expect("it was answered");
    assert_eq!(answer.grants, [NamedGrant { label: "search".into(), grant: tool }]);
    assert_eq!(alice.take("search").await, tool);
}

#[tokio::test]
async fn grants_in_an_answer_that_nobody_took_are_nobodys() {
    let (stage, alice, bob, call, incoming) = called().await;
    let tool = stage.node.kernel.give(bob.pid, grant("tool", GrantKind::Tool, &["search"])).expect("it has room");
    let answer = incoming.answer.expect("it is a call");
    bob.reply(answer, parcel("answer", vec![named("search", tool)])).await.expect("Alice waits");
    let before = stage.node.kernel.grant_tree(None).len();
    assert_eq!(alice.mailbox(MailboxRequest::DropCall { call }).await, Ok(MailboxReply::Done));
    assert_eq!(stage.node.kernel.grant_tree(None).len(), before - 1);
    stage.end(alice, done()).await;
    stage.end(bob, done()).await;
    stage.assert_empty();
}

#[tokio::test]
async fn an_answer_waits_until_its_caller_has_room_for_it() {
    let stage = Stage::new();
    let limits = Limits { objects_max: 1, ..Limits::default() };
    let (alice, bob) = (stage.start(Given { limits, ..stranger() }).await, stage.start(stranger()).await);
    let to_bob = stage.connect(&alice, &bob);
    let call = alice.ask(to_bob, message("question", ""), SECOND_NS).await.expect("there is room");
    let incoming = bob.receive(any()).await.expect("there is room");
    bob.reply(incoming.answer.expect("it is a call"), message("answer", "")).await.expect("Alice waits");
    let value = alice.make_value(b"in the way").await;
    assert_eq!(alice.collect(call).await, Err(MailboxError::NoRoom));
    alice.call(remit_abi::Request::Value(remit_abi::ValueRequest::Drop { value })).await;
    assert!(alice.collect(call).await.is_ok());
}

#[tokio::test]
async fn an_answers_topic_taints_its_caller() {
    let stage = Stage::new();
    let input = vec![("a document", Label::UNTRUSTED)];
    let (alice, bob) = (stage.start(stranger()).await, stage.start(Given { input, ..stranger() }).await);
    let to_bob = stage.connect(&alice, &bob);
    let call = alice.ask(to_bob, message("question", ""), SECOND_NS).await.expect("there is room");
    let incoming = bob.receive(any()).await.expect("there is room");
    bob.read(bob.start.conversation[0].content).await;
    bob.reply(incoming.answer.expect("it is a call"), message("answer", "")).await.expect("Alice waits");
    assert_eq!(alice.own_label().await, Label::TRUSTED);
    alice.collect(call).await.expect("it was answered");
    assert_eq!(alice.own_label().await, Label::UNTRUSTED);
}

#[tokio::test]
async fn calls_under_way_and_calls_to_answer_are_bounded() {
    let stage = Stage::new();
    let limits = Limits { calls_max: 2, ..Limits::default() };
    let given = || Given { limits, ..stranger() };
    let (alice, bob) = (stage.start(given()).await, stage.start(given()).await);
    let to_bob = stage.connect(&alice, &bob);
    let call = alice.ask(to_bob, message("one", ""), SECOND_NS).await.expect("there is room");
    alice.ask(to_bob, message("two", ""), SECOND_NS).await.expect("there is room");
    let refused = alice.ask(to_bob, message("three", ""), SECOND_NS).await;
    assert_eq!(refused, Err(MailboxError::TooMany { limit: 2 }));
    alice.mailbox(MailboxRequest::DropCall { call }).await.expect("it is open");
    alice.ask(to_bob, message("three", ""), SECOND_NS).await.expect("there is room");
    for _ in 0..2 {
        bob.receive(any()).await.expect("there is room");
    }
    assert_eq!(bob.receive(any()).await, Err(MailboxError::NoRoom), "the third would be one too many to answer");
}

#[tokio::test]
async fn a_calls_time_is_between_a_nanosecond_and_an_hour() {
    let (_stage, alice, _bob, to_bob) = pair().await;
    for timeout_ns in [0, limits::CALL_TIMEOUT_NS_MAX + 1, u64::MAX] {
        let refused = alice.ask(to_bob, message("x", ""), timeout_ns).await;
        assert!(matches!(refused, Err(MailboxError::Invalid(_))));
    }
    assert!(alice.ask(to_bob, message("x", ""), limits::CALL_TIMEOUT_NS_MAX).await.is_ok());
}

#[tokio::test]
async fn a_call_waits_for_room_and_its_time_begins_when_it_is_sent() {
    let (stage, alice, bob, to_bob) = pair().await;
    for _ in 0..limits::MESSAGES_QUEUED_MAX {
        alice.send(to_bob, message("flood", "")).await.expect("there is room");
    }
    let mut calling = alice.ask(to_bob, message("question", ""), SECOND_NS).boxed();
    assert!(poll!(&mut calling).is_pending());
    stage.node.clock.advance(5 * SECOND_NS);
    assert!(poll!(&mut calling).is_pending());
    bob.next_topic(any()).await;
    let call = calling.await.expect("there is room now");
    let mut collecting = alice.collect(call).boxed();
    assert!(poll!(&mut collecting).is_pending());
    stage.node.clock.advance(SECOND_NS);
    assert_eq!(collecting.await, Err(MailboxError::TimedOut));
}
