//! Names of kernel objects.
//!
//! Every id carries a *generation*: the kernel reuses a slot of its tables only under a new generation, so that an id
//! kept too long answers "dead" and never reaches the object that took the slot over. The tenant is part of the process
//! id and so of every key that is derived from it.

use serde::{Deserialize, Serialize};
use std::fmt;

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
}

/// What a process can wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum WaitId {
    /// Ready when the timer's moment has come.
    Timer(TimerId),
    /// Ready when a delta or the end is there.
    Generation(GenerationId),
}
