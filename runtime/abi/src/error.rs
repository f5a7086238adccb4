//! What goes wrong: errors for the guest, faults that end it.
//!
//! A guest's mistake is a typed error that goes back to the guest. A broken protocol or an exhausted hard limit is a
//! [`Fault`]: it ends the process and names the [`Party`] that is to blame. Each text is one sentence that says what
//! failed, why, and what to do.

use crate::{Media, Tokens};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A missing right. It names the grant by its holder's label, and never tells whether the thing behind it exists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Error)]
pub enum Denial {
    /// No grant of that kind or label was given.
    #[error("no grant {0}: ask for it in the manifest's [wants] and run with --grant {0}")]
    NotGranted(Box<str>),
    /// The grant, or one that it derives from, was taken back.
    #[error("the grant {0} was revoked: ask its owner for a new one")]
    Revoked(Box<str>),
    /// The moment until which it was given has come.
    #[error("the grant {0} has expired: ask its owner for a new one")]
    Expired(Box<str>),
    /// It, or one that it derives from, was used as often as it may be.
    #[error("the grant {0} is used up: ask its owner for a new one, or for more uses")]
    Exhausted(Box<str>),
    /// It, or one that it derives from, is used faster than it may be.
    #[error("the grant {grant} is used too fast: wait {retry_after_ms} ms and try again")]
    TooFast {
        /// Its label.
        grant: Box<str>,
        /// In milliseconds from now, rounded up. Others who share the limit may be quicker.
        retry_after_ms: u64,
    },
    /// One call asks for more tokens than the grant allows.
    #[error("the grant {0} does not go that far: lower max-tokens or ask for a wider grant")]
    Exceeded(Box<str>),
    /// The thing is not in the grant's scope, or what is to be done with it is more than the grant's access.
    #[error("the grant {grant} does not open this: stay within its scope and access, or ask for a wider grant")]
    OutOfScope {
        /// Its label.
        grant: Box<str>,
    },
    /// What would flow in is above the grant's ceiling.
    #[error("the grant {grant} does not take data of this label: send less tainted data, or ask for a higher ceiling")]
    Tainted {
        /// Its label.
        grant: Box<str>,
    },
}

/// An account that cannot pay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Error)]
#[error("the budget is too small: {needed} tokens are needed and {remaining} are left; run with a larger --budget")]
pub struct Shortfall {
    /// What the work costs at least.
    pub needed: Tokens,
    /// What can be spent.
    pub remaining: Tokens,
}

/// Errors of `value`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Error)]
pub enum ValueError {
    /// One value, or all of a process together, would be larger than the limit.
    #[error("values of this process may hold {limit} bytes at most here: drop some, or send less at a time")]
    TooLarge {
        /// In bytes.
        limit: u64,
    },
    /// The process holds as many as it may.
    #[error("this process may hold {limit} values at most: drop some")]
    TooMany {
        /// How many.
        limit: u64,
    },
    /// A read beyond the end.
    #[error("the read begins behind the value's end: its size is {size} bytes")]
    OutOfRange {
        /// In bytes.
        size: u64,
    },
    /// An id that names nothing (any more).
    #[error("no such value: it was dropped, or never was")]
    Dead,
}

