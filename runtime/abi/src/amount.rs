//! What work is measured in and paid with.

use serde::{Deserialize, Serialize};
use std::{fmt, iter::Sum};

/// An amount of money in the system's one currency, counted in micro-tokens.
///
/// One token is the price of one output token of the price list's reference model; everything else (input, cached input,
/// fuel) is priced in fractions of it. The largest amount is about 1.8 × 10¹³ tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Tokens(u64);

impl Tokens {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// The largest amount.
    pub const MAX: Self = Self(u64::MAX);
    /// Micro-tokens in a token.
    pub const MICRO: u64 = 1_000_000;

    /// An amount of micro-tokens.
    #[must_use]
    pub const fn from_micro(micro: u64) -> Self {
        Self(micro)
    }

    /// An amount of whole tokens; `None` where it does not fit.
    #[must_use]
    pub const fn from_whole(whole: u64) -> Option<Self> {
        match whole.checked_mul(Self::MICRO) {
            Some(micro) => Some(Self(micro)),
            None => None,
        }
    }

    /// The amount in micro-tokens.
    #[must_use]
    pub const fn micro(self) -> u64 {
        self.0
    }

    /// The sum; `None` where it does not fit.
    #[must_use]
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        match self.0.checked_add(other.0) {
            Some(sum) => Some(Self(sum)),
            None => None,
        }
    }

    /// The difference; `None` where `other` is more.
    #[must_use]
    pub const fn checked_sub(self, other: Self) -> Option<Self> {
        match self.0.checked_sub(other.0) {
            Some(difference) => Some(Self(difference)),
            None => None,
        }
    }

    /// The sum, at most [`Tokens::MAX`].
    #[must_use]
    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// The difference, at least [`Tokens::ZERO`].
    #[must_use]
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// The price of `count` things at this price each, at most [`Tokens::MAX`].
    #[must_use]
    pub const fn saturating_mul(self, count: u64) -> Self {
        Self(self.0.saturating_mul(count))
    }
}

impl Sum for Tokens {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Self::saturating_add)
    }
}

impl fmt::Display for Tokens {
    /// Tokens with up to six decimals, without trailing zeros: `12.5`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, micro) = (self.0 / Self::MICRO, self.0 % Self::MICRO);
        if micro == 0 {
            return f.pad(&whole.to_string());
        }
        f.pad(format!("{whole}.{micro:06}").trim_end_matches('0'))
    }
}

/// Work of a guest's own instructions, in wasmtime's units: about one a WebAssembly instruction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Fuel(pub u64);

/// What a model did for a process, in tokens of that model's tokenizer. Counts are exact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Prompt tokens that had to be computed.
    pub input: u32,
    /// Prompt tokens whose state was still at hand.
    pub cached: u32,
    /// Tokens that the model wrote.
    pub output: u32,
}

impl Usage {
    /// Both added up.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            input: self.input.saturating_add(other.input),
            cached: self.cached.saturating_add(other.cached),
            output: self.output.saturating_add(other.output),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_print_as_decimal_fractions() {
        for (micro, text) in
            [(0, "0"), (1, "0.000001"), (12_500_000, "12.5"), (3_000_000, "3"), (1_000_001, "1.000001")]
        {
            assert_eq!(Tokens::from_micro(micro).to_string(), text);
        }
    }

    #[test]
    fn amounts_never_wrap() {
        assert_eq!(Tokens::from_whole(u64::MAX), None);
        assert_eq!(Tokens::MAX.checked_add(Tokens::from_micro(1)), None);
        assert_eq!(Tokens::ZERO.checked_sub(Tokens::from_micro(1)), None);
        assert_eq!(Tokens::MAX.saturating_mul(3), Tokens::MAX);
    }
}
