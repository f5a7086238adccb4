//! Processes as others see them: what `process` and `children` are asked, and answer.

use crate::{AccountId, ChildId, Denial, Fault, GrantId, Pid, Priority, Role, Status, Tokens, ValueId};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// What somebody wants a process to know. Each is kept until it is taken, once however often it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Signal {
    /// Whoever started it wants it to end: it should finish politely.
    Cancel,
    /// Its account fell below its soft limit.
    BudgetLow,
    /// A child of it failed for good.
    ChildFailed,
}

/// Requests of `process`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProcessRequest {
    /// Its own name.
    OwnId,
    /// A right to send messages to it.
    OwnMailbox,
    /// The next signal, where there is one.
    NextSignal,
}

/// Answers of `process`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProcessReply {
    /// Its own name.
    Id(Pid),
    /// A grant of kind mailbox, now the process's.
    Mailbox(GrantId),
    /// The signal that was taken.
    Signal(Option<Signal>),
}

/// When a process that ended is started again, from the state that it committed last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Restart {
    /// An end is an end.
    #[default]
    Never,
    /// When it failed, or was ended by its own fault.
    OnFailure,
    /// Whenever it ended by itself.
    Always,
}

/// A grant that is given away, and the name under which its new holder finds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedGrant {
    /// The new name.
    pub label: Box<str>,
    /// Which.
    pub grant: GrantId,
}

/// A message of the conversation that a child starts with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChildInput {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub content: crate::Content,
}

/// A child to start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Of kind process; the agent is in its scope.
    pub grant: GrantId,
    /// A package's name.
    pub agent: Box<str>,
    /// What it is to do.
    pub conversation: Vec<ChildInput>,
    /// All that it may do.
    pub grants: Vec<NamedGrant>,
    /// All that it may spend.
    pub funds: AccountId,
    /// When it is started again.
    pub restart: Restart,
    /// How urgent it is.
    pub priority: Priority,
}

/// What is asked of a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    /// To end politely.
    Cancel,
    /// To stop where it stands, with its state kept.
    Suspend,
    /// To go on.
    Resume,
}

/// Requests of `children`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChildrenRequest {
    /// Starts one.
    Spawn(Box<Plan>),
    /// Its name.
    Id {
        /// Which.
        child: ChildId,
    },
    /// A right to send it messages.
    Mailbox {
        /// Which.
        child: ChildId,
    },
    /// Waits for its end.
    Wait {
        /// Which.
        child: ChildId,
    },
    /// Asks something of it.
    Order {
        /// Which.
        child: ChildId,
        /// What.
        order: Order,
    },
    /// Ends it where it stands.
    Kill {
        /// Which.
        child: ChildId,
    },
    /// Lets it live on alone.
    Detach {
        /// Which.
        child: ChildId,
    },
    /// Lets go of it, which kills it.
    Drop {
        /// Which.
        child: ChildId,
    },
}

/// How a child ended, as its parent is told. What the child chose is unread.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChildEnded {
    /// It did its work, or a usable part of it.
    Done(Status, Option<ValueId>),
    /// It could not.
    Failed {
        /// In its own words.
        message: ValueId,
        /// Whether the same task may succeed later.
        retryable: bool,
    },
    /// It was ended.
    Faulted(Fault),
}

/// What became of a child.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChildReport {
    /// How it ended.
    pub ended: ChildEnded,
    /// What it spent, its own children's included.
    pub paid: Tokens,
    /// What came back of its funds.
    pub refunded: Tokens,
    /// How often it was started again.
    pub restarts: u32,
}

/// Answers of `children`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChildrenReply {
    /// A new child.
    Spawned(ChildId),
    /// Its name.
    Id(Pid),
    /// A grant of kind mailbox, now the process's.
    Mailbox(GrantId),
    /// What became of it.
    Ended(Box<ChildReport>),
    /// Asked, killed, detached or let go.
    Done,
}

/// Errors of `children`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Error)]
pub enum ChildrenError {
    /// The process has no right to this.
    #[error(transparent)]
    Denied(#[from] Denial),
    /// The process, or its tenant, has as many as it may, or it is too far down the tree.
    #[error("there are {limit} processes here already, which is the most: end some, or do the work in this one")]
    TooMany {
        /// How many.
        limit: u64,
    },
    /// A name, a conversation or a grant that cannot be passed on.
    #[error("the child cannot be started as asked: {0}")]
    Invalid(Box<str>),
    /// The agent is not installed, asks for more than it is given, or may not run now.
    #[error("the agent cannot be started: {0}")]
    Unavailable(Box<str>),
    /// A handle that names nothing (any more).
    #[error("no such child, account or value: it was let go, or never was")]
    Dead,
    /// Its report was taken already.
    #[error("the child's report was taken already: keep what it said")]
    Taken,
    /// The child waits for this process, directly or through others.
    #[error("the child waits for this process, so that neither would ever go on: answer it first")]
    Deadlock,
    /// The process's tables are full.
    #[error("this process holds too much to take more in: drop some values or grants")]
    NoRoom,
}
