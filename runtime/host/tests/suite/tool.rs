//! `remit:kernel/tool`: calls out, and what came of them in.

use crate::{
    capability::GRANT,
    program::{Arg::*, call, keep},
    seen::{Seen, see},
};
use remit_abi::{
    CapabilityReply, Content, Denial, Reply, Request, Tool, ToolCallId, ToolError, ToolReply, ToolRequest, ToolUse,
    ValueId, ValueReply, ValueRequest, WaitId, WaitRequest,
};

const CALL: ToolCallId = ToolCallId { index: 3, generation: 2 };
const SAID: ValueId = ValueId { index: 9, generation: 1 };

const IMPORTS: &str = r#"
  (import "remit:kernel/capability@0.1.0" "take" (func $take (param i32 i32 i32)))
  (import "remit:kernel/value@0.1.0" "[resource-drop]value" (func $drop_value (param i32)))
  (import "remit:kernel/tool@0.1.0" "describe" (func $describe (param i32 i32)))
  (import "remit:kernel/tool@0.1.0" "call" (func $call_tool (param i32 i32 i32 i32 i32)))
  (import "remit:kernel/tool@0.1.0" "[method]pending-result.get" (func $get (param i32 i32)))
  (import "remit:kernel/tool@0.1.0" "[method]pending-result.subscribe" (func $subscribe (param i32) (result i32)))
  (import "remit:kernel/tool@0.1.0" "[resource-drop]pending-result" (func $drop_result (param i32)))
  (import "wasi:io/poll@0.2.12" "[method]pollable.block" (func $block (param i32)))
  (import "wasi:io/poll@0.2.12" "[resource-drop]pollable" (func $drop_pollable (param i32)))
  (data (i32.const 512) "mail{}")
"#;

/// Describes the tool, at 2304.
fn describe() -> String {
    call("describe", &[At(2056), I(2304)])
}

/// Calls it with `{}`; the outcome is at 2304, and the handle at 2312.
fn call_it() -> String {
    call("call_tool", &[At(2056), I(0), I(516), I(2), I(2304)])
}

/// Takes what came of it, at 2400.
fn get() -> String {
    call("get", &[At(2312), I(2400)])
}

/// Takes the grant (its handle at 2056), goes on, and answers as the tool's kernel.
fn with_grant(
    body: &[String],
    answer: impl Fn(&ToolRequest) -> Result<ToolReply, ToolError> + Send + Sync + 'static,
) -> Seen {
    let take = call("take", &[I(512), I(4), I(2048)]);
    see(IMPORTS, &[&[take], body].concat(), move |request| match request {
        Request::Tool(request) => Some(Reply::Tool(answer(request))),
        Request::Capability(_) => Some(Reply::Capability(Ok(CapabilityReply::Taken(GRANT)))),
        Request::Value(ValueRequest::Drop { .. }) => Some(Reply::Value(Ok(ValueReply::Dropped))),
        _ => None,
    })
}

/// Calls it, goes on, and answers what comes then.
fn calling(body: &[String], answer: Result<ToolReply, ToolError>) -> Seen {
    with_grant(&[&[call_it()], body].concat(), move |request| match request {
        ToolRequest::Call(_) => Ok(ToolReply::Called(CALL)),
        _ => answer.clone(),
    })
}

#[test]
fn a_tool_is_described_and_a_call_reaches_the_kernel_whole() {
    let tool = Tool { name: "mail".into(), description: "Sends.".into(), parameters: "{}".into() };
    let seen = with_grant(&[describe()], move |_| Ok(ToolReply::Described([tool.clone()].into())));
    assert_eq!(seen.asked.last(), Some(&Request::Tool(ToolRequest::Describe { grant: GRANT })));
    assert_eq!((seen.byte(2304), seen.word(2316)), (0, 1));
    let at = seen.word(2312) as usize;
    assert_eq!((seen.text(at), seen.text(at + 8), seen.text(at + 16)), ("mail", "Sends.", "{}"));
    with_grant(&[describe()], |_| Ok(ToolReply::Done)).host_failed();
    let seen = calling(&[], Ok(ToolReply::Done));
    let asked = ToolUse { grant: GRANT, arguments: Content::Text("{}".into()) };
    assert_eq!(seen.asked.last(), Some(&Request::Tool(ToolRequest::Call(Box::new(asked)))));
    assert_eq!(seen.byte(2304), 0);
    with_grant(&[call_it()], |_| Ok(ToolReply::Done)).host_failed();
}

