//! Messages between processes: their order, their room, and what they carry.

use crate::{
    fakes::{Given, TENANT, done, grant, tokens},
    guest::{any, message, named, parcel, same, topic},
    stage::{Played, Stage, stranger},
};
use futures::{FutureExt, poll};
use remit_abi::{
    Content, Denial, Filter, GrantId, GrantKind, Label, MailboxError, NamedGrant, Outgoing, Pid, Tokens, ValueId,
    limits::{self, Limits},
};
use remit_kernel::{Group, SpawnError};

/// Alice may send to Bob.
async fn pair() -> (Stage, Played, Played, GrantId) {
    let stage = Stage::new();
    let (alice, bob) = (stage.start(stranger()).await, stage.start(stranger()).await);
    let to_bob = stage.connect(&alice, &bob);
    (stage, alice, bob, to_bob)
}

fn from(sender: Pid) -> Filter {
    Filter { topic: None, sender: Some(sender.to_string().into()) }
}

/// A message of so many bytes.
fn large(topic: &str, bytes: usize) -> Box<Outgoing> {
    message(topic, &"x".repeat(bytes))
}

#[tokio::test]
async fn a_message_comes_with_its_sender_its_topic_and_an_unread_body() {
    let (_stage, alice, bob, to_bob) = pair().await;
    alice.send(to_bob, message("greeting", "hello")).await.expect("there is room");
    let incoming = bob.receive(any()).await.expect("there is room");
    assert_eq!((incoming.sender, &*incoming.topic), (alice.pid, "greeting"));
    assert_eq!((incoming.grants.len(), incoming.answer), (0, None));
    assert_eq!(bob.read(incoming.body).await, "hello");
}

#[tokio::test]
async fn a_message_costs_its_sender_its_price() {
    let (_stage, alice, _bob, to_bob) = pair().await;
    alice.send(to_bob, message("one", "")).await.expect("there is room");
    alice.try_send(to_bob, message("two", "")).await.expect("there is room");
    assert_eq!(alice.remaining().await, tokens(100).saturating_sub(Tokens::from_micro(20_000)));
}

#[tokio::test]
async fn messages_are_received_oldest_first_among_those_that_are_wanted() {
    let (stage, alice, bob, to_bob) = pair().await;
    let carol = stage.start(stranger()).await;
    let carol_to_bob = stage.connect(&carol, &bob);
    for topic in ["a", "b"] {
        alice.send(to_bob, message(topic, "alice")).await.expect("there is room");
        carol.send(carol_to_bob, message(topic, "carol")).await.expect("there is room");
    }
    let both = Filter { topic: Some("b".into()), ..from(carol.pid) };
    let incoming = bob.receive(both).await.expect("there is room");
    assert_eq!((incoming.sender, &*incoming.topic), (carol.pid, "b"));
    assert_eq!(bob.receive(topic("b")).await.expect("there is room").sender, alice.pid);
    assert_eq!(bob.receive(from(carol.pid)).await.expect("there is room").sender, carol.pid);
    assert_eq!(bob.next_topic(any()).await.as_deref(), Some("a"));
    assert_eq!(bob.next_topic(any()).await, None);
}

#[tokio::test]
async fn a_filter_that_names_no_process_lets_nothing_through() {
    let (_stage, alice, bob, to_bob) = pair().await;
    alice.send(to_bob, message("a", "")).await.expect("there is room");
    let nobody = Filter { topic: None, sender: Some("bob".into()) };
    assert_eq!(bob.try_receive(nobody).await, Ok(None));
    assert_eq!(bob.next_topic(any()).await.as_deref(), Some("a"));
}

#[tokio::test]
async fn who_receives_waits_for_a_message_that_is_wanted() {
    let (_stage, alice, bob, to_bob) = pair().await;
    let mut receiving = bob.receive(topic("b")).boxed();
    assert!(poll!(&mut receiving).is_pending());
    alice.send(to_bob, message("a", "")).await.expect("there is room");
    assert!(poll!(&mut receiving).is_pending());
    alice.send(to_bob, message("b", "")).await.expect("there is room");
    assert_eq!(&*receiving.await.expect("there is room").topic, "b");
}

