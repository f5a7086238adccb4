//! `remit:kernel/mailbox`: messages out and in, calls and their answers.

use crate::{
    capability::GRANT,
    process::PID,
    program::{
        Arg::{self, *},
        call, keep, put,
    },
    seen::{Seen, see},
};
use remit_abi::{
    AnswerId, CallId, CapabilityReply, CapabilityRequest, Content, Denial, Fault, Filter, GrantId, Incoming,
    MailboxError, MailboxReply, MailboxRequest, NamedGrant, Outgoing, Reply, Request, ValueId, ValueReply,
    ValueRequest, WaitId, WaitRequest, WatchId,
};

const VALUE: ValueId = ValueId { index: 9, generation: 1 };
const PASSED: GrantId = GrantId { index: 12, generation: 1 };
const CALL: CallId = CallId { index: 2, generation: 2 };
const ANSWER: AnswerId = AnswerId { index: 4, generation: 1 };
const WATCH: WatchId = WatchId { index: 6, generation: 1 };

const IMPORTS: &str = r#"
  (import "remit:kernel/capability@0.1.0" "take" (func $take (param i32 i32 i32)))
  (import "remit:kernel/capability@0.1.0" "[method]grant.check" (func $check (param i32 i32)))
  (import "remit:kernel/value@0.1.0" "[static]value.from-bytes" (func $value (param i32 i32 i32 i32 i32)))
  (import "remit:kernel/value@0.1.0" "[resource-drop]value" (func $drop_value (param i32)))
  (import "remit:kernel/mailbox@0.1.0" "send" (func $send (param i32 i32 i32 i32 i32 i32 i32 i32 i32)))
  (import "remit:kernel/mailbox@0.1.0" "try-send" (func $try_send (param i32 i32 i32 i32 i32 i32 i32 i32 i32)))
  (import "remit:kernel/mailbox@0.1.0" "call" (func $call (param i32 i32 i32 i32 i32 i32 i32 i32 i64 i32)))
  (import "remit:kernel/mailbox@0.1.0" "receive" (func $receive (param i32 i32 i32 i32 i32 i32 i32)))
  (import "remit:kernel/mailbox@0.1.0" "try-receive" (func $try_receive (param i32 i32 i32 i32 i32 i32 i32)))
  (import "remit:kernel/mailbox@0.1.0" "subscribe" (func $watch (param i32 i32 i32 i32 i32 i32) (result i32)))
  (import "remit:kernel/mailbox@0.1.0" "[static]answer.reply" (func $reply (param i32 i32 i32 i32 i32 i32 i32 i32 i32)))
  (import "remit:kernel/mailbox@0.1.0" "[resource-drop]answer" (func $drop_answer (param i32)))
  (import "remit:kernel/mailbox@0.1.0" "[method]pending.get" (func $get (param i32 i32)))
  (import "remit:kernel/mailbox@0.1.0" "[method]pending.subscribe" (func $subscribe (param i32) (result i32)))
  (import "remit:kernel/mailbox@0.1.0" "[resource-drop]pending" (func $drop (param i32)))
  (import "wasi:io/poll@0.2.12" "[method]pollable.block" (func $block (param i32)))
  (import "wasi:io/poll@0.2.12" "[resource-drop]pollable" (func $drop_pollable (param i32)))
  (data (i32.const 512) "peerchathello2.31.4")
"#;

/// Takes a grant to send under (its handle at 2056) and one to pass on (at 2088, and in a list at 3200 as `chat`).
fn take() -> Vec<String> {
    vec![
        call("take", &[I(512), I(4), I(2048)]),
        call("take", &[I(516), I(4), I(2080)]),
        put(3200, 516),
        put(3204, 4),
        "(i32.store (i32.const 3208) (i32.load (i32.const 2088)))".to_owned(),
    ]
}

/// A message: topic `chat`, body `hello`, one grant.
const MESSAGE: [Arg; 7] = [I(516), I(4), I(0), I(520), I(5), I(3200), I(1)];

fn outgoing() -> Box<Outgoing> {
    Box::new(Outgoing {
        topic: "chat".into(),
        body: Content::Text("hello".into()),
        grants: vec![NamedGrant { label: "chat".into(), grant: PASSED }],
    })
}

/// The three ways to send; the answer is at 2304.
fn ways() -> [(String, MailboxRequest); 3] {
    let with = |name: &str, before: Arg, after: &[Arg]| {
        let arguments = [&[before], &MESSAGE[..], after, &[I(2304)]].concat();
        call(name, &arguments)
    };
    [
        (with("send", At(2056), &[]), MailboxRequest::Send { to: GRANT, message: outgoing() }),
        (with("try_send", At(2056), &[]), MailboxRequest::TrySend { to: GRANT, message: outgoing() }),
        (
            with("call", At(2056), &[L(-1)]),
            MailboxRequest::Call { to: GRANT, message: outgoing(), timeout_ns: u64::MAX },
        ),
    ]
}

