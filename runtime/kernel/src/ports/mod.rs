//! What the kernel needs from others, as traits that stand beside their consumer.
//!
//! The kernel knows no engine, no sandbox, no clock and no disk; `assembly` hands it one of each. Every port has a fake
//! in the tests that scripts failure.

mod change;
mod entry;
mod fact;
mod folders;
mod heard;
mod inbox;
mod journal;
mod memory;
mod sleeper;
mod snapshots;
mod tools;
pub mod version_1;

pub use change::{CallImage, CallState, Change, LetterImage};
pub use entry::{
    Asked, Beginning, CalledTool, ContextImage, Created, Entry, Forked, HeldImage, ModelImage, ModelUse, Note,
    PageStep, ReturnedTool, Told, ValueImage, WrittenSummary,
};
pub use fact::{AnswerKind, DenialKind, EndKind, Fact};
pub use folders::{FolderFacts, Folders, FoundFile, NoFolders, ReadError};
pub use heard::{Heard, HeardFrom, HeardText};
pub use inbox::{GivenAnswer, Notice, PostedQuestion, QuestionState, Response, StandingApproval};
pub use journal::{Journal, JournalError, Line, NextNumbers, NodeImage, Position, Record, StoredProcess, StoredResult};
pub use memory::{
    Embedder, EntryVersion, Memory, MemoryAct, MemoryFigures, MemoryHit, MemoryJournal, MemoryStore, MemoryWrite,
    NoMemory, StoreError,
};
pub use remit_authority::{AccountImage, Away, GrantImage};
pub use sleeper::{Holdings, Roused, Sleeper, SleeperKind};
pub use snapshots::{ReadSnapshot, SnapshotFigures, SnapshotName, SnapshotReader, Snapshots};
pub use tools::{
    Decided, Effect, NoTools, OutcomeKind, PostedToolCall, ToolCallImage, ToolEnd, ToolFacts, ToolFailure, ToolJob,
    ToolOutcome, ToolOutput, Tools, Uncertain, Verdict,
};

use remit_abi::{
    Door, DrawnToken, Exit, Fault, GrantKind, OutputFormat, Params, Pid, Priority, Role, Start, TenantId, ToolCall,
    Toolset, Usage,
};
use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};
use thiserror::Error;
use tokio::sync::mpsc;

/// A future of a port.
pub type PortFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Runs guests. In one process it is the host; in a process of its own it is the near end of the worker's channel.
pub trait Runner: Send + Sync + 'static {
    /// Puts the whole life of `pid` on the run queue: a future of the kernel's that runs programs one after the other and
    /// takes the process down at its end.
    fn start(&self, pid: Pid, priority: Priority, life: PortFuture<'static, ()>);

    /// Runs `program` as `pid` until it ends; polled inside of that life. Every syscall of the guest goes through `door`,
    /// which also sells it fuel. Where every place is taken it stands in line, unpaid, until others have ended or sleep. Dropping the
    /// future stops the guest and throws its instance away.
    fn run(&self, door: Arc<dyn Door>, pid: Pid, program: Program, start: Start) -> PortFuture<'static, Exit>;

    /// Asks for `pid` to be stopped where it stands, within about one epoch.
    fn kill(&self, pid: Pid);

    /// Lets `pid` take no more turns, from about one epoch on; its state is kept, and replies wait.
    fn suspend(&self, pid: Pid);

    /// Lets it take turns again.
    fn resume(&self, pid: Pid);

    /// Waits until programs stand in line because every place to run in is taken; how many do. To be awaited by one at a time. A runner
    /// that has room for all need not say anything.
    fn lacks_places(&self) -> PortFuture<'static, usize> {
        Box::pin(std::future::pending())
    }
}

/// A program that a runner can run, with its limits. The kernel does not look into it.
#[derive(Clone)]
pub struct Program {
    /// The package's name.
    pub name: Arc<str>,
    /// SHA-256 of the component, in hexadecimal.
    pub digest: Arc<str>,
    /// The kinds of grants that it is linked for, whether its process has some or none: it may do without what it wants if it can be had.
    pub linked: Vec<GrantKind>,
    /// What the runner made of it when it was loaded.
    pub image: Arc<dyn std::any::Any + Send + Sync>,
    /// What one process of it may use.
    pub limits: remit_abi::limits::Limits,
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Program").field("name", &self.name).field("digest", &self.digest).finish_non_exhaustive()
    }
}

