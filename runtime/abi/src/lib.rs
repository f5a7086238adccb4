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

mod alarm;
mod amount;
mod context;
mod door;
mod effect;
mod error;
mod event;
mod files;
mod grant;
mod human;
mod id;
mod label;
pub mod limits;
mod mailbox;
mod memory;
mod priority;
mod process;
mod prompt;
mod reply;
mod request;
mod sampling;
mod scope;
mod task;
mod tool;

pub use alarm::{AlarmError, AlarmReply, AlarmRequest};
pub use amount::{Fuel, Tokens, Usage};
pub use context::{
    Answering, Appending, BlockEdit, BlockInfo, BlockMaking, ContextError, ContextOptions, ContextReply,
    ContextRequest, ContextTurn, ContextUsage, InItsPlace, PageOrder, Place, Recall, SegmentInfo, TurnReport,
    Utterance,
};
pub use door::{Dispatch, Door};
pub use effect::{ToolError, ToolReply, ToolRequest, ToolUse};
pub use error::{
    BudgetError, CapabilityError, CheckpointError, Denial, EmitError, Fault, LlmError, Party, Shortfall, ValueError,
};
pub use event::{Event, LogLevel};
pub use files::{
    FileAsked, FileEntry, FileError, FileKind, FileRange, FileReply, FileRequest, FolderAsked, FolderListing,
};
pub use grant::{Access, GrantKind, GrantLimits, GrantSpec, Narrowing, Rate};
pub use human::{Answered, HumanError, HumanReply, HumanRequest, Question, Said, Wanted};
pub use id::{
    AccountId, AlarmId, AnswerId, CallId, ChildId, ContextId, GenerationId, GrantId, ModelId, NotAPid, Pid, QuestionId,
    TenantId, TimerId, ToolCallId, ValueId, WaitId, WatchId,
};
pub use label::{Integrity, Label, TagSet};
pub use mailbox::{Filter, Incoming, MailboxError, MailboxReply, MailboxRequest, Outgoing};
pub use memory::{
    Cited, Citing, Comparison, Condition, Description, EntryFilter, EntryId, Field, Forgetting, Hit, KeptVersion,
    Likeness, Listing, MemoryError, MemoryReply, MemoryRequest, NotAnEntry, Particulars, Probe, Remembered, Rewriting,
    Scalar, Search, Seeking, Weighting, Writing,
};
pub use priority::Priority;
pub use process::{
    ChildEnded, ChildInput, ChildReport, ChildrenError, ChildrenReply, ChildrenRequest, NamedGrant, Order, Plan,
    ProcessReply, ProcessRequest, Restart, Signal,
};
pub use prompt::{Conversation, Media, Message, Part, Prompt};
pub use reply::{
    Arm, BudgetReply, CapabilityReply, ClockReply, Completion, Delta, Embeddings, FinishReason, FuelReply, GrantInfo,
    HeldGrant, LlmReply, ModelInfo, RandomReply, Reply, Routed, Summary, ValueInfo, ValueReply,
};
pub use request::{
    Attenuate, BudgetRequest, CapabilityRequest, CheckpointRequest, Class, ClockRequest, Content, FuelRequest,
    Generate, GuestEvent, LlmRequest, RandomRequest, Request, Role, TaskRequest, TraceRequest, ValueRequest,
    WaitRequest,
};
pub use sampling::{DrawnToken, OutputFormat, Params, Penalties, Sampling, ScoredToken};
pub use scope::{EntryFault, Scope, ScopeError, is_name};
pub use task::{Exit, Failure, Input, Outcome, Start, Status};
pub use tool::{Tool, ToolCall, ToolChoice, ToolResult, Toolset};
