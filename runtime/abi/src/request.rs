//! What a process asks of the kernel: one enum per interface, one class per request.

use crate::{
    Access, AccountId, AlarmRequest, ChildrenRequest, ContextRequest, FileRequest, GenerationId, GrantId, HumanRequest,
    Integrity, LogLevel, MailboxRequest, MemoryRequest, ModelId, Params, ProcessRequest, Prompt, Rate, TimerId, Tokens,
    ToolRequest, ValueId, WaitId,
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// A syscall.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Request {
    /// `value`: data held read or unread.
    Value(ValueRequest),
    /// `capability`: the process's grants.
    Capability(CapabilityRequest),
    /// `budget`: its account.
    Budget(BudgetRequest),
    /// `llm`: inference.
    Llm(LlmRequest),
    /// `process`: the process itself.
    Process(ProcessRequest),
    /// `children`: processes that it starts.
    Children(ChildrenRequest),
    /// `mailbox`: messages.
    Mailbox(MailboxRequest),
    /// `alarm`: moments to wake at.
    Alarm(AlarmRequest),
    /// `task`: what is shown to whoever started it.
    Task(TaskRequest),
    /// `checkpoint`: the state to go on from.
    Checkpoint(CheckpointRequest),
    /// `trace`: logs.
    Trace(TraceRequest),
    /// `wasi:clocks`.
    Clock(ClockRequest),
    /// `wasi:random`.
    Random(RandomRequest),
    /// `wasi:io/poll`.
    Wait(WaitRequest),
    /// Fuel, which the runner buys for the guest.
    Fuel(FuelRequest),
    /// `human`: people.
    Human(HumanRequest),
    /// `tool`: acts outside the node.
    Tool(ToolRequest),
    /// `memory`: what is remembered.
    Memory(MemoryRequest),
    /// `context`: conversations whose window is paged.
    Context(ContextRequest),
    /// `files`: what lies in declared folders.
    File(FileRequest),
}

const _: () = assert!(size_of::<Request>() <= 64, "a request is copied, queued and journaled: keep it in a cache line");

/// What a replay does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Recomputed: its reply follows from the process's own tables.
    Pure,
    /// Its reply is journaled and fed back.
    Observed,
    /// It changes something outside: its intent is durable before it is done, and its reply is journaled.
    Effect,
}

impl Request {
    /// The interface that it belongs to.
    #[must_use]
    pub const fn interface(&self) -> &'static str {
        match self {
            Self::Value(_) => "value",
            Self::Capability(_) => "capability",
            Self::Budget(_) => "budget",
            Self::Llm(_) => "llm",
            Self::Process(_) => "process",
            Self::Children(_) => "children",
            Self::Mailbox(_) => "mailbox",
            Self::Alarm(_) => "alarm",
            Self::Task(_) => "task",
            Self::Checkpoint(_) => "checkpoint",
            Self::Trace(_) => "trace",
            Self::Clock(_) => "clocks",
            Self::Random(_) => "random",
            Self::Wait(_) => "poll",
            Self::Fuel(_) => "fuel",
            Self::Human(_) => "human",
            Self::Tool(_) => "tool",
            Self::Memory(_) => "memory",
            Self::Context(_) => "context",
            Self::File(_) => "files",
        }
    }

    /// What a replay does with it.
    #[must_use]
    pub const fn class(&self) -> Class {
        match self {
            Self::Value(_) | Self::Trace(_) => Class::Pure,
            Self::Llm(LlmRequest::DropModel { .. } | LlmRequest::DropGeneration { .. }) => Class::Pure,
            Self::Clock(ClockRequest::Resolution | ClockRequest::DropTimer { .. }) => Class::Pure,
            Self::Context(request) => match request.asks_outside() {
                true => Class::Observed,
                false => Class::Pure,
            },
            Self::Tool(ToolRequest::Call(_)) => Class::Effect,
            Self::Capability(_)
            | Self::Budget(_)
            | Self::Llm(_)
            | Self::Process(_)
            | Self::Children(_)
            | Self::Mailbox(_)
            | Self::Alarm(_)
            | Self::Checkpoint(_)
            | Self::Clock(_)
            | Self::Random(_)
            | Self::Task(_)
            | Self::Wait(_)
            | Self::Fuel(_)
            | Self::Human(_)
            | Self::Tool(_)
            | Self::Memory(_)
            | Self::File(_) => Class::Observed,
        }
    }

    /// Whether it can take longer than a table look-up, so that it must go through [`crate::Door::dispatch`].
    #[must_use]
    pub const fn may_wait(&self) -> bool {
        match self {
            Self::Llm(request) => matches!(
                request,
                LlmRequest::CountTokens { .. }
                    | LlmRequest::Chat(_)
                    | LlmRequest::Start(_)
                    | LlmRequest::Next { .. }
                    | LlmRequest::Embed { .. }
            ),
            Self::Children(request) => matches!(request, ChildrenRequest::Spawn(_) | ChildrenRequest::Wait { .. }),
            Self::Mailbox(request) => matches!(
                request,
                MailboxRequest::Send { .. }
                    | MailboxRequest::Call { .. }
                    | MailboxRequest::Receive { .. }
                    | MailboxRequest::Collect { .. }
            ),
            Self::Human(request) => matches!(request, HumanRequest::Collect { .. }),
            Self::Tool(request) => matches!(request, ToolRequest::Collect { .. }),
            Self::Task(_) | Self::Checkpoint(_) | Self::Memory(_) | Self::File(_) => true,
            Self::Context(request) => request.asks_outside(),
            Self::Wait(WaitRequest::Any { .. }) => true,
            Self::Value(_)
            | Self::Capability(_)
            | Self::Budget(_)
            | Self::Process(_)
            | Self::Alarm(_)
            | Self::Trace(_)
            | Self::Clock(_)
            | Self::Random(_)
            | Self::Wait(WaitRequest::IsReady { .. })
            | Self::Fuel(_) => false,
        }
    }
}