/// A prompt with its values read: what a model is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PromptText {
    /// A conversation, to be put through the model's chat template with the generation prompt at its end.
    Chat(Chat),
    /// A text to go on from, as it is; special tokens in it are plain text.
    Text(String),
}

impl PromptText {
    /// What the model may ask for.
    #[must_use]
    pub fn tools(&self) -> Option<&Arc<Toolset>> {
        match self {
            Self::Chat(chat) => chat.tools.as_ref(),
            Self::Text(_) => None,
        }
    }
}

/// A conversation with its values read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chat {
    /// In their order.
    pub messages: Vec<ChatMessage>,
    /// What the model may ask for, and sees in its own form.
    pub tools: Option<Arc<Toolset>>,
}

impl From<Vec<ChatMessage>> for Chat {
    /// One without tools.
    fn from(messages: Vec<ChatMessage>) -> Self {
        Self { messages, tools: None }
    }
}

/// One message of a conversation. Special tokens in its texts are plain text, never control: a document cannot end a turn or
/// begin another's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChatMessage {
    /// Somebody says something.
    Said {
        /// Who.
        role: Role,
        /// What.
        content: String,
    },
    /// The model asks for calls.
    Called {
        /// What it says before; may be empty.
        content: String,
        /// At least one.
        calls: Vec<ToolCall>,
    },
    /// What a call came to.
    Result {
        /// Of the call.
        id: Box<str>,
        /// Of the tool.
        name: Box<str>,
        /// What the tool says.
        content: String,
    },
}

impl ChatMessage {
    /// Somebody says something.
    pub fn said(role: Role, content: impl Into<String>) -> Self {
        Self::Said { role, content: content.into() }
    }

    /// What is said.
    #[must_use]
    pub fn content(&self) -> &str {
        match self {
            Self::Said { content, .. } | Self::Called { content, .. } | Self::Result { content, .. } => content,
        }
    }
}

/// What a model serves, as the engine states it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelCard {
    /// The registry's name.
    pub name: Arc<str>,
    /// For example `llama`.
    pub family: Arc<str>,
    /// Prompt and output together, in tokens.
    pub context_length: u32,
    /// How many tokens its vocabulary has: ids are below it.
    pub vocabulary: u32,
    /// SHA-256 of the weights' file, in hexadecimal.
    pub digest: Arc<str>,
}

/// What a generation is asked of an engine.
#[derive(Clone, Debug)]
pub struct GenerationJob {
    /// Whose it is: prompt states are shared inside one tenant only.
    pub tenant: TenantId,
    /// Of which process of the tenant, so that an engine can be fair to agents rather than to their calls. No two that live have
    /// the same number.
    pub program: u64,
    /// How urgent it is, against others of its tenant.
    pub priority: Priority,
    /// On which model.
    pub model: Arc<str>,
    /// From what, as [`Engine::tokenize`] gave it. Never empty, and shorter than the context.
    pub prompt: Arc<[u32]>,
    /// How, as [`Params`] says; in the ranges that the kernel checks, `max_tokens` at least 1.
    pub params: Params,
    /// What the model may ask for: as it was in the conversation that `prompt` is of.
    pub tools: Option<Arc<Toolset>>,
}

/// Why an engine stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineFinish {
    /// An end token, a stop token, a stop string, or the end of what the format allows.
    Stop,
    /// `max_tokens`, or the end of the context.
    Length,
    /// [`Meter::cancel`].
    Cancelled,
    /// As [`Stop`](Self::Stop), and there were calls.
    ToolCalls,
}

/// A piece of an engine's output.
#[derive(Clone, Debug, PartialEq)]
pub enum EngineEvent {
    /// More text: whole characters, never empty.
    Text(String),
    /// A token was drawn, before the text that its bytes are in: one for each that the meter counts as output, where
    /// [`Params::logprobs`] asks for them. An engine that does not know probabilities sends none.
    Token(Box<DrawnToken>),
    /// A whole call, where there are tools. Its text is in no event of text.
    ToolCall(Box<ToolCall>),
    /// The last event of a generation that went well.
    End(EngineFinish),
    /// The last event of one that did not.
    Failed(EngineError),
}

