//! From WIT to requests and back: values, results, errors, and replies that do not fit.

use crate::{
    door::ScriptedDoor,
    program::{EMIT, EMIT_IMPORT, agent},
    stage::{run, run_with},
};
use bytes::Bytes;
use remit_abi::{
    Content, Conversation, Delta, DrawnToken, EmitError, Failure, Fault, GenerationId, GrantId, GuestEvent, Input,
    LlmReply, LlmRequest, ModelId, Outcome, OutputFormat, Params, Penalties, Prompt, Reply, Request, Role, Sampling,
    ScoredToken, Start, Status, TaskRequest, Tool, ToolChoice, Toolset, ValueError, ValueId, ValueReply, ValueRequest,
    limits::Limits,
};
use std::sync::Arc;

const VALUE: ValueId = ValueId { index: 4, generation: 2 };

const VALUE_IMPORTS: &str = r#"
  (import "remit:kernel/value@0.1.0" "[method]value.read" (func $read (param i32 i64 i32 i32)))
  (import "remit:kernel/value@0.1.0" "[resource-drop]value" (func $drop_value (param i32)))
"#;

fn started(state: Option<&'static [u8]>) -> Start {
    Start { conversation: vec![Input { role: Role::User, content: VALUE }], resumed: state.map(Bytes::from_static) }
}

fn outcome(status: Status, output: Option<ValueId>) -> Result<Result<Outcome, Failure>, Fault> {
    Ok(Ok(Outcome { status, output }))
}

#[test]
fn a_values_handle_is_the_kernels_id_on_the_way_in_and_out() {
    // Answers with the value of its first message: (ok (partial, some(handle))).
    let guest = agent(
        "",
        "(i32.store8 (i32.const 1028) (i32.const 1))
         (i32.store8 (i32.const 1032) (i32.const 1))
         (i32.store (i32.const 1036) (i32.load offset=4 (local.get $task)))",
    );
    let door = Arc::new(ScriptedDoor::new(10));
    let exit = run_with(&guest, &door, Limits::default(), started(None));
    assert_eq!(exit.end, outcome(Status::Partial, Some(VALUE)));
    assert_eq!(door.asked(), [], "a value that is handed back is not dropped");
}

#[test]
fn a_value_is_read_and_dropped_by_its_id() {
    let guest = agent(
        VALUE_IMPORTS,
        "(local.set $handle (i32.load offset=4 (local.get $task)))
         (call $read (local.get $handle) (i64.const 3) (i32.const 2) (i32.const 2048))
         ;; ok, and the bytes are \"lo\"
         (if (i32.load8_u (i32.const 2048)) (then unreachable))
         (if (i32.ne (i32.load16_u (i32.load (i32.const 2056))) (i32.const 0x6f6c)) (then unreachable))
         (call $drop_value (local.get $handle))",
    );
    let door = Arc::new(ScriptedDoor::new(10).scripted(|request| match request {
        Request::Value(ValueRequest::Read { .. }) => {
            Some(Reply::Value(Ok(ValueReply::Read(Bytes::from_static(b"lo")))))
        }
        _ => None,
    }));
    let exit = run_with(&guest, &door, Limits::default(), started(None));
    assert_eq!(exit.end, outcome(Status::Complete, None));
    assert_eq!(
        door.asked(),
        [
            Request::Value(ValueRequest::Read { value: VALUE, offset: 3, length: 2 }),
            Request::Value(ValueRequest::Drop { value: VALUE }),
        ]
    );
}

#[test]
fn the_state_it_was_started_with_reaches_the_guest() {
    let guest = agent(
        "",
        "(if (i32.eqz (local.get $resumed)) (then unreachable))
         (if (i32.ne (local.get $state_length) (i32.const 3)) (then unreachable))
         (if (i32.ne (i32.load16_u (local.get $state)) (i32.const 0x6261)) (then unreachable))",
    );
    let exit = run_with(&guest, &Arc::new(ScriptedDoor::new(10)), Limits::default(), started(Some(b"abc")));
    assert_eq!(exit.end, outcome(Status::Complete, None));
}

