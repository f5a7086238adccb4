//! Processes that wait leave memory, come back when what they wait for is there, and nobody can tell.

use crate::{
    away::attend,
    fakes::{Given, Guest, TestNode, done, generate, prompt, tokens},
    guest::{any, message, named, parcel, plan, topic},
    recovery::{Result, emit, given},
};
use remit_abi::{
    ChildEnded, ClockReply, ClockRequest, Exit, LlmRequest, LogLevel, Outgoing, Pid, Plan, Reply, Request,
    TraceRequest, WaitId,
};
use remit_kernel::{Durability, Ended, Finished, MemoryJournal, Spawned, State};
use std::{
    any::Any,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

/// Turns of a node that nothing takes as many of: what is not ready by then never is.
const TURNS_MAX: usize = 100_000;

/// Lets time go by, between any two turns of anybody, until a future is ready; how often somebody was seen asleep.
pub(crate) async fn sleeping_until<T>(node: &TestNode, future: impl Future<Output = T>) -> (T, usize) {
    let (kernel, clock) = (node.kernel.clone(), node.clock.clone());
    let asleep = Arc::new(AtomicUsize::new(0));
    let seen = asleep.clone();
    let mut time = tokio::spawn(async move {
        for _ in 0..TURNS_MAX {
            let sleeps = kernel.processes().iter().filter(|view| view.state == State::Asleep).count();
            seen.fetch_add(sleeps, Ordering::Relaxed);
            clock.advance(10);
            tokio::task::yield_now().await;
        }
    });
    let outcome = tokio::select! {
        biased;
        outcome = future => outcome,
        _ = &mut time => panic!("it is not ready after {TURNS_MAX} turns: {:?}", node.kernel.processes()),
    };
    time.abort();
    (outcome, asleep.load(Ordering::Relaxed))
}

/// Asks a clerk that takes its time, and lends it a right each time.
async fn client(guest: Guest) -> Exit {
    let model = guest.open_model().await;
    let (funds, chat) = (guest.split(tokens(20)).await, guest.take("chat").await);
    let home = guest.own_mailbox().await;
    let child = Plan { grants: vec![named("home", home)], ..plan(guest.take("workers").await, funds) };
    let child = guest.spawn(child).await.expect("it is installed");
    let to_child = guest.child_mailbox(child).await;
    let mut lent = chat;
    for round in 0..3 {
        let call = guest.ask(to_child, parcel("question", vec![named("lent", lent)]), 1_000_000_000).await;
        let back = guest.collect(call.expect("it lives")).await.expect("it answers");
        let said = guest.read(back.body).await;
        lent = back.grants[0].grant;
        emit(&guest, &format!("{round} {}", String::from_utf8_lossy(&said))).await;
        guest.llm(LlmRequest::Chat(generate(model, prompt("so"), 2))).await.expect("the right came back");
    }
    let report = guest.wait(child).await.expect("it ends");
    assert!(matches!(report.ended, ChildEnded::Done(..)), "{report:?}");
    done()
}

async fn clerk(guest: Guest) -> Exit {
    for round in 0..3_u64 {
        let asked = guest.receive(topic("question")).await.expect("there is room");
        let now = match guest.call(Request::Clock(ClockRequest::Monotonic)).await {
            Reply::Clock(ClockReply::Monotonic(now)) => now,
            other => panic!("a clock: {other:?}"),
        };
        let timer = guest.timer(now + 500).await;
        guest.wait_for(&[WaitId::Timer(timer)]).await;
        let answer = Outgoing { grants: vec![named("back", asked.grants[0].grant)], ..*message("answer", "looked up") };
        guest.reply(asked.answer.expect("it is a call"), Box::new(answer)).await.expect("it waits");
        emit(&guest, &round.to_string()).await;
    }
    done()
}

/// How the two end where they sleep whenever they wait, or never.
async fn ends(patience_ns: Option<u64>) -> (Result, usize, MemoryJournal) {
    let node = TestNode::new();
    node.kernel.set_patience(patience_ns);
    node.install("boss", client);
    node.install("worker", clerk);
    let Spawned { mut events, finished, .. } = node.spawn(given(), client);
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
    assert!(node.kernel.is_conserved());
    let memory = node.journal.memory.up_to(node.journal.memory.end());
    (Result { finished, shown, left: node.withdraw() }, asleep, memory)
}

#[tokio::test]
async fn who_sleeps_whenever_they_wait_end_as_those_who_never_do() {
    let (expect, asleep, _) = ends(None).await;
    assert_eq!(asleep, 0);
    let (result, asleep, memory) = ends(Some(1)).await;
    assert!(asleep >= 6, "each of them sleeps in each round, and they were seen asleep {asleep} times");
    assert_eq!(result, expect);
    let told = |memory: &MemoryJournal| memory.records().iter().filter(|record| record.entry.is_some()).count();
    assert_eq!(told(&memory), told(&ends(None).await.2), "nothing is told twice, and nothing is left out");
}

/// Runs a script until it sleeps, and then, while something happens to it, to its end.
async fn sleeps<F, R>(script: F, happens: impl AsyncFnOnce(&TestNode, Pid)) -> Finished
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
    let (finished, _) = sleeping_until(&node, finished).await;
    assert!(node.kernel.is_conserved());
    finished.expect("it ends")
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
    let looks_on = node.kernel.events(pid).expect("it lives");
    let all = async { tokio::join!(finished, looks_on.after(2)) };
    let ((finished, kept), asleep) = sleeping_until(&node, all).await;
    assert!(asleep > 0 && matches!(finished.ended, Ended::Done(..)), "{finished:?}");
    assert_eq!(kept.len(), 1, "the third and no other");
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
    let finished = sleeps(waits, async |node, pid| node.kernel.kill(pid)).await;
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
    let finished = sleeps(reads, async |_, _| {}).await;
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
    let finished = sleeps(commits, async |node, pid| {
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
}

/// A node whose processes have all the patience there is, and whose runner says when places are short.
struct Patient {
    node: TestNode,
    lives: Vec<Box<dyn Any>>,
}

impl Patient {
    fn new() -> Self {
        let node = TestNode::new();
        attend(&node);
        node.kernel.set_patience(Some(u64::MAX / 2));
        Self { node, lives: Vec::new() }
    }

    /// Starts a script that somebody listens to, and lets some time go by.
    async fn start<F, R>(&mut self, durability: Durability, script: F) -> Pid
    where
        F: Fn(Guest) -> R + Send + Sync + 'static,
        R: Future<Output = Exit> + Send + 'static,
    {
        let Spawned { pid, events, finished } = self.node.spawn(Given { durability, ..Given::default() }, script);
        self.lives.push(Box::new((events, finished)));
        self.node.settle().await;
        self.node.clock.advance(100);
        pid
    }

    /// So many programs stand in line from here on, until somebody looks.
    async fn lack(&self, programs: usize) {
        self.node.runner.lack(programs);
        self.node.settle().await;
    }

    fn is_asleep(&self, pid: Pid) -> bool {
        self.node.kernel.process(pid).is_some_and(|view| view.state == State::Asleep)
    }
}

async fn waits(guest: Guest) -> Exit {
    guest.receive(topic("never")).await.expect("there is room");
    done()
}

#[tokio::test]
async fn who_has_waited_longest_sleeps_at_once_where_places_are_short() {
    let mut house = Patient::new();
    let kept = house.start(Durability::Ephemeral, waits).await;
    let first = house.start(Durability::Durable, waits).await;
    let second = house.start(Durability::Durable, waits).await;
    let third = house.start(Durability::Durable, waits).await;
    let asleep = |house: &Patient| [kept, first, second, third].map(|pid| house.is_asleep(pid));
    assert_eq!(asleep(&house), [false; 4], "they have patience");
    house.lack(1).await;
    assert_eq!(asleep(&house), [false, true, false, false]);
    house.lack(7).await;
    assert_eq!(asleep(&house), [false, true, false, false], "the next look is after a pause");
    house.node.clock.advance(10_000_000);
    house.node.settle().await;
    assert_eq!(asleep(&house), [false, true, true, true]);
}

#[tokio::test]
async fn who_works_is_not_put_to_sleep_and_who_may_not_sleep_never_is() {
    let mut house = Patient::new();
    let works = house.start(Durability::Durable, |_| std::future::pending()).await;
    house.lack(1).await;
    assert!(!house.is_asleep(works));
    let mut house = Patient::new();
    house.node.kernel.set_patience(None);
    let waits = house.start(Durability::Durable, waits).await;
    house.lack(1).await;
    assert!(!house.is_asleep(waits), "the node lets nobody sleep");
}
