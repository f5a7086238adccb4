//! Whoever would wait for itself is told, and nobody else.

use crate::{
    fakes::{done, tokens},
    guest::{any, message, plan},
    stage::{Played, Stage, parent, stranger},
};
use futures::{FutureExt, poll};
use remit_abi::{ChildrenError, MailboxError, WaitId, limits};

const SECOND_NS: u64 = 1_000_000_000;

async fn trio(stage: &Stage) -> [Played; 3] {
    [stage.start(stranger()).await, stage.start(stranger()).await, stage.start(stranger()).await]
}

#[tokio::test]
async fn of_two_that_call_each_other_the_second_is_told() {
    let stage = Stage::new();
    let [alice, bob, _] = trio(&stage).await;
    let (to_bob, to_alice) = (stage.connect(&alice, &bob), stage.connect(&bob, &alice));
    let question = alice.ask(to_bob, message("question", ""), SECOND_NS).await.expect("there is room");
    let counter = bob.ask(to_alice, message("counter-question", ""), SECOND_NS).await.expect("there is room");
    let mut alice_waits = alice.collect(question).boxed();
    assert!(poll!(&mut alice_waits).is_pending());
    assert_eq!(bob.collect(counter).await, Err(MailboxError::Deadlock));
    let incoming = bob.receive(any()).await.expect("there is room");
    bob.reply(incoming.answer.expect("it is a call"), message("answer", "")).await.expect("Alice waits");
    assert!(alice_waits.await.is_ok(), "who was told can still answer");
    let mut bob_waits = bob.collect(counter).boxed();
    assert!(poll!(&mut bob_waits).is_pending(), "the call is still under way");
}

#[tokio::test]
async fn of_three_in_a_circle_the_last_is_told() {
    let stage = Stage::new();
    let players = trio(&stage).await;
    let mut calls = Vec::new();
    for index in 0..3 {
        let (from, to) = (&players[index], &players[(index + 1) % 3]);
        calls.push(from.ask(stage.connect(from, to), message("x", ""), SECOND_NS).await.expect("there is room"));
    }
    let mut first = players[0].collect(calls[0]).boxed();
    let mut second = players[1].collect(calls[1]).boxed();
    assert!(poll!(&mut first).is_pending() && poll!(&mut second).is_pending());
    assert_eq!(players[2].collect(calls[2]).await, Err(MailboxError::Deadlock));
}

#[tokio::test]
async fn a_chain_is_no_circle() {
    let stage = Stage::new();
    let [alice, bob, carol] = trio(&stage).await;
    let (to_bob, to_carol) = (stage.connect(&alice, &bob), stage.connect(&bob, &carol));
    let first = alice.ask(to_bob, message("x", ""), SECOND_NS).await.expect("there is room");
    let second = bob.ask(to_carol, message("x", ""), SECOND_NS).await.expect("there is room");
    let (mut first, mut second) = (alice.collect(first).boxed(), bob.collect(second).boxed());
    assert!(poll!(&mut first).is_pending() && poll!(&mut second).is_pending());
    let incoming = carol.receive(any()).await.expect("there is room");
    carol.reply(incoming.answer.expect("it is a call"), message("answer", "")).await.expect("Bob waits");
    assert!(second.await.is_ok());
    let incoming = bob.receive(any()).await.expect("there is room");
    bob.reply(incoming.answer.expect("it is a call"), message("answer", "")).await.expect("Alice waits");
    assert!(first.await.is_ok());
}

#[tokio::test]
async fn a_call_to_oneself_is_a_circle() {
    let stage = Stage::new();
    let alice = stage.start(stranger()).await;
    let own = alice.own_mailbox().await;
    let call = alice.ask(own, message("x", ""), SECOND_NS).await.expect("there is room");
    assert_eq!(alice.collect(call).await, Err(MailboxError::Deadlock));
    let incoming = alice.receive(any()).await.expect("there is room");
    alice.reply(incoming.answer.expect("it is a call"), message("answer", "")).await.expect("the call is open");
    assert!(alice.collect(call).await.is_ok(), "answered by itself");
}

#[tokio::test]
async fn a_child_that_calls_the_parent_that_waits_for_it_is_told() {
    let stage = Stage::new();
    let alice = stage.start(parent()).await;
    let (run, part) = (alice.take("run").await, alice.split(tokens(10)).await);
    let (child, worker) = stage.child(&alice, plan(run, part)).await;
    let to_alice = stage.connect(&worker, &alice);
    let mut waiting = alice.wait(child).boxed();
    assert!(poll!(&mut waiting).is_pending());
    let call = worker.ask(to_alice, message("may I?", ""), SECOND_NS).await.expect("there is room");
    assert_eq!(worker.collect(call).await, Err(MailboxError::Deadlock));
    stage.exit(worker.pid, done()).await;
    assert!(waiting.await.is_ok());
}

#[tokio::test]
async fn a_parent_that_would_wait_for_a_child_that_calls_it_is_told() {
    let stage = Stage::new();
    let alice = stage.start(parent()).await;
    let (run, part) = (alice.take("run").await, alice.split(tokens(10)).await);
    let (child, worker) = stage.child(&alice, plan(run, part)).await;
    let to_alice = stage.connect(&worker, &alice);
    let call = worker.ask(to_alice, message("may I?", ""), SECOND_NS).await.expect("there is room");
    let mut collecting = worker.collect(call).boxed();
    assert!(poll!(&mut collecting).is_pending());
    assert_eq!(alice.wait(child).await, Err(ChildrenError::Deadlock));
    assert_eq!(alice.wait_for(&[WaitId::Child(child)]).await, [0], "it is told when it asks");
    let incoming = alice.receive(any()).await.expect("there is room");
    alice.reply(incoming.answer.expect("it is a call"), message("yes", "")).await.expect("the child waits");
    assert!(collecting.await.is_ok());
    let mut waiting = alice.wait(child).boxed();
    assert!(poll!(&mut waiting).is_pending());
}

