//! Agents that run in circles.

use crate::{
    fakes::{Given, Guest, Play, TestNode, done, generate, prompt},
    recovery::emit,
};
use remit_abi::{Delta, Exit, LlmReply, LlmRequest, ModelId, ProcessReply, ProcessRequest, Reply, Request, Signal};
use remit_kernel::{Ended, RunawayPolicy, State};
use std::future::Future;

const POLICY: RunawayPolicy = RunawayPolicy { repetitions: 3, idle_turns: 4, parks: true };

async fn ask(guest: &Guest, model: ModelId, said: &str) {
    let answer = guest.llm(LlmRequest::Chat(generate(model, prompt(said), 3))).await;
    assert!(matches!(answer, Ok(LlmReply::Completed(_))), "{answer:?}");
}

async fn signal(guest: &Guest) -> Option<Signal> {
    match guest.call(Request::Process(ProcessRequest::NextSignal)).await {
        Reply::Process(Ok(ProcessReply::Signal(signal))) => signal,
        other => panic!("it never fails: {other:?}"),
    }
}

/// Starts a script that asks for ever, and says why it was parked.
async fn parked<F, R>(policy: RunawayPolicy, script: F) -> Option<String>
where
    F: Fn(Guest) -> R + Send + Sync + 'static,
    R: Future<Output = Exit> + Send + 'static,
{
    let node = TestNode::new();
    node.kernel.set_runaway(Some(policy));
    let running = node.spawn(Given::default(), script);
    let (pid, finished) = (running.pid, tokio::spawn(running.finished));
    node.settle().await;
    let why = match node.kernel.process(pid) {
        Some(view) if view.state == State::Parked => view.parked.map(|why| why.to_string()),
        _ => None,
    };
    node.kernel.kill(pid);
    drop(finished.await);
    why
}

#[tokio::test]
async fn who_asks_the_same_again_and_again_is_signalled_and_then_parked() {
    let node = TestNode::new();
    node.kernel.set_runaway(Some(POLICY));
    let running = node.spawn(Given::default(), |guest: Guest| async move {
        let model = guest.open_model().await;
        for turn in 0.. {
            ask(&guest, model, "again").await;
            let signal = signal(&guest).await;
            // One of either count; and again when an operator has let it go on.
            assert!(turn >= 6 || signal == matches!(turn, 2 | 3).then_some(Signal::Cancel), "turn {turn}: {signal:?}");
        }
        done()
    });
    let (pid, finished) = (running.pid, tokio::spawn(running.finished));
    node.settle().await;
    let view = node.kernel.process(pid).expect("it lives");
    assert_eq!(view.state, State::Parked);
    let why = view.parked.expect("it says why");
    assert!(why.contains("and was answered the same"), "{why}");
    // A script is held when it is polled next; a guest within a millisecond.
    let asked = node.engine.jobs.lock().len();
    assert!((6..40).contains(&asked), "{asked}");
    assert!(node.kernel.resume(pid));
    node.settle().await;
    assert!(node.engine.jobs.lock().len() >= asked + 6, "an operator lets it go on, and it is counted anew");
    node.kernel.kill(pid);
    drop(finished.await);
}

#[tokio::test]
async fn a_model_that_says_nothing_new_is_no_progress_and_streams_count_too() {
    async fn talks(guest: Guest) -> Exit {
        for turn in 0.. {
            let stream = guest.start(prompt(&format!("turn {turn}")), 3).await;
            // The end is read twice, and counts once.
            while !matches!(guest.next(stream).await, Ok(Delta::End(_))) {}
            assert!(matches!(guest.next(stream).await, Ok(Delta::End(_))));
            guest.llm(LlmRequest::DropGeneration { generation: stream }).await.expect("it is there");
        }
        done()
    }
    let why = parked(POLICY, talks).await.expect("it is parked");
    assert!(why.contains("nothing new in 8 turns"), "{why}");
}

#[tokio::test]
async fn what_is_shown_once_is_progress_and_what_is_shown_again_is_not() {
    async fn shows(guest: Guest, new: bool) -> Exit {
        let model = guest.open_model().await;
        for turn in 0..40 {
            ask(&guest, model, "again").await;
            emit(&guest, &if new { format!("turn {turn}") } else { "working".to_owned() }).await;
        }
        done()
    }
    assert_eq!(parked(POLICY, |guest| shows(guest, true)).await, None);
    assert!(parked(POLICY, |guest| shows(guest, false)).await.is_some());
}

#[tokio::test]
async fn the_policy_says_whether_it_is_only_signalled() {
    async fn asks(guest: Guest) -> Exit {
        let model = guest.open_model().await;
        let mut signals = 0;
        for _ in 0..20 {
            ask(&guest, model, "again").await;
            signals += usize::from(signal(&guest).await.is_some());
        }
        assert_eq!(signals, 2, "one for each of the two counts");
        done()
    }
    let node = TestNode::new();
    node.kernel.set_runaway(Some(RunawayPolicy { parks: false, ..POLICY }));
    let (finished, _) = node.run(Given::default(), asks).await;
    assert!(matches!(finished.ended, Ended::Done(..)), "{finished:?}");
}

#[tokio::test]
async fn answers_that_differ_are_none() {
    async fn asks(guest: Guest) -> Exit {
        let model = guest.open_model().await;
        for _ in 0..6 {
            ask(&guest, model, "again").await;
            assert_eq!(signal(&guest).await, None);
        }
        done()
    }
    let node = TestNode::new();
    node.kernel.set_runaway(Some(POLICY));
    let words: [&[&str]; 6] = [&["a"], &["b"], &["c"], &["d"], &["e"], &["f"]];
    node.engine.plays.lock().extend(words.map(Play::Words));
    let (finished, _) = node.run(Given::default(), asks).await;
    assert!(matches!(finished.ended, Ended::Done(..)), "{finished:?}");
}