/// Counts of one generation, which the engine raises as it works and the kernel reads at any moment; and the wish to
/// cancel, the other way.
///
/// A count is raised before the event that shows its text is sent, so that what a reader has seen is always counted.
#[derive(Debug, Default)]
pub struct Meter {
    input: AtomicU32,
    cached: AtomicU32,
    output: AtomicU32,
    cancelled: AtomicBool,
}

impl Meter {
    /// The engine computed so many prompt tokens.
    pub fn add_input(&self, tokens: u32) {
        self.input.fetch_add(tokens, Ordering::Release);
    }

    /// The engine found so many prompt tokens at hand.
    pub fn add_cached(&self, tokens: u32) {
        self.cached.fetch_add(tokens, Ordering::Release);
    }

    /// The engine generated so many tokens; the one that ended the generation counts too.
    pub fn add_output(&self, tokens: u32) {
        self.output.fetch_add(tokens, Ordering::Release);
    }

    /// The counts so far.
    pub fn usage(&self) -> Usage {
        Usage {
            input: self.input.load(Ordering::Acquire),
            cached: self.cached.load(Ordering::Acquire),
            output: self.output.load(Ordering::Acquire),
        }
    }

    /// Asks the engine to end the generation before its next token.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Release);
    }

    /// Whether it was asked to.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Acquire)
    }
}

/// A generation under way. Dropping the receiver cancels it too.
#[derive(Debug)]
pub struct EngineStream {
    /// Its output. The engine never waits for the reader: it is ahead of him by so many tokens as the channel holds, and goes on once he
    /// has read some of them. A reader who leaves the channel lets the generation rest, at no cost to others.
    pub events: mpsc::Receiver<EngineEvent>,
    /// Its counts.
    pub meter: Arc<Meter>,
}

/// What an engine cannot do.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum EngineError {
    /// No such model is loaded.
    #[error("no model {name} is loaded; there is {known}")]
    UnknownModel {
        /// What was asked for.
        name: Box<str>,
        /// The loaded ones, comma-separated.
        known: Box<str>,
    },
    /// The prompt leaves no room for a token.
    #[error("the prompt has {tokens} tokens and the model's context holds {capacity}")]
    TooLong {
        /// Of the prompt.
        tokens: u32,
        /// Of the model.
        capacity: u32,
    },
    /// The prompt cannot be put to the model: its chat template refused it, or its tokens are not this model's.
    #[error("the prompt cannot be put to the model: {0}")]
    Prompt(Box<str>),
    /// What is asked for cannot be held to: the format or the tools are none, or leave no token to draw. In one sentence.
    #[error("the answer cannot have this form: {0}")]
    Format(Box<str>),
    /// More generations wait than the engine queues.
    #[error("its queue is full with {waiting} generations: try again when some have ended")]
    Busy {
        /// How many wait.
        waiting: usize,
    },
    /// Computing this one failed again and again, or in a way that leaves the engine whole: others go on.
    #[error("computing it failed: {0}")]
    Failed(Box<str>),
    /// The engine's thread has ended, or its device is lost for good.
    #[error("the engine has stopped: {0}")]
    Stopped(Box<str>),
}

/// The vectors of some texts, or why there are none.
pub type EmbedOutcome = Result<Vec<Vec<f32>>, EngineError>;

