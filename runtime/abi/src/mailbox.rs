//! Messages between processes: what `mailbox` is asked, and answers.

use crate::{AnswerId, CallId, Content, Denial, GrantId, NamedGrant, Pid, ValueId, WatchId};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A message to send.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outgoing {
    /// What it is about, to be selected by.
    pub topic: Box<str>,
    /// What it says.
    pub body: Content,
    /// Given away with it.
    pub grants: Vec<NamedGrant>,
}

/// Which messages. `None` is any.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    /// About exactly this.
    pub topic: Option<Box<str>>,
    /// From exactly this one, as it is written: a text that names no process lets nothing through.
    pub sender: Option<Box<str>>,
}

/// Requests of `mailbox`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MailboxRequest {
    /// Sends a message; waits while the mailbox is full.
    Send {
        /// Of kind mailbox.
        to: GrantId,
        /// What.
        message: Box<Outgoing>,
    },
    /// Sends a message, or says that the mailbox is full.
    TrySend {
        /// Of kind mailbox.
        to: GrantId,
        /// What.
        message: Box<Outgoing>,
    },
    /// Sends a message that is to be answered.
    Call {
        /// Of kind mailbox.
        to: GrantId,
        /// What.
        message: Box<Outgoing>,
        /// Within so long.
        timeout_ns: u64,
    },
    /// Waits for a message.
    Receive {
        /// Which.
        filter: Box<Filter>,
    },
    /// Takes a message, where there is one.
    TryReceive {
        /// Which.
        filter: Box<Filter>,
    },
    /// Makes something to wait for: a message that the filter lets through.
    Watch {
        /// Which.
        filter: Box<Filter>,
    },
    /// Lets go of that.
    DropWatch {
        /// Which.
        watch: WatchId,
    },
    /// Answers a call.
    Reply {
        /// Which.
        answer: AnswerId,
        /// With what.
        message: Box<Outgoing>,
    },
    /// Leaves a call unanswered.
    DropAnswer {
        /// Which.
        answer: AnswerId,
    },
    /// Waits for a call's answer.
    Collect {
        /// Which.
        call: CallId,
    },
    /// Forgets a call.
    DropCall {
        /// Which.
        call: CallId,
    },
}

/// A message that came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incoming {
    /// From whom.
    pub sender: Pid,
    /// What it is about.
    pub topic: Box<str>,
    /// What it says, unread.
    pub body: ValueId,
    /// The process's from here on.
    pub grants: Vec<NamedGrant>,
    /// Where it is a call: what it is answered with.
    pub answer: Option<AnswerId>,
}

/// Answers of `mailbox`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MailboxReply {
    /// Sent, answered, or let go.
    Done,
    /// A call under way.
    Called(CallId),
    /// A message, or the answer to a call.
    Received(Box<Incoming>),
    /// No message that the filter lets through.
    Nothing,
    /// Something to wait for.
    Watching(WatchId),
}

/// Errors of `mailbox`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Error)]
pub enum MailboxError {
    /// The process has no right to send there.
    #[error(transparent)]
    Denied(#[from] Denial),
    /// The receiver has ended, or nobody has that name.
    #[error("nobody is there to receive it: the process has ended")]
    Gone,
    /// The receiver's mailbox is full.
    #[error("the receiver's mailbox is full: wait, or send less")]
    Full,
    /// The message is larger than the limit.
    #[error("a message carries {limit} bytes at most: send it in parts")]
    TooLarge {
        /// In bytes.
        limit: u64,
    },
    /// A name or a grant that cannot be passed on.
    #[error("the message cannot be sent as it is: {0}")]
    Invalid(Box<str>),
    /// The receiver waits for this process, directly or through others.
    #[error("the receiver waits for this process, so that neither would ever go on: answer it first")]
    Deadlock,
    /// The process has as many calls open as it may.
    #[error("this process may have {limit} calls open at once: collect or drop one")]
    TooMany {
        /// How many.
        limit: u64,
    },
    /// The call's time is over.
    #[error("the call was not answered in time")]
    TimedOut,
    /// Its receiver ended, or let go of it.
    #[error("the call will not be answered: its receiver ended or let go of it")]
    Unanswered,
    /// The answer was taken already.
    #[error("the answer was taken already")]
    Taken,
    /// The process's tables are full.
    #[error("this process holds too much to take a message in: drop some values or grants")]
    NoRoom,
    /// A handle that names nothing (any more).
    #[error("no such call, grant or value: it was let go, or never was")]
    Dead,
}
