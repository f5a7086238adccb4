//! What an answer is expected to be.

use super::Answer;
use fancy_regex::{Regex, RegexBuilder};
use remit_abi::FinishReason;
use serde_json::Value;
use std::fmt;

/// Steps back of one regular expression on one answer: beyond it does not match. Patterns without look-around and references need
/// none.
const BACKTRACKS_MAX: usize = 1_000_000;

/// One thing that an answer may be.
#[derive(Clone, Debug)]
pub enum Property {
    /// The text has this piece.
    Contains(String),
    /// The text is this, without white space around it.
    Equals(String),
    /// This matches somewhere in the text.
    Matches(Box<Regex>),
    /// The text is JSON, and has a value at a pointer (RFC 6901): this one, or any.
    Json {
        /// Where.
        pointer: String,
        /// What; any without this.
        equals: Option<Value>,
    },
    /// At most so many tokens.
    TokensMax(u32),
    /// It ended so.
    Finish(FinishReason),
}

impl Property {
    /// A regular expression.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn matches(pattern: &str) -> Result<Self, String> {
        let regex = RegexBuilder::new(pattern).backtrack_limit(BACKTRACKS_MAX).build();
        regex.map(|regex| Self::Matches(Box::new(regex))).map_err(|error| error.to_string())
    }

    fn holds(&self, answer: &Answer) -> bool {
        let text = answer.text.as_str();
        match self {
            Self::Contains(piece) => text.contains(piece),
            Self::Equals(whole) => text.trim() == whole.trim(),
            Self::Matches(regex) => regex.is_match(text).unwrap_or(false),
            Self::Json { pointer, equals } => {
                let found = serde_json::from_str::<Value>(text).ok();
                let found = found.as_ref().and_then(|value| value.pointer(pointer));
                found.is_some_and(|found| equals.as_ref().is_none_or(|equals| same(found, equals)))
            }
            Self::TokensMax(most) => answer.tokens <= *most,
            Self::Finish(finish) => answer.finish == *finish,
        }
    }
}

/// Whether two values are the same, numbers by what they are: 1 and 1.0 are one.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one == other || one.as_f64() == other.as_f64(),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            let is_there = |(key, value): (&String, &Value)| other.get(key).is_some_and(|other| same(value, other));
            one.len() == other.len() && one.iter().all(is_there)
        }
        _ => one == other,
    }
}

/// The name of an end, as files of tasks have it.
const fn name_of(finish: FinishReason) -> &'static str {
    match finish {
        FinishReason::Stop => "stop",
        FinishReason::Length => "length",
        FinishReason::Budget => "budget",
        FinishReason::Cancelled => "cancelled",
        FinishReason::ToolCalls => "tool-calls",
    }
}

impl fmt::Display for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Contains(piece) => write!(f, "contains {piece:?}"),
            Self::Equals(whole) => write!(f, "equals {whole:?}"),
            Self::Matches(regex) => write!(f, "matches {:?}", regex.as_str()),
            Self::Json { pointer, equals: Some(value) } => write!(f, "json {pointer:?} is {value}"),
            Self::Json { pointer, equals: None } => write!(f, "json has {pointer:?}"),
            Self::TokensMax(most) => write!(f, "has at most {most} tokens"),
            Self::Finish(finish) => write!(f, "ends by {}", name_of(*finish)),
        }
    }
}

/// What an answer is expected to be, or not to be.
#[derive(Clone, Debug)]
pub struct Expectation {
    /// What.
    pub property: Property,
    /// Whether it must not hold.
    pub not: bool,
}

impl Expectation {
    /// Whether an answer is as expected.
    #[must_use]
    pub fn holds(&self, answer: &Answer) -> bool {
        self.property.holds(answer) != self.not
    }
}

impl fmt::Display for Expectation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.not {
            true => write!(f, "not: {}", self.property),
            false => write!(f, "{}", self.property),
        }
    }
}
