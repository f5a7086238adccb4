//! What the kernel answers when it does not do what was asked: closed enums, one sentence each.
//!
//! All of them are [`std::error::Error`]s, so that `?` turns each into a [`Failure`](crate::Failure).

mod context;
mod files;
mod grants;
mod memory;
mod messages;
mod people;
mod processes;
mod tools;

pub use context::ContextError;
pub use files::FileError;
pub use grants::{AttenuationError, BudgetError};
pub use memory::MemoryError;
pub use messages::{CallError, ReceiveError, SendError};
pub use people::{AnswerError, AskError};
pub use processes::{AlarmError, SpawnError, WaitError};
pub use tools::{ResultError, ToolError};

use crate::{
    Media, Tokens,
    bindings::remit::kernel::{checkpoint, llm, task, types, value},
};
use std::{error::Error, fmt, time::Duration};

/// A missing right. It never tells whether the thing behind it exists.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Denial {
    /// No grant with this label was given.
    NotGranted(String),
    /// The grant, or one that it derives from, was taken back.
    Revoked(String),
    /// Its time is over.
    Expired(String),
    /// It was used as often as it may be.
    Exhausted(String),
    /// It is used faster than it may be.
    TooFast {
        /// Which.
        grant: String,
        /// When it can be used again.
        retry_after: Duration,
    },
    /// One call asks for more tokens than it allows.
    Exceeded(String),
    /// It opens other things than this.
    OutOfScope(String),
    /// Data of this label may not flow into what it opens.
    Tainted(String),
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotGranted(label) => {
                write!(f, "no grant {label}: ask for it in the manifest's [wants] and run with --grant {label}")
            }
            Self::Revoked(label) => write!(f, "the grant {label} was revoked: ask its owner for a new one"),
            Self::Expired(label) => write!(f, "the grant {label} has expired: ask its owner for a new one"),
            Self::Exhausted(label) => write!(f, "the grant {label} is used up: ask its owner for more uses"),
            Self::TooFast { grant, retry_after } => {
                let pause_ms = retry_after.as_millis();
                write!(f, "the grant {grant} is used too fast: wait {pause_ms} ms, or ask for a higher rate")
            }
            Self::Exceeded(label) => {
                write!(f, "the grant {label} does not go that far: lower max_tokens or ask for a wider grant")
            }
            Self::OutOfScope(label) => {
                write!(f, "the grant {label} does not open that: ask for a grant whose scope has it")
            }
            Self::Tainted(label) => write!(
                f,
                "the grant {label} takes no data of this label: leave out what is untrusted or secret, or ask for a \
                 higher ceiling"
            ),
        }
    }
}

impl Error for Denial {}

impl From<types::Denial> for Denial {
    fn from(denial: types::Denial) -> Self {
        match denial {
            types::Denial::NotGranted(label) => Self::NotGranted(label),
            types::Denial::Revoked(label) => Self::Revoked(label),
            types::Denial::Expired(label) => Self::Expired(label),
            types::Denial::Exhausted(label) => Self::Exhausted(label),
            types::Denial::TooFast(types::Pace { grant, retry_after_ms }) => {
                Self::TooFast { grant, retry_after: Duration::from_millis(retry_after_ms) }
            }
            types::Denial::Exceeded(label) => Self::Exceeded(label),
            types::Denial::OutOfScope(label) => Self::OutOfScope(label),
            types::Denial::Tainted(label) => Self::Tainted(label),
        }
    }
}

/// An account that cannot pay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shortfall {
    /// What the work costs at least.
    pub needed: Tokens,
    /// What can be spent.
    pub remaining: Tokens,
}

impl fmt::Display for Shortfall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { needed, remaining } = self;
        write!(
            f,
            "the budget is too small: {needed} tokens are needed and {remaining} are left; run with a larger --budget"
        )
    }
}

impl Error for Shortfall {}

impl From<types::Shortfall> for Shortfall {
    fn from(shortfall: types::Shortfall) -> Self {
        Self { needed: Tokens::from_micro(shortfall.needed), remaining: Tokens::from_micro(shortfall.remaining) }
    }
}

/// Why a value cannot be made or read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ValueError {
    /// One value, or all of the process together, would be larger than the limit.
    TooLarge {
        /// In bytes.
        limit: u64,
    },
    /// The process holds as many as it may.
    TooMany {
        /// How many.
        limit: u64,
    },
    /// A read beyond the end.
    OutOfRange {
        /// The value's size in bytes.
        size: u64,
    },
    /// It was read as text, and it is not UTF-8.
    NotText {
        /// Where the first byte stands that is not.
        offset: u64,
    },
    /// It was read as log-probabilities, and it holds something else.
    NotLogprobs {
        /// Where the first entry begins that is none.
        offset: u64,
    },
    /// It was read as calls of tools, and it holds something else.
    NotCalls {
        /// Where the first entry begins that is none.
        offset: u64,
    },
}

