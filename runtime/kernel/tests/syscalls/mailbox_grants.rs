//! A right to send goes as far as its grant: so often, so fast, so long, with data so tainted, until it is revoked.

use crate::{
    fakes::{Given, grant, tokens},
    guest::{any, message, same},
    stage::{Played, Stage, stranger},
};
use futures::{FutureExt, poll};
use remit_abi::{
    Access, Attenuate, Content, Denial, GrantId, GrantKind, GrantLimits, GrantSpec, Label, MailboxError, Outgoing,
    Rate, Tokens, limits,
};

const MS: u64 = 1_000_000;

/// Alice, who has something tainted to read, may send to Bob within limits.
async fn pair(limits: GrantLimits) -> (Stage, Played, Played, GrantId) {
    let stage = Stage::new();
    let input = vec![("a document", Label::UNTRUSTED)];
    let (alice, bob) = (stage.start(Given { input, ..stranger() }).await, stage.start(stranger()).await);
    let to_bob = stage.connect_within(&alice, &bob, limits);
    (stage, alice, bob, to_bob)
}

fn denied(denial: impl FnOnce(Box<str>) -> Denial, bob: &Played) -> Result<(), MailboxError> {
    Err(denial(format!("to-{}", bob.pid).into()).into())
}

#[tokio::test]
async fn it_is_used_up() {
    let (_stage, alice, bob, to_bob) = pair(GrantLimits { uses: Some(2), ..GrantLimits::default() }).await;
    alice.send(to_bob, message("one", "")).await.expect("the first of two");
    alice.try_send(to_bob, message("two", "")).await.expect("the second of two");
    assert_eq!(alice.send(to_bob, message("three", "")).await, denied(Denial::Exhausted, &bob));
    assert_eq!(alice.try_send(to_bob, message("three", "")).await, denied(Denial::Exhausted, &bob));
    assert!(alice.ask(to_bob, message("three", ""), 1).await.is_err());
}

#[tokio::test]
async fn uses_are_shared_with_what_is_derived() {
    let (_stage, alice, bob, to_bob) = pair(GrantLimits { uses: Some(2), ..GrantLimits::default() }).await;
    let derived = alice.attenuate(Attenuate { uses: Some(1), ..same(to_bob, "once") }).await.expect("it is less");
    alice.send(derived, message("one", "")).await.expect("its only use");
    assert_eq!(alice.send(derived, message("x", "")).await, Err(Denial::Exhausted("once".into()).into()));
    alice.send(to_bob, message("two", "")).await.expect("the second of two");
    assert_eq!(alice.send(to_bob, message("x", "")).await, denied(Denial::Exhausted, &bob));
}

#[tokio::test]
async fn it_is_used_so_fast() {
    let rate = Some(Rate { uses: 2, per_ms: 1000 });
    let (stage, alice, bob, to_bob) = pair(GrantLimits { rate, ..GrantLimits::default() }).await;
    for _ in 0..2 {
        alice.send(to_bob, message("x", "")).await.expect("a burst of two");
    }
    let too_fast = |grant| Denial::TooFast { grant, retry_after_ms: 500 };
    assert_eq!(alice.send(to_bob, message("x", "")).await, denied(too_fast, &bob));
    stage.node.clock.advance(500 * MS);
    assert_eq!(alice.send(to_bob, message("x", "")).await, Ok(()));
    assert_eq!(alice.send(to_bob, message("x", "")).await, denied(too_fast, &bob));
}

#[tokio::test]
async fn it_expires() {
    // The wall clock of these tests begins at a second.
    let expires_ns = Some(1000 * MS + 5);
    let (stage, alice, bob, to_bob) = pair(GrantLimits { expires_ns, ..GrantLimits::default() }).await;
    stage.node.clock.advance(4);
    assert_eq!(alice.send(to_bob, message("x", "")).await, Ok(()));
    stage.node.clock.advance(1);
    assert_eq!(alice.send(to_bob, message("x", "")).await, denied(Denial::Expired, &bob));
}

