//! The vocabulary: what each token stands for, and which tokens are more than text.

use super::TokenizerError;
use crate::gguf::{Gguf, optional};
use std::collections::HashMap;

/// Tokens of a vocabulary: the largest known ones have some 260,000.
pub(super) const TOKENS_MAX: usize = 1 << 21;
/// Bytes of one token that is looked for in text, which bounds what a byte of text costs: known ones have 200.
pub(super) const TOKEN_BYTES_MAX: usize = 1024;

/// Control tokens that end a turn or a text, by the names that model families give them. A file names one or two of its
/// own (`eos`, `eot`, `eom`); many files leave some out, and llama.cpp then goes by these names too.
const END_TEXTS: &[&str] = &[
    "<|endoftext|>",
    "<|im_end|>",
    "<|end|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<end_of_turn>",
    "<|fim_repo|>",
    "<|repo_name|>",
    "<reponame>",
    "</s>",
];

/// Elements of HTML that Gemma's vocabulary has as user-defined tokens.
const ELEMENTS: &[&str] = &[
    "table",
    "caption",
    "thead",
    "tbody",
    "tfoot",
    "tr",
    "th",
    "td",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "blockquote",
    "strong",
    "em",
    "b",
    "i",
    "u",
    "s",
    "sub",
    "sup",
    "code",
];

/// What `tokenizer.ggml.token_type` says of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenKind {
    /// Text.
    Normal,
    /// What stands for text that has no tokens.
    Unknown,
    /// Begins and ends texts and turns.
    Control,
    /// Text that is always one token, or a control token that somebody added.
    UserDefined,
    /// Takes part in merges and never comes out.
    Unused,
    /// One byte, written `<0x0A>`.
    Byte,
}

impl TokenKind {
    fn from_id(id: i32) -> Self {
        match id {
            2 => Self::Unknown,
            3 => Self::Control,
            4 => Self::UserDefined,
            5 => Self::Unused,
            6 => Self::Byte,
            _ => Self::Normal,
        }
    }
}

/// Whether a user-defined token is a piece of text, which SentencePiece finds in any text: one character, blanks, an HTML
/// element. Every other one might steer a model, and is a control token here.
pub(super) fn is_text_piece(text: &str) -> bool {
    let blank = |character: char| character == '▁' || character.is_whitespace();
    let element = text.strip_prefix('<').and_then(|rest| rest.strip_suffix('>'));
    let element = element.map(|name| name.strip_prefix('/').unwrap_or(name));
    let single = text.chars().nth(1).is_none();
    single || text.chars().all(blank) || element.is_some_and(|name| ELEMENTS.contains(&name))
}

/// The token list of a file, as it stands there.
pub(super) struct Listing<'a> {
    pub(super) texts: Vec<&'a str>,
    pub(super) kinds: Vec<TokenKind>,
}

impl<'a> Listing<'a> {
    pub(super) fn from_gguf(file: &'a Gguf) -> Result<Self, TokenizerError> {
        let texts = file.get_strings("tokenizer.ggml.tokens")?;
        let kinds = file.get_i32s("tokenizer.ggml.token_type")?;
        if texts.len() != kinds.len() || texts.is_empty() || texts.len() > TOKENS_MAX {
            let (tokens, types) = (texts.len(), kinds.len());
            return Err(TokenizerError::Damaged(format!("there are {tokens} tokens and {types} token types")));
        }
        let kinds = kinds.into_iter().map(TokenKind::from_id).collect();
        Ok(Self { texts, kinds })
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &'a str, TokenKind)> {
        let tokens = self.texts.iter().zip(&self.kinds).enumerate();
        // The count was compared with TOKENS_MAX before.
        tokens.map(|(id, (text, kind))| (id as u32, *text, *kind))
    }

    /// The scores, one for each token.
    pub(super) fn scores(&self, file: &Gguf) -> Result<Vec<f32>, TokenizerError> {
        let scores = file.get_f32s("tokenizer.ggml.scores")?;
        if scores.len() != self.texts.len() || scores.iter().any(|score| !score.is_finite()) {
            let (tokens, scores) = (self.texts.len(), scores.len());
            return Err(TokenizerError::Damaged(format!(
                "there are {tokens} tokens and {scores} scores, or a score is no number"
            )));
        }
        Ok(scores)
    }

    /// The token that stands for unknown text: the one that a key names, else the one of that kind or text.
    pub(super) fn unknown(&self, file: &Gguf) -> Result<Option<u32>, TokenizerError> {
        let named = token_of(file, "tokenizer.ggml.unknown_token_id", self.texts.len())?;
        let by_kind = || self.iter().find(|(_, _, kind)| *kind == TokenKind::Unknown).map(|(id, _, _)| id);
        Ok(named.or_else(by_kind).or_else(|| self.find("<unk>")).or_else(|| self.find("[UNK]")))
    }

    pub(super) fn find(&self, wanted: &str) -> Option<u32> {
        self.iter().find(|(_, text, _)| *text == wanted).map(|(id, _, _)| id)
    }
}

/// The bytes of all tokens, one after the other.
#[derive(Debug, Default)]
pub(super) struct TokenBytes {
    /// `bytes[ends[i - 1]..ends[i]]` are token i's.
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl TokenBytes {
    /// Adds the next token's.
    pub(super) fn push(&mut self, bytes: impl IntoIterator<Item = u8>) {
        self.bytes.extend(bytes);
        self.ends.push(self.bytes.len());
    }

    pub(super) fn get(&self, token: u32) -> &[u8] {
        let index = token as usize;
        let begin = index.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        let end = self.ends.get(index).copied().unwrap_or(begin);
        &self.bytes[begin..end]
    }

    pub(super) fn count(&self) -> usize {
        self.ends.len()
    }
}

/// What a tokenizer does where its file does not say.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Defaults {
    pub(super) adds_begin: bool,
    pub(super) adds_end: bool,
}