fn door(request: &Request) -> Option<Reply> {
    match request {
        Request::Capability(CapabilityRequest::Take { label }) => {
            let grant = if &**label == "chat" { PASSED } else { GRANT };
            Some(Reply::Capability(Ok(CapabilityReply::Taken(grant))))
        }
        Request::Capability(_) => Some(Reply::Capability(Ok(CapabilityReply::Live))),
        Request::Value(ValueRequest::FromBytes { .. }) => Some(Reply::Value(Ok(ValueReply::Made(VALUE)))),
        _ => None,
    }
}

/// Takes the grants, goes on, and answers as the mailbox.
fn with_grants(
    body: &[String],
    answer: impl Fn(&MailboxRequest) -> Result<MailboxReply, MailboxError> + Send + Sync + 'static,
) -> Seen {
    see(IMPORTS, &[&*take(), body].concat(), move |request| match request {
        Request::Mailbox(request) => Some(Reply::Mailbox(answer(request))),
        _ => door(request),
    })
}

#[test]
fn a_message_reaches_the_kernel_whole_and_its_grants_are_gone() {
    for (way, request) in ways() {
        let is_call = matches!(request, MailboxRequest::Call { .. });
        let answer = if is_call { MailboxReply::Called(CALL) } else { MailboxReply::Done };
        let sent = move |body: &[String]| {
            let answer = answer.clone();
            with_grants(body, move |_| Ok(answer.clone()))
        };
        let seen = sent(std::slice::from_ref(&way));
        assert_eq!((seen.asked.last(), seen.byte(2304)), (Some(&Request::Mailbox(request)), 0));
        sent(&[way.clone(), call("check", &[At(2088), I(2400)])]).broke_the_protocol("handle");
        sent(&[way.clone(), way]).broke_the_protocol("handle");
    }
}

#[test]
fn a_value_is_sent_unread() {
    let value = call("value", &[I(520), I(5), I(512), I(4), I(2400)]);
    let send = call("send", &[At(2056), I(0), I(0), I(1), At(2408), I(0), I(0), I(0), I(2304)]);
    let seen = with_grants(&[value, send], |_| Ok(MailboxReply::Done));
    let message = Box::new(Outgoing { topic: "".into(), body: Content::Value(VALUE), grants: vec![] });
    let request = MailboxRequest::Send { to: GRANT, message };
    assert_eq!((seen.asked.last(), seen.byte(2304)), (Some(&Request::Mailbox(request)), 0));
}

#[test]
fn every_reason_not_to_send_has_its_case() {
    let errors = [
        MailboxError::Denied(Denial::Tainted { grant: "peer".into() }),
        MailboxError::Gone,
        MailboxError::Full,
        MailboxError::TooLarge { limit: 1 << 20 },
        MailboxError::Invalid("the topic is too long".into()),
        MailboxError::Deadlock,
        MailboxError::TooMany { limit: 64 },
    ];
    for (way, _) in ways() {
        for (case, error) in (0..).zip(errors.clone()) {
            let seen = with_grants(std::slice::from_ref(&way), move |_| Err(error.clone()));
            assert_eq!((seen.byte(2304), seen.byte(2312)), (1, case));
            match case {
                0 => assert_eq!((seen.byte(2320), seen.text(2328)), (7, "peer")),
                3 => assert_eq!(seen.long(2320), 1 << 20),
                4 => assert_eq!(seen.text(2320), "the topic is too long"),
                6 => assert_eq!(seen.long(2320), 64),
                _ => {}
            }
        }
        let way = std::slice::from_ref(&way);
        with_grants(way, |_| Err(MailboxError::Dead)).broke_the_protocol("a grant");
        with_grants(way, |_| Err(MailboxError::TimedOut)).host_failed();
        with_grants(way, |_| Ok(MailboxReply::Nothing)).host_failed();
    }
}

/// Any message; the topic `hello` from the sender `2.31.4`.
const FILTERS: [[Arg; 6]; 2] = [[I(0); 6], [I(1), I(520), I(5), I(1), I(525), I(6)]];

fn filters() -> [Box<Filter>; 2] {
    [Box::default(), Box::new(Filter { topic: Some("hello".into()), sender: Some("2.31.4".into()) })]
}

fn incoming(answer: Option<AnswerId>) -> Result<MailboxReply, MailboxError> {
    let grants = vec![NamedGrant { label: "chat".into(), grant: PASSED }];
    Ok(MailboxReply::Received(Box::new(Incoming { sender: PID, topic: "hello".into(), body: VALUE, grants, answer })))
}

