//! What a grant opens, as patterns over names, paths or hosts.
//!
//! | kinds | an entry | covers |
//! | --- | --- | --- |
//! | files | a relative path without `.` and `..`; `.` alone is the whole folder | itself and what lies below it |
//! | http | a host name in lower case, with a port where it is not the scheme's own; `*.` before it | itself; with `*.`, every name below it and not itself |
//! | all others | a name; `*` at its end | itself; with `*`, every name that begins so |
//!
//! Principles:
//!
//! - A scope is well-formed or does not exist: text, files and the wire all pass [`Scope::parse`].
//! - Entries are compared byte by byte. What reads alike and is not the same is refused: a letter of another alphabet in
//!   a name, a character that cannot be seen in a path, a second spelling of an address.
//! - What one scope covers of another, it contains: nothing that a narrower scope opens is outside the wider one.

mod host;
mod name;
mod path;
#[cfg(test)]
mod tests;

use crate::{
    GrantKind,
    limits::{HOST_BYTES_MAX, NAME_BYTES_MAX, PATH_BYTES_MAX, SCOPE_BYTES_MAX, SCOPE_ENTRIES_MAX},
};
pub use name::is_name;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use thiserror::Error;

/// How much of a faulty entry an error repeats, in characters.
const SHOWN_CHARS_MAX: usize = 80;

/// A set of patterns of one kind. Made by [`Scope::parse`] alone, so that it is well-formed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Allegation")]
pub struct Scope {
    kind: GrantKind,
    entries: Box<[Box<str>]>,
}

/// A scope as somebody wrote it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Allegation {
    kind: GrantKind,
    entries: Vec<Box<str>>,
}

/// A scope that is none.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ScopeError {
    /// Nothing to open.
    #[error("a grant of kind {} must name at least one thing that it opens", .0.name())]
    Empty(GrantKind),
    /// More than a person reads before agreeing.
    #[error("a grant of kind {} names {count} things, and {SCOPE_ENTRIES_MAX} are the most: split it", .kind.name())]
    TooMany {
        /// Of what kind.
        kind: GrantKind,
        /// How many.
        count: usize,
    },
    /// More than a kernel holds for each of thousands of grants.
    #[error("a grant of kind {} has {bytes} bytes of names, and {SCOPE_BYTES_MAX} are the most: split it", .kind.name())]
    TooLarge {
        /// Of what kind.
        kind: GrantKind,
        /// All entries together.
        bytes: usize,
    },
    /// One entry that is none.
    #[error("the {} entry {entry:?} cannot be in a scope: {fault}", .kind.name())]
    Entry {
        /// Of what kind.
        kind: GrantKind,
        /// Its beginning.
        entry: Box<str>,
        /// Why.
        fault: EntryFault,
    },
}

/// What is wrong with an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum EntryFault {
    /// No text at all.
    #[error("it is empty")]
    Empty,
    /// More bytes than the kind allows.
    #[error("it is longer than {0} bytes")]
    TooLong(usize),
    /// A character that names have not.
    #[error(
        "the character {0:?} (U+{code:04X}) may not be in it: a name has ASCII letters, digits and -._/:@ only, since \
         letters of other alphabets can look the same",
        code = u32::from(*.0)
    )]
    NameCharacter(char),
    /// A `*` in the middle.
    #[error("a * may stand at its end only")]
    Star,
    /// `.` or `..` as a part.
    #[error("the parts . and .. may not be in it: write where it leads to")]
    Traversal,
    /// A path from the root.
    #[error("it begins with /: write it relative to the folder that is granted")]
    Absolute,
    /// A path of another system.
    #[error("it names a drive or has a backslash: write a relative path with /")]
    ForeignPath,
    /// Two slashes in a row.
    #[error("it has two slashes in a row")]
    EmptySegment,
    /// A character that cannot be seen.
    #[error("the character U+{code:04X} in it cannot be seen", code = u32::from(*.0))]
    HiddenCharacter(char),
    /// A character that host names have not.
    #[error(
        "the character {0:?} (U+{code:04X}) may not be in it: a host has lower-case ASCII letters, digits, - and . \
         only (RFC 1123), and no scheme or path",
        code = u32::from(*.0)
    )]
    HostCharacter(char),
    /// A `*` elsewhere than before the first dot.
    #[error("a * may stand at its beginning only, as *. before a name")]
    HostStar,
    /// A part of a host name that is none.
    #[error("each part between the dots must have 1 to 63 characters and no - at either end (RFC 1123)")]
    HostLabel,
    /// A host name that is nearly an address.
    #[error("it ends in a number and is no IPv4 address: write four numbers from 0 to 255 without leading zeros")]
    Ipv4,
    /// Brackets around something else.
    #[error("what is in the brackets is no IPv6 address")]
    Ipv6,
    /// A wildcard before an address.
    #[error("an address stands for one host: write it without *.")]
    WildcardAddress,
    /// A port that is none.
    #[error("its port must be a number from 1 to 65535 without leading zeros")]
    Port,
}

