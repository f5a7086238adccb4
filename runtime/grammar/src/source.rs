//! What an answer must look like, and how that is said to the library.

use crate::{
    GrammarError, Limits,
    schema::{self, Bounder},
    terminals::{self, Lengths},
};
use llguidance::api::TopLevelGrammar;
use serde_json::{Value, json};

/// What an answer must look like.
#[derive(Clone, Debug, PartialEq)]
pub enum Format {
    /// JSON that fits this schema (JSON Schema 2020-12; of the older drafts what they share with it).
    JsonSchema(Value),
    /// Any JSON, at most 12 levels deep.
    Json,
    /// A text that this regular expression matches as a whole, in the syntax of the crate `regex`, without look-around and
    /// without anchors.
    Regex(String),
    /// One of these texts.
    Choice(Vec<String>),
    /// A text of a context-free grammar whose first rule is `start`, in llguidance's variant of Lark's syntax.
    Grammar(String),
}

impl Format {
    /// Checks sizes, and brings it into the library's form.
    ///
    /// # Errors
    /// What the library need not read to be refused: too long, too deep, too many, or empty.
    pub(crate) fn source(&self, limits: &Limits) -> Result<TopLevelGrammar, GrammarError> {
        match self {
            Self::JsonSchema(schema) => {
                schema::check(schema, limits)?;
                Ok(TopLevelGrammar::from_json_schema(schema::document(Bounder::bound(schema, ""), [])))
            }
            Self::Json => Ok(TopLevelGrammar::from_json_schema(schema::document(Bounder::bound(&json!(true), ""), []))),
            Self::Regex(expression) => {
                check_text(expression, "the regular expression", limits)?;
                check_pattern(expression.len(), limits.pattern_bytes_max)?;
                Ok(TopLevelGrammar::from_regex(expression))
            }
            Self::Choice(choices) => choice(choices, limits),
            Self::Grammar(grammar) => {
                check_text(grammar, "the grammar", limits)?;
                let Lengths { each, all } = terminals::measure(grammar);
                check_pattern(each, limits.pattern_bytes_max)?;
                check_pattern(all, limits.pattern_bytes_max.saturating_mul(Limits::TERMINALS_PATTERNS_MAX))?;
                Ok(TopLevelGrammar::from_lark(grammar.clone()))
            }
        }
    }
}

fn choice(choices: &[String], limits: &Limits) -> Result<TopLevelGrammar, GrammarError> {
    if choices.len() > limits.choices_max {
        return Err(GrammarError::TooMany { what: "choices", count: choices.len(), limit: limits.choices_max });
    }
    check_length(choices.iter().map(String::len).sum(), limits)?;
    if choices.is_empty() {
        return Err(GrammarError::Empty { what: "the list of choices" });
    }
    if choices.iter().any(String::is_empty) {
        return Err(GrammarError::Empty { what: "one of the choices" });
    }
    let choices: Vec<_> = choices.iter().map(|text| escape(text)).collect();
    Ok(TopLevelGrammar::from_lark(format!("start: CHOICE\nCHOICE: /{}/", choices.join("|"))))
}

fn check_length(bytes: usize, limits: &Limits) -> Result<(), GrammarError> {
    let limit = limits.source_bytes_max;
    if bytes > limit { Err(GrammarError::TooLong { bytes, limit }) } else { Ok(()) }
}

fn check_pattern(bytes: usize, limit: usize) -> Result<(), GrammarError> {
    if bytes > limit { Err(GrammarError::PatternTooLong { bytes, limit }) } else { Ok(()) }
}

/// Checks length and depth of a text in which brackets nest.
fn check_text(text: &str, what: &'static str, limits: &Limits) -> Result<(), GrammarError> {
    check_length(text.len(), limits)?;
    if text.trim().is_empty() {
        return Err(GrammarError::Empty { what });
    }
    // Brackets in strings and classes count too: of those a text may have as many as its limit of depth that nothing closes.
    let (mut depth, mut is_escaped) = (0_usize, false);
    for byte in text.bytes() {
        match byte {
            _ if is_escaped => {
                is_escaped = false;
                continue;
            }
            b'\\' => is_escaped = true,
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > limits.depth_max {
            return Err(GrammarError::TooDeep { limit: limits.depth_max });
        }
    }
    Ok(())
}

/// A regular expression, between slashes, that matches this text alone.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            // Punctuation, `/` and control characters alike: those have no meaning behind the braces.
            _ if character.is_ascii() && !character.is_ascii_alphanumeric() && character != '_' => {
                out.push_str(&format!("\\x{{{:x}}}", character as u32));
            }
            _ => out.push(character),
        }
    }
    out
}