/// What the guest was told of [`incoming`], at this address.
fn check_incoming(seen: &Seen, at: usize, is_call: bool) {
    assert_eq!((seen.text(at), seen.text(at + 8)), ("2.31.4", "hello"));
    assert_eq!(seen.word(at + 24), 1);
    assert_eq!(seen.text(seen.word(at + 20) as usize), "chat");
    assert_eq!(seen.byte(at + 28), u8::from(is_call));
}

#[test]
fn a_message_reaches_the_guest_whole() {
    for (arguments, filter) in FILTERS.into_iter().zip(filters()) {
        for is_call in [false, true] {
            let answer = is_call.then_some(ANSWER);
            let receive = call("receive", &[&arguments[..], &[I(2304)]].concat());
            // The handles are live: the body's and the grant's.
            let drop = call("drop_value", &[At(2324)]);
            let check = "(call $check (i32.load offset=8 (i32.load (i32.const 2328))) (i32.const 2400))".to_owned();
            let seen = with_grants(&[receive, drop, check], move |_| incoming(answer));
            assert_eq!(seen.asked[2], Request::Mailbox(MailboxRequest::Receive { filter: filter.clone() }));
            assert_eq!(seen.asked[3], Request::Value(ValueRequest::Drop { value: VALUE }));
            assert_eq!(seen.asked[4], Request::Capability(CapabilityRequest::Check { grant: PASSED }));
            assert_eq!(seen.byte(2304), 0);
            check_incoming(&seen, 2308, is_call);
            let receive = call("try_receive", &[&arguments[..], &[I(2304)]].concat());
            let seen = with_grants(&[receive], move |_| incoming(answer));
            assert_eq!(seen.asked[2], Request::Mailbox(MailboxRequest::TryReceive { filter: filter.clone() }));
            assert_eq!((seen.byte(2304), seen.byte(2308)), (0, 1));
            check_incoming(&seen, 2312, is_call);
        }
    }
}

#[test]
fn no_message_and_no_room_are_told() {
    let [any, _] = FILTERS;
    let receive = [call("receive", &[&any[..], &[I(2304)]].concat())];
    let try_receive = [call("try_receive", &[&any[..], &[I(2304)]].concat())];
    let seen = with_grants(&try_receive, |_| Ok(MailboxReply::Nothing));
    assert_eq!((seen.byte(2304), seen.byte(2308)), (0, 0));
    for body in [&receive, &try_receive] {
        let seen = with_grants(body, |_| Err(MailboxError::NoRoom));
        assert_eq!((seen.byte(2304), seen.byte(2308)), (1, 0));
        with_grants(body, |_| Err(MailboxError::Full)).host_failed();
        with_grants(body, |_| Ok(MailboxReply::Done)).host_failed();
    }
    with_grants(&receive, |_| Ok(MailboxReply::Nothing)).host_failed();
}

#[test]
fn messages_are_waited_for_and_the_pollable_owns_its_watch() {
    for (arguments, filter) in FILTERS.into_iter().zip(filters()) {
        let body = [keep(2304, "watch", &arguments), call("block", &[At(2304)]), call("drop_pollable", &[At(2304)])];
        let answers = |request: &MailboxRequest| match request {
            MailboxRequest::Watch { .. } => Ok(MailboxReply::Watching(WATCH)),
            _ => Ok(MailboxReply::Done),
        };
        let seen = with_grants(&body, answers);
        assert_eq!(
            seen.asked[2..],
            [
                Request::Mailbox(MailboxRequest::Watch { filter }),
                Request::Wait(WaitRequest::Any { ids: [WaitId::Watch(WATCH)].into() }),
                Request::Mailbox(MailboxRequest::DropWatch { watch: WATCH }),
            ]
        );
        with_grants(&body, |_| Ok(MailboxReply::Watching(WATCH))).host_failed();
        let seen = with_grants(&body, |_| Err(MailboxError::TooMany { limit: 4096 }));
        assert!(matches!(&seen.fault, Some(Fault::Limit(text)) if text.contains("4096")), "{:?}", seen.fault);
    }
}

/// Makes a call (its handle at 2312), goes on, and answers what comes then.
fn calling(body: &[String], answer: Result<MailboxReply, MailboxError>) -> Seen {
    let [_, _, (way, _)] = ways();
    with_grants(&[&[way], body].concat(), move |request| match request {
        MailboxRequest::Call { .. } => Ok(MailboxReply::Called(CALL)),
        _ => answer.clone(),
    })
}

