//! Why a message was not sent, taken or answered.

use super::Denial;
use crate::bindings::remit::kernel::mailbox;
use std::{error::Error, fmt};

/// Why a message was not sent. The grants in it stay this process's, under the labels that they had.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError {
    /// The process has no right to send there.
    Denied(Denial),
    /// The receiver has ended.
    Dead,
    /// The receiver's mailbox is full.
    Full,
    /// The message is larger than the limit.
    TooLarge {
        /// In bytes.
        limit: u64,
    },
    /// A name or a grant that cannot be passed on; says which.
    Invalid(String),
    /// The receiver waits for this process, directly or through others.
    Deadlock,
    /// The process has as many calls open as it may.
    TooMany {
        /// How many.
        limit: u64,
    },
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied(denial) => denial.fmt(f),
            Self::Dead => f.write_str("nobody is there to receive it: the process has ended"),
            Self::Full => f.write_str("the receiver's mailbox is full: wait, or send less"),
            Self::TooLarge { limit } => write!(f, "a message carries {limit} bytes at most: send it in parts"),
            Self::Invalid(why) => write!(f, "the message cannot be sent as it is: {why}"),
            Self::Deadlock => {
                f.write_str("the receiver waits for this process, so that neither would ever go on: answer it first")
            }
            Self::TooMany { limit } => {
                write!(f, "this process may have {limit} calls open at once: collect or drop one")
            }
        }
    }
}

impl Error for SendError {}

impl From<mailbox::SendError> for SendError {
    fn from(error: mailbox::SendError) -> Self {
        match error {
            mailbox::SendError::Denied(denial) => Self::Denied(denial.into()),
            mailbox::SendError::Dead => Self::Dead,
            mailbox::SendError::Full => Self::Full,
            mailbox::SendError::TooLarge(limit) => Self::TooLarge { limit },
            mailbox::SendError::Invalid(why) => Self::Invalid(why),
            mailbox::SendError::Deadlock => Self::Deadlock,
            mailbox::SendError::TooMany(limit) => Self::TooMany { limit },
        }
    }
}

/// Why a call was not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallError {
    /// Its time is over.
    TimedOut,
    /// Its receiver ended, or let go of it, without an answer.
    Unanswered,
    /// Its receiver waits for this process, directly or through others.
    Deadlock,
    /// The answer was taken already.
    Taken,
    /// The process holds too many values or grants to take the answer.
    NoRoom,
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TimedOut => "the call was not answered in time",
            Self::Unanswered => "the call will not be answered: its receiver ended or let go of it",
            Self::Deadlock => "the receiver waits for this process, so that neither would ever go on: answer it first",
            Self::Taken => "the answer was taken already: keep what it said",
            Self::NoRoom => "this process holds too much to take the answer: drop some values or grants",
        })
    }
}

impl Error for CallError {}

impl From<mailbox::CallError> for CallError {
    fn from(error: mailbox::CallError) -> Self {
        match error {
            mailbox::CallError::TimedOut => Self::TimedOut,
            mailbox::CallError::Unanswered => Self::Unanswered,
            mailbox::CallError::Deadlock => Self::Deadlock,
            mailbox::CallError::Taken => Self::Taken,
            mailbox::CallError::NoRoom => Self::NoRoom,
        }
    }
}

/// Why no message was taken. It stays in the mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReceiveError {
    /// The process holds too many values or grants to take it.
    NoRoom,
}

impl fmt::Display for ReceiveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRoom => f.write_str("this process holds too much to take a message in: drop some values or grants"),
        }
    }
}

impl Error for ReceiveError {}

impl From<mailbox::ReceiveError> for ReceiveError {
    fn from(error: mailbox::ReceiveError) -> Self {
        match error {
            mailbox::ReceiveError::NoRoom => Self::NoRoom,
        }
    }
}
