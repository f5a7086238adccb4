//! `wasi:clocks`, on the process's own monotonic clock, which starts at zero with the process.

use super::Context;
use crate::process::Process;
use remit_abi::{ClockReply, ClockRequest, Fault, Reply};

/// The node's clocks are read in nanoseconds; what they can tell apart is finer than an agent needs.
const RESOLUTION_NS: u64 = 1;

pub(super) fn validate(process: &Process, request: &ClockRequest) -> Result<(), Fault> {
    if matches!(request, ClockRequest::StartTimer { .. }) && !process.has_room(process.timers.len()) {
        let sentence = format!("it holds {} timers, and that is the most", process.limits.objects_max);
        return Err(Fault::Limit(sentence.into()));
    }
    Ok(())
}

pub(super) fn act(context: &mut Context<'_>, request: &ClockRequest) -> Reply {
    let (clock, process) = (&context.shared.ports.clock, &mut *context.process);
    Reply::Clock(match request {
        ClockRequest::Wall => ClockReply::Wall(clock.wall_ns()),
        ClockRequest::Monotonic => ClockReply::Monotonic(process.clock_ns(clock.monotonic_ns())),
        ClockRequest::Resolution => ClockReply::Resolution(RESOLUTION_NS),
        ClockRequest::StartTimer { deadline_ns } => ClockReply::Timer(process.timers.insert(*deadline_ns)),
        ClockRequest::DropTimer { timer } => {
            process.timers.remove(*timer);
            ClockReply::Dropped
        }
    })
}
