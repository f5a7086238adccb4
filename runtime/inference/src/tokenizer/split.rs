//! The pre-tokenizers: what cuts a text into words before BPE merges inside each.
//!
//! A pre-tokenizer is a name and a list of patterns. Each pattern cuts every piece that the one before left, on its
//! own; what a pattern does not match stays a piece, as in llama.cpp.

use super::TokenizerError;
use crate::gguf::{Gguf, optional};
use fancy_regex::{Regex, RegexBuilder};

const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)";

/// Name in `tokenizer.ggml.pre` → patterns, after llama.cpp's `llama-vocab.cpp`. To add one is to add a line.
const PRE_TOKENIZERS: &[(&str, &[&str])] = &[("gpt-2", &[GPT2]), ("smollm", &[r"\p{N}", GPT2])];

#[derive(Debug)]
pub(super) struct Splitter {
    patterns: Vec<Regex>,
}

impl Splitter {
    pub(super) fn from_gguf(file: &Gguf) -> Result<Self, TokenizerError> {
        let key = "tokenizer.ggml.pre";
        let name = optional(file.get_str(key))?.unwrap_or("(absent)");
        let Some((_, patterns)) = PRE_TOKENIZERS.iter().find(|(known, _)| *known == name) else {
            let known: Vec<_> = PRE_TOKENIZERS.iter().map(|(known, _)| *known).collect();
            return Err(TokenizerError::PreTokenizer { name: name.to_owned(), known: known.join(", ") });
        };
        // The patterns are ours and backtrack by one step at most; a limit would only cut long words off.
        let build = |pattern: &&str| {
            let built = RegexBuilder::new(pattern).backtrack_limit(usize::MAX).build();
            built.map_err(|error| TokenizerError::Pattern { name: name.to_owned(), why: error.to_string() })
        };
        let patterns = patterns.iter().map(build).collect::<Result<_, _>>()?;
        Ok(Self { patterns })
    }

    /// Gives each word of the text, in order; together they are the text.
    pub(super) fn split(&self, text: &str, mut each: impl FnMut(&str)) {
        cut(&self.patterns, text, &mut each);
    }
}

fn cut(patterns: &[Regex], text: &str, each: &mut dyn FnMut(&str)) {
    let Some((first, rest)) = patterns.split_first() else {
        each(text);
        return;
    };
    let mut position = 0;
    // A search that fails (it does not, see above) leaves the rest as one word: the tokens are other ones, but none is
    // lost.
    for found in first.find_iter(text).map_while(Result::ok) {
        if found.start() > position {
            cut(rest, &text[position..found.start()], each);
        }
        if !found.as_str().is_empty() {
            cut(rest, found.as_str(), each);
        }
        position = found.end();
    }
    if position < text.len() {
        cut(rest, &text[position..], each);
    }
}
