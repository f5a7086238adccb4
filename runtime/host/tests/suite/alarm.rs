//! `remit:kernel/alarm`: set, found again, waited for, unset.

use crate::{
    program::{Arg::*, call, keep, keep_long},
    seen::{Seen, see},
};
use remit_abi::{AlarmError, AlarmId, AlarmReply, AlarmRequest, Reply, Request, WaitId, WaitRequest};

const ALARM: AlarmId = AlarmId { index: 8, generation: 2 };

const IMPORTS: &str = r#"
  (import "remit:kernel/alarm@0.1.0" "set" (func $set (param i32 i32 i64 i32)))
  (import "remit:kernel/alarm@0.1.0" "take" (func $take (param i32 i32 i32)))
  (import "remit:kernel/alarm@0.1.0" "[method]alarm.get-moment" (func $moment (param i32) (result i64)))
  (import "remit:kernel/alarm@0.1.0" "[method]alarm.subscribe" (func $subscribe (param i32) (result i32)))
  (import "remit:kernel/alarm@0.1.0" "[static]alarm.cancel" (func $cancel (param i32)))
  (import "remit:kernel/alarm@0.1.0" "[resource-drop]alarm" (func $drop (param i32)))
  (import "wasi:io/poll@0.2.12" "[method]pollable.block" (func $block (param i32)))
  (import "wasi:io/poll@0.2.12" "[resource-drop]pollable" (func $drop_pollable (param i32)))
  (data (i32.const 512) "tea")
"#;

/// Takes the alarm `tea`; its handle is at 2052.
fn take() -> String {
    call("take", &[I(512), I(3), I(2048)])
}

/// Takes the alarm, goes on, and answers what comes then.
fn with_alarm(body: &[String], answer: Result<AlarmReply, AlarmError>) -> Seen {
    see(IMPORTS, &[&[take()], body].concat(), move |request| match request {
        Request::Alarm(AlarmRequest::Take { .. }) => Some(Reply::Alarm(Ok(AlarmReply::Taken(Some(ALARM))))),
        Request::Alarm(_) => Some(Reply::Alarm(answer.clone())),
        _ => None,
    })
}

#[test]
fn an_alarm_is_set_and_found_by_its_label() {
    let set = [call("set", &[I(512), I(3), L(-1), I(2304)])];
    let seen = with_alarm(&set, Ok(AlarmReply::Set(ALARM)));
    assert_eq!(seen.asked[0], Request::Alarm(AlarmRequest::Take { label: "tea".into() }));
    assert_eq!(seen.asked[1], Request::Alarm(AlarmRequest::Set { label: "tea".into(), at_ns: u64::MAX }));
    assert_eq!((seen.byte(2048), seen.byte(2304)), (1, 0));
    let seen = with_alarm(&set, Err(AlarmError::TooMany { limit: 16 }));
    assert_eq!((seen.byte(2304), seen.byte(2312), seen.long(2320)), (1, 0, 16));
    let seen = with_alarm(&set, Err(AlarmError::Invalid("it is empty".into())));
    assert_eq!((seen.byte(2304), seen.byte(2312), seen.text(2320)), (1, 1, "it is empty"));
    for nothing in [Ok(AlarmReply::Taken(None)), Err(AlarmError::Invalid("it is empty".into()))] {
        let seen = see(IMPORTS, &[take()], move |_| Some(Reply::Alarm(nothing.clone())));
        assert_eq!(seen.byte(2048), 0);
    }
}

#[test]
fn an_alarm_is_waited_for_and_outlives_its_handles() {
    let body = [
        keep_long(2304, "moment", &[At(2052)]),
        keep(2312, "subscribe", &[At(2052)]),
        call("drop", &[At(2052)]),
        call("block", &[At(2312)]),
        call("drop_pollable", &[At(2312)]),
    ];
    let seen = with_alarm(&body, Ok(AlarmReply::Moment(77)));
    assert_eq!(seen.long(2304), 77);
    assert_eq!(
        seen.asked[1..],
        [
            Request::Alarm(AlarmRequest::Moment { alarm: ALARM }),
            Request::Wait(WaitRequest::Any { ids: [WaitId::Alarm(ALARM)].into() }),
        ]
    );
}

#[test]
fn an_alarm_is_unset_once() {
    let cancel = call("cancel", &[At(2052)]);
    for answer in [Ok(AlarmReply::Cancelled), Err(AlarmError::Dead)] {
        let seen = with_alarm(std::slice::from_ref(&cancel), answer);
        assert_eq!(
            (seen.fault, &seen.asked[1..]),
            (None, &[Request::Alarm(AlarmRequest::Cancel { alarm: ALARM })][..])
        );
    }
    with_alarm(&[cancel.clone(), cancel], Ok(AlarmReply::Cancelled)).broke_the_protocol("handle");
    let moment = keep_long(2304, "moment", &[At(2052)]);
    with_alarm(std::slice::from_ref(&moment), Err(AlarmError::Dead)).broke_the_protocol("an alarm");
    with_alarm(&[moment], Ok(AlarmReply::Cancelled)).host_failed();
}
