//! `remit:kernel/process`: its name, its mailbox, its signals.

use crate::{
    capability::GRANT,
    program::{Arg::*, call, keep},
    seen::{Seen, see},
};
use remit_abi::{
    CapabilityError, Pid, ProcessReply, ProcessRequest, Reply, Request, Signal, TenantId, WaitId, WaitRequest,
};

const IMPORTS: &str = r#"
  (import "remit:kernel/process@0.1.0" "get-id" (func $id (param i32)))
  (import "remit:kernel/process@0.1.0" "get-mailbox" (func $mailbox (param i32)))
  (import "remit:kernel/process@0.1.0" "next-signal" (func $signal (param i32)))
  (import "remit:kernel/process@0.1.0" "subscribe-signals" (func $subscribe (result i32)))
  (import "remit:kernel/capability@0.1.0" "[resource-drop]grant" (func $drop_grant (param i32)))
  (import "wasi:io/poll@0.2.12" "[method]pollable.block" (func $block (param i32)))
  (import "wasi:io/poll@0.2.12" "[resource-drop]pollable" (func $drop_pollable (param i32)))
"#;

pub(crate) const PID: Pid = Pid { tenant: TenantId(2), index: 31, generation: 4 };

fn answered(body: &[String], answer: Result<ProcessReply, CapabilityError>) -> Seen {
    see(IMPORTS, body, move |request| match request {
        Request::Process(_) => Some(Reply::Process(answer.clone())),
        _ => None,
    })
}

#[test]
fn it_knows_its_own_name() {
    let seen = answered(&[call("id", &[I(2048)])], Ok(ProcessReply::Id(PID)));
    assert_eq!((seen.text(2048), &*seen.asked), ("2.31.4", &[Request::Process(ProcessRequest::OwnId)][..]));
    assert_eq!("2.31.4".parse(), Ok(PID));
}

#[test]
fn its_mailbox_is_a_grant() {
    let body = [call("mailbox", &[I(2048)]), call("drop_grant", &[At(2056)])];
    let seen = answered(&body, Ok(ProcessReply::Mailbox(GRANT)));
    assert_eq!((seen.byte(2048), &*seen.asked), (0, &[Request::Process(ProcessRequest::OwnMailbox)][..]));
    let seen = answered(&body[..1], Err(CapabilityError::TooMany { limit: 256 }));
    assert_eq!((seen.byte(2048), seen.byte(2056), seen.long(2064)), (1, 3, 256));
}

#[test]
fn every_signal_has_its_case() {
    for (case, signal) in (0..).zip([Signal::Cancel, Signal::BudgetLow, Signal::ChildFailed]) {
        let seen = answered(&[call("signal", &[I(2048)])], Ok(ProcessReply::Signal(Some(signal))));
        assert_eq!((seen.byte(2048), seen.byte(2049)), (1, case));
    }
    let seen = answered(&[call("signal", &[I(2048)])], Ok(ProcessReply::Signal(None)));
    assert_eq!((seen.byte(2048), &*seen.asked), (0, &[Request::Process(ProcessRequest::NextSignal)][..]));
}

#[test]
fn signals_are_waited_for_and_the_pollable_owns_nothing() {
    let body = [keep(2048, "subscribe", &[]), call("block", &[At(2048)]), call("drop_pollable", &[At(2048)])];
    let seen = see(IMPORTS, &body, |_| None);
    assert_eq!(seen.asked, [Request::Wait(WaitRequest::Any { ids: [WaitId::Signal].into() })]);
    assert_eq!(seen.fault, None);
}

#[test]
fn a_reply_to_something_else_is_the_hosts_fault() {
    for body in [call("id", &[I(2048)]), call("mailbox", &[I(2048)])] {
        answered(&[body], Ok(ProcessReply::Signal(None))).host_failed();
    }
    answered(&[call("signal", &[I(2048)])], Ok(ProcessReply::Id(PID))).host_failed();
    see(IMPORTS, &[call("signal", &[I(2048)])], |_| Some(Reply::Trace)).host_failed();
}