#[tokio::test]
async fn a_full_mailbox_makes_senders_wait_and_they_go_on_in_their_order() {
    let (stage, alice, bob, to_bob) = pair().await;
    let carol = stage.start(stranger()).await;
    let carol_to_bob = stage.connect(&carol, &bob);
    for number in 0..limits::MESSAGES_QUEUED_MAX {
        alice.send(to_bob, message(&number.to_string(), "")).await.expect("there is room");
    }
    let mut first = carol.send(carol_to_bob, message("first", "")).boxed();
    let mut second = alice.send(to_bob, message("second", "")).boxed();
    assert!(poll!(&mut first).is_pending() && poll!(&mut second).is_pending());
    assert_eq!(bob.next_topic(any()).await.as_deref(), Some("0"));
    assert!(poll!(&mut second).is_pending(), "the room is Carol's");
    assert_eq!(first.await, Ok(()));
    assert_eq!(bob.next_topic(any()).await.as_deref(), Some("1"));
    assert_eq!(second.await, Ok(()));
    for expected in (2..limits::MESSAGES_QUEUED_MAX).map(|number| number.to_string()) {
        assert_eq!(bob.next_topic(any()).await, Some(expected));
    }
    assert_eq!(bob.next_topic(any()).await.as_deref(), Some("first"));
    assert_eq!(bob.next_topic(any()).await.as_deref(), Some("second"));
}

#[tokio::test]
async fn a_mailbox_holds_so_many_bytes() {
    let (_stage, alice, bob, to_bob) = pair().await;
    let most = limits::MESSAGE_BYTES_MAX as usize;
    for _ in 0..limits::MAILBOX_BYTES_MAX / most {
        alice.send(to_bob, large("large", most)).await.expect("there is room");
    }
    assert_eq!(alice.try_send(to_bob, large("small", 1)).await, Err(MailboxError::Full));
    let mut waiting = alice.send(to_bob, large("small", 1)).boxed();
    assert!(poll!(&mut waiting).is_pending());
    assert_eq!(bob.next_topic(any()).await.as_deref(), Some("large"));
    assert_eq!(waiting.await, Ok(()));
}

#[tokio::test]
async fn who_does_not_wait_is_told_that_a_mailbox_is_full_and_pays_nothing() {
    let (_stage, alice, bob, to_bob) = pair().await;
    for _ in 0..limits::MESSAGES_QUEUED_MAX {
        alice.try_send(to_bob, message("x", "")).await.expect("there is room");
    }
    let before = alice.remaining().await;
    assert_eq!(alice.try_send(to_bob, message("x", "")).await, Err(MailboxError::Full));
    assert_eq!(alice.remaining().await, before);
    bob.next_topic(any()).await;
    assert_eq!(alice.try_send(to_bob, message("x", "")).await, Ok(()));
}

#[tokio::test]
async fn who_gives_up_waiting_sends_nothing_and_pays_nothing() {
    let (_stage, alice, bob, to_bob) = pair().await;
    for _ in 0..limits::MESSAGES_QUEUED_MAX {
        alice.send(to_bob, message("x", "")).await.expect("there is room");
    }
    let before = alice.remaining().await;
    let mut waiting = alice.send(to_bob, message("y", "")).boxed();
    assert!(poll!(&mut waiting).is_pending());
    bob.next_topic(any()).await;
    drop(waiting);
    assert_eq!(alice.remaining().await, before);
    assert_eq!(bob.next_topic(topic("y")).await, None);
    assert_eq!(alice.try_send(to_bob, message("z", "")).await, Ok(()), "its room is free");
}