#[tokio::test]
async fn of_two_that_fill_each_others_mailboxes_the_second_is_told() {
    let stage = Stage::new();
    let [alice, bob, _] = trio(&stage).await;
    let (to_bob, to_alice) = (stage.connect(&alice, &bob), stage.connect(&bob, &alice));
    for _ in 0..limits::MESSAGES_QUEUED_MAX {
        alice.send(to_bob, message("x", "")).await.expect("there is room");
        bob.send(to_alice, message("x", "")).await.expect("there is room");
    }
    let mut sending = alice.send(to_bob, message("y", "")).boxed();
    assert!(poll!(&mut sending).is_pending());
    assert_eq!(bob.send(to_alice, message("y", "")).await, Err(MailboxError::Deadlock));
    bob.receive(any()).await.expect("there is room");
    assert_eq!(sending.await, Ok(()));
}

#[tokio::test]
async fn a_full_mailbox_of_ones_own_is_a_circle() {
    let stage = Stage::new();
    let alice = stage.start(stranger()).await;
    let own = alice.own_mailbox().await;
    for _ in 0..limits::MESSAGES_QUEUED_MAX {
        alice.send(own, message("x", "")).await.expect("there is room");
    }
    assert_eq!(alice.send(own, message("x", "")).await, Err(MailboxError::Deadlock));
}

#[tokio::test]
async fn an_answer_that_has_come_is_no_alarm_although_its_caller_has_not_gone_on() {
    let stage = Stage::new();
    let [alice, bob, _] = trio(&stage).await;
    let (to_bob, to_alice) = (stage.connect(&alice, &bob), stage.connect(&bob, &alice));
    let question = alice.ask(to_bob, message("question", ""), SECOND_NS).await.expect("there is room");
    let mut alice_waits = alice.collect(question).boxed();
    assert!(poll!(&mut alice_waits).is_pending());
    let incoming = bob.receive(any()).await.expect("there is room");
    bob.reply(incoming.answer.expect("it is a call"), message("answer", "")).await.expect("Alice waits");
    let counter = bob.ask(to_alice, message("counter-question", ""), SECOND_NS).await.expect("there is room");
    let mut bob_waits = bob.collect(counter).boxed();
    assert!(poll!(&mut bob_waits).is_pending(), "Alice can go on and answer");
    assert!(alice_waits.await.is_ok());
}

#[tokio::test]
async fn room_that_was_given_is_no_alarm_although_its_sender_has_not_gone_on() {
    let stage = Stage::new();
    let [alice, bob, _] = trio(&stage).await;
    let (to_bob, to_alice) = (stage.connect(&alice, &bob), stage.connect(&bob, &alice));
    for _ in 0..limits::MESSAGES_QUEUED_MAX {
        alice.send(to_bob, message("x", "")).await.expect("there is room");
    }
    let mut sending = alice.send(to_bob, message("y", "")).boxed();
    assert!(poll!(&mut sending).is_pending());
    bob.receive(any()).await.expect("there is room");
    let call = bob.ask(to_alice, message("question", ""), SECOND_NS).await.expect("there is room");
    let mut collecting = bob.collect(call).boxed();
    assert!(poll!(&mut collecting).is_pending(), "Alice can go on and answer");
    assert_eq!(sending.await, Ok(()));
}

#[tokio::test]
async fn room_that_somebody_else_was_given_is_still_a_circle() {
    let stage = Stage::new();
    let [alice, bob, carol] = trio(&stage).await;
    let (to_bob, carol_to_bob) = (stage.connect(&alice, &bob), stage.connect(&carol, &bob));
    let to_carol = stage.connect(&bob, &carol);
    for _ in 0..limits::MESSAGES_QUEUED_MAX {
        alice.send(to_bob, message("x", "")).await.expect("there is room");
    }
    let mut first = alice.send(to_bob, message("y", "")).boxed();
    let mut second = carol.send(carol_to_bob, message("y", "")).boxed();
    assert!(poll!(&mut first).is_pending() && poll!(&mut second).is_pending());
    bob.receive(any()).await.expect("there is room");
    let call = bob.ask(to_carol, message("question", ""), SECOND_NS).await.expect("there is room");
    assert_eq!(bob.collect(call).await, Err(MailboxError::Deadlock), "Carol waits behind Alice");
}

#[tokio::test]
async fn who_waits_for_several_things_closes_no_circle() {
    let stage = Stage::new();
    let [alice, bob, _] = trio(&stage).await;
    let (to_bob, to_alice) = (stage.connect(&alice, &bob), stage.connect(&bob, &alice));
    let question = alice.ask(to_bob, message("question", ""), SECOND_NS).await.expect("there is room");
    let timer = alice.timer(1).await;
    let ids = [WaitId::Call(question), WaitId::Timer(timer)];
    let mut alice_waits = alice.wait_for(&ids).boxed();
    assert!(poll!(&mut alice_waits).is_pending());
    let counter = bob.ask(to_alice, message("counter-question", ""), SECOND_NS).await.expect("there is room");
    let mut bob_waits = bob.collect(counter).boxed();
    assert!(poll!(&mut bob_waits).is_pending(), "Alice goes on when her timer comes");
    stage.node.clock.advance(1);
    assert_eq!(alice_waits.await, [1]);
}