impl Scope {
    /// Reads entries. They come out sorted, each once, in their one spelling.
    ///
    /// # Errors
    /// [`ScopeError`], naming the entry.
    pub fn parse<S: AsRef<str>>(kind: GrantKind, entries: &[S]) -> Result<Self, ScopeError> {
        match entries.len() {
            0 => return Err(ScopeError::Empty(kind)),
            1..=SCOPE_ENTRIES_MAX => {}
            count => return Err(ScopeError::TooMany { kind, count }),
        }
        let mut checked = Vec::with_capacity(entries.len());
        for entry in entries {
            let entry = entry.as_ref();
            checked.push(check(kind, entry).map_err(|fault| ScopeError::Entry { kind, entry: shown(entry), fault })?);
        }
        let bytes = checked.iter().map(|entry| entry.len()).sum();
        if bytes > SCOPE_BYTES_MAX {
            return Err(ScopeError::TooLarge { kind, bytes });
        }
        checked.sort_unstable();
        checked.dedup();
        Ok(Self { kind, entries: checked.into_iter().map(|entry| entry.into_owned().into()).collect() })
    }

    /// What kind of thing.
    #[must_use]
    pub const fn kind(&self) -> GrantKind {
        self.kind
    }

    /// The entries, sorted, each in its one spelling.
    #[must_use]
    pub fn entries(&self) -> &[Box<str>] {
        &self.entries
    }

    /// Whether a single thing is in it. What is no well-formed name of one thing is in no scope. Allocates nothing.
    ///
    /// A file is named by its path below the folder that is granted, `.` being that folder; a host by what a request's
    /// URL says, in lower case, with the port where it is not the scheme's own.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        let contains = match self.kind {
            GrantKind::File => path::contains,
            GrantKind::Http => host::contains,
            _ => name::contains,
        };
        self.entries.iter().any(|entry| contains(entry, name))
    }

    /// Whether everything that `other` opens is in it: each entry of `other` lies in one of its own.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        let covers = match self.kind {
            GrantKind::File => path::contains,
            GrantKind::Http => host::covers,
            _ => name::covers,
        };
        let covered = |inner: &str| self.entries.iter().any(|entry| covers(entry, inner));
        self.kind == other.kind && other.entries.iter().all(|entry| covered(entry))
    }
}

impl TryFrom<Allegation> for Scope {
    type Error = ScopeError;

    fn try_from(said: Allegation) -> Result<Self, ScopeError> {
        Self::parse(said.kind, &said.entries)
    }
}

/// The entry in its one spelling.
fn check(kind: GrantKind, entry: &str) -> Result<Cow<'_, str>, EntryFault> {
    let limit = match kind {
        GrantKind::File => PATH_BYTES_MAX,
        GrantKind::Http => HOST_BYTES_MAX,
        _ => NAME_BYTES_MAX,
    };
    match (entry.len(), kind) {
        (0, _) => Err(EntryFault::Empty),
        (length, _) if length > limit => Err(EntryFault::TooLong(limit)),
        (_, GrantKind::File) => path::check(entry),
        (_, GrantKind::Http) => host::check(entry),
        _ => name::check(entry),
    }
}

fn shown(entry: &str) -> Box<str> {
    entry.chars().take(SHOWN_CHARS_MAX).collect::<String>().into()
}
