//! A process's own log: what it was told by the kernel, in order. It is enough to run it again without asking anybody.
//!
//! | entry | says | a replay |
//! | --- | --- | --- |
//! | [`Created`] | what a process is for good | makes it anew |
//! | [`Beginning`] | what a run finds besides | begins here |
//! | [`Told`] | the reply to one syscall, and what came with it | tells it again |
//! | [`Intended`](Entry::Intended) | an effect that is about to be done | asks whether it was done |
//! | [`Given`](Entry::Given) | a grant that an operator gave | gives it at the same place |
//! | [`Committed`](Entry::Committed) | a state that the process gave | goes on from here where nothing follows |
//! | [`Exited`](Entry::Exited) | how a run ended | ends there |
//! | [`Forked`] | what was told before was told to another process | goes on as itself |
//!
//! Syscalls of class [`Pure`](remit_abi::Class::Pure) have no entry: they follow from the others. Only what was told since the last
//! [`Beginning`] is needed to rebuild a process; what came before is history.

use super::{Decided, Effect, OutcomeKind};
use crate::{Ledger, RestartPolicy};
use bytes::Bytes;
use remit_abi::{
    AccountId, ContextRequest, EntryId, Exit, GrantId, GrantKind, Label, MemoryRequest, Pid, Priority, Reply, Request,
    Role, Tokens, Usage, ValueId, limits::Limits,
};
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, sync::Arc};

/// One line of a process's log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Entry<'a> {
    /// The first of each process.
    Created(Box<Created>),
    /// A run begins.
    Began(Box<Beginning>),
    /// An effect is about to be done.
    Intended(Asked),
    /// A syscall was answered.
    Told(Told<'a>),
    /// An operator gave it a grant.
    Given(HeldImage),
    /// It committed a state. Where nothing follows but that it waits, its next run may begin here.
    Committed(Box<Beginning>),
    /// A run ended.
    Exited(Cow<'a, Exit>),
    /// What was told so far was told to another process, and what it holds was that one's.
    Forked(Box<Forked>),
}

impl Entry<'_> {
    /// The same, of nobody else's data.
    #[must_use]
    pub fn into_owned(self) -> Entry<'static> {
        match self {
            Self::Created(created) => Entry::Created(created),
            Self::Began(began) => Entry::Began(began),
            Self::Intended(asked) => Entry::Intended(asked),
            Self::Told(Told { asked, reply, notes, paid, label }) => {
                Entry::Told(Told { asked, reply: Cow::Owned(reply.into_owned()), notes, paid, label })
            }
            Self::Given(held) => Entry::Given(held),
            Self::Committed(began) => Entry::Committed(began),
            Self::Exited(exit) => Entry::Exited(Cow::Owned(exit.into_owned())),
            Self::Forked(forked) => Entry::Forked(forked),
        }
    }

    /// What it tells of entries of memories, in its order: of which, and what that held.
    pub fn remembered(&self) -> impl Iterator<Item = (EntryId, Option<&ValueImage>)> {
        let notes = match self {
            Self::Told(told) => &*told.notes,
            _ => &[],
        };
        notes.iter().filter_map(|note| match note {
            Note::Remembered(_, entry, image) => Some((*entry, image.as_ref())),
            _ => None,
        })
    }

    /// The same, to be taken out or put back.
    pub fn remembered_mut(&mut self) -> impl Iterator<Item = (EntryId, &mut Option<ValueImage>)> {
        let notes = match self {
            Self::Told(told) => &mut *told.notes,
            _ => &mut [],
        };
        notes.iter_mut().filter_map(|note| match note {
            Note::Remembered(_, entry, image) => Some((*entry, image)),
            _ => None,
        })
    }
}