#[test]
fn a_call_is_collected_waited_for_and_forgotten() {
    let get = call("get", &[At(2312), I(2400)]);
    let seen = calling(std::slice::from_ref(&get), incoming(None));
    assert_eq!(seen.asked.last(), Some(&Request::Mailbox(MailboxRequest::Collect { call: CALL })));
    assert_eq!(seen.byte(2400), 0);
    check_incoming(&seen, 2404, false);
    let errors = [
        MailboxError::TimedOut,
        MailboxError::Unanswered,
        MailboxError::Deadlock,
        MailboxError::Taken,
        MailboxError::NoRoom,
    ];
    for (case, error) in (0..).zip(errors) {
        let seen = calling(std::slice::from_ref(&get), Err(error));
        assert_eq!((seen.byte(2400), seen.byte(2404)), (1, case));
    }
    calling(std::slice::from_ref(&get), Err(MailboxError::Dead)).broke_the_protocol("a call");
    calling(std::slice::from_ref(&get), Err(MailboxError::Full)).host_failed();
    calling(std::slice::from_ref(&get), Ok(MailboxReply::Nothing)).host_failed();
    let drop = call("drop", &[At(2312)]);
    for answer in [Ok(MailboxReply::Done), Err(MailboxError::Dead)] {
        let seen = calling(std::slice::from_ref(&drop), answer);
        let request = Request::Mailbox(MailboxRequest::DropCall { call: CALL });
        assert_eq!((seen.asked.last(), &seen.fault), (Some(&request), &None));
    }
    calling(&[drop.clone(), get], Ok(MailboxReply::Done)).broke_the_protocol("handle");
    let subscribe = keep(2400, "subscribe", &[At(2312)]);
    let waits = [subscribe.clone(), call("block", &[At(2400)]), call("drop_pollable", &[At(2400)]), drop.clone()];
    let seen = calling(&waits, Ok(MailboxReply::Done));
    let wait = Request::Wait(WaitRequest::Any { ids: [WaitId::Call(CALL)].into() });
    assert_eq!((seen.asked.iter().nth_back(1), &seen.fault), (Some(&wait), &None));
    calling(&[subscribe, drop], Ok(MailboxReply::Done)).broke_the_protocol("pollable");
}

/// Receives a call (what it is answered with at 2340), goes on, and answers what comes then.
fn called(body: &[String], answer: Result<MailboxReply, MailboxError>) -> Seen {
    let [any, _] = FILTERS;
    let receive = call("receive", &[&any[..], &[I(2304)]].concat());
    with_grants(&[&[receive], body].concat(), move |request| match request {
        MailboxRequest::Receive { .. } => incoming(Some(ANSWER)),
        MailboxRequest::DropAnswer { .. } => Err(MailboxError::Dead),
        _ => answer.clone(),
    })
}

#[test]
fn a_call_is_answered_once_or_left_unanswered() {
    let reply = call("reply", &[&[At(2340)], &MESSAGE[..], &[I(2400)]].concat());
    let request = Request::Mailbox(MailboxRequest::Reply { answer: ANSWER, message: outgoing() });
    let unanswered = Request::Mailbox(MailboxRequest::DropAnswer { answer: ANSWER });
    let seen = called(std::slice::from_ref(&reply), Ok(MailboxReply::Done));
    assert_eq!((&seen.asked[3..], seen.byte(2400)), (std::slice::from_ref(&request), 0));
    let seen = called(&[call("drop_answer", &[At(2340)])], Ok(MailboxReply::Done));
    assert_eq!((&seen.asked[3..], &seen.fault), (std::slice::from_ref(&unanswered), &None));
    let seen = called(std::slice::from_ref(&reply), Err(MailboxError::TooLarge { limit: 9 }));
    assert_eq!((&seen.asked[3..], seen.byte(2400), seen.byte(2408)), (&[request, unanswered][..], 1, 3));
    for again in [call("drop_answer", &[At(2340)]), reply.clone()] {
        called(&[reply.clone(), again], Ok(MailboxReply::Done)).broke_the_protocol("handle");
    }
}

#[test]
fn a_message_that_is_larger_than_a_call_is_a_limit() {
    let grow = "(drop (memory.grow (i32.const 400)))".to_owned();
    let send = call("send", &[At(2056), I(0), I(0), I(0), I(0), I(21 << 20), I(0), I(0), I(2304)]);
    let seen = with_grants(&[grow, send], |_| Ok(MailboxReply::Done));
    assert!(matches!(&seen.fault, Some(Fault::Limit(_))), "{:?}", seen.fault);
    let send = call("send", &[At(2056), I(0), I(0), I(0), I(0), I(0), I(0), I(i32::MAX), I(2304)]);
    with_grants(&[send], |_| Ok(MailboxReply::Done)).broke_the_protocol("");
}
