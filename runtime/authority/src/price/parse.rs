//! A price list's text, and everything that can be wrong with it.
//!
//! Every number is read as it stands and checked here, so that each error names its key.

use super::{ModelPrices, PriceList, money::MoneyRate};
use remit_abi::{Tokens, is_name};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use thiserror::Error;

/// A thousand tokens a piece, in micro-tokens: three counts of 32 bits at this price stay below the largest amount.
const PRICE_MAX: i64 = 1_000 * Tokens::MICRO as i64;

/// A token that buys more would pay for weeks of work.
const FUEL_PER_TOKEN_MAX: i64 = 1_000_000_000_000_000;

/// A price list that cannot be used.
#[derive(Debug, Error)]
pub enum PriceError {
    /// Not in the form of a price list: no TOML, an unknown key, or something else than a number.
    #[error("the price list cannot be read: {0}")]
    Syntax(#[from] toml::de::Error),
    /// A price that was forgotten.
    #[error("the price list has no {0}: write every price down, so that none is forgotten")]
    Hole(Box<str>),
    /// A number that cannot be meant.
    #[error("the price list's {key} is {value}, and must be between {least} and {most}")]
    OutOfRange {
        /// Which one.
        key: Box<str>,
        /// What stands there.
        value: i64,
        /// The lowest that may.
        least: i64,
        /// The highest that may.
        most: i64,
    },
    /// Fuel would be free, and an agent that spins would never stop.
    #[error("the price list gives fuel away: fuel_per_token must be between 1 and 10^15")]
    FreeFuel,
    /// Work of a model would be free by a 0.
    #[error("the price list gives {key} away: name a price, or write free = true in {table} instead of its prices")]
    GivenAway {
        /// Which one.
        key: Box<str>,
        /// Where.
        table: Box<str>,
    },
    /// Free and not.
    #[error("the price list has {0} free and priced: write free = true or prices")]
    FreeAndPriced(Box<str>),
    /// A model's name that is none.
    #[error("the price list's models.{0:?} is no model's name: use ASCII letters, digits and -._/:@")]
    ModelName(Box<str>),
    /// Money that cannot be counted.
    #[error("the price list's {key} is {value:?}, and must be {form}")]
    Money {
        /// Which part.
        key: &'static str,
        /// What stands there.
        value: Box<str>,
        /// What should.
        form: &'static str,
    },
}

/// A list as it was written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    version: Option<i64>,
    fuel_per_token: Option<i64>,
    memory_write: Option<i64>,
    tool_call: Option<i64>,
    message: Option<i64>,
    default_model: Option<StatedPrices>,
    #[serde(default)]
    models: BTreeMap<Box<str>, StatedPrices>,
    money: Option<WrittenMoney>,
}

/// A model's prices as somebody wrote them down, in micro-tokens a token; not checked yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatedPrices {
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    free: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cached_input: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    embedding: Option<i64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenMoney {
    currency: Box<str>,
    per_million_tokens: Box<str>,
}

pub(super) fn parse(text: &str) -> Result<PriceList, PriceError> {
    let written: Written = toml::from_str(text)?;
    let version = number("version", written.version, 0, u32::MAX.into())?;
    let price = |key, value| number(key, value, 0, PRICE_MAX).map(Tokens::from_micro);
    let default_model = written.default_model.ok_or_else(|| PriceError::Hole("default_model".into()))?;
    let models = written.models.into_iter().map(|(name, model)| {
        if !is_name(&name) {
            return Err(PriceError::ModelName(name));
        }
        let prices = model.read(&format!("models.{name}"))?;
        Ok((name, prices))
    });
    Ok(PriceList {
        version: u32::try_from(version).unwrap_or(u32::MAX),
        fuel_per_token: match written.fuel_per_token {
            Some(0) => return Err(PriceError::FreeFuel),
            fuel => number("fuel_per_token", fuel, 1, FUEL_PER_TOKEN_MAX)?,
        },
        memory_write: price("memory_write", written.memory_write)?,
        tool_call: price("tool_call", written.tool_call)?,
        message: price("message", written.message)?,
        default_model: default_model.read("default_model")?,
        models: models.collect::<Result<_, _>>()?,
        money: written.money.map(WrittenMoney::read).transpose()?,
    })
}

impl StatedPrices {
    /// The prices, where all are there and could be meant. `table` is what errors call the place where they stand.
    ///
    /// # Errors
    /// [`PriceError`], for a hole, a price that is negative, too high or not meant to be 0.
    pub fn read(self, table: &str) -> Result<ModelPrices, PriceError> {
        let prices = [self.input, self.cached_input, self.output, self.embedding];
        if self.free {
            return match prices {
                [None, None, None, None] => Ok(ModelPrices::FREE),
                _ => Err(PriceError::FreeAndPriced(table.into())),
            };
        }
        let key = |name: &str| format!("{table}.{name}");
        let paid = |name: &str, value| match value {
            Some(0) => Err(PriceError::GivenAway { key: key(name).into(), table: table.into() }),
            value => number(&key(name), value, 1, PRICE_MAX),
        };
        Ok(ModelPrices {
            input: paid("input", self.input)?,
            cached_input: number(&key("cached_input"), self.cached_input, 0, PRICE_MAX)?,
            output: paid("output", self.output)?,
            embedding: paid("embedding", self.embedding)?,
        })
    }
}

impl WrittenMoney {
    fn read(self) -> Result<MoneyRate, PriceError> {
        MoneyRate::parse(&self.currency, &self.per_million_tokens).map_err(|(key, form)| {
            let value = if key == "money.currency" { self.currency } else { self.per_million_tokens };
            PriceError::Money { key, value, form }
        })
    }
}

fn number(key: &str, value: Option<i64>, least: i64, most: i64) -> Result<u64, PriceError> {
    let value = value.ok_or_else(|| PriceError::Hole(key.into()))?;
    let out_of_range = || PriceError::OutOfRange { key: key.into(), value, least, most };
    let within = u64::try_from(value).ok().filter(|_| (least..=most).contains(&value));
    within.ok_or_else(out_of_range)
}