/// Requests of `value`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ValueRequest {
    /// Makes a value of the guest's own bytes; it has the label of what the process has seen.
    FromBytes {
        /// The content.
        bytes: Bytes,
        /// Its media type (RFC 6838).
        media_type: Box<str>,
    },
    /// Label, size and media type, without reading.
    Describe {
        /// Which.
        value: ValueId,
    },
    /// Reads a part, and raises the process's label.
    Read {
        /// Which.
        value: ValueId,
        /// Where to begin, in bytes.
        offset: u64,
        /// How much at most, in bytes.
        length: u32,
    },
    /// Lets go of it.
    Drop {
        /// Which.
        value: ValueId,
    },
}

/// Requests of `capability`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CapabilityRequest {
    /// All grants that the process holds.
    List,
    /// The grant under a label.
    Take {
        /// As in the manifest.
        label: Box<str>,
    },
    /// Kind, label and limits of one.
    Describe {
        /// Which.
        grant: GrantId,
    },
    /// Whether it would still open anything.
    Check {
        /// Which.
        grant: GrantId,
    },
    /// Derives one that goes no further.
    Attenuate(Box<Attenuate>),
    /// Takes back what was derived from one.
    RevokeDerived {
        /// Derived from which.
        grant: GrantId,
        /// Under which label.
        label: Box<str>,
    },
    /// Gives one up.
    Discard {
        /// Which.
        grant: GrantId,
    },
}

/// A grant to derive, as the guest says it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attenuate {
    /// From which.
    pub grant: GrantId,
    /// Under which name the process finds it.
    pub label: Box<str>,
    /// Entries, each covered by the parent's scope. `None` in this and the others keeps what the parent has.
    pub scope: Option<Box<[Box<str>]>>,
    /// What may be done.
    pub access: Option<Access>,
    /// Uses in all.
    pub uses: Option<u64>,
    /// Uses over time.
    pub rate: Option<Rate>,
    /// In nanoseconds since 1970-01-01T00:00:00Z.
    pub expires_ns: Option<u64>,
    /// At most so many output tokens a call.
    pub max_tokens_per_call: Option<u32>,
    /// The highest label of data that may flow in: its tags by their names.
    pub ceiling: Option<(Integrity, Box<[Box<str>]>)>,
}

