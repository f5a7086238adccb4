//! What the process can spend. Its model's tokens and its own instructions are paid from the same account.

use crate::bindings::remit::kernel::budget;
use std::fmt;

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

    /// The difference, at least nothing.
    #[must_use]
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
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
    Tokens(budget::own_account().get_remaining())
}