#[test]
fn a_failure_is_an_end_and_no_fault() {
    let guest = agent(
        "",
        "(i32.store8 (i32.const 1024) (i32.const 1))
         (i32.store (i32.const 1028) (i32.const 256))
         (i32.store (i32.const 1032) (i32.const 2))
         (i32.store8 (i32.const 1036) (i32.const 1))
         (i32.store16 (i32.const 256) (i32.const 0x6f6e))",
    );
    let exit = run(&guest, &Arc::new(ScriptedDoor::new(10)));
    assert_eq!(exit.end, Ok(Err(Failure { message: "no".into(), retryable: true })));
    assert!(exit.fuel.is_some());
}

#[test]
fn an_error_for_the_guest_reaches_it_and_a_fault_ends_it() {
    // The guest crashes where the door says "closed".
    let guest = agent(EMIT_IMPORT, &format!("{EMIT} (if (i32.load8_u (i32.const 2048)) (then unreachable))"));
    let end = |reply: Reply| {
        let door = ScriptedDoor::new(10).scripted(move |_| Some(reply.clone()));
        run(&guest, &Arc::new(door)).end
    };
    assert_eq!(end(Reply::Task(Ok(()))), outcome(Status::Complete, None));
    assert!(matches!(end(Reply::Task(Err(EmitError::Closed))), Err(Fault::Trap(_))));
    assert_eq!(end(Reply::Fault(Fault::Dead)), Err(Fault::Dead));
    assert!(matches!(end(Reply::Trace), Err(Fault::Host(_))), "an answer to something else");
    assert!(matches!(end(Reply::Task(Err(EmitError::Dead))), Err(Fault::Host(_))), "its handle is live");
}

#[test]
fn an_event_is_a_request() {
    let door = Arc::new(ScriptedDoor::new(10));
    assert!(run(&agent(EMIT_IMPORT, EMIT), &door).end.is_ok());
    let text = GuestEvent::Text(Content::Text("\0\0\0\0".into()));
    assert_eq!(door.asked(), [Request::Task(TaskRequest::Emit(Box::new(text)))]);
}

#[test]
fn a_dead_value_behind_a_live_handle_is_the_hosts_fault() {
    let guest = agent(VALUE_IMPORTS, "(call $drop_value (i32.load offset=4 (local.get $task)))");
    let door = Arc::new(ScriptedDoor::new(10).scripted(|_| Some(Reply::Value(Err(ValueError::Dead)))));
    let exit = run_with(&guest, &door, Limits::default(), started(None));
    assert!(matches!(exit.end, Err(Fault::Host(_))), "{exit:?}");
}

#[test]
fn a_handle_that_was_dropped_is_a_protocol_fault() {
    let guest = agent(
        VALUE_IMPORTS,
        "(call $drop_value (i32.load offset=4 (local.get $task))) (call $drop_value (i32.load offset=4 (local.get $task)))",
    );
    let exit = run_with(&guest, &Arc::new(ScriptedDoor::new(10)), Limits::default(), started(None));
    assert!(matches!(exit.end, Err(Fault::Protocol(_))), "{exit:?}");
}

#[test]
fn a_panic_behind_the_door_ends_the_guest_and_not_the_host() {
    let guest = agent(EMIT_IMPORT, EMIT);
    let door = ScriptedDoor::new(10).scripted(|_| panic!("a mistake of the kernel"));
    let exit = run(&guest, &Arc::new(door));
    assert!(matches!(&exit.end, Err(Fault::Host(text)) if text.contains("a mistake of the kernel")), "{exit:?}");
    assert!(run(&guest, &Arc::new(ScriptedDoor::new(10))).end.is_ok());
}

const STREAM_IMPORTS: &str = r#"
  (import "remit:kernel/capability@0.1.0" "take" (func $take (param i32 i32 i32)))
  (import "remit:kernel/llm@0.1.0" "[static]model.open" (func $open (param i32 i32)))
  (import "remit:kernel/llm@0.1.0" "[method]model.chat-stream" (func $chat (param i32 i32)))
  (import "remit:kernel/llm@0.1.0" "[method]generation.next" (func $next (param i32 i32)))
  (import "remit:kernel/llm@0.1.0" "[method]generation.subscribe" (func $subscribe (param i32) (result i32)))
  (import "remit:kernel/llm@0.1.0" "[resource-drop]generation" (func $drop_generation (param i32)))
  (import "wasi:io/poll@0.2.12" "[resource-drop]pollable" (func $drop_pollable (param i32)))
