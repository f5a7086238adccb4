//! Why no grant was derived, and why no tokens were moved.

use super::{Denial, Shortfall};
use crate::bindings::remit::kernel::{budget, capability};
use std::{error::Error, fmt};

/// Why no grant was derived.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AttenuationError {
    /// It opens nothing any more.
    Denied(Denial),
    /// It would go further than the grant that it is derived from; says in what.
    Widens(String),
    /// A name or a scope that is none; says which.
    Invalid(String),
    /// The process holds as many as it may, or the grant is derived as often as it may be.
    TooMany {
        /// How many.
        limit: u64,
    },
}

impl fmt::Display for AttenuationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied(denial) => denial.fmt(f),
            Self::Widens(what) => write!(
                f,
                "a derived grant can only shrink, and this one would widen {what}: ask for no more than its parent has"
            ),
            Self::Invalid(why) => write!(f, "the grant cannot be derived as asked: {why}"),
            Self::TooMany { limit } => {
                write!(f, "{limit} is the most here: discard some grants, or derive them from an earlier one")
            }
        }
    }
}

impl Error for AttenuationError {}

impl From<capability::AttenuationError> for AttenuationError {
    fn from(error: capability::AttenuationError) -> Self {
        match error {
            capability::AttenuationError::Denied(denial) => Self::Denied(denial.into()),
            capability::AttenuationError::Widens(what) => Self::Widens(what),
            capability::AttenuationError::Invalid(why) => Self::Invalid(why),
            capability::AttenuationError::TooMany(limit) => Self::TooMany { limit },
        }
    }
}

/// Why tokens were not moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BudgetError {
    /// The account holds too little.
    Shortfall(Shortfall),
    /// Nothing is no amount.
    Nothing,
    /// The account has as many parts as it may, or is a part of a part as often as it may be.
    TooMany {
        /// How many.
        limit: u64,
    },
    /// The process's own account cannot be given back.
    Own,
}

impl fmt::Display for BudgetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shortfall(shortfall) => shortfall.fmt(f),
            Self::Nothing => {
                f.write_str("an amount of nothing cannot be split off or moved: name at least one micro-token")
            }
            Self::TooMany { limit } => {
                write!(f, "an account may have {limit} parts, and parts of parts, at most: merge some")
            }
            Self::Own => {
                f.write_str("the process's own account cannot be given back before the process ends: give back a part")
            }
        }
    }
}

impl Error for BudgetError {}

impl From<budget::BudgetError> for BudgetError {
    fn from(error: budget::BudgetError) -> Self {
        match error {
            budget::BudgetError::Shortfall(shortfall) => Self::Shortfall(shortfall.into()),
            budget::BudgetError::Nothing => Self::Nothing,
            budget::BudgetError::TooMany(limit) => Self::TooMany { limit },
            budget::BudgetError::Own => Self::Own,
        }
    }
}
