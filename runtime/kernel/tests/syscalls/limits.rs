//! Everything that a guest can grow has an end.

use crate::fakes::{Given, TestNode, done, generate, prompt};
use bytes::Bytes;
use remit_abi::{
    CheckpointError, CheckpointRequest, ClockReply, ClockRequest, Content, Conversation, EmitError, Event, Fault,
    GuestEvent, LlmError, LlmRequest, LogLevel, Prompt, RandomRequest, Reply, Request, TaskRequest, TraceRequest,
    ValueError, ValueReply, ValueRequest, WaitRequest,
    limits::{self, Limits},
};

fn from_bytes(length: usize) -> Request {
    let bytes = Bytes::from(vec![b'x'; length]);
    Request::Value(ValueRequest::FromBytes { bytes, media_type: "text/plain".into() })
}

#[tokio::test]
async fn values_are_bounded_in_number_in_bytes_and_in_size() {
    let node = TestNode::new();
    let limits = Limits { objects_max: 3, value_bytes_max: 25, ..Limits::default() };
    node.run(Given { limits, ..Given::default() }, |guest| async move {
        let Reply::Value(Ok(ValueReply::Made(first))) = guest.call(from_bytes(10)).await else {
            panic!("there is room")
        };
        assert!(matches!(guest.call(from_bytes(10)).await, Reply::Value(Ok(_))));
        let too_large = Reply::Value(Err(ValueError::TooLarge { limit: 25 }));
        assert_eq!(guest.call(from_bytes(6)).await, too_large);
        assert!(matches!(guest.call(from_bytes(5)).await, Reply::Value(Ok(_))));
        let too_many = Reply::Value(Err(ValueError::TooMany { limit: 3 }));
        assert_eq!(guest.call(from_bytes(0)).await, too_many);
        let drop = || Request::Value(ValueRequest::Drop { value: first });
        assert_eq!(guest.call(drop()).await, Reply::Value(Ok(ValueReply::Dropped)));
        assert_eq!(guest.call(drop()).await, Reply::Value(Err(ValueError::Dead)), "a second drop finds nothing");
        assert!(matches!(guest.call(from_bytes(10)).await, Reply::Value(Ok(_))));
        let chunk = limits::VALUE_CHUNK_BYTES_MAX;
        let too_large = Reply::Value(Err(ValueError::TooLarge { limit: chunk }));
        assert_eq!(guest.call(from_bytes(chunk as usize + 1)).await, too_large);
        done()
    })
    .await;
}

#[tokio::test]
async fn a_read_beyond_the_end_is_an_error_and_never_a_panic() {
    let node = TestNode::new();
    node.run(Given::default(), |guest| async move {
        let value = guest.make_value(b"abc").await;
        let read = |offset, length| Request::Value(ValueRequest::Read { value, offset, length });
        assert_eq!(guest.call(read(3, 9)).await, Reply::Value(Ok(ValueReply::Read(Bytes::new()))));
        for offset in [4, u64::MAX] {
            let reply = guest.call(read(offset, u32::MAX)).await;
            assert_eq!(reply, Reply::Value(Err(ValueError::OutOfRange { size: 3 })));
        }
        assert_eq!(guest.call(read(1, u32::MAX)).await, Reply::Value(Ok(ValueReply::Read("bc".into()))));
        done()
    })
    .await;
}

#[tokio::test]
async fn prompts_are_checked_before_any_work() {
    let node = TestNode::new();
    node.run(Given::default(), |guest| async move {
        let model = guest.open_model().await;
        let chat = |prompt| LlmRequest::Chat(generate(model, prompt, 5));
        assert_eq!(guest.llm(chat(prompt(""))).await, Err(LlmError::EmptyPrompt));
        assert_eq!(guest.llm(chat(Prompt::Chat(Conversation::default()))).await, Err(LlmError::EmptyPrompt));
        let long = prompt(&"x".repeat(100));
        let too_long = LlmError::TooLong { tokens: 100, capacity: 100 };
        assert_eq!(guest.llm(chat(long)).await, Err(too_long));
        let huge = prompt(&"x".repeat(limits::PROMPT_BYTES_MAX as usize + 1));
        assert!(matches!(guest.llm(chat(huge)).await, Err(LlmError::Invalid(_))));
        let bytes = guest.make_value(&[0xff, 0xfe]).await;
        let not_text = Prompt::Text(Content::Value(bytes));
        assert!(matches!(guest.llm(chat(not_text)).await, Err(LlmError::Invalid(_))));
        done()
    })
    .await;
    assert!(node.engine.jobs.lock().is_empty());
}

