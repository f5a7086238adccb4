//! The operator's price list: what turns work into tokens, and tokens into money.
//!
//! Prices are whole micro-tokens, so that no rounding depends on the order of charges; fuel is rounded up. A list has a
//! version and a digest, and every charge is recorded with them.
//!
//! ```toml
//! version = 3                   # raised with every change
//! fuel_per_token = 10_000_000   # units of fuel that one token buys, at least 1
//! memory_write = 200_000        # micro-tokens for each entry written to a memory store
//! tool_call = 1_000_000         # for each call of a tool
//! message = 10_000              # for each message sent to a process
//!
//! [default_model]               # micro-tokens for each token of a model without prices of its own
//! input = 200_000
//! cached_input = 20_000
//! output = 1_000_000
//! embedding = 50_000
//!
//! [models.tiny]                 # by the registry's name
//! free = true                   # instead of prices
//!
//! [money]                       # may be left out
//! currency = "EUR"              # ISO 4217
//! per_million_tokens = "2.50"   # a text, since it is exact
//! ```
//!
//! Principles:
//!
//! - Nothing is given away by mistake. Every price is written down; a model's input, output and embedding cost something,
//!   or the model is `free`. Fuel is never free, since an agent that spins would never stop. A cached input may cost 0, for
//!   its prompt has an output that costs; so may writes, calls and messages, for the fuel around them costs.
//! - Every usage has an exact price: none is so high that a count of 32 bits of each kind of token could not be paid.

mod money;
mod parse;
#[cfg(test)]
mod tests;

pub use money::Money;
use money::MoneyRate;
pub use parse::{PriceError, StatedPrices};
use remit_abi::{Fuel, Tokens, Usage};
use sha2::{Digest, Sha256};
use std::{collections::BTreeMap, fmt::Write};

/// Prices of one model's tokens, each in micro-tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModelPrices {
    /// A prompt token that is computed.
    pub input: u64,
    /// A prompt token whose state is at hand.
    pub cached_input: u64,
    /// A token that the model writes.
    pub output: u64,
    /// A token that is embedded.
    pub embedding: u64,
}

impl ModelPrices {
    /// All of it for nothing.
    pub const FREE: Self = Self { input: 0, cached_input: 0, output: 0, embedding: 0 };

    /// The four prices by their names, in tokens a token.
    #[must_use]
    pub const fn named(&self) -> [(&'static str, Tokens); 4] {
        [
            ("input", Tokens::from_micro(self.input)),
            ("cached input", Tokens::from_micro(self.cached_input)),
            ("output", Tokens::from_micro(self.output)),
            ("embedding", Tokens::from_micro(self.embedding)),
        ]
    }

    /// The price of work done.
    #[must_use]
    pub fn of(&self, usage: Usage) -> Tokens {
        let kinds = [(self.input, usage.input), (self.cached_input, usage.cached), (self.output, usage.output)];
        kinds.into_iter().map(|(price, count)| times(price, count)).sum()
    }

    /// The price of embedding so many tokens.
    #[must_use]
    pub const fn of_embedding(&self, tokens: u32) -> Tokens {
        times(self.embedding, tokens)
    }

    /// The most that a prompt of so many tokens can cost: nothing of it at hand.
    #[must_use]
    pub fn of_prompt_at_most(&self, tokens: u32) -> Tokens {
        times(self.input.max(self.cached_input), tokens)
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

const fn times(micro: u64, count: u32) -> Tokens {
    Tokens::from_micro(micro).saturating_mul(count as u64)
}

/// All prices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PriceList {
    /// Raised by the operator with every change.
    pub version: u32,
    /// How much fuel one token buys: at least 1.
    fuel_per_token: u64,
    memory_write: Tokens,
    tool_call: Tokens,
    message: Tokens,
    /// Prices of every model that has none of its own.
    default_model: ModelPrices,
    /// Prices by the registry's name.
    models: BTreeMap<Box<str>, ModelPrices>,
    money: Option<MoneyRate>,
}

impl PriceList {
    /// The list that is used where the operator has none of their own. It names no money.
    ///
    /// Relations follow the machine time of a small model on two cores: a computed prompt token takes about a fifth of a
    /// written one, a cached one next to nothing, and a written one as long as ten million instructions of a guest or the
    /// start of a tool. A write waits for the disk, an embedding is a pass of a smaller model, a message is a copy.
    #[must_use]
    pub fn built_in() -> Self {
        Self {
            version: 1,
            fuel_per_token: 10_000_000,
            memory_write: Tokens::from_micro(200_000),
            tool_call: Tokens::from_micro(1_000_000),
            message: Tokens::from_micro(10_000),
            default_model: ModelPrices { input: 200_000, cached_input: 20_000, output: 1_000_000, embedding: 50_000 },
            models: BTreeMap::new(),
            money: None,
        }
    }

    /// Reads a list in TOML.
    ///
    /// # Errors
    /// [`PriceError`], for a hole, a price that is negative, too high or not meant to be 0, or an unknown key.
    pub fn parse(text: &str) -> Result<Self, PriceError> {
        parse::parse(text)
    }

    /// Prices of a model.
    #[must_use]
    pub fn model(&self, name: &str) -> ModelPrices {
        self.models.get(name).copied().unwrap_or(self.default_model)
    }

    /// Gives a model prices of its own, unless the list has some: what the operator wrote down stands. The digest is that of
    /// the list with them.
    pub fn complete(&mut self, name: &str, prices: ModelPrices) {
        if !self.models.contains_key(name) {
            self.models.insert(name.into(), prices);
        }
    }

    /// The price of fuel, rounded up.
    #[must_use]
    pub fn fuel(&self, fuel: Fuel) -> Tokens {
        let micro = (u128::from(fuel.0) * u128::from(Tokens::MICRO)).div_ceil(u128::from(self.fuel_per_token));
        Tokens::from_micro(u64::try_from(micro).unwrap_or(u64::MAX))
    }

    /// The price of an entry written to a memory store; what is embedded for it is priced by its model.
    #[must_use]
    pub const fn memory_write(&self) -> Tokens {
        self.memory_write
    }

    /// The price of one call of a tool.
    #[must_use]
    pub const fn tool_call(&self) -> Tokens {
        self.tool_call
    }

    /// The price of one message to a process.
    #[must_use]
    pub const fn message(&self) -> Tokens {
        self.message
    }

    /// What an amount is worth, exactly; `None` where the list names no money.
    #[must_use]
    pub fn money(&self, amount: Tokens) -> Option<Money> {
        self.money.map(|rate| rate.of(amount))
    }

    /// SHA-256 of the list's values. Two lists with the same one price everything the same; order, comments and the form of
    /// numbers in a file do not matter.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        let mut text = String::new();
        let models = self.models.iter().map(|(name, prices)| (&**name, prices));
        // Names have no spaces, and writing to a text does not fail.
        let _infallible = write!(
            text,
            "remit-prices 1\nversion {}\nfuel {}\nwrite {}\ncall {}\nmessage {}\n",
            self.version,
            self.fuel_per_token,
            self.memory_write.micro(),
            self.tool_call.micro(),
            self.message.micro()
        );
        for (name, prices) in std::iter::once(("", &self.default_model)).chain(models) {
            let ModelPrices { input, cached_input, output, embedding } = prices;
            let _infallible = writeln!(text, "model {name} {input} {cached_input} {output} {embedding}");
        }
        if let Some(rate) = &self.money {
            let _infallible = writeln!(text, "money {rate}");
        }
        Sha256::digest(text).into()
    }
}
