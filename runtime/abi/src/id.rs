//! Names of kernel objects.
//!
//! Every id carries a *generation*: the kernel reuses a slot of its tables only under a new generation, so that an id
//! kept too long answers "dead" and never reaches the object that took the slot over. The tenant is part of the process
//! id and so of every key that is derived from it.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};
use thiserror::Error;

/// The unit of isolation: owns processes, packages, memory, keys and one root account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TenantId(pub u32);

/// A running agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Pid {
    /// Who owns the process.
    pub tenant: TenantId,
    /// Slot of the process table.
    pub index: u32,
    /// Which user of that slot.
    pub generation: u32,
}

impl Pid {
    /// Of those of its tenant, no two have the same number at any time.
    #[must_use]
    pub const fn number(self) -> u64 {
        (self.index as u64) << 32 | self.generation as u64
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.tenant, self.index, self.generation)
    }
}

/// A text that is no process's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a process's name is three numbers with dots between them, for example 0.3.1")]
pub struct NotAPid;

impl FromStr for Pid {
    type Err = NotAPid;

    fn from_str(text: &str) -> Result<Self, NotAPid> {
        let mut numbers = text.splitn(3, '.').map(|number| match number.bytes().all(|byte| byte.is_ascii_digit()) {
            true => number.parse().map_err(|_| NotAPid),
            false => Err(NotAPid),
        });
        let mut next = || numbers.next().unwrap_or(Err(NotAPid));
        Ok(Self { tenant: TenantId(next()?), index: next()?, generation: next()? })
    }
}

macro_rules! object_ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name {
            /// Slot of the table that holds such objects.
            pub index: u32,
            /// Which user of that slot.
            pub generation: u32,
        }

        impl From<(u32, u32)> for $name {
            fn from((index, generation): (u32, u32)) -> Self {
                Self { index, generation }
            }
        }

        impl From<$name> for (u32, u32) {
            fn from(id: $name) -> Self {
                (id.index, id.generation)
            }
        }
    )*};
}

object_ids! {
    /// A node of the account tree.
    AccountId;
    /// A node of the grant tree.
    GrantId;
    /// A model that a process opened through a grant.
    ModelId;
    /// A generation that streams.
    GenerationId;
    /// Data that a process holds, read or unread.
    ValueId;
    /// A one-shot timer.
    TimerId;
    /// A process that a process started.
    ChildId;
    /// A call that a process made, and whose answer is to come.
    CallId;
    /// A call that a process got, and has to answer.
    AnswerId;
    /// A filter on a process's mailbox that can be waited for.
    WatchId;
    /// A moment to wake at, which outlives a restart.
    AlarmId;
    /// A question that a process put to people.
    QuestionId;
    /// A call of a tool.
    ToolCallId;
    /// A conversation whose window the kernel pages.
    ContextId;
}

/// What a process can wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum WaitId {
    /// Ready when the timer's moment has come.
    Timer(TimerId),
    /// Ready when a delta or the end is there.
    Generation(GenerationId),
    /// Ready when the child has ended.
    Child(ChildId),
    /// Ready when the answer is there, or none will come.
    Call(CallId),
    /// Ready when a message is there that the filter lets through.
    Watch(WatchId),
    /// Ready from the alarm's moment on.
    Alarm(AlarmId),
    /// Ready when there is a signal.
    Signal,
    /// Ready when the answer is there, or none will come.
    Question(QuestionId),
    /// Ready when it is known what came of the call.
    ToolCall(ToolCallId),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pid_reads_as_it_is_written_and_nothing_else_is_one() {
        let pid = Pid { tenant: TenantId(7), index: 3, generation: u32::MAX };
        assert_eq!(pid.to_string().parse(), Ok(pid));
        for text in ["", "1", "1.2", "1.2.3.4", "1.2.-3", "+1.2.3", "1.2.4294967296", "a.b.c", "1..3", " 1.2.3"] {
            assert_eq!(text.parse::<Pid>(), Err(NotAPid), "{text}");
        }
    }
}