#[tokio::test]
async fn streams_side_by_side_are_bounded() {
    let node = TestNode::new();
    let limits = Limits { generations_max: 1, ..Limits::default() };
    node.run(Given { limits, ..Given::default() }, |guest| async move {
        let generation = guest.start(prompt("q"), 1).await;
        let model = guest.open_model().await;
        let start = || LlmRequest::Start(generate(model, prompt("q"), 1));
        assert_eq!(guest.llm(start()).await, Err(LlmError::TooMany { limit: 1 }));
        guest.llm(LlmRequest::DropGeneration { generation }).await.expect("it lives");
        assert!(guest.llm(start()).await.is_ok());
        done()
    })
    .await;
}

#[tokio::test]
async fn violations_end_the_process_by_name() {
    let node = TestNode::new();
    node.run(Given::default(), |guest| async move {
        let nothing = Request::Wait(WaitRequest::Any { ids: [].into() });
        assert!(matches!(guest.call(nothing).await, Reply::Fault(Fault::Protocol(_))));
        let Reply::Clock(ClockReply::Timer(timer)) =
            guest.call(Request::Clock(ClockRequest::StartTimer { deadline_ns: 0 })).await
        else {
            panic!("there is room");
        };
        guest.call(Request::Clock(ClockRequest::DropTimer { timer })).await;
        let dropped = Request::Wait(WaitRequest::Any { ids: [remit_abi::WaitId::Timer(timer)].into() });
        assert!(matches!(guest.call(dropped).await, Reply::Fault(Fault::Protocol(_))));
        let flood = Request::Random(RandomRequest::Bytes { length: u32::MAX });
        assert!(matches!(guest.call(flood).await, Reply::Fault(Fault::Limit(_))));
        done()
    })
    .await;
}

#[tokio::test]
async fn events_states_and_log_lines_are_bounded() {
    let node = TestNode::new();
    let (_, events) = node
        .run(Given::default(), |guest| async move {
            let text = "x".repeat(limits::EVENT_BYTES_MAX as usize + 1);
            let emit = Request::Task(TaskRequest::Emit(Box::new(GuestEvent::Text(Content::Text(text.into())))));
            let too_large = EmitError::TooLarge { limit: limits::EVENT_BYTES_MAX };
            assert_eq!(guest.call(emit).await, Reply::Task(Err(too_large)));
            let state = Bytes::from(vec![0; limits::CHECKPOINT_BYTES_MAX as usize + 1]);
            let commit = Request::Checkpoint(CheckpointRequest::Commit { state });
            let too_large = CheckpointError::TooLarge { limit: limits::CHECKPOINT_BYTES_MAX };
            assert_eq!(guest.call(commit).await, Reply::Checkpoint(Err(too_large)));
            let message = "é".repeat(limits::LOG_LINE_BYTES_MAX).into();
            let log = Request::Trace(TraceRequest::Log { level: LogLevel::Info, message });
            assert_eq!(guest.call(log).await, Reply::Trace);
            done()
        })
        .await;
    let [Event::Log { message, .. }] = events.as_slice() else { panic!("one line was logged: {events:?}") };
    assert!(message.len() <= limits::LOG_LINE_BYTES_MAX && message.chars().all(|c| c == 'é'));
}

#[tokio::test]
async fn a_log_flood_is_dropped_and_counted() {
    let node = TestNode::new();
    let spawned = node.spawn(Given::default(), |guest| async move {
        for _ in 0..limits::EVENTS_QUEUED_MAX + 7 {
            guest.call(Request::Trace(TraceRequest::Log { level: LogLevel::Info, message: "x".into() })).await;
        }
        done()
    });
    let finished = spawned.finished.await;
    assert_eq!(finished.logs_dropped, 7);
}
