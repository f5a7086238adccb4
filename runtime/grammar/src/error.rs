//! Why there is no constraint: each a sentence that says what failed, why, and what to do.

use thiserror::Error;

/// Bytes of the library's own words in an error: a sentence, not a dump.
const REASON_BYTES_MAX: usize = 240;

/// Why a format did not become a constraint.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum GrammarError {
    /// Longer than [`Limits::source_bytes_max`](crate::Limits::source_bytes_max).
    #[error("the format has {bytes} bytes, and {limit} are allowed; shorten it")]
    TooLong {
        /// Of the format.
        bytes: usize,
        /// Of the limits.
        limit: usize,
    },
    /// Longer than [`Limits::pattern_bytes_max`](crate::Limits::pattern_bytes_max).
    #[error(
        "the regular expressions of the format come to {bytes} bytes, and {limit} are allowed; shorten them, or repeat with {{n}}"
    )]
    PatternTooLong {
        /// Of the expressions, written out.
        bytes: usize,
        /// Of the limits.
        limit: usize,
    },
    /// Deeper than [`Limits::depth_max`](crate::Limits::depth_max).
    #[error("the format is nested more than {limit} deep; flatten it, or name its parts and refer to them")]
    TooDeep {
        /// Of the limits.
        limit: usize,
    },
    /// More than [`Limits::choices_max`](crate::Limits::choices_max), or than tools may be.
    #[error("{count} {what} are too many, and {limit} are allowed; leave some out")]
    TooMany {
        /// What there are too many of.
        what: &'static str,
        /// How many there are.
        count: usize,
        /// Of the limits.
        limit: usize,
    },
    /// There is nothing to generate.
    #[error("{what} is empty, so nothing could be generated; fill it, or leave the format out")]
    Empty {
        /// What is empty.
        what: &'static str,
    },
    /// No text fits.
    #[error("no text fits the format ({reason}); take out what contradicts itself")]
    Unsatisfiable {
        /// In the library's words.
        reason: String,
    },
    /// A part of the format cannot be held to.
    #[error("the format asks for what cannot be enforced ({reason}); leave that out, or check it afterwards")]
    Unsupported {
        /// Which part.
        reason: String,
    },
    /// It took more than the limits allow.
    #[error("the format is too large or too ambiguous ({reason}); simplify it")]
    TooComplex {
        /// In the library's words.
        reason: String,
    },
    /// It is not a schema, a regular expression, or a grammar.
    #[error("the format cannot be read ({reason}); correct it")]
    Invalid {
        /// In the library's words.
        reason: String,
    },
    /// A tool's name is none.
    #[error("{name:?} is no name for a tool; use 1 to 64 letters, digits, and `_`, `-` or `.`, each name once")]
    ToolName {
        /// As it was given.
        name: String,
    },
    /// A tool was asked for that is not there.
    #[error("there is no tool {name:?} to call; name one of the list")]
    NoSuchTool {
        /// As it was given.
        name: String,
    },
    /// The operating system gave no thread to compile on.
    #[error("there is no thread to compile the format on; try again")]
    NoThread,
}

impl GrammarError {
    /// Sorts what the library says. Its errors are sentences alone, so their words decide.
    pub(crate) fn from_library(message: &str) -> Self {
        let reason = sentence(message);
        let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
        if says(&["Unsatisfiable schema", "unsatisfiable", "Regex is empty", "schema is false", "NoExtensionBias"]) {
            return Self::Unsatisfiable { reason };
        }
        if says(&["Unimplemented keys", "not supported", "Only absolute $ref", "are not disjoint", "Unknown format"]) {
            return Self::Unsupported { reason };
        }
        let is_large = [
            "fuel",
            "too large",
            "too many",
            "too complex",
            "too big",
            "limit",
            "exceed",
            "Unable to determine",
            "can't determine",
            "stack level",
        ];
        if says(&is_large) {
            return Self::TooComplex { reason };
        }
        Self::Invalid { reason }
    }
}

/// The first line of a message, no longer than [`REASON_BYTES_MAX`].
pub(crate) fn sentence(message: &str) -> String {
    let line = message.trim().lines().next().unwrap_or_default();
    // What the library advises are options of its own.
    let line = line.split(". Enable '").next().unwrap_or(line);
    let line = line.strip_prefix("panic: ").unwrap_or(line).trim_end_matches(['.', ';', ':']);
    let end = line.char_indices().map(|(at, _)| at).take_while(|at| *at <= REASON_BYTES_MAX).last().unwrap_or(0);
    if line.len() <= REASON_BYTES_MAX { line.to_owned() } else { format!("{}…", &line[..end]) }
}
