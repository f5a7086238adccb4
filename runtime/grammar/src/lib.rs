//! Structured output: an answer that fits a JSON Schema, a regular expression, a choice or a grammar, and calls of tools that
//! always parse. A grammar says, token by token, which tokens may come next; the sampler draws among those.
//!
//! | module | has |
//! | --- | --- |
//! | `vocabulary` | the tokens of a model, arranged for grammars: once for each model |
//! | `source` | formats, and what they are for the library |
//! | `schema` | JSON Schemas, bounded so that small models come to an end |
//! | `terminals` | how long the regular expressions of a grammar are |
//! | `constraint` | a format compiled for a vocabulary, and where a generation stands in it |
//! | `mask` | which tokens may come next |
//! | [`tools`] | calls: the formats of families, their grammars, and a reader of answers |
//!
//! Parsing is the library's, llguidance: a lexer by derivatives of regular expressions and an Earley parser, which walk a
//! trie of the vocabulary (Moskal et al. 2025, "Making structured outputs fast"; Brzozowski 1964; Earley 1970).
//!
//! Principles:
//!
//! - A format is an allegation. What is compiled has passed the [`Limits`], in bytes, depth and fuel rather than in time: so a
//!   format fails everywhere or nowhere. A panic of the library is an error.
//! - What may come next depends on the format, the vocabulary and the tokens so far, and on nothing else: each generation has
//!   a lexer of its own, so a neighbour's answers neither speed it up nor use up its limits.
//! - There is always a token, or the answer has ended, and [`Ending`] says why.
//! - Control tokens never match text, and text never matches a control token.
//! - Nothing here knows a tokenizer, a model file or an engine.
//!
//! # How an engine uses it
//!
//! | when | what | where |
//! | --- | --- | --- |
//! | a model is loaded | [`Vocabulary::new`], of all tokens: some 0.3 s for 49,152 | the loader |
//! | a request is validated | [`Constraint::compile`], or [`Toolbox::constraint`](tools::Toolbox::constraint): milliseconds; errors are the caller's `invalid` | the caller's thread, before anything is charged |
//! | a generation begins | [`Constraint::begin`]: microseconds | the engine's thread |
//! | a step is computed | [`State::allowed`] of each constrained sequence of the batch | helpers, as tasks of one batch, while the device computes the logits |
//! | logits are there | [`Mask::apply`] to the row; on a device, [`Mask::words`] go there and the kernel of the sampler reads a bit for each logit | the sampler, before bias and everything else |
//! | a token was drawn | [`State::accept`] | the engine's thread |
//! | an answer ended | [`State::ending`]: `Complete` is the finish reason `stop`, the others are an error of the generation; a limit of tokens that comes before is `length` | the engine's thread |
//!
//! - Take the mask before the logits: a draw is greedy over allowed tokens, so the sampler's fast path (the likeliest token is
//!   all that is needed of a step) needs the mask on its side, or falls back to whole rows.
//! - Log-probabilities are told of the model's own logits, before the mask.
//! - A step of a prompt has no mask, except the one whose logits the first token is drawn from.
//! - Speculation: a [`Scout`] cuts a draft to what is allowed before the model verifies it. The masks of its places are taken one by
//!   one, as its tokens are drawn. [`State::forced`] is a draft for nothing: the bytes that must come, such as the names of members.
//! - A preempted generation keeps its state, or begins again and accepts its tokens at once.
//! - The library installs a panic hook when it first compiles, which hands on to the one before. A program that sets its own
//!   sets it first.

mod constraint;
mod error;
mod limits;
mod mask;
mod schema;
mod scout;
mod source;
mod terminals;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
pub mod tools;
mod vocabulary;

pub use constraint::{COMPILE_STACK_BYTES, Constraint, Ending, Next, Rejected, State};
pub use error::GrammarError;
pub use limits::Limits;
pub use mask::Mask;
pub use scout::Scout;
pub use source::Format;
pub use vocabulary::{TOKEN_BYTES_MAX, TOKENS_MAX, Token, Vocabulary, VocabularyError};
