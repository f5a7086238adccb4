//! Tools that act outside the node, as the kernel has them run and as it keeps their calls.
//!
//! | what a tool does | a call that the host's end cut | why |
//! | --- | --- | --- |
//! | [`None`](Effect::None) | is done again | it changes nothing |
//! | [`Idempotent`](Effect::Idempotent) | is done again | twice is as good as once |
//! | [`Keyed`](Effect::Keyed) | is done again, with the same key | whoever does it knows by the key what is done |
//! | [`Once`](Effect::Once) | is as its [`Uncertain`] says | it may have been done |
//!
//! What a tool is, the operator says, and never an agent. What is declared when the host starts anew decides about what was cut.

use super::{PortFuture, ValueImage};
use bytes::Bytes;
use remit_abi::{GrantId, Integrity, Label, Pid, TenantId, Tool};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What a tool does outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// Nothing: it looks.
    None,
    /// What is the same when it is done again.
    Idempotent,
    /// What is not done again for a key that it has seen.
    Keyed,
    /// What may be done once only.
    Once,
}

/// What becomes of a call that may have been done once and must not be done twice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Uncertain {
    /// The agent is told that it is not known.
    #[default]
    Fail,
    /// It is done again all the same.
    Retry,
    /// A person decides.
    Ask {
        /// At this desk.
        desk: Box<str>,
    },
}

/// A tool as its operator declared it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolFacts {
    /// Its name, and what an agent may show to a model.
    pub tool: Tool,
    /// What it does outside.
    pub effect: Effect,
    /// Where its effect is [`Effect::Once`]: what becomes of a call that the host's end cut.
    pub uncertain: Uncertain,
    /// Whether what it says is trusted.
    pub integrity: Integrity,
    /// The names of the tags that what it says has, besides those of the arguments.
    pub tags: Vec<Box<str>>,
}

/// A call to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolJob {
    /// Whose it is.
    pub tenant: TenantId,
    /// The tool's name.
    pub tool: Box<str>,
    /// Of all calls of tools of the node.
    pub number: u64,
    /// The idempotency key: the same whenever this call is done, and no other call's.
    pub key: Box<str>,
    /// A JSON object.
    pub arguments: Bytes,
}

/// What a tool said when it was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolOutput {
    /// At most [`TOOL_OUTPUT_BYTES_MAX`](remit_abi::limits::TOOL_OUTPUT_BYTES_MAX).
    pub bytes: Bytes,
    /// RFC 6838.
    pub media_type: Arc<str>,
}

/// Why a tool was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToolFailure {
    /// It failed; how, in its first line, and what it said, in at most
    /// [`TOOL_FAILURE_BYTES_MAX`](remit_abi::limits::TOOL_FAILURE_BYTES_MAX).
    Failed(Box<str>),
    /// It was stopped when its time was over.
    TimedOut,
    /// It could not be begun, and did nothing; why, in a sentence without anything of the arguments.
    Unavailable(Box<str>),
}

/// What a call came to.
pub type ToolEnd = Result<ToolOutput, ToolFailure>;

/// Runs tools.
pub trait Tools: Send + Sync + 'static {
    /// The names of all that are declared, in their order. Answers at once.
    fn names(&self, tenant: TenantId) -> Vec<Box<str>>;

    /// What is declared under a name; `None` where nothing is. Answers at once.
    fn facts(&self, tenant: TenantId, name: &str) -> Option<Arc<ToolFacts>>;

    /// Whether arguments are such that a tool could be called with them. Answers at once.
    ///
    /// # Errors
    /// Why they are not, in words that are the same whatever else they say: the agent that is told it need not have read them.
    fn accepts(&self, tenant: TenantId, name: &str, arguments: &[u8]) -> Result<(), &'static str>;

    /// Does a call. Nothing is done before the future is polled; dropping it stops what was begun.
    fn call(&self, job: ToolJob) -> PortFuture<'static, ToolEnd>;

    /// Runs a piece of the kernel's own work to its end, where it may wait: it awaits calls, the journal and the clock.
    fn run(&self, work: PortFuture<'static, ()>);
}

/// No tools at all.
pub struct NoTools;

impl Tools for NoTools {
    fn names(&self, _: TenantId) -> Vec<Box<str>> {
        Vec::new()
    }

    fn facts(&self, _: TenantId, _: &str) -> Option<Arc<ToolFacts>> {
        None
    }

