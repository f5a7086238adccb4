//! Why no child was started or reported on, and why no alarm was set.

use super::Denial;
use crate::bindings::remit::kernel::{alarm, children};
use std::{error::Error, fmt};

/// Why no child was started.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpawnError {
    /// The process has no right to this.
    Denied(Denial),
    /// The process, or its tenant, has as many as it may, or it is as many generations down as it may be.
    TooMany {
        /// How many.
        limit: u64,
    },
    /// A name, a conversation or a grant that cannot be passed on; says which.
    Invalid(String),
    /// The agent is not installed, asks for more than it is given, or may not run now; says why.
    Unavailable(String),
}

impl fmt::Display for SpawnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied(denial) => denial.fmt(f),
            Self::TooMany { limit } => write!(
                f,
                "there are {limit} processes here already, which is the most: end some, or do the work in this one"
            ),
            Self::Invalid(why) => write!(f, "the child cannot be started as asked: {why}"),
            Self::Unavailable(why) => write!(f, "the agent cannot be started: {why}"),
        }
    }
}

impl Error for SpawnError {}

impl From<children::SpawnError> for SpawnError {
    fn from(error: children::SpawnError) -> Self {
        match error {
            children::SpawnError::Denied(denial) => Self::Denied(denial.into()),
            children::SpawnError::TooMany(limit) => Self::TooMany { limit },
            children::SpawnError::Invalid(why) => Self::Invalid(why),
            children::SpawnError::Unavailable(why) => Self::Unavailable(why),
        }
    }
}

/// Why there is no report of a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WaitError {
    /// It was taken already.
    Taken,
    /// The child waits for this process, directly or through others.
    Deadlock,
    /// The process holds too many values to take the output.
    NoRoom,
}

impl fmt::Display for WaitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Taken => "the child's report was taken already: keep what it said",
            Self::Deadlock => "the child waits for this process, so that neither would ever go on: answer it first",
            Self::NoRoom => "this process holds too much to take the child's output: drop some values",
        })
    }
}

impl Error for WaitError {}

impl From<children::WaitError> for WaitError {
    fn from(error: children::WaitError) -> Self {
        match error {
            children::WaitError::Taken => Self::Taken,
            children::WaitError::Deadlock => Self::Deadlock,
            children::WaitError::NoRoom => Self::NoRoom,
        }
    }
}

/// Why no alarm was set.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AlarmError {
    /// The process has as many as it may.
    TooMany {
        /// How many.
        limit: u64,
    },
    /// A label that is none; says why.
    Invalid(String),
}

impl fmt::Display for AlarmError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMany { limit } => write!(f, "this process may have {limit} alarms: cancel one"),
            Self::Invalid(why) => write!(f, "the alarm's label is invalid: {why}"),
        }
    }
}

impl Error for AlarmError {}

impl From<alarm::AlarmError> for AlarmError {
    fn from(error: alarm::AlarmError) -> Self {
        match error {
            alarm::AlarmError::TooMany(limit) => Self::TooMany { limit },
            alarm::AlarmError::Invalid(why) => Self::Invalid(why),
        }
    }
}
