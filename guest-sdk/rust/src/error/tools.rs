//! Why a tool was not called, and why it did not do what it was called for.

use super::Denial;
use crate::{Value, bindings::remit::kernel::tool};
use std::{error::Error, fmt};

/// Why a tool was not called.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ToolError {
    /// The process has no right to this.
    Denied(Denial),
    /// The host's operator has declared no tool of this name.
    NoSuchTool(String),
    /// Its arguments are too long.
    TooLarge {
        /// In bytes.
        limit: u64,
    },
    /// The process, or its tenant, has as many calls as it may.
    TooMany {
        /// How many.
        limit: u64,
    },
    /// Arguments that are no JSON object, a grant of several tools, or an account that cannot pay; says which.
    Invalid(String),
}

impl fmt::Display for ToolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied(denial) => denial.fmt(f),
            Self::NoSuchTool(name) => {
                write!(f, "no tool {name} is declared on this host: its operator adds it to the file of tools")
            }
            Self::TooLarge { limit } => write!(f, "a tool takes {limit} bytes of arguments at most: say less"),
            Self::TooMany { limit } => {
                write!(
                    f,
                    "{limit} calls of tools are the most that there may be here: take what came of some, or drop them"
                )
            }
            Self::Invalid(why) => write!(f, "the tool cannot be called as it is: {why}"),
        }
    }
}

impl Error for ToolError {}

impl From<Denial> for ToolError {
    fn from(denial: Denial) -> Self {
        Self::Denied(denial)
    }
}

impl From<tool::CallError> for ToolError {
    fn from(error: tool::CallError) -> Self {
        match error {
            tool::CallError::Denied(denial) => Self::Denied(denial.into()),
            tool::CallError::NoSuchTool(name) => Self::NoSuchTool(name),
            tool::CallError::TooLarge(limit) => Self::TooLarge { limit },
            tool::CallError::TooMany(limit) => Self::TooMany { limit },
            tool::CallError::Invalid(why) => Self::Invalid(why),
        }
    }
}

/// Why a tool did not do what it was called for, as far as that is known.
#[derive(Debug)]
#[non_exhaustive]
pub enum ResultError {
    /// It failed: how, in the first line, and what it said, unread. It may have acted before.
    Failed(Value),
    /// It was stopped when its time was over. It may have acted before.
    TimedOut,
    /// It was not begun, and did nothing; why.
    Unavailable(String),
    /// It was begun, and whether it acted is not known; why.
    Uncertain(String),
    /// It acted, and what it returned is lost; who says so.
    Lost(String),
    /// The right to it was taken back before it was done. It may have acted before.
    Withdrawn,
    /// What came of it was taken already.
    Taken,
    /// The process holds too many values to take what it said.
    NoRoom,
}

impl fmt::Display for ResultError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Failed(_) => "the tool failed: read what it said",
            Self::TimedOut => "the tool was stopped when its time was over: it may have acted before",
            Self::Unavailable(why) => return write!(f, "the tool was not begun: {why}"),
            Self::Uncertain(why) => return write!(f, "it is not known whether the tool acted: {why}"),
            Self::Lost(who) => return write!(f, "the tool acted, and what it returned is lost: {who}"),
            Self::Withdrawn => "the call was withdrawn: the right to it was taken back before it was done",
            Self::Taken => "what came of the call was taken already: keep what it said",
            Self::NoRoom => "this process holds too much to take what the tool returned: drop some values",
        })
    }
}

impl Error for ResultError {}

impl From<tool::ResultError> for ResultError {
    fn from(error: tool::ResultError) -> Self {
        match error {
            tool::ResultError::Failed(said) => Self::Failed(Value::new(said)),
            tool::ResultError::TimedOut => Self::TimedOut,
            tool::ResultError::Unavailable(why) => Self::Unavailable(why),
            tool::ResultError::Uncertain(why) => Self::Uncertain(why),
            tool::ResultError::Lost(who) => Self::Lost(who),
            tool::ResultError::Withdrawn => Self::Withdrawn,
            tool::ResultError::Taken => Self::Taken,
            tool::ResultError::NoRoom => Self::NoRoom,
        }
    }
}
