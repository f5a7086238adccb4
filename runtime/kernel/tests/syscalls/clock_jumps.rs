//! A wall clock that somebody sets ahead or back: moments of the wall clock follow it, nothing else does, and nobody waits for ever.

use crate::{
    fakes::{Given, Guest, TestNode, done, grant, tokens},
    guest::{any, message, plan},
    recovery::emit,
    stage::{Stage, parent, stranger},
};
use futures::FutureExt;
use remit_abi::{
    CallId, ClockReply, ClockRequest, Event, Exit, GrantKind, MailboxError, Pid, Reply, Request, WaitId, limits,
};
use remit_kernel::{Ended, Events};
use std::pin::pin;

const MINUTE_NS: u64 = 60_000_000_000;
const HOUR_NS: u64 = 60 * MINUTE_NS;
const MONTH_NS: i64 = 30 * 24 * HOUR_NS.cast_signed();

async fn clock(guest: &Guest, which: ClockRequest) -> u64 {
    match guest.call(Request::Clock(which)).await {
        Reply::Clock(ClockReply::Wall(ns) | ClockReply::Monotonic(ns)) => ns,
        other => panic!("clocks can be read: {other:?}"),
    }
}

#[tokio::test]
async fn alarms_follow_a_clock_that_is_set_and_calls_do_not() {
    let stage = Stage::new();
    stage.node.clock.set_wall(MONTH_NS);
    let (alice, bob) = (stage.start(parent()).await, stage.start(stranger()).await);
    let to_bob = stage.connect(&alice, &bob);
    let call = alice.ask(to_bob, message("question", "?"), HOUR_NS).await.expect("there is room");
    let now_ns = clock(&alice, ClockRequest::Wall).await;
    let later = [WaitId::Alarm(alice.alarm("later", now_ns + HOUR_NS).await)];
    let began_ns = clock(&alice, ClockRequest::Monotonic).await;
    let mut answer = pin!(alice.collect(call));
    assert!(answer.as_mut().now_or_never().is_none());
    {
        let mut rings = pin!(alice.wait_for(&later));
        stage.pass(MINUTE_NS).await;
        assert!(rings.as_mut().now_or_never().is_none(), "it is an hour away");
        stage.node.clock.set_wall(2 * MONTH_NS);
        stage.pass(MINUTE_NS).await;
        assert_eq!(rings.now_or_never(), Some(vec![0]), "the clock is looked at again every minute");
    }
    assert!(answer.as_mut().now_or_never().is_none(), "what was said to wait an hour waits an hour");
    stage.node.clock.set_wall(0);
    assert_eq!(clock(&alice, ClockRequest::Monotonic).await, began_ns + 2 * MINUTE_NS, "it never falls");
    let mut rings = pin!(alice.wait_for(&later));
    stage.pass(HOUR_NS).await;
    assert!(rings.as_mut().now_or_never().is_none(), "it is a month away now");
    assert_eq!(answer.now_or_never(), Some(Err(MailboxError::TimedOut)));
}

/// Asks somebody who never answers, sets an alarm, and shows what it comes to.
async fn asker(guest: Guest) -> Exit {
    let funds = guest.split(tokens(20)).await;
    let child = guest.spawn(plan(guest.take("workers").await, funds)).await.expect("it is installed");
    let to_child = guest.child_mailbox(child).await;
    let call: CallId = guest.ask(to_child, message("question", "?"), 10 * MINUTE_NS).await.expect("it lives");
    let now_ns = clock(&guest, ClockRequest::Wall).await;
    let alarm = guest.alarm("later", now_ns + 10 * MINUTE_NS).await;
    emit(&guest, "asked").await;
    let ready = guest.wait_for(&[WaitId::Call(call), WaitId::Alarm(alarm)]).await;
    emit(&guest, &format!("{ready:?}")).await;
    guest.collect(call).await.expect_err("nobody answers");
    done()
}

async fn silent(guest: Guest) -> Exit {
    let asked = guest.receive(any()).await.expect("there is room");
    guest.receive(any()).await.expect("there is room");
    drop(asked);
    done()
}

fn given() -> Given {
    Given { package: "asker", grants: vec![grant("workers", GrantKind::Process, &["worker"])], ..Given::default() }
}

fn install(node: &TestNode) {
    node.install("asker", asker);
    node.install("worker", silent);
}

/// A host that ended while the call and the alarm were waited for, and one after it whose clock reads so much more, or less.
async fn after_a_jump(ahead_ns: i64) -> (TestNode, Pid) {
    let first = TestNode::new();
    install(&first);
    first.clock.set_wall(MONTH_NS);
    let spawned = first.spawn(given(), asker);
    let pid = spawned.pid;
    let _unfinished = spawned.finished;
    first.settle().await;
    let memory = first.journal.memory.up_to(first.journal.memory.end());
    let node = TestNode::after(memory);
    install(&node);
    node.clock.set_wall(MONTH_NS + ahead_ns);
    (node, pid)
}

async fn shown(events: &Events) -> Vec<String> {
    let text = |event| match event {
        Event::Text { text, .. } => String::from_utf8(text.to_vec()).ok(),
        _ => None,
    };
    events.known(0).await.into_iter().filter_map(|kept| text(kept.event)).collect()
}

#[tokio::test]
async fn a_host_that_finds_itself_in_the_past_lets_no_call_wait_for_ever() {
    let (node, pid) = after_a_jump(-MONTH_NS).await;
    let mut resumed = node.kernel.recover().expect("it can be read").go_on().await;
    let events = node.kernel.events(pid).expect("it lives");
    node.settle().await;
    assert_eq!(shown(&events).await, ["asked"]);
    node.clock.advance(limits::CALL_TIMEOUT_NS_MAX);
    node.settle().await;
    assert_eq!(shown(&events).await, ["asked", "[0]"], "the call has expired, and the alarm waits for its moment");
    let finished = resumed.remove(0).finished.await;
    assert!(matches!(finished.ended, Ended::Done(..)), "{finished:?}");
}

#[tokio::test]
async fn a_host_that_finds_itself_in_the_future_rings_what_it_missed() {
    let (node, pid) = after_a_jump(MONTH_NS).await;
    let mut resumed = node.kernel.recover().expect("it can be read").go_on().await;
    let events = node.kernel.events(pid).expect("it lives");
    node.settle().await;
    assert_eq!(shown(&events).await, ["asked", "[0, 1]"]);
    let finished = resumed.remove(0).finished.await;
    assert!(matches!(finished.ended, Ended::Done(..)), "{finished:?}");
}