"#;

/// Stores the arguments of `chat-stream` at 4096, the model's handle and a conversation without messages first: more than 16 numbers
/// are passed in memory.
const STORE_PARAMS: &str = "
  (i32.store (i32.const 4096) (i32.load (i32.const 2088)))
  (i32.store8 (i32.const 4108) (i32.const 1))                                      ;; tools
  (i32.store (i32.const 4112) (i32.const 4400)) (i32.store (i32.const 4116) (i32.const 1))  ;; one tool
  (i32.store8 (i32.const 4120) (i32.const 2))                                      ;; which is to be called
  (i32.store (i32.const 4124) (i32.const 4360)) (i32.store (i32.const 4128) (i32.const 1))
  (i32.store (i32.const 4136) (i32.const 5))                                       ;; max-tokens
  (f32.store (i32.const 4144) (f32.const 0.5))                                     ;; temperature
  (i32.store (i32.const 4148) (i32.const 40))                                      ;; top-k
  (f32.store (i32.const 4152) (f32.const 0.75))                                    ;; typical-p
  (f32.store (i32.const 4156) (f32.const 0.25))                                    ;; top-p
  (f32.store (i32.const 4160) (f32.const 0.125))                                   ;; min-p
  (i64.store (i32.const 4168) (i64.const 9))                                       ;; seed
  (f32.store (i32.const 4176) (f32.const 1.5))                                     ;; repetition
  (f32.store (i32.const 4180) (f32.const -0.5))                                    ;; frequency
  (f32.store (i32.const 4184) (f32.const 2))                                       ;; presence
  (i32.store (i32.const 4188) (i32.const 64))                                      ;; window
  (i32.store (i32.const 4192) (i32.const 4300)) (i32.store (i32.const 4196) (i32.const 1))  ;; logit-bias
  (i32.store (i32.const 4200) (i32.const 4320)) (i32.store (i32.const 4204) (i32.const 1))  ;; stop
  (i32.store (i32.const 4208) (i32.const 4340)) (i32.store (i32.const 4212) (i32.const 2))  ;; stop-tokens
  (i32.store8 (i32.const 4216) (i32.const 1)) (i32.store8 (i32.const 4217) (i32.const 3))   ;; logprobs
  (i32.store8 (i32.const 4218) (i32.const 1))                                      ;; speculation
  (i32.store8 (i32.const 4220) (i32.const 2))                                      ;; format: regex
  (i32.store (i32.const 4224) (i32.const 4361)) (i32.store (i32.const 4228) (i32.const 1))
  (i32.store (i32.const 4400) (i32.const 4360)) (i32.store (i32.const 4404) (i32.const 1))  ;; the tool's name
  (i32.store (i32.const 4408) (i32.const 4360)) (i32.store (i32.const 4412) (i32.const 2))  ;; its description
  (i32.store (i32.const 4300) (i32.const 7)) (f32.store (i32.const 4304) (f32.const -1.5))
  (i32.store (i32.const 4320) (i32.const 4360)) (i32.store (i32.const 4324) (i32.const 2))
  (i32.store16 (i32.const 4360) (i32.const 0x6261))
  (i32.store (i32.const 4340) (i32.const 8)) (i32.store (i32.const 4344) (i32.const 11))";

/// What [`STORE_PARAMS`] says.
fn said() -> Params {
    Params {
        max_tokens: 5,
        sampling: Sampling { temperature: 0.5, top_k: 40, typical_p: 0.75, top_p: 0.25, min_p: 0.125, seed: 9 },
        penalties: Penalties { repetition: 1.5, frequency: -0.5, presence: 2.0, window: 64 },
        logit_bias: vec![(7, -1.5)],
        stop: vec!["ab".into()],
        stop_tokens: vec![8, 11],
        logprobs: Some(3),
        speculation: true,
        format: OutputFormat::Regex("b".into()),
    }
}

/// What it says of tools.
fn offered() -> Toolset {
    let tool = Tool { name: "a".into(), description: "ab".into(), parameters: "".into() };
    Toolset { tools: [tool].into(), choice: ToolChoice::Named("a".into()) }
}

