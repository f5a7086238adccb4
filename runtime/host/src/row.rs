//! What stands in a row of a guest's table of handles: the kernel's id of an object, and never the object itself.

#![allow(unreachable_pub, reason = "the generated bindings export them under names of their own")]

use remit_abi::{
    AccountId, AlarmId, AnswerId, CallId, ChildId, ContextId, GenerationId, GrantId, ModelId, QuestionId, ToolCallId,
    ValueId, WaitId,
};

/// A handle on a value.
#[derive(Clone, Copy, Debug)]
pub struct ValueRow(pub(crate) ValueId);

/// A handle on a grant.
#[derive(Clone, Copy, Debug)]
pub struct GrantRow(pub(crate) GrantId);

/// A handle on an account.
#[derive(Clone, Copy, Debug)]
pub enum AccountRow {
    /// The process's own, which the handle does not own.
    Own(AccountId),
    /// A part that was split off, which lives as long as its one handle.
    Part(AccountId),
}

impl AccountRow {
    pub(crate) fn id(self) -> AccountId {
        match self {
            Self::Own(account) | Self::Part(account) => account,
        }
    }
}

/// A handle on an open model.
#[derive(Clone, Copy, Debug)]
pub struct ModelRow(pub(crate) ModelId);

/// A handle on a generation that streams.
#[derive(Clone, Copy, Debug)]
pub struct GenerationRow(pub(crate) GenerationId);

/// A handle on a process that this one started.
#[derive(Clone, Copy, Debug)]
pub struct ChildRow(pub(crate) ChildId);

/// A handle on a call that was made.
#[derive(Clone, Copy, Debug)]
pub struct CallRow(pub(crate) CallId);

/// A handle on a call that came.
#[derive(Clone, Copy, Debug)]
pub struct AnswerRow(pub(crate) AnswerId);

/// A handle on an alarm.
#[derive(Clone, Copy, Debug)]
pub struct AlarmRow(pub(crate) AlarmId);

/// A handle on a question to people.
#[derive(Clone, Copy, Debug)]
pub struct AskedRow(pub(crate) QuestionId);

/// A handle on a proposal to people.
#[derive(Clone, Copy, Debug)]
pub struct ProposedRow(pub(crate) QuestionId);

/// A handle on a call of a tool.
#[derive(Clone, Copy, Debug)]
pub struct ToolCallRow(pub(crate) ToolCallId);

/// A handle on a conversation whose window is paged.
#[derive(Clone, Copy, Debug)]
pub struct ContextRow(pub(crate) ContextId);

/// A handle on something to wait for.
#[derive(Clone, Copy, Debug)]
pub struct PollableRow(pub(crate) WaitId);

/// A handle on a WASI error: no guest has one, since no stream here fails.
#[derive(Clone, Copy, Debug)]
pub enum ErrorRow {}

/// A handle on the standard input, which is at its end.
#[derive(Clone, Copy, Debug)]
pub struct InputStreamRow;

/// A handle on a standard output.
#[derive(Clone, Copy, Debug)]
pub enum OutputStreamRow {
    /// What is printed.
    Out,
    /// What is printed as an error.
    Error,
}

/// A handle on the network, which opens nothing.
#[derive(Clone, Copy, Debug)]
pub struct NetworkRow;

/// A handle on what no guest is ever given: a socket, a file, a terminal.
#[derive(Clone, Copy, Debug)]
pub enum NeverRow {}
