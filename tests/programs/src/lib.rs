//! Guests for tests: one file a behaviour in `examples/`, each with what it does in its first lines.
//!
//! What the SDK cannot write, such as a component that imports what no agent gets, is WebAssembly text in `wat/`; what lies
//! about its handles and texts calls its imports by [`raw`]. `cargo xtask agents` makes components of both. A program that
//! is new in `examples/` is also listed in `Cargo.toml`.

use remit::{Failure, Task};

pub mod raw;

/// The words of the last message.
///
/// # Errors
/// There is none, or it is no text.
pub fn words(task: &Task) -> Result<Vec<String>, Failure> {
    let request = task.request().ok_or_else(|| Failure::new("there is no input"))?.text()?;
    Ok(request.split_whitespace().map(str::to_owned).collect())
}

/// The number at a place among the words.
///
/// # Errors
/// There is none there.
pub fn number(words: &[String], index: usize) -> Result<u64, Failure> {
    let word = words.get(index).ok_or_else(|| Failure::new(format!("the input has no word {}", index + 1)))?;
    Ok(word.parse()?)
}

/// What came of something, in words: `ok`, or the error's sentence.
pub fn said<T, E: std::fmt::Display>(result: Result<T, E>) -> String {
    match result {
        Ok(_) => "ok".to_owned(),
        Err(error) => error.to_string(),
    }
}
