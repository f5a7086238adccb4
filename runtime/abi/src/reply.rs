//! What the kernel answers: one enum per interface, and the fault that ends the process.

use crate::{
    Access, AccountId, AlarmError, AlarmReply, BudgetError, CapabilityError, CheckpointError, ChildrenError,
    ChildrenReply, ContextError, ContextReply, DrawnToken, EmitError, Fault, FileError, FileReply, GenerationId,
    GrantId, GrantKind, GrantLimits, HumanError, HumanReply, Label, LlmError, MailboxError, MailboxReply, MemoryError,
    MemoryReply, ModelId, ProcessReply, Shortfall, TimerId, Tokens, ToolCall, ToolError, ToolReply, Usage, ValueError,
    ValueId,
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// The answer to a syscall.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Reply {
    /// To `value`.
    Value(Result<ValueReply, ValueError>),
    /// To `capability`.
    Capability(Result<CapabilityReply, CapabilityError>),
    /// To `budget`.
    Budget(Result<BudgetReply, BudgetError>),
    /// To `llm`.
    Llm(Result<LlmReply, LlmError>),
    /// To `process`.
    Process(Result<ProcessReply, CapabilityError>),
    /// To `children`.
    Children(Result<ChildrenReply, ChildrenError>),
    /// To `mailbox`.
    Mailbox(Result<MailboxReply, MailboxError>),
    /// To `alarm`.
    Alarm(Result<AlarmReply, AlarmError>),
    /// To `task`.
    Task(Result<(), EmitError>),
    /// To `checkpoint`.
    Checkpoint(Result<(), CheckpointError>),
    /// To `trace`.
    Trace,
    /// To `wasi:clocks`.
    Clock(ClockReply),
    /// To `wasi:random`.
    Random(RandomReply),
    /// To `wasi:io/poll`: positions in the list that was asked about, ascending; of `IsReady`, position 0 or none.
    Ready(Box<[u32]>),
    /// To the runner.
    Fuel(FuelReply),
    /// The process is at its end.
    Fault(Fault),
    /// To `human`.
    Human(Result<HumanReply, HumanError>),
    /// To `tool`.
    Tool(Result<ToolReply, ToolError>),
    /// To `memory`.
    Memory(Result<MemoryReply, MemoryError>),
    /// To `context`.
    Context(Result<ContextReply, ContextError>),
    /// To `files`.
    File(Result<FileReply, FileError>),
}

/// Answers of `value`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ValueReply {
    /// A new value.
    Made(ValueId),
    /// What is known without reading.
    Described(ValueInfo),
    /// A part; shorter than asked for where the value ends.
    Read(Bytes),
    /// Let go.
    Dropped,
}

/// What is known of a value without reading it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValueInfo {
    /// What went into it.
    pub label: Label,
    /// The names of the label's tags.
    pub tags: Vec<Box<str>>,
    /// In bytes.
    pub size: u64,
    /// RFC 6838.
    pub media_type: Box<str>,
}

/// Answers of `capability`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CapabilityReply {
    /// Every grant of the process.
    Listed(Vec<HeldGrant>),
    /// The grant under the label.
    Taken(GrantId),
    /// One of them.
    Described(Box<HeldGrant>),
    /// It would open something.
    Live,
    /// A grant that was derived.
    Derived(GrantId),
    /// How many were taken back.
    Revoked(u32),
    /// It was given up.
    Discarded,
}

/// A grant as its holder sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldGrant {
    /// What it is.
    pub info: GrantInfo,
    /// The names of its ceiling's tags.
    pub ceiling_tags: Vec<Box<str>>,
}

/// A grant as its holder sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantInfo {
    /// Its name.
    pub label: Box<str>,
    /// What kind of thing it opens.
    pub kind: GrantKind,
    /// Which of them, as the entries of a [`Scope`](crate::Scope).
    pub scope: Box<[Box<str>]>,
    /// What may be done with them.
    pub access: Access,
    /// How far. Grants that it derives from may be used up earlier.
    pub limits: GrantLimits,
    /// Whether it, or one that it derives from, was taken back.
    pub revoked: bool,
}

/// Answers of `budget`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BudgetReply {
    /// The process's account.
    Account(AccountId),
    /// What can be spent; what is reserved by work under way is not in it.
    Remaining(Tokens),
    /// A part that was split off.
    Split(AccountId),
    /// What the part had held.
    Merged(Tokens),
    /// Moved, or set.
    Done,
}