/// Errors of `capability`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Error)]
pub enum CapabilityError {
    /// Nothing under that label, or nothing that opens any more.
    #[error(transparent)]
    Denied(#[from] Denial),
    /// It would go further than the grant that it is derived from.
    #[error("a derived grant can only shrink, and this one would widen {0}: ask for no more than its parent has")]
    Widens(Box<str>),
    /// A name or a scope that is none.
    #[error("the grant cannot be derived as asked: {0}")]
    Invalid(Box<str>),
    /// The process holds as many as it may, or the chain is as long as it may be.
    #[error("{limit} is the most here: discard some grants, or derive them from an earlier one")]
    TooMany {
        /// How many.
        limit: u64,
    },
}

/// Errors of `budget`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Error)]
pub enum BudgetError {
    /// An id that names nothing (any more).
    #[error("no such account: it was closed, or never was")]
    Dead,
    /// It holds too little.
    #[error(transparent)]
    Shortfall(#[from] Shortfall),
    /// Nothing is no amount.
    #[error("an amount of nothing cannot be split off or moved: name at least one micro-token")]
    Nothing,
    /// It has as many parts as it may, or is split as deeply as it may be.
    #[error("an account may have {limit} parts, and parts of parts, at most: merge some")]
    TooMany {
        /// How many.
        limit: u64,
    },
    /// The process's own account.
    #[error("the process's own account cannot be given back before the process ends")]
    Own,
}

/// Errors of `llm`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Error)]
pub enum LlmError {
    /// The process has no right to this.
    #[error(transparent)]
    Denied(#[from] Denial),
    /// The account cannot pay the prompt and one token.
    #[error(transparent)]
    Shortfall(#[from] Shortfall),
    /// The prompt does not fit the model's context.
    #[error("the prompt has {tokens} tokens and the model's context holds {capacity}: shorten it")]
    TooLong {
        /// Of the prompt as the model sees it.
        tokens: u32,
        /// Of the model.
        capacity: u32,
    },
    /// Nothing to answer.
    #[error("the prompt is empty: give at least one message with text in it")]
    EmptyPrompt,
    /// A parameter out of its range, a value that is not UTF-8 text, or a part of another media type than it says.
    #[error("the request is invalid: {0}")]
    Invalid(Box<str>),
    /// The model takes no parts of this kind.
    #[error("the model {model} takes no {part} parts: send text alone, or open a model that takes them")]
    NotSupported {
        /// The registry's name.
        model: Box<str>,
        /// The first such part of the prompt.
        part: Media,
    },
    /// A handle that names nothing (any more).
    #[error("no such model, generation or value: it was dropped, or never was")]
    Dead,
    /// The process has as many generations open as it may.
    #[error("this process may have {limit} generations open at once: finish or drop one")]
    TooMany {
        /// How many.
        limit: u64,
    },
    /// The engine cannot serve this now.
    #[error("the model is not available: {0}")]
    Unavailable(Box<str>),
}

/// Errors of `task.emit`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Error)]
pub enum EmitError {
    /// Whoever listened has gone.
    #[error("nobody listens to this task any more: stop")]
    Closed,
    /// One event is larger than the limit.
    #[error("an event may carry {limit} bytes at most: send it in parts")]
    TooLarge {
        /// In bytes.
        limit: u64,
    },
    /// A value's id that names nothing (any more).
    #[error("no such value: it was dropped, or never was")]
    Dead,
}

/// Errors of `checkpoint.commit`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Error)]
pub enum CheckpointError {
    /// The state is larger than the limit.
    #[error("a checkpoint may hold {limit} bytes at most: keep less in it")]
    TooLarge {
        /// In bytes.
        limit: u64,
    },
    /// The journal did not take it.
    #[error("the checkpoint was not kept: {0}")]
    NotKept(Box<str>),
}

/// Who is to blame for a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Party {
    /// The agent.
    Guest,
    /// The runtime, or the machine it runs on.
    Host,
    /// Whoever decided to end the process.
    Operator,
}

/// Why a process was ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Error)]
pub enum Fault {
    /// The account could not pay the next slice of fuel.
    #[error(
        "stopped, the budget is used up: {} tokens are needed to go on and {} are left; run with a larger --budget",
        .0.needed, .0.remaining
    )]
    BudgetExhausted(Shortfall),
    /// The guest trapped: a panic, a failed bounds check, an unreachable instruction.
    #[error("the agent crashed: {0}")]
    Trap(Box<str>),
    /// The guest broke the interface's protocol.
    #[error("the agent broke the protocol: {0}")]
    Protocol(Box<str>),
    /// The guest went over a hard limit.
    #[error("the agent went over a limit: {0}")]
    Limit(Box<str>),
    /// Somebody killed it.
    #[error("the process was killed")]
    Killed,
    /// The pid names no live process.
    #[error("the process is dead: its id is stale")]
    Dead,
    /// The runtime's own mistake, or the machine's.
    #[error("the host failed: {0}")]
    Host(Box<str>),
    /// Told again what it was told before, it did something else: it cannot go on where it was.
    #[error("the agent did not do the same again: {0}")]
    Diverged(Box<str>),
}

impl Fault {
    /// Who is to blame.
    #[must_use]
    pub const fn party(&self) -> Party {
        match self {
            Self::BudgetExhausted(_) | Self::Trap(_) | Self::Protocol(_) | Self::Limit(_) => Party::Guest,
            Self::Killed | Self::Dead => Party::Operator,
            Self::Host(_) | Self::Diverged(_) => Party::Host,
        }
    }
}