#[tokio::test]
async fn a_message_is_bounded_in_every_part() {
    let (_stage, alice, _bob, to_bob) = pair().await;
    let too_large = |limit: usize| Err(MailboxError::TooLarge { limit: limit as u64 });
    let name = "x".repeat(limits::NAME_BYTES_MAX + 1);
    assert_eq!(alice.send(to_bob, message(&name, "")).await, too_large(limits::NAME_BYTES_MAX));
    let most = limits::MESSAGE_BYTES_MAX as usize;
    assert_eq!(alice.send(to_bob, large("x", most + 1)).await, too_large(most));
    let grants = vec![named("a", to_bob); limits::PASSED_GRANTS_MAX + 1];
    assert!(matches!(alice.send(to_bob, parcel("x", grants)).await, Err(MailboxError::Invalid(_))));
    let body = Content::Value(ValueId { index: 5, generation: 1 });
    let gone = Outgoing { body, ..*message("x", "") };
    assert_eq!(alice.send(to_bob, Box::new(gone)).await, Err(MailboxError::Dead));
    assert_eq!(alice.remaining().await, tokens(100), "none of them was sent");
}

#[tokio::test]
async fn a_value_that_is_sent_is_still_its_senders_and_the_receivers_is_its_own() {
    let (_stage, alice, bob, to_bob) = pair().await;
    let value = alice.make_value(b"both").await;
    let body = Content::Value(value);
    alice.send(to_bob, Box::new(Outgoing { body, ..*message("x", "") })).await.expect("there is room");
    let incoming = bob.receive(any()).await.expect("there is room");
    assert_eq!(alice.read(value).await, "both");
    alice.call(remit_abi::Request::Value(remit_abi::ValueRequest::Drop { value })).await;
    assert_eq!(bob.read(incoming.body).await, "both");
}

#[tokio::test]
async fn grants_move_with_a_message_once() {
    let (stage, alice, bob, to_bob) = pair().await;
    let tool = stage.node.kernel.give(alice.pid, grant("tool", GrantKind::Tool, &["search"])).expect("it has room");
    alice.send(to_bob, parcel("x", vec![named("search", tool)])).await.expect("there is room");
    assert_eq!(alice.labels().await, [format!("to-{}", bob.pid)], "it is in the message");
    assert_eq!(bob.labels().await, [""; 0]);
    let again = alice.send(to_bob, parcel("x", vec![named("search", tool)])).await;
    assert_eq!(again, Err(MailboxError::Invalid("the grant for search is not this process's any more".into())));
    let incoming = bob.receive(any()).await.expect("there is room");
    assert_eq!(incoming.grants, [NamedGrant { label: "search".into(), grant: tool }]);
    assert_eq!(bob.take("search").await, tool);
    assert_eq!(bob.next_topic(any()).await, None, "the second message was not sent");
}

#[tokio::test]
async fn a_grant_whose_label_is_taken_gets_one_made_from_it() {
    let (stage, alice, bob, to_bob) = pair().await;
    let give = |pid, label: &str| stage.node.kernel.give(pid, grant(label, GrantKind::Tool, &["search"]));
    give(bob.pid, "tool").expect("it has room");
    let grants = ["one", "two"].map(|label| give(alice.pid, label).expect("it has room"));
    for tool in grants {
        alice.send(to_bob, parcel("x", vec![named("tool", tool)])).await.expect("there is room");
    }
    for (tool, label) in grants.into_iter().zip(["tool-2", "tool-3"]) {
        let incoming = bob.receive(any()).await.expect("there is room");
        assert_eq!(incoming.grants, [NamedGrant { label: label.into(), grant: tool }]);
    }
    assert_eq!(bob.labels().await, ["tool", "tool-2", "tool-3"]);
}

#[tokio::test]
async fn the_grant_that_a_message_is_sent_under_can_be_in_it() {
    let (_stage, alice, bob, to_bob) = pair().await;
    alice.send(to_bob, parcel("x", vec![named("me", to_bob)])).await.expect("there is room");
    assert_eq!(alice.labels().await, [""; 0]);
    bob.receive(any()).await.expect("there is room");
    assert_eq!(bob.take("me").await, to_bob);
}