/// A model as its user sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelInfo {
    /// The registry's name.
    pub name: Box<str>,
    /// For example `llama`.
    pub family: Box<str>,
    /// Prompt and output together, in tokens.
    pub context_length: u32,
    /// SHA-256 of the weights' file, in hexadecimal.
    pub digest: Box<str>,
}

/// Why a generation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FinishReason {
    /// The model was done, or a stop string came.
    Stop,
    /// `max_tokens`, or the end of the context.
    Length,
    /// The account could not pay another token.
    Budget,
    /// Somebody cancelled it.
    Cancelled,
    /// The model was done, and asks for tools to be called.
    #[serde(rename = "tool-calls")]
    ToolCalls,
}

/// What a generation came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Why it ended.
    pub finish: FinishReason,
    /// What the model did.
    pub usage: Usage,
    /// What that cost.
    pub paid: Tokens,
    /// Where it was sent, and why, where a route was asked. It is for the journal, and a guest is not told.
    pub routed: Option<Box<Routed>>,
}

/// Which version of a route answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Arm {
    /// The one that everybody gets.
    Stable,
    /// The one that is tried on a share.
    Candidate,
}

/// Where a route sent a request, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Routed {
    /// Which route.
    pub route: Box<str>,
    /// Which version of it.
    pub version: u32,
    /// Whose that was then.
    pub arm: Arm,
    /// The rule that decided.
    pub rule: Box<str>,
    /// The model that answered.
    pub model: Box<str>,
    /// How many tries it took; at least 1.
    pub tries: u32,
}

/// A piece of a stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Delta {
    /// More text: whole characters, never empty.
    Text(Box<str>),
    /// A token was drawn, where log-probabilities were asked for: before the text that its bytes are in.
    Token(Box<DrawnToken>),
    /// A call is complete. Its text is in no piece of text.
    ToolCall(Box<ToolCall>),
    /// The end.
    End(Summary),
}

/// A whole generation. The text is a value, so that an agent can pass it on unread.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Completion {
    /// What the model wrote, without its calls.
    pub content: ValueId,
    /// Its calls, as [`ToolCall::append_to`] writes them, where there are any. They are the model's words; so they are a value
    /// with the label of its text, and no part of the reply.
    pub calls: Option<ValueId>,
    /// Its tokens with their log-probabilities, as [`DrawnToken::append_to`] writes them, where they were asked for and the
    /// engine knows them. They tell the text; so they are a value with its label, and no part of the reply.
    pub logprobs: Option<ValueId>,
    /// What it came to.
    pub summary: Summary,
}

/// Answers of `llm`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum LlmReply {
    /// An open model.
    Opened(ModelId),
    /// What it is.
    Info(ModelInfo),
    /// How many tokens.
    Counted(u32),
    /// A whole generation.
    Completed(Completion),
    /// A stream.
    Started(GenerationId),
    /// A piece of one.
    Next(Delta),
    /// Texts as vectors.
    Embedded(Embeddings),
    /// Cancelled or let go.
    Done,
}

/// Vectors, one behind the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Embeddings {
    /// Numbers of each; at least 1.
    pub width: u32,
    /// All numbers: f32, little-endian.
    pub numbers: Bytes,
}

impl Embeddings {
    /// Puts vectors of this width together.
    #[must_use]
    pub fn new(width: u32, vectors: &[Vec<f32>]) -> Self {
        Self { width, numbers: vectors.iter().flatten().flat_map(|number| number.to_le_bytes()).collect() }
    }

    /// The vectors.
    pub fn vectors(&self) -> impl Iterator<Item = Vec<f32>> {
        let bytes = (self.width.max(1) as usize).saturating_mul(size_of::<f32>());
        let numbers = |vector: &[u8]| vector.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        self.numbers.chunks_exact(bytes).map(numbers)
    }
}

/// Answers of `wasi:clocks`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClockReply {
    /// Nanoseconds since 1970-01-01T00:00:00Z, without leap seconds.
    Wall(u64),
    /// Nanoseconds since the process's zero.
    Monotonic(u64),
    /// In nanoseconds.
    Resolution(u64),
    /// A new timer.
    Timer(TimerId),
    /// Let go.
    Dropped,
}

/// Answers of `wasi:random`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RandomReply {
    /// As many as were asked for.
    Bytes(Bytes),
}

/// Answers to the runner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FuelReply {
    /// The slice is paid: the guest may run on.
    Granted,
    /// It is not: the guest stops.
    Refused(Shortfall),
}
