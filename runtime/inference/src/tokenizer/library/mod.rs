//! `tokenizer.json`, run by the crate `tokenizers`.
//!
//! The file is untrusted, and the crate was not written for that: some files make it panic, and a rule that replaces
//! one character by two, forty times over, would fill any memory. So the file is checked and changed before the crate
//! sees it ([`description`]), and the crate runs inside [`guarded`].
//!
//! - The crate knows no control token: they are taken out of `added_tokens`, and in the model's vocabulary they get
//!   names that no text holds.
//! - The tokens around a text (`post_processor`) are read and added by [`super::Tokenizer`], like those of a GGUF file.
//! - A text that the crate fails on is cut in halves until what fails is one character, which is left out.
//!
//! Limits: U+10FFFF, a character that is none, becomes U+FFFD. A pattern of the file that steps back more than a million
//! times inside one match leaves the rest of the text uncut, which changes its tokens.

mod description;

use super::vocabulary::{Special, TokenBytes};
use std::panic::{AssertUnwindSafe, catch_unwind};
use tokenizers::{AddedToken, Tokenizer};

/// A file's names for control tokens begin with it, and so does a text that is no beginning. It is in no text.
const MARK: &str = "\u{10ffff}";
/// Failures of one text before the rest of it is left out: each costs a panic's work.
const FAILURES_MAX: u32 = 64;

#[derive(Debug)]
pub(super) struct Library {
    tokenizer: Tokenizer,
    prefixes_space: bool,
}

/// Where a piece of text stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Where a text begins: some tokenizers put a space there, and only there.
    Beginning,
    /// Behind a control token.
    Inside,
}

impl Library {
    /// Builds it from the bytes of a `tokenizer.json`. An error is half a sentence that says what is wrong.
    pub(super) fn new(json: &[u8]) -> Result<(Self, TokenBytes, Special), String> {
        let description = description::read(json)?;
        let built =
            guarded(|| serde_json::from_value::<Tokenizer>(description.json).map_err(|error| error.to_string()));
        let mut tokenizer = built.unwrap_or_else(|| Err("it describes an impossible tokenizer".to_owned()))?;
        let marked = guarded(|| tokenizer.add_special_tokens([AddedToken::from(MARK, true)]));
        if !matches!(marked, Some(Ok(1))) {
            return Err("its vocabulary is inconsistent".to_owned());
        }
        let library = Self { tokenizer, prefixes_space: description.prefixes_space };
        Ok((library, description.bytes, description.special))
    }

    pub(super) fn prefixes_space(&self) -> bool {
        self.prefixes_space
    }

    /// Appends the tokens of a text.
    pub(super) fn encode(&self, text: &str, place: Place, out: &mut Vec<u32>) {
        let text = text.replace(MARK, "\u{fffd}");
        let mut parts = vec![(text.as_str(), place)];
        let mut failures = 0;
        while let Some((text, place)) = parts.pop() {
            if text.is_empty() || self.try_encode(text, place, out) {
                continue;
            }
            failures += 1;
            let middle = text.floor_char_boundary(text.len() / 2);
            if failures <= FAILURES_MAX && middle > 0 {
                parts.extend([(&text[middle..], Place::Inside), (&text[..middle], place)]);
            } else {
                tracing::warn!(bytes = text.len(), "the tokenizer fails on a text, which is left out");
            }
        }
    }

    fn try_encode(&self, text: &str, place: Place, out: &mut Vec<u32>) -> bool {
        let encoded = guarded(|| match place {
            Place::Beginning => self.tokenizer.encode_fast(text, false),
            // Behind a token of its own a text is no beginning for the crate either.
            Place::Inside => self.tokenizer.encode_fast([MARK, text].concat(), false),
        });
        let Some(Ok(encoding)) = encoded else { return false };
        let skipped = usize::from(place == Place::Inside);
        out.extend(encoding.get_ids().iter().skip(skipped));
        true
    }
}

/// What a call returns, unless it panics.
fn guarded<T>(call: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(call)).ok()
}
