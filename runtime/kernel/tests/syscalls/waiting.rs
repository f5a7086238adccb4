//! Waiting is a syscall.

use crate::fakes::{Given, Guest, Play, TestNode, done, prompt};
use remit_abi::{ClockReply, ClockRequest, Reply, Request, TimerId, WaitId, WaitRequest};

async fn timer(guest: &Guest, deadline_ns: u64) -> TimerId {
    match guest.call(Request::Clock(ClockRequest::StartTimer { deadline_ns })).await {
        Reply::Clock(ClockReply::Timer(timer)) => timer,
        other => panic!("there is room: {other:?}"),
    }
}

fn any(ids: &[WaitId]) -> Request {
    Request::Wait(WaitRequest::Any { ids: ids.into() })
}

#[tokio::test]
async fn a_wait_ends_with_the_first_timer_and_names_all_that_are_ready() {
    let node = TestNode::new();
    node.clock.advance(500);
    let mut spawned = node.spawn(Given::default(), |guest| async move {
        assert_eq!(guest.call(Request::Clock(ClockRequest::Monotonic)).await, Reply::Clock(ClockReply::Monotonic(0)));
        let (late, soon, same) = (timer(&guest, 300).await, timer(&guest, 100).await, timer(&guest, 100).await);
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
        let timer = timer(&guest, 1000).await;
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
