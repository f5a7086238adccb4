//! `wasi:io/poll` over scripted timers, and host calls that really wait.

use crate::{door::ScriptedDoor, program::agent, stage::run};
use remit_abi::{ClockRequest, Fault, Reply, Request, TimerId, WaitId, WaitRequest};
use std::{sync::Arc, time::Duration};

const IMPORTS: &str = r#"
  (import "wasi:clocks/monotonic-clock@0.2.12" "subscribe-instant" (func $at (param i64) (result i32)))
  (import "wasi:clocks/monotonic-clock@0.2.12" "subscribe-duration" (func $after (param i64) (result i32)))
  (import "wasi:io/poll@0.2.12" "poll" (func $poll (param i32 i32 i32)))
  (import "wasi:io/poll@0.2.12" "[method]pollable.block" (func $block (param i32)))
  (import "wasi:io/poll@0.2.12" "[method]pollable.ready" (func $ready (param i32) (result i32)))
  (import "wasi:io/poll@0.2.12" "[resource-drop]pollable" (func $drop (param i32)))
"#;

fn timer(index: u32) -> TimerId {
    TimerId { index, generation: 7 }
}

#[test]
fn pollables_become_waits_and_positions_come_back() {
    let guest = agent(
        IMPORTS,
        "(i32.store (i32.const 64) (call $at (i64.const 5000)))
         (i32.store (i32.const 68) (call $after (i64.const 500)))
         (if (call $ready (i32.load (i32.const 64))) (then unreachable))
         (call $poll (i32.const 64) (i32.const 2) (i32.const 2048))
         ;; one position, which is the second
         (if (i32.ne (i32.load (i32.const 2052)) (i32.const 1)) (then unreachable))
         (if (i32.ne (i32.load (i32.load (i32.const 2048))) (i32.const 1)) (then unreachable))
         (call $block (i32.load (i32.const 64)))
         (call $drop (i32.load (i32.const 64)))",
    );
    let door = Arc::new(ScriptedDoor::new(10).delayed(Duration::from_millis(2)));
    let exit = run(&guest, &door);
    assert!(exit.end.is_ok(), "{exit:?}");
    let (first, second) = (WaitId::Timer(timer(0)), WaitId::Timer(timer(1)));
    assert_eq!(
        door.asked(),
        [
            Request::Clock(ClockRequest::StartTimer { deadline_ns: 5000 }),
            Request::Clock(ClockRequest::Monotonic),
            Request::Clock(ClockRequest::StartTimer { deadline_ns: 1500 }),
            Request::Wait(WaitRequest::IsReady { id: first }),
            Request::Wait(WaitRequest::Any { ids: [first, second].into() }),
            Request::Wait(WaitRequest::Any { ids: [first].into() }),
            Request::Clock(ClockRequest::DropTimer { timer: timer(0) }),
        ]
    );
}

#[test]
fn a_wait_for_nothing_is_a_protocol_fault() {
    let guest = agent(IMPORTS, "(call $poll (i32.const 64) (i32.const 0) (i32.const 2048))");
    let exit = run(&guest, &Arc::new(ScriptedDoor::new(10)));
    assert!(matches!(exit.end, Err(Fault::Protocol(_))), "{exit:?}");
}

#[test]
fn a_position_that_was_not_asked_about_is_the_hosts_fault() {
    let guest = agent(IMPORTS, "(call $block (call $at (i64.const 1)))");
    let door = ScriptedDoor::new(10).scripted(|request| match request {
        Request::Wait(_) => Some(Reply::Ready([3].into())),
        _ => None,
    });
    let exit = run(&guest, &Arc::new(door));
    assert!(matches!(exit.end, Err(Fault::Host(_))), "{exit:?}");
}
