//! The pre-tokenizers: what cuts a text into words before BPE merges inside each.
//!
//! A pre-tokenizer is a name and a list of patterns. Each pattern cuts every piece that the one before left, on its
//! own; what a pattern does not match stays a piece, as in llama.cpp.

use super::TokenizerError;
use crate::gguf::{Gguf, optional};
use fancy_regex::{Regex, RegexBuilder};

const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)";
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN2: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const TEKKEN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const DEEPSEEK3: &str = r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"##;

/// How a family's byte-level BPE is set up.
#[derive(Debug)]
struct PreTokenizer {
    /// Values of `tokenizer.ggml.pre`.
    names: &'static [&'static str],
    patterns: &'static [&'static str],
    /// A word that is a token as it is becomes that token, whatever the merges say.
    keeps_words: bool,
    /// Text is brought to Unicode's normal form C first.
    composes: bool,
    /// A text begins with the begin token where the file does not say.
    adds_begin: bool,
}

const PLAIN: PreTokenizer =
    PreTokenizer { names: &[], patterns: &[], keeps_words: false, composes: false, adds_begin: false };

/// To add a pre-tokenizer is to add a row. Sources: the families' `tokenizer.json` files; for the names, the numbers of
/// digits and the two switches, llama.cpp's `llama-vocab.cpp`.
const PRE_TOKENIZERS: &[PreTokenizer] = &[
    PreTokenizer { names: &["gpt-2"], patterns: &[GPT2], ..PLAIN },
    PreTokenizer { names: &["smollm"], patterns: &[r"\p{N}", GPT2], ..PLAIN },
    PreTokenizer {
        names: &["llama-bpe", "llama3", "llama-v3"],
        patterns: &[LLAMA3],
        keeps_words: true,
        adds_begin: true,
        ..PLAIN
    },
    PreTokenizer { names: &["qwen2", "deepseek-r1-qwen"], patterns: &[QWEN2], composes: true, ..PLAIN },
    PreTokenizer { names: &["tekken"], patterns: &[TEKKEN], keeps_words: true, adds_begin: true, ..PLAIN },
    PreTokenizer {
        names: &["deepseek-v3"],
        patterns: &[r"\p{N}{1,3}", "[一-龥\u{3040}-ゟ゠-ヿ]+", DEEPSEEK3],
        ..PLAIN
    },
];

#[derive(Debug)]
pub(super) struct Splitter {
    patterns: Vec<Regex>,
    row: &'static PreTokenizer,
}

impl Splitter {
    pub(super) fn from_gguf(file: &Gguf) -> Result<Self, TokenizerError> {
        let key = "tokenizer.ggml.pre";
        let name = optional(file.get_str(key))?.unwrap_or("(absent)");
        let Some(row) = PRE_TOKENIZERS.iter().find(|row| row.names.contains(&name)) else {
            let known: Vec<_> = PRE_TOKENIZERS.iter().flat_map(|row| row.names).copied().collect();
            return Err(TokenizerError::PreTokenizer { name: name.to_owned(), known: known.join(", ") });
        };
        // The patterns are ours and step back over a text once at most; a limit would only cut long words off.
        let build = |pattern: &&str| {
            let built = RegexBuilder::new(pattern).backtrack_limit(usize::MAX).build();
            built.map_err(|error| TokenizerError::Pattern { name: name.to_owned(), why: error.to_string() })
        };
        let patterns = row.patterns.iter().map(build).collect::<Result<_, _>>()?;
        Ok(Self { patterns, row })
    }

    pub(super) fn keeps_words(&self) -> bool {
        self.row.keeps_words
    }

    pub(super) fn composes(&self) -> bool {
        self.row.composes
    }

    pub(super) fn adds_begin(&self) -> bool {
        self.row.adds_begin
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
