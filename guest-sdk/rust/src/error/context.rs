//! Why a context did not do something.

use super::{Denial, LlmError, Shortfall};
use crate::bindings::remit::kernel::context;
use std::{error::Error, fmt};

/// Why a context did not do something.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ContextError {
    /// The process has no right to the model or to the store.
    Denied(Denial),
    /// The account cannot pay.
    Shortfall(Shortfall),
    /// There is no such segment.
    NoSuchSegment {
        /// How many there are.
        count: u64,
    },
    /// Only pins and blocks are in the way of the newest turn.
    Pinned {
        /// So many tokens too many.
        excess: u64,
        /// What the blocks have, in tokens.
        blocks: u64,
        /// The longest pinned segments, as few as are enough.
        unpin: Vec<u64>,
    },
    /// The options, or the blocks, leave no room for any turn; says how.
    NoRoom(String),
    /// Something that cannot be done as it is asked for; says what.
    Invalid(String),
    /// Nothing was said yet.
    Empty,
    /// Contexts and values of the process together would hold too much.
    TooLarge {
        /// In bytes.
        limit: u64,
    },
    /// The process has as many contexts, or values, as it may.
    TooMany {
        /// How many.
        limit: u64,
    },
    /// The model cannot serve this now; why. What was appended stays.
    Unavailable(String),
}

impl fmt::Display for ContextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied(denial) => denial.fmt(f),
            Self::Shortfall(shortfall) => shortfall.fmt(f),
            Self::NoSuchSegment { count } => write!(f, "the context has no such segment: it has {count}, from 0 on"),
            Self::Pinned { excess, blocks, unpin } => {
                let unpin: Vec<_> = unpin.iter().map(u64::to_string).collect();
                let unpin = unpin.join(", ");
                write!(
                    f,
                    "pinned segments and blocks ({blocks} tokens) leave the newest turn {excess} tokens too few: unpin {unpin}"
                )
            }
            Self::NoRoom(why) => write!(f, "the window has no room for this turn: {why}"),
            Self::Invalid(why) => write!(f, "the context cannot do this: {why}"),
            Self::Empty => f.write_str("there is nothing to answer: append something first"),
            Self::TooLarge { limit } => {
                write!(f, "contexts and values of this process may hold {limit} bytes at most: drop some")
            }
            Self::TooMany { limit } => write!(f, "this process may have {limit} of these at once: drop one"),
            Self::Unavailable(why) => write!(f, "the model is not available: {why}"),
        }
    }
}

impl Error for ContextError {}

impl From<Denial> for ContextError {
    fn from(denial: Denial) -> Self {
        Self::Denied(denial)
    }
}

impl From<LlmError> for ContextError {
    fn from(error: LlmError) -> Self {
        match error {
            LlmError::Denied(denial) => Self::Denied(denial),
            LlmError::Shortfall(shortfall) => Self::Shortfall(shortfall),
            LlmError::EmptyPrompt => Self::Empty,
            LlmError::TooMany { limit } => Self::TooMany { limit },
            LlmError::Unavailable(why) => Self::Unavailable(why),
            LlmError::Invalid(why) => Self::Invalid(why),
            LlmError::TooLong { .. } | LlmError::NotSupported { .. } => Self::Invalid(error.to_string()),
        }
    }
}

impl From<context::ContextError> for ContextError {
    fn from(error: context::ContextError) -> Self {
        match error {
            context::ContextError::Denied(denial) => Self::Denied(denial.into()),
            context::ContextError::Shortfall(shortfall) => Self::Shortfall(shortfall.into()),
            context::ContextError::NoSuchSegment(count) => Self::NoSuchSegment { count },
            context::ContextError::Pinned(context::PinnedDown { excess, blocks, unpin }) => {
                Self::Pinned { excess, blocks, unpin }
            }
            context::ContextError::NoRoom(why) => Self::NoRoom(why),
            context::ContextError::Invalid(why) => Self::Invalid(why),
            context::ContextError::Empty => Self::Empty,
            context::ContextError::TooLarge(limit) => Self::TooLarge { limit },
            context::ContextError::TooMany(limit) => Self::TooMany { limit },
            context::ContextError::Unavailable(why) => Self::Unavailable(why),
        }
    }
}