#[tokio::test]
async fn data_above_its_ceiling_is_not_sent_read_or_carried() {
    let ceiling = Some(Label::TRUSTED);
    let (_stage, alice, bob, to_bob) = pair(GrantLimits { ceiling, ..GrantLimits::default() }).await;
    let document = alice.start.conversation[0].content;
    let carried = Outgoing { body: Content::Value(document), ..*message("x", "") };
    let tainted = |grant| Denial::Tainted { grant };
    assert_eq!(alice.send(to_bob, Box::new(carried)).await, denied(tainted, &bob));
    assert_eq!(alice.send(to_bob, message("x", "clean")).await, Ok(()));
    alice.read(document).await;
    assert_eq!(alice.send(to_bob, message("x", "not clean any more")).await, denied(tainted, &bob));
    assert!(bob.next_topic(any()).await.is_some());
    assert_eq!(bob.next_topic(any()).await, None);
}

#[tokio::test]
async fn a_right_to_look_is_none_to_send() {
    let (stage, alice, bob, _) = pair(GrantLimits::default()).await;
    let address = bob.pid.to_string();
    let look = GrantSpec { access: Access::ReadOnly, ..grant("look", GrantKind::Mailbox, &[&address]) };
    let look = stage.node.kernel.give(alice.pid, look).expect("it has room");
    let denial = Denial::OutOfScope { grant: "look".into() };
    assert_eq!(alice.send(look, message("x", "")).await, Err(denial.into()));
}

#[tokio::test]
async fn who_waits_for_room_is_told_when_the_right_is_revoked() {
    let (stage, alice, bob, to_bob) = pair(GrantLimits::default()).await;
    let carol = stage.start(stranger()).await;
    let carol_to_bob = stage.connect(&carol, &bob);
    for _ in 0..limits::MESSAGES_QUEUED_MAX {
        alice.send(to_bob, message("x", "")).await.expect("there is room");
    }
    let before = alice.remaining().await;
    let mut first = alice.send(to_bob, message("first", "")).boxed();
    let mut second = carol.send(carol_to_bob, message("second", "")).boxed();
    assert!(poll!(&mut first).is_pending() && poll!(&mut second).is_pending());
    assert_eq!(stage.node.kernel.revoke(to_bob).ok(), Some(1));
    assert_eq!(first.await, denied(Denial::Revoked, &bob));
    assert_eq!(alice.remaining().await, before, "what was not sent is not paid");
    bob.receive(any()).await.expect("there is room");
    assert_eq!(second.await, Ok(()), "who stood behind goes on");
    assert_eq!(bob.next_topic(crate::guest::topic("first")).await, None);
}

#[tokio::test]
async fn a_call_that_was_sent_is_answered_although_the_right_is_revoked() {
    let (stage, alice, bob, to_bob) = pair(GrantLimits::default()).await;
    let call = alice.ask(to_bob, message("question", ""), MS).await.expect("there is room");
    stage.node.kernel.revoke(to_bob).expect("it is live");
    let incoming = bob.receive(any()).await.expect("there is room");
    bob.reply(incoming.answer.expect("it is a call"), message("answer", "")).await.expect("Alice waits");
    assert!(alice.collect(call).await.is_ok());
    assert_eq!(alice.send(to_bob, message("x", "")).await, denied(Denial::Revoked, &bob));
}

#[tokio::test]
async fn an_account_that_cannot_pay_sends_nothing() {
    let stage = Stage::new();
    let budget = Tokens::from_micro(15_000);
    let alice = stage.start(Given { budget, ..stranger() }).await;
    let bob = stage.start(stranger()).await;
    let to_bob = stage.connect(&alice, &bob);
    alice.send(to_bob, message("one", "")).await.expect("it costs 10,000");
    assert!(matches!(alice.send(to_bob, message("two", "")).await, Err(MailboxError::Invalid(_))));
    assert!(matches!(alice.try_send(to_bob, message("two", "")).await, Err(MailboxError::Invalid(_))));
    assert_eq!(bob.next_topic(any()).await.as_deref(), Some("one"));
    assert_eq!(bob.next_topic(any()).await, None);
    assert_eq!(bob.remaining().await, tokens(100));
}