/// What a process is from its start to its end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Created {
    /// The package's name.
    pub package: Arc<str>,
    /// SHA-256 of the component, in hexadecimal: these bytes run, and no others.
    pub digest: Arc<str>,
    /// The kinds of grants that the component is linked for, ascending.
    pub kinds: Vec<GrantKind>,
    /// What one process of it may use.
    pub limits: Limits,
    /// Under which it receives messages, where it has a name.
    pub name: Option<Arc<str>>,
    /// Who started it; `None` is an operator.
    pub parent: Option<Pid>,
    /// Generations below the process that the operator started.
    pub depth: u32,
    /// How urgent it is.
    pub priority: Priority,
    /// When it is started again.
    pub restart: RestartPolicy,
    /// Its account.
    pub account: AccountId,
    /// What that was given.
    pub funds: Tokens,
    /// On the wall clock, in nanoseconds since 1970-01-01T00:00:00Z.
    pub started_ns: u64,
    /// The conversation that every run begins with.
    pub input: Vec<(Role, ValueImage)>,
}

/// What a run of a process finds, besides what the process is for good. By default nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Beginning {
    /// The state that was committed last.
    pub checkpoint: Option<Bytes>,
    /// What the process had read.
    pub label: Label,
    /// What it did and paid so far.
    pub ledger: Ledger,
    /// The grants that it holds, in its order.
    pub grants: Vec<HeldImage>,
    /// Its alarms, in the order of their ids.
    pub alarms: Vec<(Box<str>, u64)>,
    /// How often it was started again.
    pub restarts: u32,
    /// What its own clock reads, in nanoseconds.
    pub clock_ns: u64,
    /// How many events it had shown.
    pub events: u64,
}

/// What a process has that goes on where another one was.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Forked {
    /// The other's account, as it was told its own.
    pub account: AccountId,
    /// All grants of the new one.
    pub grants: Vec<HeldImage>,
}

/// A grant in a process's table, or on its way to one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldImage {
    /// Under which its holder finds it.
    pub label: Box<str>,
    /// Which.
    pub grant: GrantId,
    /// Of what kind.
    pub kind: GrantKind,
}

/// Data with its label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValueImage {
    /// The content.
    pub bytes: Bytes,
    /// RFC 6838.
    pub media_type: Arc<str>,
    /// What went into it.
    pub label: Label,
}

/// The answer to a syscall, with all that the process got by it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Told<'a> {
    /// What was asked.
    pub asked: Asked,
    /// What was answered.
    pub reply: Cow<'a, Reply>,
    /// What the reply only names.
    pub notes: Vec<Note>,
    /// What the process paid since the entry before.
    pub paid: Tokens,
    /// Its label after it.
    pub label: Label,
}

/// What stands behind an id of a reply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Note {
    /// The data of a value.
    Value(ValueId, ValueImage),
    /// The process that a child is.
    Child(Pid),
    /// A grant that came with it, as its new holder finds it.
    Grant(HeldImage),
    /// The number of a call, on either side.
    Call(u64),
    /// A model that was opened.
    Model(ModelImage),
    /// What a model was asked, or has done: for an auditor. A replay passes over it.
    Used(ModelUse),
    /// The number of a question to people.
    Question(u64),
    /// A call of a tool.
    CalledTool(CalledTool),
    /// What came of one: for an auditor. A replay passes over it.
    ReturnedTool(ReturnedTool),
    /// The data of a value that an entry of a memory holds: it is destroyed with that. `None` where it was.
    Remembered(ValueId, EntryId, Option<ValueImage>),
    /// What a context is for good.
    Context(ContextImage),
    /// What a turn of a context was told from outside, in its order.
    Paged(Vec<PageStep>),
}

/// A context as it was when a process opened it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContextImage {
    /// What the names of its pages begin with.
    pub base: Box<str>,
    /// Of the line that stands for what is out.
    pub stub_tokens: u32,
    /// Of what is said beside a clip, and beside what is recalled.
    pub note_tokens: u32,
}

/// What a turn of a context was told from outside. What followed from it follows again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PageStep {
    /// A search found these segments, the best first.
    Recalled(Box<[u64]>),
    /// What had to leave the window left.
    Paged {
        /// Prompt and output together, in tokens.
        window: u32,
        /// Set apart for the answer.
        output_reserve: u32,
        /// The plan's summaries, in its order; `None` where there is none.
        written: Box<[Option<WrittenSummary>]>,
        /// What the model did for them.
        usage: Usage,
    },
    /// The prompt was counted.
    Counted(u32),
    /// These segments are in the store, or may not be.
    Filed(Box<[u64]>),
}

