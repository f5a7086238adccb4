//! What a process is started with, and what it ends with.

use crate::{Fault, Fuel, Role, ValueId};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// One message of the conversation that a task begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// Who speaks.
    pub role: Role,
    /// What is said: unread, so that an agent can pass on what it must not look at.
    pub content: ValueId,
}

/// The arguments of an agent's `run`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// The conversation so far, oldest first.
    pub conversation: Vec<Input>,
    /// The state that the agent committed last, where it is started again.
    pub resumed: Option<Bytes>,
}

/// How far an agent came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    /// All that was asked for.
    Complete,
    /// A usable part: the budget or a limit ended the work early.
    Partial,
}

/// What an agent returns when it did its work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// How far it came.
    pub status: Status,
    /// The result, where it is more than what was emitted.
    pub output: Option<ValueId>,
}

/// What an agent returns when it could not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// One sentence: what failed, why, what to do.
    pub message: Box<str>,
    /// Whether the same task may succeed later.
    pub retryable: bool,
}

/// How a process ended, as its runner saw it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// What became of it.
    pub end: Result<Result<Outcome, Failure>, Fault>,
    /// All the fuel it used. `None` where a trap or a kill lost the count: then the slices it bought are what it used.
    pub fuel: Option<Fuel>,
}