/// Where tokens come from.
pub trait Engine: Send + Sync + 'static {
    /// What a loaded model is.
    ///
    /// # Errors
    /// [`EngineError::UnknownModel`].
    fn card(&self, model: &str) -> Result<ModelCard, EngineError>;

    /// The tokens of a prompt, exactly as [`Engine::generate`] takes them. Runs on the caller's thread.
    ///
    /// # Errors
    /// [`EngineError::UnknownModel`], [`EngineError::Prompt`].
    fn tokenize(&self, model: &str, prompt: &PromptText) -> Result<Arc<[u32]>, EngineError>;

    /// Whether answers can be held to a format, or to calls of tools: what compiles here is at hand when the tenant's
    /// [`Engine::generate`] asks for the same. Runs on the caller's thread, for some milliseconds.
    ///
    /// # Errors
    /// [`EngineError::UnknownModel`]; [`EngineError::Format`], which an engine that holds answers to nothing says of every
    /// format and of all tools.
    fn accepts(
        &self,
        tenant: TenantId,
        model: &str,
        format: &OutputFormat,
        tools: Option<&Toolset>,
    ) -> Result<(), EngineError> {
        let _ = tenant;
        match (format, tools) {
            (OutputFormat::Any, None) => Ok(()),
            _ => Err(EngineError::Format(format!("the model {model} has neither formats nor tools").into())),
        }
    }

    /// Texts as vectors of length one, as many numbers each as the model is wide; their tokens as [`Engine::tokenize`]
    /// gave them for [`PromptText::Text`], no text longer than the model's context. Returns at once.
    ///
    /// # Errors
    /// [`EngineError::UnknownModel`]; [`EngineError::Prompt`] where the model does not embed, which is what an engine says
    /// that has none.
    fn embed(&self, model: &str, texts: Vec<Arc<[u32]>>) -> Result<PortFuture<'static, EmbedOutcome>, EngineError> {
        let _ = texts;
        Err(EngineError::Prompt(format!("the model {model} answers, and does not embed").into()))
    }

    /// Starts a generation and returns at once.
    ///
    /// # Errors
    /// [`EngineError::UnknownModel`], [`EngineError::TooLong`], [`EngineError::Prompt`], [`EngineError::Format`],
    /// [`EngineError::Busy`], [`EngineError::Stopped`].
    fn generate(&self, job: GenerationJob) -> Result<EngineStream, EngineError>;

    /// A process of a tenant has left memory, and comes back when something happens: what was computed of its last prompt may leave
    /// memory too. `program` is as in its jobs. Returns at once.
    fn rests(&self, tenant: TenantId, program: u64) {
        let _ = (tenant, program);
    }
}

/// An agent that cannot be started.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct PackageError(pub Box<str>);

/// Agents that processes can start by name.
pub trait Packages: Send + Sync + 'static {
    /// Loads a package's component, linked for grants of these kinds.
    ///
    /// # Errors
    /// Where none of that name is installed for the tenant, or it is refused.
    fn open(
        &self,
        tenant: TenantId,
        agent: &str,
        granted: &[GrantKind],
    ) -> PortFuture<'static, Result<Program, PackageError>>;

    /// Loads the component of this digest again, which ran before the host started anew, linked for grants of these kinds.
    ///
    /// # Errors
    /// Where these bytes are not at hand any more.
    fn reopen(
        &self,
        tenant: TenantId,
        agent: &str,
        digest: &str,
        granted: &[GrantKind],
    ) -> PortFuture<'static, Result<Program, PackageError>>;
}

/// Time.
pub trait Clock: Send + Sync + 'static {
    /// Nanoseconds since 1970-01-01T00:00:00Z.
    fn wall_ns(&self) -> u64;

    /// Nanoseconds since some moment in the past, never falling.
    fn monotonic_ns(&self) -> u64;

    /// Waits until the monotonic clock reads at least `deadline_ns`.
    fn sleep_until(&self, deadline_ns: u64) -> PortFuture<'static, ()>;

    /// Waits until the wall clock reads at least `wall_ns`, or for a minute: it can be set meanwhile, so that whoever wakes looks
    /// again.
    fn sleep_towards(&self, wall_ns: u64) -> PortFuture<'static, ()> {
        let wait_ns = wall_ns.saturating_sub(self.wall_ns()).min(WALL_STEP_NS);
        self.sleep_until(self.monotonic_ns().saturating_add(wait_ns))
    }
}

/// How long a moment of the wall clock is slept for before that clock is looked at again.
const WALL_STEP_NS: u64 = 60_000_000_000;

/// Randomness fit for keys.
pub trait Entropy: Send + Sync + 'static {
    /// Fills the buffer.
    ///
    /// # Errors
    /// [`Fault::Host`] where the system has none.
    fn fill(&self, buffer: &mut [u8]) -> Result<(), Fault>;
}
