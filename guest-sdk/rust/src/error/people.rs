//! Why people were not asked, and why there is no answer.

use super::Denial;
use crate::bindings::remit::kernel::human;
use std::{error::Error, fmt};

/// Why people were not asked or told.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AskError {
    /// The process has no right to ask them this.
    Denied(Denial),
    /// They are shown no more than so much at a time.
    TooLarge {
        /// In bytes.
        limit: u64,
    },
    /// The process, or its tenant, has as many questions open as it may.
    TooMany {
        /// How many.
        limit: u64,
    },
    /// A text, a choice, an action or a time that is none, or an account that cannot pay; says which.
    Invalid(String),
}

impl fmt::Display for AskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied(denial) => denial.fmt(f),
            Self::TooLarge { limit } => write!(
                f,
                "people are shown {limit} bytes at most at a time: say less, and hand over the rest as an artifact"
            ),
            Self::TooMany { limit } => {
                write!(f, "{limit} questions are the most that may be open here: wait for answers, or drop some")
            }
            Self::Invalid(why) => write!(f, "people cannot be asked as it is: {why}"),
        }
    }
}

impl Error for AskError {}

impl From<human::AskError> for AskError {
    fn from(error: human::AskError) -> Self {
        match error {
            human::AskError::Denied(denial) => Self::Denied(denial.into()),
            human::AskError::TooLarge(limit) => Self::TooLarge { limit },
            human::AskError::TooMany(limit) => Self::TooMany { limit },
            human::AskError::Invalid(why) => Self::Invalid(why),
        }
    }
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AnswerError {
    /// It was not asked at all.
    NotAsked(AskError),
    /// Nobody answered in its time.
    Expired,
    /// The right to ask was taken back before anybody answered.
    Withdrawn,
    /// The answer was taken already.
    Taken,
    /// The process holds too many values to take the answer.
    NoRoom,
}

impl fmt::Display for AnswerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAsked(error) => return error.fmt(f),
            Self::Expired => "the question was not answered in time: ask again, or give it more time",
            Self::Withdrawn => "the question was withdrawn: the right to ask was taken back before anybody answered",
            Self::Taken => "the answer was taken already: keep what it said",
            Self::NoRoom => "this process holds too much to take the answer: drop some values",
        })
    }
}

impl Error for AnswerError {}

impl From<AskError> for AnswerError {
    fn from(error: AskError) -> Self {
        Self::NotAsked(error)
    }
}

impl From<human::AnswerError> for AnswerError {
    fn from(error: human::AnswerError) -> Self {
        match error {
            human::AnswerError::Expired => Self::Expired,
            human::AnswerError::Withdrawn => Self::Withdrawn,
            human::AnswerError::Taken => Self::Taken,
            human::AnswerError::NoRoom => Self::NoRoom,
        }
    }
}
