//! Why a memory did not do something.

use super::{Denial, Shortfall};
use crate::bindings::remit::kernel::memory;
use std::{error::Error, fmt};

/// Why a memory did not do something.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MemoryError {
    /// The process has no right to it.
    Denied(Denial),
    /// In the grant's stores there is no such entry.
    NoSuchEntry,
    /// No such version is kept.
    NoSuchVersion(u32),
    /// Another version is the newest than the one that was expected.
    Conflict {
        /// Which.
        newest: u32,
    },
    /// The content is too long.
    TooLarge {
        /// In bytes.
        limit: u64,
    },
    /// Something that cannot be done as it is asked for; says what.
    Invalid(String),
    /// The account cannot pay.
    Shortfall(Shortfall),
    /// The process holds too many values to take what was found.
    NoRoom,
    /// The memory cannot be used now; why.
    Unavailable(String),
}

impl fmt::Display for MemoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied(denial) => denial.fmt(f),
            Self::NoSuchEntry => f.write_str(
                "there is no such entry here: it is in another store, is forgotten, has expired, or never was",
            ),
            Self::NoSuchVersion(version) => write!(f, "no version {version} of the entry is kept"),
            Self::Conflict { newest } => {
                write!(
                    f,
                    "the entry's newest version is {newest}, not the one that was expected: read it, and write again"
                )
            }
            Self::TooLarge { limit } => {
                write!(f, "an entry holds {limit} bytes at most: write several, each with a part")
            }
            Self::Invalid(why) => write!(f, "the memory cannot do this as it is: {why}"),
            Self::Shortfall(shortfall) => shortfall.fmt(f),
            Self::NoRoom => {
                f.write_str("this process holds too much to take what was found: drop some values, or ask for fewer")
            }
            Self::Unavailable(why) => write!(f, "the memory cannot be used now: {why}"),
        }
    }
}

impl Error for MemoryError {}

impl From<Denial> for MemoryError {
    fn from(denial: Denial) -> Self {
        Self::Denied(denial)
    }
}

impl From<memory::MemoryError> for MemoryError {
    fn from(error: memory::MemoryError) -> Self {
        match error {
            memory::MemoryError::Denied(denial) => Self::Denied(denial.into()),
            memory::MemoryError::NoSuchEntry => Self::NoSuchEntry,
            memory::MemoryError::NoSuchVersion(version) => Self::NoSuchVersion(version),
            memory::MemoryError::Conflict(newest) => Self::Conflict { newest },
            memory::MemoryError::TooLarge(limit) => Self::TooLarge { limit },
            memory::MemoryError::Invalid(why) => Self::Invalid(why),
            memory::MemoryError::Shortfall(shortfall) => Self::Shortfall(shortfall.into()),
            memory::MemoryError::NoRoom => Self::NoRoom,
            memory::MemoryError::Unavailable(why) => Self::Unavailable(why),
        }
    }
}