#[tokio::test]
async fn what_lies_in_the_mailbox_of_a_process_that_ends_is_nobodys() {
    let (stage, alice, bob, to_bob) = pair().await;
    let derived = alice.attenuate(same(to_bob, "derived")).await.expect("it holds it");
    alice.send(to_bob, parcel("x", vec![named("a", derived)])).await.expect("there is room");
    assert_eq!(stage.node.kernel.grant_tree(None).len(), 2);
    stage.end(bob, done()).await;
    assert_eq!(stage.node.kernel.grant_tree(None).len(), 1, "the grant in the message was released");
    stage.end(alice, done()).await;
    stage.assert_empty();
}

#[tokio::test]
async fn a_message_to_who_has_ended_keeps_its_grants_with_the_sender_under_their_labels() {
    let (stage, alice, bob, to_bob) = pair().await;
    let tool = stage.node.kernel.give(alice.pid, grant("tool", GrantKind::Tool, &["search"])).expect("it has room");
    for _ in 0..limits::MESSAGES_QUEUED_MAX {
        alice.send(to_bob, message("x", "")).await.expect("there is room");
    }
    let before = alice.remaining().await;
    let mut waiting = alice.send(to_bob, parcel("x", vec![named("passed", tool)])).boxed();
    assert!(poll!(&mut waiting).is_pending());
    stage.end(bob, done()).await;
    assert_eq!(waiting.await, Err(MailboxError::Gone));
    assert_eq!(alice.send(to_bob, parcel("x", vec![named("passed", tool)])).await, Err(MailboxError::Gone));
    assert_eq!(alice.try_send(to_bob, parcel("x", vec![named("passed", tool)])).await, Err(MailboxError::Gone));
    assert_eq!(alice.take("tool").await, tool);
    assert_eq!(alice.remaining().await, before, "nobody was sent anything");
}

#[tokio::test]
async fn a_message_for_which_its_receiver_has_no_room_stays() {
    let stage = Stage::new();
    let alice = stage.start(stranger()).await;
    let limits = Limits { objects_max: 1, grants_max: 1, ..Limits::default() };
    let bob = stage.start(Given { limits, ..stranger() }).await;
    let to_bob = stage.connect(&alice, &bob);
    stage.node.kernel.give(bob.pid, grant("old", GrantKind::Tool, &["search"])).expect("it is the first");
    let tool = alice.attenuate(same(to_bob, "new")).await.expect("it holds it");
    alice.send(to_bob, parcel("x", vec![named("new", tool)])).await.expect("there is room");
    assert_eq!(bob.receive(any()).await, Err(MailboxError::NoRoom));
    let grant = bob.take("old").await;
    bob.capability(remit_abi::CapabilityRequest::Discard { grant }).await.expect("it holds it");
    let value = bob.make_value(b"in the way").await;
    assert_eq!(bob.try_receive(any()).await, Err(MailboxError::NoRoom));
    bob.call(remit_abi::Request::Value(remit_abi::ValueRequest::Drop { value })).await;
    assert_eq!(bob.receive(any()).await.expect("there is room now").grants.len(), 1);
    assert_eq!(bob.labels().await, ["new"]);
}

#[tokio::test]
async fn receiving_a_topic_that_was_asked_for_tells_nothing_and_any_other_taints() {
    let stage = Stage::new();
    let input = vec![("a document", Label::UNTRUSTED)];
    let alice = stage.start(Given { input, ..stranger() }).await;
    let bob = stage.start(stranger()).await;
    let to_bob = stage.connect(&alice, &bob);
    alice.read(alice.start.conversation[0].content).await;
    for _ in 0..2 {
        alice.send(to_bob, message("news", "tainted")).await.expect("there is room");
    }
    let incoming = bob.receive(topic("news")).await.expect("there is room");
    assert_eq!(bob.own_label().await, Label::TRUSTED);
    assert_eq!(bob.label_of(incoming.body).await, Label::UNTRUSTED, "the body is unread and labelled");
    bob.receive(any()).await.expect("there is room");
    assert_eq!(bob.own_label().await, Label::UNTRUSTED, "Alice chose the topic");
}