/// Which tokens are more than text, whatever the model that makes the rest.
#[derive(Debug, Default)]
pub(super) struct Special {
    /// Control tokens by id, with their text.
    pub(super) control: HashMap<u32, Box<str>>,
    pub(super) begin: Option<u32>,
    pub(super) end: Option<u32>,
    pub(super) padding: Option<u32>,
    pub(super) adds_begin: bool,
    pub(super) adds_end: bool,
    /// Those that end a generation, rising.
    pub(super) ends: Vec<u32>,
    /// Control tokens that take the blanks beside them along.
    pub(super) trims: HashMap<u32, Trim>,
}

/// Which blanks a control token takes along.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Trim {
    pub(super) before: bool,
    pub(super) behind: bool,
}

impl Trim {
    const BEHIND: Self = Self { before: false, behind: true };
}

impl Special {
    /// `is_text` says which user-defined tokens the model finds in plain text by itself.
    pub(super) fn from_gguf(
        file: &Gguf,
        listing: &Listing<'_>,
        defaults: Defaults,
        is_text: fn(&str) -> bool,
    ) -> Result<Self, TokenizerError> {
        let size = listing.texts.len();
        let named = |key: &str| token_of(file, key, size);
        let is_control = |text: &str, kind| match kind {
            TokenKind::Control | TokenKind::Unknown => true,
            TokenKind::UserDefined => !is_text(text),
            TokenKind::Normal | TokenKind::Unused | TokenKind::Byte => false,
        };
        let control = listing.iter().filter(|(_, text, kind)| is_control(text, *kind));
        let mut special = Self {
            control: control.map(|(id, text, _)| (id, Box::from(text))).collect(),
            begin: named("tokenizer.ggml.bos_token_id")?,
            end: named("tokenizer.ggml.eos_token_id")?,
            padding: named("tokenizer.ggml.padding_token_id")?,
            adds_begin: flag(file, "tokenizer.ggml.add_bos_token")?.unwrap_or(defaults.adds_begin),
            adds_end: flag(file, "tokenizer.ggml.add_eos_token")?.unwrap_or(defaults.adds_end),
            ends: Vec::new(),
            trims: HashMap::new(),
        };
        for key in ["tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"] {
            special.ends.extend(named(key)?);
        }
        if general_is_phi3(file)? {
            let exempt = |text: &str| matches!(text, "<s>" | "<unk>" | "<|endoftext|>");
            special.trims =
                special.control.iter().filter(|(_, text)| !exempt(text)).map(|(id, _)| (*id, Trim::BEHIND)).collect();
        }
        special.complete_ends();
        Ok(special)
    }

    /// A model for sentences stands between a class token and a separator, under names of their own.
    pub(super) fn separate(&mut self, file: &Gguf, listing: &Listing<'_>) -> Result<(), TokenizerError> {
        let size = listing.texts.len();
        let named = |key: &str| token_of(file, key, size);
        self.begin = named("tokenizer.ggml.cls_token_id")?.or(self.begin).or_else(|| listing.find("[CLS]"));
        // The misspelt key is the one that files have.
        let separator = named("tokenizer.ggml.seperator_token_id")?.or(named("tokenizer.ggml.separator_token_id")?);
        self.end = separator.or(self.end).or_else(|| listing.find("[SEP]"));
        self.adds_end = flag(file, "tokenizer.ggml.add_sep_token")?.unwrap_or(true);
        Ok(())
    }

    pub(super) fn text_of(&self, token: u32) -> Option<&str> {
        self.control.get(&token).map(AsRef::as_ref)
    }

    /// Adds the ends that are known by name, and sorts them.
    pub(super) fn complete_ends(&mut self) {
        self.ends.extend(self.end);
        let named = self.control.iter().filter(|(_, text)| END_TEXTS.contains(&&***text));
        self.ends.extend(named.map(|(id, _)| *id));
        self.ends.sort_unstable();
        self.ends.dedup();
    }
}

/// Phi-3's control tokens take the blanks behind them along. Its `tokenizer.json` says so; GGUF has no key for it, and
/// llama.cpp goes by the model's name.
fn general_is_phi3(file: &Gguf) -> Result<bool, TokenizerError> {
    Ok(optional(file.get_str("general.architecture"))? == Some("phi3"))
}

/// A truth value of the metadata, where it is there.
pub(super) fn flag(file: &Gguf, key: &str) -> Result<Option<bool>, TokenizerError> {
    Ok(optional(file.get_bool(key))?)
}

pub(super) fn token_of(file: &Gguf, key: &str, size: usize) -> Result<Option<u32>, TokenizerError> {
    let token = optional(file.get_u32(key))?;
    match token {
        Some(token) if token as usize >= size => {
            Err(TokenizerError::Damaged(format!("{key} is {token} and there are {size} tokens")))
        }
        token => Ok(token),
    }
}

/// The byte that a token like `<0x0A>` stands for.
pub(super) fn byte_of(text: &str) -> Option<u8> {
    let digits = text.strip_prefix("<0x")?.strip_suffix('>')?;
    let two = digits.len() == 2 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    two.then(|| u8::from_str_radix(digits, 16).ok()).flatten()
}