/// Opens a model, starts a stream, subscribes to it; then `ending`.
fn stream(ending: &str) -> Vec<u8> {
    agent(
        STREAM_IMPORTS,
        &format!(
            "(call $take (i32.const 0) (i32.const 1) (i32.const 2048))
             (call $open (i32.load (i32.const 2056)) (i32.const 2080))
             {STORE_PARAMS}
             (call $chat (i32.const 4096) (i32.const 2128))
             (local.set $handle (i32.load (i32.const 2136)))
             (local.set $i (call $subscribe (local.get $handle)))
             {ending}"
        ),
    )
}

fn streaming_door() -> Arc<ScriptedDoor> {
    Arc::new(ScriptedDoor::new(10).scripted(|request| match request {
        Request::Capability(_) => {
            Some(Reply::Capability(Ok(remit_abi::CapabilityReply::Taken(GrantId { index: 1, generation: 1 }))))
        }
        Request::Llm(LlmRequest::Open { .. }) => {
            Some(Reply::Llm(Ok(LlmReply::Opened(ModelId { index: 2, generation: 1 }))))
        }
        Request::Llm(LlmRequest::Start(generate)) => {
            assert_eq!(generate.params, said());
            let tools = Some(Box::new(offered()));
            assert_eq!(generate.prompt, Prompt::Chat(Conversation { messages: Vec::new(), tools }));
            Some(Reply::Llm(Ok(LlmReply::Started(GenerationId { index: 3, generation: 1 }))))
        }
        Request::Llm(LlmRequest::Next { .. }) => {
            let token = |id, logprob| ScoredToken { id, logprob, bytes: [b'h', b'i'].into() };
            let drawn = DrawnToken { token: token(7, -0.5), likeliest: [token(8, f32::NEG_INFINITY)].into() };
            Some(Reply::Llm(Ok(LlmReply::Next(Delta::Token(Box::new(drawn))))))
        }
        Request::Llm(LlmRequest::DropGeneration { .. }) => Some(Reply::Llm(Ok(LlmReply::Done))),
        _ => None,
    }))
}

#[test]
fn a_token_reaches_the_guest_with_how_likely_it_was() {
    let guest = stream(
        "(call $next (local.get $handle) (i32.const 2200))
         ;; ok, the case token, its id and its log-probability
         (if (i32.load8_u (i32.const 2200)) (then unreachable))
         (if (i32.ne (i32.load8_u (i32.const 2208)) (i32.const 1)) (then unreachable))
         (if (i32.ne (i32.load (i32.const 2216)) (i32.const 7)) (then unreachable))
         (if (f32.ne (f32.load (i32.const 2220)) (f32.const -0.5)) (then unreachable))
         (if (i32.ne (i32.load16_u (i32.load (i32.const 2224))) (i32.const 0x6968)) (then unreachable))
         ;; one more beside it, of no probability
         (if (i32.ne (i32.load (i32.const 2236)) (i32.const 1)) (then unreachable))
         (if (i32.ne (i32.load (i32.load (i32.const 2232))) (i32.const 8)) (then unreachable))
         (if (f32.ne (f32.load offset=4 (i32.load (i32.const 2232))) (f32.const -inf)) (then unreachable))
         (call $drop_pollable (local.get $i)) (call $drop_generation (local.get $handle))",
    );
    let exit = run(&guest, &streaming_door());
    assert_eq!(exit.end, outcome(Status::Complete, None));
}

#[test]
fn a_generation_outlives_its_pollable() {
    let orderly = stream("(call $drop_pollable (local.get $i)) (call $drop_generation (local.get $handle))");
    let door = streaming_door();
    let exit = run(&orderly, &door);
    assert!(exit.end.is_ok(), "{exit:?}");
    let last = Request::Llm(LlmRequest::DropGeneration { generation: GenerationId { index: 3, generation: 1 } });
    assert_eq!(door.asked().last(), Some(&last));
    let misuse = stream("(call $drop_generation (local.get $handle))");
    let exit = run(&misuse, &streaming_door());
    assert!(matches!(&exit.end, Err(Fault::Protocol(text)) if text.contains("pollable")), "{exit:?}");
}