#[tokio::test]
async fn reading_a_body_taints_by_what_was_carried_in_it() {
    let stage = Stage::new();
    let input = vec![("a document", Label::UNTRUSTED)];
    let alice = stage.start(Given { input, ..stranger() }).await;
    let bob = stage.start(stranger()).await;
    let to_bob = stage.connect(&alice, &bob);
    let body = Content::Value(alice.start.conversation[0].content);
    alice.send(to_bob, Box::new(Outgoing { body, ..*message("x", "") })).await.expect("there is room");
    let incoming = bob.receive(any()).await.expect("there is room");
    assert_eq!(bob.own_label().await, Label::TRUSTED, "Alice had read nothing when she chose the topic");
    assert_eq!(bob.read(incoming.body).await, "a document");
    assert_eq!(bob.own_label().await, Label::UNTRUSTED);
}

#[tokio::test]
async fn an_address_kept_too_long_reaches_nobody() {
    let (stage, alice, bob, to_bob) = pair().await;
    let stale = bob.pid;
    stage.end(bob, done()).await;
    let successor = stage.start(stranger()).await;
    assert_ne!(successor.pid, stale, "no number is given out twice");
    assert_eq!(alice.send(to_bob, message("x", "")).await, Err(MailboxError::Gone));
    assert_eq!(successor.next_topic(any()).await, None);
}

#[tokio::test]
async fn an_address_in_another_tenant_reaches_nobody() {
    let stage = Stage::new();
    let alice = stage.start(stranger()).await;
    let other = remit_abi::TenantId(TENANT.0 + 1);
    let name = Some("desk");
    let foreign = stage.start(Given { tenant: other, name, ..stranger() }).await;
    let (by_pid, desk) = (stage.connect(&alice, &foreign), grant("desk", GrantKind::Mailbox, &["desk"]));
    let by_name = stage.node.kernel.give(alice.pid, desk).expect("it has room");
    for to in [by_pid, by_name] {
        assert_eq!(alice.send(to, message("x", "")).await, Err(MailboxError::Gone));
    }
    assert_eq!(foreign.next_topic(any()).await, None);
}

#[tokio::test]
async fn a_name_reaches_whoever_has_it_now() {
    let stage = Stage::new();
    let grants = vec![grant("desk", GrantKind::Mailbox, &["desk"])];
    let alice = stage.start(Given { grants, ..stranger() }).await;
    let desk = alice.take("desk").await;
    assert_eq!(alice.send(desk, message("early", "")).await, Err(MailboxError::Gone));
    let first = stage.start(Given { name: Some("desk"), ..stranger() }).await;
    alice.send(desk, message("one", "")).await.expect("somebody is there");
    assert_eq!(first.next_topic(any()).await.as_deref(), Some("one"));
    stage.end(first, done()).await;
    assert_eq!(alice.send(desk, message("between", "")).await, Err(MailboxError::Gone));
    let second = stage.start(Given { name: Some("desk"), ..stranger() }).await;
    alice.send(desk, message("two", "")).await.expect("somebody is there");
    assert_eq!(second.next_topic(any()).await.as_deref(), Some("two"));
}

#[tokio::test]
async fn a_name_is_one_processs_at_a_time() {
    let stage = Stage::new();
    let _first = stage.start(Given { name: Some("desk"), ..stranger() }).await;
    let refused = stage.node.try_spawn(Given { name: Some("desk"), ..stranger() }, |_| std::future::pending());
    assert!(matches!(refused.err(), Some(SpawnError::NameTaken)));
    let other = Given { tenant: remit_abi::TenantId(9), name: Some("desk"), ..stranger() };
    assert!(stage.node.try_spawn(other, |_| std::future::pending()).is_ok());
}

