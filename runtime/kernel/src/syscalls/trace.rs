//! `trace`: logs. A line never makes the process wait: what a slow listener cannot take is dropped, and counted.

use super::Context;
use remit_abi::{Event, Reply, TraceRequest, limits};

pub(super) fn act(context: &mut Context<'_>, TraceRequest::Log { level, message }: &TraceRequest) -> Reply {
    let process = &mut *context.process;
    if process.is_silent {
        return Reply::Trace;
    }
    let line = &message[..message.floor_char_boundary(limits::LOG_LINE_BYTES_MAX)];
    let event = Event::Log { level: *level, message: line.into() };
    if !context.block.outlet.try_show(event, process.written_at) {
        process.logs_dropped = process.logs_dropped.saturating_add(1);
    }
    Reply::Trace
}