/// Requests of `budget`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BudgetRequest {
    /// The process's own account.
    OwnAccount,
    /// What it can still spend.
    Remaining {
        /// Which.
        account: AccountId,
    },
    /// Splits a part off.
    Split {
        /// Off which.
        account: AccountId,
        /// How much.
        amount: Tokens,
    },
    /// Gives a part back to where it was split from.
    Merge {
        /// Which.
        account: AccountId,
    },
    /// Moves tokens between two of the process's accounts.
    Transfer {
        /// From which.
        from: AccountId,
        /// To which.
        to: AccountId,
        /// How much.
        amount: Tokens,
    },
    /// Signals when the balance falls below this; zero never does.
    SetSoftLimit {
        /// Of which.
        account: AccountId,
        /// Below how much.
        threshold: Tokens,
    },
}

/// Who speaks in a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Standing instructions.
    System,
    /// The person, or whoever stands for one.
    User,
    /// The model.
    Assistant,
}

/// A text that a guest gives: its own bytes, or a value it need not have read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Content {
    /// UTF-8 from the guest's memory.
    Text(Box<str>),
    /// A value that holds UTF-8.
    Value(ValueId),
}

/// A generation to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Generate {
    /// On which model.
    pub model: ModelId,
    /// From what.
    pub prompt: Prompt,
    /// How.
    pub params: Params,
}

/// Requests of `llm`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum LlmRequest {
    /// Opens the model of a grant.
    Open {
        /// Of kind model.
        grant: GrantId,
    },
    /// Name, context length and digest.
    Info {
        /// Which.
        model: ModelId,
    },
    /// How many tokens a prompt has, exactly as a generation would see it.
    CountTokens {
        /// Whose tokenizer and template.
        model: ModelId,
        /// What to count.
        prompt: Box<Prompt>,
    },
    /// Generates, and answers when all is there.
    Chat(Box<Generate>),
    /// Generates, and answers at once with a stream.
    Start(Box<Generate>),
    /// The next piece of a stream.
    Next {
        /// Which.
        generation: GenerationId,
    },
    /// Texts as vectors.
    Embed {
        /// One that embeds.
        model: ModelId,
        /// Which texts.
        texts: Vec<Content>,
    },
    /// Ends a stream; what was generated is paid, the rest refunded.
    Cancel {
        /// Which.
        generation: GenerationId,
    },
    /// Lets go of a model.
    DropModel {
        /// Which.
        model: ModelId,
    },
    /// Lets go of a stream, cancelling it.
    DropGeneration {
        /// Which.
        generation: GenerationId,
    },
}

/// An event as the guest gives it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GuestEvent {
    /// More of the answer.
    Text(Content),
    /// How far the work is.
    Progress {
        /// Steps done.
        done: u64,
        /// Steps in all, where that is known.
        total: Option<u64>,
        /// What is being done now.
        note: Box<str>,
    },
    /// A finished piece of work besides the answer.
    Artifact {
        /// A file name without a folder.
        name: Box<str>,
        /// Its content.
        content: Content,
    },
}

/// Requests of `task`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TaskRequest {
    /// Shows an event; waits while the listener is behind.
    Emit(Box<GuestEvent>),
}

/// Requests of `checkpoint`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CheckpointRequest {
    /// From here on, a restart begins with this state.
    Commit {
        /// Opaque to the kernel.
        state: Bytes,
    },
}

/// Requests of `trace`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TraceRequest {
    /// Writes a log line.
    Log {
        /// How much it matters.
        level: LogLevel,
        /// One line.
        message: Box<str>,
    },
}

/// Requests of `wasi:clocks`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClockRequest {
    /// The wall clock.
    Wall,
    /// The monotonic clock.
    Monotonic,
    /// The finest step of either, in nanoseconds.
    Resolution,
    /// A timer that is ready at a moment of the monotonic clock.
    StartTimer {
        /// In nanoseconds since the process's zero.
        deadline_ns: u64,
    },
    /// Lets go of a timer.
    DropTimer {
        /// Which.
        timer: TimerId,
    },
}

/// Requests of `wasi:random`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RandomRequest {
    /// Random bytes, fit for keys.
    Bytes {
        /// How many.
        length: u32,
    },
}

/// Requests of `wasi:io/poll`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WaitRequest {
    /// Waits until at least one is ready.
    Any {
        /// What to wait for.
        ids: Box<[WaitId]>,
    },
    /// Whether it is ready now.
    IsReady {
        /// What.
        id: WaitId,
    },
}

/// Requests that the runner makes for its guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FuelRequest {
    /// Buys the next slice, [`crate::limits::FUEL_SLICE`] units, before the guest runs on.
    BuySlice,
}