    fn accepts(&self, _: TenantId, _: &str, _: &[u8]) -> Result<(), &'static str> {
        Ok(())
    }

    fn call(&self, _: ToolJob) -> PortFuture<'static, ToolEnd> {
        Box::pin(std::future::ready(Err(ToolFailure::Unavailable("this host has no tools".into()))))
    }

    /// There is none: all of it begins with a tool.
    fn run(&self, _: PortFuture<'static, ()>) {}
}

/// A call of a tool, as it is written down before anything is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PostedToolCall {
    /// Of all calls of tools of the node; no other one ever has it.
    pub number: u64,
    /// Who calls.
    pub caller: Pid,
    /// Of which package.
    pub package: Arc<str>,
    /// The right that it calls by.
    pub grant: GrantId,
    /// The tool's name.
    pub tool: Box<str>,
    /// What was declared then.
    pub effect: Effect,
    /// The idempotency key.
    pub key: Box<str>,
    /// UTF-8. Its label is that of all that went into the call.
    pub arguments: ValueImage,
    /// Of what the tool says.
    pub returns: Label,
    /// On the wall clock, in nanoseconds since 1970-01-01T00:00:00Z.
    pub called_ns: u64,
}

/// What a call came to, as it is kept until its caller takes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToolOutcome {
    /// The tool was done, and said this.
    Done(ValueImage),
    /// It failed, and said this.
    Failed(ValueImage),
    /// It was stopped when its time was over.
    TimedOut,
    /// It was not begun; why.
    Unavailable(Box<str>),
    /// It was begun, and whether it acted is not known; why.
    Uncertain(Box<str>),
    /// It acted, and what it said is lost; who says so.
    Lost(Box<str>),
    /// The right to it was taken back before it was done.
    Withdrawn,
}

/// The same without what was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OutcomeKind {
    /// The tool was done.
    Done,
    /// It failed.
    Failed,
    /// It was stopped when its time was over.
    TimedOut,
    /// It was not begun.
    Unavailable,
    /// It was begun, and whether it acted is not known.
    Uncertain,
    /// It acted, and what it said is lost.
    Lost,
    /// The right to it was taken back before it was done.
    Withdrawn,
}

impl ToolOutcome {
    /// What kind of outcome it is.
    #[must_use]
    pub const fn kind(&self) -> OutcomeKind {
        match self {
            Self::Done(_) => OutcomeKind::Done,
            Self::Failed(_) => OutcomeKind::Failed,
            Self::TimedOut => OutcomeKind::TimedOut,
            Self::Unavailable(_) => OutcomeKind::Unavailable,
            Self::Uncertain(_) => OutcomeKind::Uncertain,
            Self::Lost(_) => OutcomeKind::Lost,
            Self::Withdrawn => OutcomeKind::Withdrawn,
        }
    }
}

/// What a person said of a call that may have been done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It was done.
    WasDone,
    /// It was not done, and is to be.
    DoItNow,
    /// It is not to be done, whether it was or not.
    GiveUp,
}

/// Who decided about such a call, when, and what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Decided {
    /// The name of the person.
    pub by: Box<str>,
    /// On the wall clock, in nanoseconds since 1970-01-01T00:00:00Z.
    pub at_ns: u64,
    /// What they said.
    pub verdict: Verdict,
}

/// A call as the log left it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolCallImage {
    /// What was called, by whom.
    pub posted: PostedToolCall,
    /// How often it was begun.
    pub attempts: u32,
    /// The question that people are asked about it.
    pub question: Option<u64>,
    /// What a person decided last.
    pub decided: Option<Decided>,
    /// What came of it.
    pub outcome: Option<ToolOutcome>,
}

impl ToolCallImage {
    /// One that was just made.
    #[must_use]
    pub const fn of(posted: PostedToolCall) -> Self {
        Self { posted, attempts: 0, question: None, decided: None, outcome: None }
    }

    /// It was begun.
    pub fn begin(&mut self, decided: Option<Decided>) {
        self.attempts = self.attempts.saturating_add(1);
        self.question = None;
        self.decided = decided.or(self.decided.take());
    }

    /// Something came of it: the first thing is what came.
    pub fn settle(&mut self, outcome: ToolOutcome, decided: Option<Decided>) {
        if self.outcome.is_none() {
            self.outcome = Some(outcome);
            self.question = None;
            self.decided = decided.or(self.decided.take());
        }
    }
}
