//! `wasi:clocks`, over the kernel's clock, so that a replay sees the same time.

use crate::{
    bindings::wasi::clocks::{monotonic_clock, wall_clock},
    guest::{Guest, mismatch},
    row::PollableRow,
};
use remit_abi::{ClockReply, ClockRequest, Reply, Request, WaitId};
use wasmtime::{Result, component::Resource};

const SECOND_NS: u64 = 1_000_000_000;

impl Guest {
    fn call_clock(&self, request: ClockRequest) -> Result<ClockReply> {
        match self.call(&Request::Clock(request))? {
            Reply::Clock(reply) => Ok(reply),
            _ => Err(mismatch("clocks")),
        }
    }

    fn monotonic_ns(&self) -> Result<u64> {
        match self.call_clock(ClockRequest::Monotonic)? {
            ClockReply::Monotonic(nanoseconds) => Ok(nanoseconds),
            _ => Err(mismatch("monotonic-clock.now")),
        }
    }

    fn resolution_ns(&self) -> Result<u64> {
        match self.call_clock(ClockRequest::Resolution)? {
            ClockReply::Resolution(nanoseconds) => Ok(nanoseconds),
            _ => Err(mismatch("clocks.resolution")),
        }
    }
}

impl monotonic_clock::Host for Guest {
    fn now(&mut self) -> Result<u64> {
        self.monotonic_ns()
    }

    fn resolution(&mut self) -> Result<u64> {
        self.resolution_ns()
    }

    fn subscribe_instant(&mut self, deadline_ns: u64) -> Result<Resource<PollableRow>> {
        match self.call_clock(ClockRequest::StartTimer { deadline_ns })? {
            ClockReply::Timer(timer) => self.push(PollableRow(WaitId::Timer(timer))),
            _ => Err(mismatch("monotonic-clock.subscribe")),
        }
    }

    fn subscribe_duration(&mut self, duration_ns: u64) -> Result<Resource<PollableRow>> {
        let now_ns = self.monotonic_ns()?;
        monotonic_clock::Host::subscribe_instant(self, now_ns.saturating_add(duration_ns))
    }
}

impl wall_clock::Host for Guest {
    fn now(&mut self) -> Result<wall_clock::Datetime> {
        match self.call_clock(ClockRequest::Wall)? {
            ClockReply::Wall(nanoseconds) => Ok(datetime(nanoseconds)),
            _ => Err(mismatch("wall-clock.now")),
        }
    }

    fn resolution(&mut self) -> Result<wall_clock::Datetime> {
        self.resolution_ns().map(datetime)
    }
}

#[allow(clippy::cast_possible_truncation, reason = "a remainder of a billion fits 32 bits")]
fn datetime(nanoseconds: u64) -> wall_clock::Datetime {
    wall_clock::Datetime { seconds: nanoseconds / SECOND_NS, nanoseconds: (nanoseconds % SECOND_NS) as u32 }
}
