//! Structured output.
mod constraint;
mod error;
mod limits;
mod mask;
mod schema;
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
pub use source::Format;
pub use vocabulary::{TOKEN_BYTES_MAX, TOKENS_MAX, Token, Vocabulary, VocabularyError};
