//! The operator's price list: what turns work into tokens.
//!
//! A list has a version, and every charge is recorded with it. Prices are whole micro-tokens, so that no rounding depends
//! on the order of charges; fuel is rounded up.

use remit_abi::{Fuel, Tokens, Usage};
use serde::Deserialize;
use std::collections::BTreeMap;
use thiserror::Error;

/// Prices of one model's tokens, each in micro-tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelPrices {
    /// A prompt token that is computed.
    pub input: u64,
    /// A prompt token whose state is at hand.
    pub cached_input: u64,
    /// A token that the model writes.
    pub output: u64,
}

impl ModelPrices {
    /// The price of work done.
    #[must_use]
    pub fn of(&self, usage: Usage) -> Tokens {
        let price = |micro, count: u32| Tokens::from_micro(micro).saturating_mul(u64::from(count));
        [price(self.input, usage.input), price(self.cached_input, usage.cached), price(self.output, usage.output)]
            .into_iter()
            .sum()
    }

    /// The most that a prompt of so many tokens can cost: nothing of it at hand.
    #[must_use]
    pub fn of_prompt_at_most(&self, tokens: u32) -> Tokens {
        Tokens::from_micro(self.input.max(self.cached_input)).saturating_mul(u64::from(tokens))
    }

    /// How many output tokens an amount buys.
    #[must_use]
    pub fn output_tokens_for(&self, amount: Tokens) -> u32 {
        match self.output {
            0 => u32::MAX,
            price => u32::try_from(amount.micro() / price).unwrap_or(u32::MAX),
        }
    }
}

/// A price list that cannot be used.
#[derive(Debug, Error)]
pub enum PriceError {
    /// Not in the form of a price list.
    #[error("the price list cannot be read: {0}")]
    Syntax(#[from] toml::de::Error),
    /// Fuel would be free, and an agent that spins would never stop.
    #[error("the price list gives fuel away: fuel_per_token must be between 1 and 10^15")]
    FreeFuel,
}

/// All prices.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriceList {
    /// Raised by the operator with every change.
    pub version: u32,
    /// How much fuel one token buys.
    fuel_per_token: u64,
    /// Prices of every model that has none of its own.
    default_model: ModelPrices,
    /// Prices by the registry's name.
    #[serde(default)]
    models: BTreeMap<String, ModelPrices>,
}

impl PriceList {
    /// The list that is used where the operator has none of their own.
    ///
    /// Relations follow the machine time of a small model on two cores: a computed prompt token takes about a fifth of a
    /// written one, a cached one next to nothing, and a written one as long as ten million instructions of a guest.
    #[must_use]
    pub fn built_in() -> Self {
        Self {
            version: 1,
            fuel_per_token: 10_000_000,
            default_model: ModelPrices { input: 200_000, cached_input: 20_000, output: 1_000_000 },
            models: BTreeMap::new(),
        }
    }

    /// Reads a list in TOML.
    ///
    /// # Errors
    /// [`PriceError`], for a hole, a negative or unknown entry, or free fuel.
    pub fn parse(text: &str) -> Result<Self, PriceError> {
        let list: Self = toml::from_str(text)?;
        match list.fuel_per_token {
            1..=1_000_000_000_000_000 => Ok(list),
            _ => Err(PriceError::FreeFuel),
        }
    }

    pub fn message(&self) -> Tokens {
        Tokens::ZERO
    }

    /// Prices of a model.
    #[must_use]
    pub fn model(&self, name: &str) -> ModelPrices {
        self.models.get(name).copied().unwrap_or(self.default_model)
    }

    /// The price of fuel, rounded up.
    #[must_use]
    pub fn fuel(&self, fuel: Fuel) -> Tokens {
        let micro = (u128::from(fuel.0) * u128::from(Tokens::MICRO)).div_ceil(u128::from(self.fuel_per_token));
        Tokens::from_micro(u64::try_from(micro).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_priced_by_kind() {
        let prices = PriceList::built_in().model("any");
        let usage = Usage { input: 10, cached: 100, output: 5 };
        assert_eq!(prices.of(usage).to_string(), "9");
        assert_eq!(prices.of_prompt_at_most(10).to_string(), "2");
        assert_eq!(prices.output_tokens_for(Tokens::from_micro(2_999_999)), 2);
    }

    #[test]
    fn fuel_is_rounded_up_and_never_overflows() {
        let list = PriceList::built_in();
        assert_eq!(list.fuel(Fuel(1)), Tokens::from_micro(1));
        assert_eq!(list.fuel(Fuel(10_000_000)), Tokens::from_micro(Tokens::MICRO));
        assert!(list.fuel(Fuel(u64::MAX)) > Tokens::ZERO);
    }

    #[test]
    fn a_list_with_holes_or_free_fuel_is_refused() {
        let whole = "version = 3\nfuel_per_token = 5\n[default_model]\ninput = 1\ncached_input = 1\noutput = 1\n";
        assert_eq!(PriceList::parse(whole).expect("it is whole").version, 3);
        for (from, to) in [("output = 1", ""), ("input = 1", "input = -1"), ("version", "versoin")] {
            assert!(matches!(PriceList::parse(&whole.replacen(from, to, 1)), Err(PriceError::Syntax(_))), "{to}");
        }
        assert!(matches!(PriceList::parse(&whole.replace("= 5", "= 0")), Err(PriceError::FreeFuel)));
    }
}
