//! Tools that act: what an agent may have done outside the node, once.
//!
//! A grant of kind [`tool`](crate::GrantKind::Tool) opens one that an operator declared. The call is written down before anything is
//! done, and what came of it before anybody is told. What a model writes when it wants a tool is a [`ToolCall`](crate::ToolCall), and
//! does nothing.

use crate::{Content, Denial, GrantId, Tool, ToolCallId, ValueId};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A call of a tool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolUse {
    /// Of kind tool, and of one tool.
    pub grant: GrantId,
    /// A JSON object.
    pub arguments: Content,
}

/// Requests of `tool`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToolRequest {
    /// Which tools a grant opens, as their operator says it.
    Describe {
        /// Of kind tool.
        grant: GrantId,
    },
    /// Calls one, and does not wait for what comes of it.
    Call(Box<ToolUse>),
    /// Waits for what comes of a call, and takes it.
    Collect {
        /// Of which.
        call: ToolCallId,
    },
    /// Lets go of a call: what has not begun never begins, and what runs is stopped.
    Drop {
        /// Of which.
        call: ToolCallId,
    },
}

/// Answers of `tool`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToolReply {
    /// Those that are declared, by their names.
    Described(Box<[Tool]>),
    /// A call under way.
    Called(ToolCallId),
    /// What a tool said when it was done, unread.
    Returned(ValueId),
    /// What a tool said when it failed, unread.
    Failed(ValueId),
    /// Let go.
    Done,
}

/// Errors of `tool`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Error)]
pub enum ToolError {
    /// The process has no right to it.
    #[error(transparent)]
    Denied(#[from] Denial),
    /// The operator declared none of that name.
    #[error("no tool {0} is declared on this host: its operator adds it to the file of tools")]
    NoSuchTool(Box<str>),
    /// The arguments are too long.
    #[error("a tool takes {limit} bytes of arguments at most: say less")]
    TooLarge {
        /// In bytes.
        limit: u64,
    },
    /// The process, or its tenant, has as many calls as it may.
    #[error("{limit} calls of tools are the most that there may be here: take what came of some, or drop them")]
    TooMany {
        /// How many.
        limit: u64,
    },
    /// Arguments that are none, a grant of several tools, or an account that cannot pay.
    #[error("the tool cannot be called as it is: {0}")]
    Invalid(Box<str>),
    /// Its time was over, and it was stopped: whether it acted before is not known.
    #[error("the tool was stopped when its time was over: it may have acted before")]
    TimedOut,
    /// It was not begun, and did nothing; why.
    #[error("the tool was not begun: {0}")]
    Unavailable(Box<str>),
    /// It was begun, and whether it acted is not known; why.
    #[error("it is not known whether the tool acted: {0}")]
    Uncertain(Box<str>),
    /// It acted, and what it returned is not known; who says so.
    #[error("the tool acted, and what it returned is lost: {0}")]
    Lost(Box<str>),
    /// The right to it was taken back before it was done: what ran was stopped.
    #[error("the call was withdrawn: the right to it was taken back before it was done")]
    Withdrawn,
    /// What came of it was taken already.
    #[error("what came of the call was taken already: keep what it said")]
    Taken,
    /// The process's tables are full.
    #[error("this process holds too much to take what the tool returned: drop some values")]
    NoRoom,
    /// A handle that names nothing (any more).
    #[error("no such call, grant or value: it was let go, or never was")]
    Dead,
}
