//! What is particular to each interface. The steps that all share are in [`crate::dispatch`].
//!
//! A syscall that never waits is one function over the process's tables. One that may wait is a [`Call`]: its request with
//! everything looked up, so that nothing of the process stays locked while it waits.

mod budget;
mod capability;
mod checkpoint;
mod clock;
mod fuel;
mod llm;
mod random;
mod task;
mod trace;
mod value;
mod wait;

use crate::{
    bill::{Quote, Reservation},
    kernel::Shared,
    process::Process,
};
use parking_lot::Mutex;
use remit_abi::{
    CapabilityError, Denial, FuelReply, GrantId, LlmError, LlmRequest, Reply, Request, Shortfall, WaitRequest,
};
use std::sync::Arc;

/// What a syscall needs a right to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Right {
    /// Nothing but its own process.
    None,
    /// A generation of so many tokens under a grant.
    Generate { grant: GrantId, max_tokens: u32 },
}

/// What an act may touch.
pub(crate) struct Context<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) process: &'a mut Process,
}

/// Step 1: whether what the guest says is possible at all. The error is the reply.
pub(crate) fn validate(process: &Process, request: &Request) -> Result<(), Reply> {
    match request {
        Request::Value(request) => value::validate(request).map_err(|error| Reply::Value(Err(error))),
        Request::Llm(request) => llm::validate(process, request).map_err(|error| Reply::Llm(Err(error))),
        Request::Task(request) => task::validate(process, request).map_err(|error| Reply::Task(Err(error))),
        Request::Checkpoint(request) => checkpoint::validate(request).map_err(|error| Reply::Checkpoint(Err(error))),
        Request::Clock(request) => clock::validate(process, request).map_err(Reply::Fault),
        Request::Random(request) => random::validate(request).map_err(Reply::Fault),
        Request::Wait(request) => wait::validate(process, request).map_err(Reply::Fault),
        Request::Capability(_) | Request::Budget(_) | Request::Trace(_) | Request::Fuel(_) => Ok(()),
        _ => Err(Reply::Fault(remit_abi::Fault::Host("not served".into()))),
    }
}

/// Step 2 asks for this.
pub(crate) fn right(process: &Process, request: &Request) -> Right {
    match request {
        Request::Llm(request) => llm::right(process, request),
        _ => Right::None,
    }
}

/// The reply to a request whose right is missing.
pub(crate) fn denied(request: &Request, denial: Denial) -> Reply {
    match request {
        Request::Llm(_) => Reply::Llm(Err(denial.into())),
        _ => Reply::Capability(Err(CapabilityError::Denied(denial))),
    }
}

/// The reply to a request that the account cannot pay.
pub(crate) fn unpaid(request: &Request, shortfall: Shortfall) -> Reply {
    match request {
        Request::Llm(_) => Reply::Llm(Err(LlmError::Shortfall(shortfall))),
        _ => Reply::Fuel(FuelReply::Refused(shortfall)),
    }
}

/// Steps 3 and 4 of a syscall that never waits.
pub(crate) fn act(context: &mut Context<'_>, request: &Request) -> Reply {
    match request {
        Request::Value(request) => Reply::Value(value::act(context, request)),
        Request::Capability(request) => Reply::Capability(capability::act(context, request)),
        Request::Budget(request) => Reply::Budget(budget::act(context, request)),
        Request::Llm(request) => Reply::Llm(llm::act(context, request)),
        Request::Trace(request) => trace::act(context, request),
        Request::Clock(request) => clock::act(context, request),
        Request::Random(request) => random::act(context, request),
        Request::Wait(request) => wait::act(context, request),
        Request::Fuel(request) => Reply::Fuel(fuel::act(context, *request)),
        _ => unreachable!("a request that may wait becomes a call"),
    }
}

/// A syscall that may wait, with everything that it needs taken out of the process.
pub(crate) enum Call {
    Count(llm::Count),
    Generate(llm::Generate),
    Next(llm::Next),
    Emit(task::Emit),
    Commit(checkpoint::Commit),
    Wait(wait::Wait),
}

impl Call {
    /// Looks everything up. The error is the reply.
    pub(crate) fn prepare(context: &mut Context<'_>, request: &Request) -> Result<Self, Reply> {
        match request {
            Request::Llm(LlmRequest::CountTokens { model, prompt }) => {
                llm::Count::prepare(context.process, *model, prompt).map(Self::Count).map_err(|e| Reply::Llm(Err(e)))
            }
            Request::Llm(LlmRequest::Chat(generate)) => {
                llm::Generate::prepare(context.process, generate, llm::Delivery::Whole)
                    .map(Self::Generate)
                    .map_err(|error| Reply::Llm(Err(error)))
            }
            Request::Llm(LlmRequest::Start(generate)) => {
                llm::Generate::prepare(context.process, generate, llm::Delivery::Stream)
                    .map(Self::Generate)
                    .map_err(|error| Reply::Llm(Err(error)))
            }
            Request::Llm(LlmRequest::Next { generation }) => {
                llm::Next::prepare(context.process, *generation).map(Self::Next).map_err(|e| Reply::Llm(Err(e)))
            }
            Request::Task(request) => {
                task::Emit::prepare(context.process, request).map(Self::Emit).map_err(|e| Reply::Task(Err(e)))
            }
            Request::Checkpoint(request) => Ok(Self::Commit(checkpoint::Commit::prepare(request))),
            Request::Wait(WaitRequest::Any { ids }) => Ok(Self::Wait(wait::Wait::prepare(context, ids))),
            _ => unreachable!("a request that never waits is acted on at once"),
        }
    }

    /// Step 3's question: what it may cost. Work that is needed to know is done here, unlocked.
    pub(crate) fn quote(&mut self, shared: &Shared) -> Result<Quote, Reply> {
        match self {
            Self::Count(count) => Ok(count.quote(shared)),
            Self::Generate(generate) => generate.quote(shared).map_err(|error| Reply::Llm(Err(error))),
            Self::Next(_) | Self::Emit(_) | Self::Commit(_) | Self::Wait(_) => Ok(Quote::exactly(Default::default())),
        }
    }

    /// Step 4.
    pub(crate) async fn act(self, shared: &Shared, process: &Arc<Mutex<Process>>, reserved: Reservation) -> Reply {
        match self {
            Self::Count(count) => Reply::Llm(count.act(shared, reserved)),
            Self::Generate(generate) => Reply::Llm(generate.act(shared, process, reserved).await),
            Self::Next(next) => Reply::Llm(next.act(process).await),
            Self::Emit(emit) => Reply::Task(emit.act().await),
            Self::Commit(commit) => Reply::Checkpoint(commit.act(shared, process).await),
            Self::Wait(wait) => wait.act(shared).await,
        }
    }
}
