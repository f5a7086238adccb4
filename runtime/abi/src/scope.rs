//! What a grant opens, as patterns over names, paths or hosts.
//!
//! | kinds | an entry | covers |
//! | --- | --- | --- |
//! | files | a relative path without `.` and `..`; `.` alone is the whole folder | itself and what lies below it |
//! | http | a host name in lower case, with a port where it is not the scheme's own; `*.` before it | itself; with `*.`, every name below it and not itself |
//! | all others | a name; `*` at its end | itself; with `*`, every name that begins so |

use crate::GrantKind;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A set of patterns of one kind. Made by [`Scope::parse`] alone, so that it is well-formed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Scope {
    kind: GrantKind,
    entries: Box<[Box<str>]>,
}

/// An entry that is none.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ScopeError {
    /// Nothing to open.
    #[error("a grant of kind {} must name at least one thing that it opens", .0.name())]
    Empty(GrantKind),
}

impl Scope {
    /// Reads entries.
    ///
    /// # Errors
    /// [`ScopeError`], naming the entry.
    pub fn parse<S: AsRef<str>>(kind: GrantKind, entries: &[S]) -> Result<Self, ScopeError> {
        if entries.is_empty() {
            return Err(ScopeError::Empty(kind));
        }
        Ok(Self { kind, entries: entries.iter().map(|entry| entry.as_ref().into()).collect() })
    }

    /// What kind of thing.
    #[must_use]
    pub const fn kind(&self) -> GrantKind {
        self.kind
    }

    /// The entries, as they were written.
    #[must_use]
    pub fn entries(&self) -> &[Box<str>] {
        &self.entries
    }

    /// Whether a single thing is in it.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.entries.iter().any(|entry| **entry == *name)
    }

    /// Whether everything that `other` opens is in it.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        self.kind == other.kind && other.entries.iter().all(|entry| self.entries.contains(entry))
    }
}
