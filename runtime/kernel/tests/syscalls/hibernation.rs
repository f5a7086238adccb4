//! Processes that wait leave memory, come back when what they wait for is there, and nobody can tell.

use crate::{
    fakes::{Given, Guest, TestNode, done},
    guest::{any, message, topic},
    recovery::{Result, boss, emit, given, goes_on, install, undisturbed},
};
use remit_abi::{ClockReply, ClockRequest, Exit, LogLevel, Reply, Request, TraceRequest, WaitId};
use remit_kernel::{Ended, Finished, Spawned, State};
use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

/// Lets time go by, between any two turns of anybody, until a future is ready; how often somebody was seen asleep.
async fn sleeping_until<T>(node: &TestNode, future: impl Future<Output = T>) -> (T, usize) {
    let (kernel, clock) = (node.kernel.clone(), node.clock.clone());
    let asleep = Arc::new(AtomicUsize::new(0));
    let seen = asleep.clone();
    let time = tokio::spawn(async move {
        loop {
            let sleeps = kernel.processes().iter().filter(|view| view.state == State::Asleep).count();
            seen.fetch_add(sleeps, Ordering::Relaxed);
            clock.advance(10);
            tokio::task::yield_now().await;
        }
    });
    let outcome = future.await;
    time.abort();
    (outcome, asleep.load(Ordering::Relaxed))
}

#[tokio::test]
async fn a_team_whose_members_sleep_whenever_they_wait_ends_as_one_that_never_does() {
    let (expect, _) = undisturbed().await;
    let node = TestNode::new();
    node.kernel.set_patience(Some(1));
    install(&node);
    let Spawned { mut events, finished, .. } = node.spawn(given(), boss);
    let all = async {
        tokio::join!(finished, async {
            let mut shown = Vec::new();
            while let Some(event) = events.recv().await {
                shown.push(event);
            }
            shown
        })
    };
    let ((finished, shown), asleep) = sleeping_until(&node, all).await;
    assert!(asleep > 0, "nobody slept");
    assert!(node.kernel.is_conserved());
    assert_eq!(Result { finished, shown, left: node.withdraw() }, expect);
    let memory = &node.journal.memory;
    for at in (0..memory.end().0).step_by(3) {
        if let Some((result, _)) = goes_on(memory.up_to(remit_kernel::ports::Position(at))).await {
            assert_eq!(result, expect, "at {at}");
        }
    }
}

/// Runs a script that sleeps, and says how often, while something happens to it.
async fn sleeps<F, R>(script: F, happens: impl AsyncFnOnce(&TestNode, remit_abi::Pid)) -> (Finished, usize)
where
    F: Fn(Guest) -> R + Send + Sync + 'static,
    R: Future<Output = Exit> + Send + 'static,
{
    let node = TestNode::new();
    node.kernel.set_patience(Some(1));
    let Spawned { pid, finished, .. } = node.spawn(Given::default(), script);
    let finished = tokio::spawn(finished);
    let is_asleep = async {
        while node.kernel.process(pid).is_none_or(|view| view.state != State::Asleep) {
            tokio::task::yield_now().await;
        }
    };
    sleeping_until(&node, is_asleep).await;
    happens(&node, pid).await;
    let (finished, asleep) = sleeping_until(&node, finished).await;
    assert!(node.kernel.is_conserved());
    (finished.expect("it ends"), asleep)
}

#[tokio::test]
async fn what_it_showed_before_it_slept_is_shown_once() {
    let node = TestNode::new();
    node.kernel.set_patience(Some(1));
    let Spawned { mut events, finished, pid, .. } = node.spawn(Given::default(), |guest| async move {
        emit(&guest, "one").await;
        guest.call(Request::Trace(TraceRequest::Log { level: LogLevel::Info, message: "two".into() })).await;
        let timer = guest.timer(1000).await;
        guest.wait_for(&[WaitId::Timer(timer)]).await;
        emit(&guest, "three").await;
        done()
    });
    let all = async { tokio::join!(finished, node.kernel.events_after(pid, 2)) };
    let ((finished, kept), asleep) = sleeping_until(&node, all).await;
    assert!(asleep > 0 && matches!(finished.ended, Ended::Done(..)), "{finished:?}");
    assert_eq!(kept.map(|kept| kept.len()), Some(1), "the third and no other");
    let mut count = 0;
    while events.recv().await.is_some() {
        count += 1;
    }
    assert_eq!(count, 3);
}

#[tokio::test]
async fn a_message_wakes_and_a_kill_needs_no_waking() {
    async fn waits(guest: Guest) -> Exit {
        let home = guest.own_mailbox().await;
        guest.send(home, message("early", "")).await.expect("there is room");
        guest.receive(topic("early")).await.expect("there is room");
        guest.receive(topic("never")).await.expect("there is room");
        done()
    }
    let (finished, _) = sleeps(waits, async |node, pid| node.kernel.kill(pid)).await;
    assert_eq!(finished.ended, Ended::Faulted(remit_abi::Fault::Killed));
}

#[tokio::test]
async fn its_clock_goes_on_while_it_sleeps() {
    async fn reads(guest: Guest) -> Exit {
        let now = async || match guest.call(Request::Clock(ClockRequest::Monotonic)).await {
            Reply::Clock(ClockReply::Monotonic(now)) => now,
            other => panic!("a clock: {other:?}"),
        };
        let before = now().await;
        let timer = guest.timer(before + 500).await;
        guest.wait_for(&[WaitId::Timer(timer)]).await;
        let after = now().await;
        assert!(after >= before + 500, "{after} after {before}");
        done()
    }
    let (finished, _) = sleeps(reads, async |_, _| {}).await;
    assert!(matches!(finished.ended, Ended::Done(..)), "{finished:?}");
}

#[tokio::test]
async fn who_held_nothing_and_committed_begins_anew_when_it_wakes() {
    async fn commits(guest: Guest) -> Exit {
        match guest.start.resumed.as_deref() {
            None => {
                guest.call(Request::Clock(ClockRequest::Wall)).await;
                guest.commit(b"first").await;
            }
            Some(_) => return done(),
        }
        guest.receive(any()).await.expect("there is room");
        panic!("it goes on from what it committed");
    }
    let (finished, asleep) = sleeps(commits, async |node, pid| {
        // What wakes it is still there for the new run.
        node.kernel.cancel(pid);
        let grant = crate::fakes::grant("to", remit_abi::GrantKind::Mailbox, &[&pid.to_string()]);
        let sender = node.spawn(Given { grants: vec![grant], ..Given::default() }, |guest| async move {
            let to = guest.take("to").await;
            guest.send(to, message("x", "")).await.expect("it lives");
            done()
        });
        sender.finished.await;
    })
    .await;
    assert!(matches!(finished.ended, Ended::Done(..)), "{finished:?}");
    assert_eq!(finished.checkpoint.as_deref(), Some(&b"first"[..]));
    let _ = asleep;
}