#[test]
fn every_reason_not_to_call_has_its_case() {
    let errors = [
        ToolError::Denied(Denial::Tainted { grant: "mail".into() }),
        ToolError::NoSuchTool("mail".into()),
        ToolError::TooLarge { limit: 1 << 16 },
        ToolError::TooMany { limit: 16 },
        ToolError::Invalid("its arguments".into()),
    ];
    for (case, error) in (0..).zip(errors) {
        let seen = with_grant(&[call_it()], move |_| Err(error.clone()));
        assert_eq!((seen.byte(2304), seen.byte(2312)), (1, case));
        match case {
            0 => assert_eq!((seen.byte(2320), seen.text(2328)), (7, "mail")),
            1 => assert_eq!(seen.text(2320), "mail"),
            2 => assert_eq!(seen.long(2320), 1 << 16),
            3 => assert_eq!(seen.long(2320), 16),
            _ => assert_eq!(seen.text(2320), "its arguments"),
        }
    }
    for way in [describe(), call_it()] {
        let way = std::slice::from_ref(&way);
        with_grant(way, |_| Err(ToolError::Dead)).broke_the_protocol("a grant");
        with_grant(way, |_| Err(ToolError::TimedOut)).host_failed();
    }
}

#[test]
fn what_a_tool_said_is_a_value_whether_it_was_done_or_failed() {
    for (reply, at) in [(ToolReply::Returned(SAID), 2404), (ToolReply::Failed(SAID), 2408)] {
        let failed = matches!(reply, ToolReply::Failed(_));
        let seen = calling(&[get(), call("drop_value", &[At(at)])], Ok(reply));
        assert!(seen.asked.contains(&Request::Tool(ToolRequest::Collect { call: CALL })));
        let dropped = Request::Value(ValueRequest::Drop { value: SAID });
        assert_eq!((seen.byte(2400), seen.asked.last()), (u8::from(failed), Some(&dropped)), "its handle is live");
        assert!(!failed || seen.byte(2404) == 0);
    }
}

#[test]
fn every_reason_for_no_result_has_its_case() {
    let errors = [
        ToolError::TimedOut,
        ToolError::Unavailable("why".into()),
        ToolError::Uncertain("why".into()),
        ToolError::Lost("why".into()),
        ToolError::Withdrawn,
        ToolError::Taken,
        ToolError::NoRoom,
    ];
    for (case, error) in (1..).zip(errors) {
        let says = matches!(error, ToolError::Unavailable(_) | ToolError::Uncertain(_) | ToolError::Lost(_));
        let seen = calling(&[get()], Err(error));
        assert_eq!((seen.byte(2400), seen.byte(2404)), (1, case));
        assert!(!says || seen.text(2408) == "why");
    }
    calling(&[get()], Err(ToolError::Dead)).broke_the_protocol("a call of a tool");
    calling(&[get()], Err(ToolError::TooMany { limit: 1 })).host_failed();
    calling(&[get()], Ok(ToolReply::Done)).host_failed();
}

#[test]
fn it_is_waited_for_and_let_go_of_with_its_handle() {
    let drop = call("drop_result", &[At(2312)]);
    for answer in [Ok(ToolReply::Done), Err(ToolError::Dead)] {
        let seen = calling(std::slice::from_ref(&drop), answer);
        let request = Request::Tool(ToolRequest::Drop { call: CALL });
        assert_eq!((seen.asked.last(), &seen.fault), (Some(&request), &None));
    }
    calling(&[drop.clone(), get()], Ok(ToolReply::Done)).broke_the_protocol("handle");
    let subscribe = keep(2400, "subscribe", &[At(2312)]);
    let waits = [subscribe.clone(), call("block", &[At(2400)]), call("drop_pollable", &[At(2400)]), drop.clone()];
    let seen = calling(&waits, Ok(ToolReply::Done));
    let wait = Request::Wait(WaitRequest::Any { ids: [WaitId::ToolCall(CALL)].into() });
    assert_eq!((seen.asked.iter().nth_back(1), &seen.fault), (Some(&wait), &None));
    calling(&[subscribe, drop], Ok(ToolReply::Done)).broke_the_protocol("pollable");
}
