//! Waiting is a syscall.

use crate::{
    fakes::{Given, Play, TestNode, done, prompt, tokens},
    guest::{message, plan, topic},
    stage::{Stage, parent, stranger},
};
use futures::{FutureExt, poll};
use remit_abi::{ClockReply, ClockRequest, Fault, MailboxRequest, Reply, Request, WaitId, WaitRequest};

fn any(ids: &[WaitId]) -> Request {
    Request::Wait(WaitRequest::Any { ids: ids.into() })
}

#[tokio::test]
async fn a_wait_ends_with_the_first_timer_and_names_all_that_are_ready() {
    let node = TestNode::new();
    node.clock.advance(500);
    let mut spawned = node.spawn(Given::default(), |guest| async move {
        assert_eq!(guest.call(Request::Clock(ClockRequest::Monotonic)).await, Reply::Clock(ClockReply::Monotonic(0)));
        let (late, soon, same) = (guest.timer(300).await, guest.timer(100).await, guest.timer(100).await);
        let ids = [WaitId::Timer(late), WaitId::Timer(soon), WaitId::Timer(same)];
        assert_eq!(guest.call(any(&ids)).await, Reply::Ready([1, 2].into()));
        let ready = |id| Request::Wait(WaitRequest::IsReady { id });
        assert_eq!(guest.call(ready(ids[0])).await, Reply::Ready([].into()));
        assert_eq!(guest.call(ready(ids[1])).await, Reply::Ready([0].into()));
        done()
    });
    let mut finished = Box::pin(spawned.finished);
    node.settle().await;
    assert!(futures::poll!(finished.as_mut()).is_pending());
    node.clock.advance(99);
    node.settle().await;
    assert!(futures::poll!(finished.as_mut()).is_pending());
    node.clock.advance(1);
    finished.await;
    assert_eq!(spawned.events.recv().await, None);
}

#[tokio::test]
async fn a_stream_and_a_timer_are_waited_for_side_by_side() {
    let node = TestNode::new();
    node.engine.plays.lock().extend([Play::Words(&["a"]), Play::Stalls(&[])]);
    let spawned = node.spawn(Given::default(), |guest| async move {
        let (writing, silent) = (guest.start(prompt("q"), 5).await, guest.start(prompt("q"), 5).await);
        let timer = guest.timer(1000).await;
        let ids = [WaitId::Timer(timer), WaitId::Generation(silent), WaitId::Generation(writing)];
        assert_eq!(guest.call(any(&ids)).await, Reply::Ready([2].into()));
        assert_eq!(guest.call(any(&ids[..2])).await, Reply::Ready([0].into()));
        done()
    });
    let mut finished = Box::pin(spawned.finished);
    node.settle().await;
    assert!(futures::poll!(finished.as_mut()).is_pending(), "the timer has not come");
    node.clock.advance(1000);
    finished.await;
}

/// Alice with six things to wait for: a call, a child, a message, a timer, an alarm and a signal.
struct Six {
    stage: Stage,
    alice: crate::stage::Played,
    bob: crate::stage::Played,
    worker: remit_abi::Pid,
    ids: [WaitId; 6],
}

impl Six {
    async fn new() -> Self {
        let stage = Stage::new();
        let (alice, bob) = (stage.start(parent()).await, stage.start(stranger()).await);
        let to_bob = stage.connect(&alice, &bob);
        let call = alice.ask(to_bob, message("question", ""), 1_000_000).await.expect("there is room");
        let (run, part) = (alice.take("run").await, alice.split(tokens(10)).await);
        let (child, worker) = stage.child(&alice, plan(run, part)).await;
        let (watch, timer) = (alice.watch(topic("news")).await, alice.timer(1000).await);
        let alarm = alice.alarm("later", 1_000_000_000 + 500).await;
        let ids = [
            WaitId::Call(call),
            WaitId::Child(child),
            WaitId::Watch(watch),
            WaitId::Timer(timer),
            WaitId::Alarm(alarm),
            WaitId::Signal,
        ];
        Self { stage, alice, bob, worker: worker.pid, ids }
    }

    /// Makes one of them ready.
    async fn happen(&self, which: usize) {
        match which {
            0 => {
                let incoming = self.bob.receive(topic("question")).await.expect("it was sent");
                let answer = incoming.answer.expect("it is a call");
                self.bob.reply(answer, message("answer", "")).await.expect("Alice waits");
            }
            1 => self.stage.exit(self.worker, done()).await,
            2 => {
                let to_alice = self.stage.connect(&self.bob, &self.alice);
                self.bob.send(to_alice, message("old", "")).await.expect("there is room");
                self.bob.send(to_alice, message("news", "")).await.expect("there is room");
            }
            3 => self.stage.pass(1000).await,
            4 => self.stage.pass(500).await,
            _ => assert!(self.stage.node.kernel.cancel(self.alice.pid)),
        }
    }
}

#[tokio::test]
async fn whatever_comes_first_ends_a_wait_for_many_things() {
    for which in 0..6 {
        let six = Six::new().await;
        let mut waiting = six.alice.wait_for(&six.ids).boxed();
        assert!(poll!(&mut waiting).is_pending());
        six.happen(which).await;
        // The alarm is earlier than the timer, so that it is ready with it.
        let expected = if which == 3 { vec![3, 4] } else { vec![u32::try_from(which).expect("small")] };
        assert_eq!(waiting.await, expected);
    }
}

#[tokio::test]
async fn everything_that_came_meanwhile_is_named() {
    let six = Six::new().await;
    for which in 0..6 {
        six.happen(which).await;
    }
    assert_eq!(six.alice.wait_for(&six.ids).await, [0, 1, 2, 3, 4, 5]);
    assert_eq!(six.alice.wait_for(&six.ids[1..3]).await, [0, 1], "looking takes nothing");
}

#[tokio::test]
async fn a_call_whose_time_is_over_is_ready() {
    let six = Six::new().await;
    let mut waiting = six.alice.wait_for(&six.ids[..1]).boxed();
    assert!(poll!(&mut waiting).is_pending());
    six.stage.pass(1_000_000).await;
    assert_eq!(waiting.await, [0]);
}

#[tokio::test]
async fn a_message_that_the_filter_holds_back_does_not_end_a_wait() {
    let six = Six::new().await;
    let mut waiting = six.alice.wait_for(&six.ids[2..3]).boxed();
    let to_alice = six.stage.connect(&six.bob, &six.alice);
    six.bob.send(to_alice, message("old", "")).await.expect("there is room");
    assert!(poll!(&mut waiting).is_pending());
    six.bob.send(to_alice, message("news", "")).await.expect("there is room");
    assert_eq!(waiting.await, [0]);
}

#[tokio::test]
async fn a_wait_for_what_was_let_go_is_a_violation() {
    let six = Six::new().await;
    let WaitId::Watch(watch) = six.ids[2] else { panic!("it is the watch") };
    six.alice.mailbox(MailboxRequest::DropWatch { watch }).await.expect("it holds it");
    assert!(matches!(six.alice.call(any(&six.ids)).await, Reply::Fault(Fault::Protocol(_))));
}