/// A summary that a model wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrittenSummary {
    /// As they were counted.
    pub tokens: u32,
    /// What it says.
    pub text: Box<str>,
}

/// A tool that was called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CalledTool {
    /// Of the call.
    pub number: u64,
    /// The tool's name.
    pub tool: Box<str>,
    /// What it does outside.
    pub effect: Effect,
    /// The idempotency key.
    pub key: Box<str>,
}

/// What came of the call of a tool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReturnedTool {
    /// Of the call.
    pub number: u64,
    /// How often it was begun.
    pub attempts: u32,
    /// Without what was said.
    pub outcome: OutcomeKind,
    /// Where a person had to decide: what they did last.
    pub decided: Option<Decided>,
}

/// The work of a model, as far as it is known when the reply is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelUse {
    /// The registry's name; of a route's request that of the model which answers.
    pub name: Arc<str>,
    /// SHA-256 of the weights' file, in hexadecimal.
    pub digest: Arc<str>,
    /// Of the numbers that tokens are drawn with.
    pub seed: u64,
    /// What it did so far.
    pub usage: Usage,
}

/// A model as it was when a process opened it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelImage {
    /// The registry's name, or the route's.
    pub name: Arc<str>,
    /// For example `llama`.
    pub family: Arc<str>,
    /// In tokens.
    pub context_length: u32,
    /// In tokens.
    pub vocabulary: u32,
    /// SHA-256 of the weights' file, in hexadecimal.
    pub digest: Arc<str>,
    /// Of a route: the label of the grant that it was opened under.
    pub task: Option<Box<str>>,
}

/// A request as the log keeps it: small ones whole, large ones by their digest, since a replay makes them again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Asked {
    /// As postcard writes a [`Request`].
    Whole(Bytes),
    /// A larger one.
    Digest {
        /// Its interface and its place in it: the first bytes.
        kind: [u8; 2],
        /// Of the whole, in bytes.
        size: u64,
        /// SHA-256.
        digest: [u8; 32],
    },
}

/// Requests of at most so many bytes are kept whole: that is all but those that carry a prompt, a message or a value, and about
/// four digests long.
const WHOLE_BYTES_MAX: usize = 128;

/// Whether a request has what somebody may want to be destroyed, in whichever log it is.
const fn may_be_purged(request: &Request) -> bool {
    use ContextRequest::{Append, EditBlock, MakeBlock};
    use MemoryRequest::{Cite, Put, Search, Update};
    matches!(
        request,
        Request::Memory(Put(_) | Update(_) | Search(_) | Cite(_))
            | Request::Context(Append { .. } | MakeBlock { .. } | EditBlock { .. })
    )
}

impl Asked {
    /// A request as the log keeps it.
    #[must_use]
    pub fn of(request: &Request) -> Self {
        use sha2::{Digest, Sha256};
        // Plain data written to memory: it cannot fail, and an empty mark would only ever show as a divergence.
        let bytes = postcard::to_allocvec(request).unwrap_or_default();
        match *bytes {
            [interface, syscall, ..] if bytes.len() > WHOLE_BYTES_MAX || may_be_purged(request) => {
                let digest = Sha256::digest(&bytes).into();
                Self::Digest { kind: [interface, syscall], size: bytes.len() as u64, digest }
            }
            _ => Self::Whole(bytes.into()),
        }
    }

    /// Of the request, in bytes as postcard writes it.
    #[must_use]
    pub fn size(&self) -> u64 {
        match self {
            Self::Whole(bytes) => bytes.len() as u64,
            Self::Digest { size, .. } => *size,
        }
    }

    /// The request itself, where it was kept.
    #[must_use]
    pub fn request(&self) -> Option<Request> {
        match self {
            Self::Whole(bytes) => postcard::from_bytes(bytes).ok(),
            Self::Digest { .. } => None,
        }
    }
}
