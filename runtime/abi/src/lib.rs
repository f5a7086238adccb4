//! Syscalls as values: everything that crosses the line between an agent and the kernel.
//!
//! An agent's call becomes a [`Request`], the kernel's answer a [`Reply`], and both pass through one [`Door`]. They are
//! plain data that serialise, so that the same two types carry a live call, a journal entry, a replay, a test's script
//! and the channel to a worker process.
//!
//! Principles:
//!
//! - This crate does no I/O and knows nobody: every other crate may import it, it imports none of them.
//! - An id names a kernel object and gives no right to it. Whether the process may use it is the kernel's to decide.
//! - A [`Request`] is at most 64 bytes; texts, prompts and bodies hang behind it.
//! - What a guest sends is an allegation: fields hold what it *said*, and only the kernel's validation makes it true.

mod amount;
mod door;
mod error;
mod event;
mod grant;
mod id;
mod label;
pub mod limits;
mod priority;
mod reply;
mod request;
mod scope;
mod task;

pub use amount::{Fuel, Tokens, Usage};
pub use door::{Dispatch, Door};
pub use error::{
    BudgetError, CapabilityError, CheckpointError, Denial, EmitError, Fault, LlmError, Party, Shortfall, ValueError,
};
pub use event::{Event, LogLevel};
pub use grant::{Access, GrantKind, GrantLimits, GrantSpec, Narrowing, Rate};
pub use id::{AccountId, GenerationId, GrantId, ModelId, Pid, TenantId, TimerId, ValueId, WaitId};
pub use label::{Integrity, Label, TagSet};
pub use priority::Priority;
pub use reply::{
    BudgetReply, CapabilityReply, ClockReply, Completion, Delta, FinishReason, FuelReply, GrantInfo, LlmReply,
    ModelInfo, RandomReply, Reply, Summary, ValueInfo, ValueReply,
};
pub use request::{
    BudgetRequest, CapabilityRequest, CheckpointRequest, Class, ClockRequest, Content, FuelRequest, Generate,
    GuestEvent, LlmRequest, Message, Prompt, RandomRequest, Request, Role, Sampling, TaskRequest, TraceRequest,
    ValueRequest, WaitRequest,
};
pub use scope::{Scope, ScopeError};
pub use task::{Exit, Failure, Input, Outcome, Start, Status};