impl fmt::Display for ValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { limit } => write!(
                f,
                "values of this process may hold {limit} bytes at most here: drop some, or send less at a time"
            ),
            Self::TooMany { limit } => write!(f, "this process may hold {limit} values at most: drop some"),
            Self::OutOfRange { size } => {
                write!(f, "the read begins behind the value's end: its size is {size} bytes")
            }
            Self::NotText { offset } => {
                write!(f, "the input is not UTF-8 text (byte {offset} is the first that is not): convert it first")
            }
            Self::NotLogprobs { offset } => {
                write!(
                    f,
                    "the value holds no log-probabilities (byte {offset} begins something else): read it as bytes"
                )
            }
            Self::NotCalls { offset } => {
                write!(f, "the value holds no calls of tools (byte {offset} begins something else): read it as bytes")
            }
        }
    }
}

impl Error for ValueError {}

impl From<value::ValueError> for ValueError {
    fn from(error: value::ValueError) -> Self {
        match error {
            value::ValueError::TooLarge(limit) => Self::TooLarge { limit },
            value::ValueError::TooMany(limit) => Self::TooMany { limit },
            value::ValueError::OutOfRange(size) => Self::OutOfRange { size },
        }
    }
}

/// Why there is no generation.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LlmError {
    /// The process has no right to this.
    Denied(Denial),
    /// The account cannot pay the prompt and one token.
    Shortfall(Shortfall),
    /// The prompt does not fit the model's context.
    TooLong {
        /// Of the prompt as the model sees it.
        tokens: u32,
        /// Of the model's context.
        capacity: u32,
    },
    /// Nothing to answer.
    EmptyPrompt,
    /// A parameter out of its range, a value that is not UTF-8, or a part of another media type than it says; says which.
    Invalid(String),
    /// The model takes no parts of this kind.
    NotSupported {
        /// Its name.
        model: String,
        /// The first such part of the prompt.
        part: Media,
    },
    /// The process has as many generations open as it may.
    TooMany {
        /// How many.
        limit: u64,
    },
    /// The engine cannot serve this now; says why.
    Unavailable(String),
}

impl fmt::Display for LlmError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied(denial) => denial.fmt(f),
            Self::Shortfall(shortfall) => shortfall.fmt(f),
            Self::TooLong { tokens, capacity } => {
                write!(f, "the prompt has {tokens} tokens and the model's context holds {capacity}: shorten it")
            }
            Self::EmptyPrompt => f.write_str("the prompt is empty: give at least one message with text in it"),
            Self::Invalid(why) => write!(f, "the request is invalid: {why}"),
            Self::NotSupported { model, part } => {
                let part = match part {
                    Media::Image => "image",
                    Media::Audio => "audio",
                };
                write!(f, "the model {model} takes no {part} parts: send text alone, or open a model that takes them")
            }
            Self::TooMany { limit } => {
                write!(f, "this process may have {limit} generations open at once: finish or drop one")
            }
            Self::Unavailable(why) => write!(f, "the model is not available: {why}"),
        }
    }
}

impl Error for LlmError {}

impl From<Denial> for LlmError {
    fn from(denial: Denial) -> Self {
        Self::Denied(denial)
    }
}

impl From<llm::LlmError> for LlmError {
    fn from(error: llm::LlmError) -> Self {
        match error {
            llm::LlmError::Denied(denial) => Self::Denied(denial.into()),
            llm::LlmError::Shortfall(shortfall) => Self::Shortfall(shortfall.into()),
            llm::LlmError::TooLong(llm::Overflow { tokens, capacity }) => Self::TooLong { tokens, capacity },
            llm::LlmError::EmptyPrompt => Self::EmptyPrompt,
            llm::LlmError::Invalid(why) => Self::Invalid(why),
            llm::LlmError::NotSupported(llm::Unsupported { model, part }) => Self::NotSupported { model, part },
            llm::LlmError::TooMany(limit) => Self::TooMany { limit },
            llm::LlmError::Unavailable(why) => Self::Unavailable(why),
        }
    }
}

/// Why an event was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EmitError {
    /// Whoever listened has gone.
    Closed,
    /// One event is larger than the limit.
    TooLarge {
        /// In bytes.
        limit: u64,
    },
}

impl fmt::Display for EmitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("nobody listens to this task any more: stop"),
            Self::TooLarge { limit } => write!(f, "an event may carry {limit} bytes at most: send it in parts"),
        }
    }
}

impl Error for EmitError {}

impl From<task::EmitError> for EmitError {
    fn from(error: task::EmitError) -> Self {
        match error {
            task::EmitError::Closed => Self::Closed,
            task::EmitError::TooLarge(limit) => Self::TooLarge { limit },
        }
    }
}

/// Why a state was not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The state is larger than the limit.
    TooLarge {
        /// In bytes.
        limit: u64,
    },
    /// The journal did not take it; says why.
    NotKept(String),
    /// The state's type cannot be put into bytes; says why.
    NotEncoded(String),
}

impl fmt::Display for CheckpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { limit } => write!(f, "a checkpoint may hold {limit} bytes at most: keep less in it"),
            Self::NotKept(why) => write!(f, "the checkpoint was not kept: {why}"),
            Self::NotEncoded(why) => write!(f, "the state cannot be encoded: {why}; give its type a plain serde form"),
        }
    }
}

impl Error for CheckpointError {}

impl From<checkpoint::CheckpointError> for CheckpointError {
    fn from(error: checkpoint::CheckpointError) -> Self {
        match error {
            checkpoint::CheckpointError::TooLarge(limit) => Self::TooLarge { limit },
            checkpoint::CheckpointError::NotKept(why) => Self::NotKept(why),
        }
    }
}
