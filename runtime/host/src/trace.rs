//! `remit:kernel/trace`: logs.

use crate::{
    bindings::remit::kernel::trace,
    guest::{Guest, mismatch},
};
use remit_abi::{LogLevel, Reply, Request, TraceRequest};
use wasmtime::Result;

impl trace::Host for Guest {
    fn log(&mut self, level: trace::Level, message: String) -> Result<()> {
        let level = match level {
            trace::Level::Trace => LogLevel::Trace,
            trace::Level::Debug => LogLevel::Debug,
            trace::Level::Info => LogLevel::Info,
            trace::Level::Warn => LogLevel::Warn,
            trace::Level::Error => LogLevel::Error,
        };
        match self.call(&Request::Trace(TraceRequest::Log { level, message: message.into() }))? {
            Reply::Trace => Ok(()),
            _ => Err(mismatch("trace.log")),
        }
    }
}
