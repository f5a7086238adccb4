//! `wasi:io/streams` and `wasi:io/error`, as far as a guest without authority has streams at all: a standard input that is at
//! its end, and two outputs whose lines go to the log.
//!
//! A line that a guest prints is the same syscall as a line that it logs: it is counted, cut and shown in the same way, and a
//! replay sees it again.

use crate::{
    guest::{Guest, Halt, mismatch},
    row::{ErrorRow, InputStreamRow, OutputStreamRow, PollableRow},
    stream_bindings::wasi::io::{
        error,
        streams::{self, StreamError},
    },
};
use remit_abi::{
    ClockReply, ClockRequest, Fault, LogLevel, Reply, Request, TraceRequest, WaitId, limits::LOG_LINE_BYTES_MAX,
};
use wasmtime::{Result, component::Resource};

/// What a guest may write in one call after it has asked. Nothing is kept of it but an unfinished line, so this is only a
/// size that guests' buffers like.
const WRITE_BYTES_MAX: u64 = 64 << 10;

/// The answer of a stream, inside that of the host.
type Answer<T> = Result<std::result::Result<T, StreamError>>;

/// The lines that a guest has begun to print.
#[derive(Debug, Default)]
pub(crate) struct Printed {
    out: Vec<u8>,
    error: Vec<u8>,
}

impl Printed {
    fn line(&mut self, stream: OutputStreamRow) -> &mut Vec<u8> {
        match stream {
            OutputStreamRow::Out => &mut self.out,
            OutputStreamRow::Error => &mut self.error,
        }
    }
}

impl Guest {
    /// Logs each line that is complete, or as long as a line of the log may be.
    fn print(&mut self, stream: OutputStreamRow, bytes: &[u8]) -> Result<()> {
        for part in bytes.split_inclusive(|&byte| byte == b'\n') {
            for piece in part.chunks(LOG_LINE_BYTES_MAX) {
                if self.printed.line(stream).len().saturating_add(piece.len()) > LOG_LINE_BYTES_MAX {
                    self.end_line(stream)?;
                }
                self.printed.line(stream).extend_from_slice(piece);
            }
            if part.ends_with(b"\n") {
                self.end_line(stream)?;
            }
        }
        Ok(())
    }

    fn end_line(&mut self, stream: OutputStreamRow) -> Result<()> {
        let line = std::mem::take(self.printed.line(stream));
        let level = match stream {
            OutputStreamRow::Out => LogLevel::Info,
            OutputStreamRow::Error => LogLevel::Warn,
        };
        let text = String::from_utf8_lossy(&line);
        let message = text.trim_end_matches(['\r', '\n']);
        if message.is_empty() {
            return Ok(());
        }
        match self.call(&Request::Trace(TraceRequest::Log { level, message: message.into() }))? {
            Reply::Trace => Ok(()),
            _ => Err(mismatch("output-stream.write")),
        }
    }

    /// Logs what was printed without an end of line, when the guest is done.
    pub(crate) fn end_printing(&mut self) -> Result<()> {
        self.end_line(OutputStreamRow::Out)?;
        self.end_line(OutputStreamRow::Error)
    }

    /// Something to wait for that is ready at once: a timer that is over.
    fn ready_pollable(&mut self) -> Result<Resource<PollableRow>> {
        match self.call(&Request::Clock(ClockRequest::StartTimer { deadline_ns: 0 }))? {
            Reply::Clock(ClockReply::Timer(timer)) => self.push(PollableRow(WaitId::Timer(timer))),
            _ => Err(mismatch("stream.subscribe")),
        }
    }

    fn print_zeroes(&mut self, handle: &Resource<OutputStreamRow>, length: u64) -> Answer<()> {
        let length = usize::try_from(length.min(WRITE_BYTES_MAX)).unwrap_or_default();
        let stream = self.row(handle)?;
        self.print(stream, &vec![0; length]).map(Ok)
    }
}

/// The end of a guest that uses a handle of a kind that no guest was ever given.
pub(crate) fn never_given() -> wasmtime::Error {
    wasmtime::Error::new(Halt(Fault::Protocol("it uses a handle that it was never given".into())))
}

impl error::Host for Guest {}

impl error::HostError for Guest {
    fn to_debug_string(&mut self, _: Resource<ErrorRow>) -> Result<String> {
        Err(never_given())
    }

    fn drop(&mut self, _: Resource<ErrorRow>) -> Result<()> {
        Err(never_given())
    }
}

impl streams::Host for Guest {}

impl streams::HostInputStream for Guest {
    fn read(&mut self, _: Resource<InputStreamRow>, _: u64) -> Answer<Vec<u8>> {
        Ok(Err(StreamError::Closed))
    }

    fn blocking_read(&mut self, _: Resource<InputStreamRow>, _: u64) -> Answer<Vec<u8>> {
        Ok(Err(StreamError::Closed))
    }

    fn skip(&mut self, _: Resource<InputStreamRow>, _: u64) -> Answer<u64> {
        Ok(Err(StreamError::Closed))
    }

    fn blocking_skip(&mut self, _: Resource<InputStreamRow>, _: u64) -> Answer<u64> {
        Ok(Err(StreamError::Closed))
    }

    fn subscribe(&mut self, _: Resource<InputStreamRow>) -> Result<Resource<PollableRow>> {
        self.ready_pollable()
    }

    fn drop(&mut self, handle: Resource<InputStreamRow>) -> Result<()> {
        self.remove(handle).map(drop)
    }
}

impl streams::HostOutputStream for Guest {
    fn check_write(&mut self, _: Resource<OutputStreamRow>) -> Answer<u64> {
        Ok(Ok(WRITE_BYTES_MAX))
    }

    fn write(&mut self, handle: Resource<OutputStreamRow>, contents: Vec<u8>) -> Answer<()> {
        let stream = self.row(&handle)?;
        self.print(stream, &contents).map(Ok)
    }

    fn blocking_write_and_flush(&mut self, handle: Resource<OutputStreamRow>, contents: Vec<u8>) -> Answer<()> {
        let stream = self.row(&handle)?;
        self.print(stream, &contents).map(Ok)
    }

    fn flush(&mut self, _: Resource<OutputStreamRow>) -> Answer<()> {
        Ok(Ok(()))
    }

    fn blocking_flush(&mut self, _: Resource<OutputStreamRow>) -> Answer<()> {
        Ok(Ok(()))
    }

    fn subscribe(&mut self, _: Resource<OutputStreamRow>) -> Result<Resource<PollableRow>> {
        self.ready_pollable()
    }

    fn write_zeroes(&mut self, handle: Resource<OutputStreamRow>, length: u64) -> Answer<()> {
        self.print_zeroes(&handle, length)
    }

    fn blocking_write_zeroes_and_flush(&mut self, handle: Resource<OutputStreamRow>, length: u64) -> Answer<()> {
        self.print_zeroes(&handle, length)
    }

    fn splice(&mut self, _: Resource<OutputStreamRow>, _: Resource<InputStreamRow>, _: u64) -> Answer<u64> {
        Ok(Err(StreamError::Closed))
    }

    fn blocking_splice(&mut self, _: Resource<OutputStreamRow>, _: Resource<InputStreamRow>, _: u64) -> Answer<u64> {
        Ok(Err(StreamError::Closed))
    }

    fn drop(&mut self, handle: Resource<OutputStreamRow>) -> Result<()> {
        self.remove(handle).map(drop)
    }
}