#[tokio::test]
async fn a_message_to_a_group_goes_to_the_member_whose_turn_it_is() {
    let stage = Stage::new();
    let grants = vec![grant("desk", GrantKind::Mailbox, &["desk"])];
    let alice = stage.start(Given { grants, ..stranger() }).await;
    let desk = alice.take("desk").await;
    let one = stage.start(Given { name: Some("desk#1.1"), ..stranger() }).await;
    let two = stage.start(Given { name: Some("desk#1.2"), ..stranger() }).await;
    assert_eq!(alice.send(desk, message("early", "")).await, Err(MailboxError::Gone), "nobody made a group of them");
    let group = |tried: Option<(&str, u8)>| {
        let tried = tried.map(|(prefix, percent)| (prefix.into(), percent));
        stage.node.kernel.set_group(TENANT, "desk", Some(Group { members: "desk#".into(), tried }));
    };
    group(None);
    for topic in ["a", "b", "c"] {
        alice.send(desk, message(topic, "")).await.expect("there is room");
    }
    for (member, topics) in [(&one, ["a", "c"].as_slice()), (&two, &["b"])] {
        for topic in topics {
            assert_eq!(member.next_topic(any()).await.as_deref(), Some(*topic));
        }
        assert_eq!(member.next_topic(any()).await, None);
    }
    // The first four of a hundred were three messages and this one: of a quarter it is the first that is tried.
    let tried = stage.start(Given { name: Some("desk#2.1"), ..stranger() }).await;
    group(Some(("desk#2.", 25)));
    alice.send(desk, message("d", "")).await.expect("there is room");
    assert_eq!(tried.next_topic(any()).await.as_deref(), Some("d"));
    // Who has the name itself has all of them.
    let whole = stage.start(Given { name: Some("desk"), ..stranger() }).await;
    alice.send(desk, message("e", "")).await.expect("there is room");
    assert_eq!(whole.next_topic(any()).await.as_deref(), Some("e"));
    stage.end(whole, done()).await;
    stage.node.kernel.set_group(TENANT, "desk", None);
    assert_eq!(alice.send(desk, message("late", "")).await, Err(MailboxError::Gone));
}

#[tokio::test]
async fn a_grant_of_several_mailboxes_has_to_be_narrowed_to_one() {
    let stage = Stage::new();
    let grants = vec![grant("desks", GrantKind::Mailbox, &["desk", "door"]), grant("all", GrantKind::Mailbox, &["d*"])];
    let alice = stage.start(Given { grants, ..stranger() }).await;
    let bob = stage.start(Given { name: Some("desk"), ..stranger() }).await;
    for label in ["desks", "all"] {
        let several = alice.take(label).await;
        assert!(matches!(alice.send(several, message("x", "")).await, Err(MailboxError::Invalid(_))));
        let narrow =
            remit_abi::Attenuate { scope: Some(["desk".into()].into()), ..same(several, &format!("{label}-1")) };
        let one = alice.attenuate(narrow).await.expect("it is covered");
        assert_eq!(alice.send(one, message(label, "")).await, Ok(()));
        assert_eq!(bob.next_topic(any()).await.as_deref(), Some(label));
    }
}

#[tokio::test]
async fn nothing_is_sent_without_a_grant() {
    let (_stage, alice, bob, to_bob) = pair().await;
    let denied = Err(MailboxError::Denied(Denial::NotGranted("mailbox".into())));
    assert_eq!(bob.send(to_bob, message("x", "")).await, denied, "the grant is Alice's");
    let own = bob.own_mailbox().await;
    assert_eq!(bob.send(own, message("to myself", "")).await, Ok(()));
    assert_eq!(bob.next_topic(any()).await.as_deref(), Some("to myself"));
    assert_eq!(alice.next_topic(any()).await, None);
}
