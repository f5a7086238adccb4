//! What a process is told is written down before it is told.

use crate::fakes::{Given, TestNode, Written, done};
use remit_abi::{
    CheckpointRequest, ClockRequest, Content, Exit, Fault, GuestEvent, LogLevel, Reply, Request, TaskRequest,
    TraceRequest,
};
use std::sync::atomic::Ordering;

fn emit(text: &str) -> Request {
    Request::Task(TaskRequest::Emit(Box::new(GuestEvent::Text(Content::Text(text.into())))))
}

#[tokio::test]
async fn observations_are_recorded_and_pure_calls_never() {
    let node = TestNode::new();
    let (finished, _) = node
        .run(Given::default(), |guest| async move {
            guest.call(Request::Clock(ClockRequest::Wall)).await;
            guest.call(Request::Trace(TraceRequest::Log { level: LogLevel::Info, message: "x".into() })).await;
            guest.call(emit("shown")).await;
            guest.call(Request::Checkpoint(CheckpointRequest::Commit { state: "s".into() })).await;
            done()
        })
        .await;
    assert_eq!(finished.checkpoint.as_deref(), Some(&b"s"[..]));
    let entries = node.journal.entries.lock();
    let kinds: Vec<_> = entries
        .iter()
        .map(|(_, entry)| match entry {
            Written::Created => "created",
            Written::Began => "began",
            Written::Told { request: Some(Request::Clock(_)), .. } => "clock",
            Written::Told { request: Some(Request::Task(_)), reply: Reply::Task(Ok(())) } => "emitted",
            Written::Committed(Some(state)) if state == b"s" => "checkpoint",
            Written::Told { request: Some(Request::Checkpoint(_)), .. } => "committed",
            Written::Exited(Exit { end: Ok(_), .. }) => "exit",
            other => panic!("nothing else was told: {other:?}"),
        })
        .collect();
    assert_eq!(kinds, ["created", "began", "clock", "emitted", "checkpoint", "committed", "exit"]);
}

#[tokio::test]
async fn a_process_whose_journal_fails_is_told_nothing() {
    let node = TestNode::new();
    let (_, events) = node
        .run(Given::default(), {
            let journal = node.journal.clone();
            move |guest| {
                let journal = journal.clone();
                async move {
                    journal.fails.store(true, Ordering::SeqCst);
                    for request in [Request::Clock(ClockRequest::Wall), emit("never")] {
                        match guest.call(request).await {
                            Reply::Fault(Fault::Host(why)) => assert!(why.contains("disk is full"), "{why}"),
                            other => panic!("{other:?}"),
                        }
                    }
                    done()
                }
            }
        })
        .await;
    assert_eq!(events, [], "an effect without a durable intent is not done");
}

#[tokio::test]
async fn what_a_process_without_a_parent_came_to_is_kept_until_it_is_dropped() {
    let node = TestNode::new();
    let (finished, _) = node.run(Given::default(), async |_| done()).await;
    let results = node.kernel.results(9).expect("they can be read");
    let [result] = &results[..] else { panic!("it is one: {results:?}") };
    assert_eq!(result.finished, finished);
    assert_eq!(node.kernel.result(result.pid).as_ref(), Ok(&Some(result.clone())));
    assert_eq!(node.kernel.drop_result(result.pid), Ok(true));
    assert_eq!((node.kernel.results(9), node.kernel.drop_result(result.pid)), (Ok(Vec::new()), Ok(false)));
}
