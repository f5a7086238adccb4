//! What the process can spend. Its model's tokens and its own instructions are paid from the same account.
//!
//! A part can be split off, to fund a child or to set aside:
//!
//! ```no_run
//! use remit::{Tokens, budget};
//!
//! # fn example() -> Result<(), remit::Failure> {
//! let reserve = budget::own().split(Tokens::from_whole(20))?;
//! // … work that may use up the rest …
//! reserve.merge()?;
//! # Ok(()) }
//! ```

use crate::{BudgetError, bindings::remit::kernel::budget};
use std::{fmt, ops::Div};

/// An amount of the one currency, counted in micro-tokens. One token is the price of one output token of the operator's
/// reference model.
///
/// It prints as a decimal fraction:
///
/// ```
/// use remit::Tokens;
///
/// assert_eq!(Tokens::from_micro(12_500_000).to_string(), "12.5");
/// assert!(Tokens::from_whole(12) < Tokens::from_micro(12_500_000));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct Tokens(u64);

impl Tokens {
    const MICRO: u64 = 1_000_000;

    /// An amount of micro-tokens.
    #[must_use]
    pub const fn from_micro(micro: u64) -> Self {
        Self(micro)
    }

    /// An amount of whole tokens, at most about 1.8 × 10¹³.
    #[must_use]
    pub const fn from_whole(whole: u64) -> Self {
        Self(whole.saturating_mul(Self::MICRO))
    }

    /// In micro-tokens.
    #[must_use]
    pub const fn micro(self) -> u64 {
        self.0
    }

    /// In whole tokens, rounded down.
    #[must_use]
    pub const fn whole(self) -> u64 {
        self.0 / Self::MICRO
    }

    /// The sum, at most the largest amount.
    #[must_use]
    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// The difference, at least nothing.
    #[must_use]
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl Div<u64> for Tokens {
    type Output = Self;

    /// One of so many equal parts, rounded down.
    fn div(self, parts: u64) -> Self {
        Self(self.0 / parts)
    }
}

impl fmt::Display for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, micro) = (self.0 / Self::MICRO, self.0 % Self::MICRO);
        if micro == 0 {
            return f.pad(&whole.to_string());
        }
        f.pad(format!("{whole}.{micro:06}").trim_end_matches('0'))
    }
}

/// What can be spent now; what work under way has reserved is not in it.
///
/// ```no_run
/// use remit::{Tokens, budget};
///
/// if budget::remaining() < Tokens::from_whole(50) {
///     remit::warn!("only {} tokens are left", budget::remaining());
/// }
/// ```
#[must_use]
pub fn remaining() -> Tokens {
    own().remaining()
}

/// The account of this process.
#[must_use]
pub fn own() -> Account {
    Account(budget::own_account())
}

/// An account. A part that was split off is given back when it is dropped.
#[derive(Debug)]
pub struct Account(budget::Account);

impl Account {
    pub(crate) fn into_raw(self) -> budget::Account {
        self.0
    }

    /// What can be spent now.
    #[must_use]
    pub fn remaining(&self) -> Tokens {
        Tokens(self.0.get_remaining())
    }

    /// Splits a part off.
    ///
    /// # Errors
    /// [`BudgetError`], for example where it holds too little.
    pub fn split(&self, amount: Tokens) -> Result<Self, BudgetError> {
        Ok(Self(self.0.split(amount.0)?))
    }

    /// Gives a part back to where it was split from; how much it held.
    ///
    /// # Errors
    /// [`BudgetError::Own`] where it is no part.
    pub fn merge(self) -> Result<Tokens, BudgetError> {
        Ok(Tokens(budget::Account::merge(self.0)?))
    }

    /// Moves tokens to another account of this process.
    ///
    /// # Errors
    /// [`BudgetError`], for example where it holds too little.
    pub fn transfer(&self, to: &Self, amount: Tokens) -> Result<(), BudgetError> {
        Ok(self.0.transfer(&to.0, amount.0)?)
    }

    /// Signals [`BudgetLow`](crate::process::Signal::BudgetLow) when the balance falls below this; nothing never does.
    pub fn set_soft_limit(&self, threshold: Tokens) {
        self.0.set_soft_limit(threshold.0);
    }
}
