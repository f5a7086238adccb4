//! WordPiece as BERT has it (`tokenizer.ggml.model` = `bert`): words by blanks, punctuation and ideographs, each cut into
//! the longest pieces from left to right.
//!
//! Sources: Schuster & Nakajima 2012, "Japanese and Korean Voice Search"; BERT's `tokenization.py`; Hugging Face's
//! `BertNormalizer` and `BertPreTokenizer` for the order of steps and the categories; llama.cpp's `llama-vocab.cpp` for
//! the metadata. GGUF files mark the pieces that begin a word (`▁word`), the original vocabulary those that go on
//! (`##piece`): both forms are read.

use super::{
    TokenizerError,
    normalize::SPACE,
    prefixes::Prefixes,
    vocabulary::{Listing, TOKEN_BYTES_MAX, TokenBytes, TokenKind, flag},
};
use crate::gguf::Gguf;
use unicode_categories::UnicodeCategories;
use unicode_normalization::UnicodeNormalization;

/// Characters of a word: a longer one is unknown.
const WORD_CHARACTERS_MAX: usize = 100;
const CONTINUES: &str = "##";

#[derive(Debug)]
pub(super) struct WordPiece {
    begins: Prefixes,
    goes_on: Prefixes,
    unknown: Option<u32>,
    lowers: bool,
    strips_accents: bool,
}

impl WordPiece {
    pub(super) fn from_gguf(file: &Gguf, listing: &Listing<'_>) -> Result<(Self, TokenBytes), TokenizerError> {
        // Either form may have the other's mark as a word of its own.
        let with = |mark: &str| listing.texts.iter().filter(|text| text.starts_with(mark)).count();
        let marks_beginning = with("▁") > with(CONTINUES);
        let (mut begins, mut goes_on) = (Vec::new(), Vec::new());
        let mut bytes = TokenBytes::default();
        for (id, text, kind) in listing.iter() {
            let piece = if marks_beginning {
                text.strip_prefix(SPACE).map(|word| (word, true)).unwrap_or((text, false))
            } else {
                text.strip_prefix(CONTINUES).map(|rest| (rest, false)).unwrap_or((text, true))
            };
            if piece.0.len() > TOKEN_BYTES_MAX {
                return Err(TokenizerError::Damaged(format!("token {id} has more than {TOKEN_BYTES_MAX} bytes")));
            }
            match (kind, piece) {
                (TokenKind::Control | TokenKind::Unknown | TokenKind::UserDefined, _) => bytes.push([]),
                (_, (text, true)) => {
                    begins.push((text, id));
                    bytes.push([" ", text].concat().into_bytes());
                }
                (_, (text, false)) => {
                    goes_on.push((text, id));
                    bytes.push(text.bytes());
                }
            }
        }
        let lowers = flag(file, "tokenizer.ggml.normalizer.lowercase")?.unwrap_or(true);
        let model = Self {
            begins: Prefixes::new(begins.into_iter()),
            goes_on: Prefixes::new(goes_on.into_iter()),
            unknown: listing.unknown(file)?,
            lowers,
            strips_accents: flag(file, "tokenizer.ggml.normalizer.strip_accents")?.unwrap_or(lowers),
        };
        Ok((model, bytes))
    }

    /// Appends the tokens of a text.
    pub(super) fn encode(&self, text: &str, out: &mut Vec<u32>) {
        let text = self.normalize(text);
        for word in text.split(char::is_whitespace) {
            let mut rest = word;
            while let Some(first) = rest.chars().next() {
                // Punctuation is a word of its own, character by character.
                let end = if is_punctuation(first) {
                    first.len_utf8()
                } else {
                    rest.find(is_punctuation).unwrap_or(rest.len())
                };
                self.encode_word(&rest[..end], out);
                rest = &rest[end..];
            }
        }
    }

    fn normalize(&self, text: &str) -> String {
        let clean = text.chars().filter(|character| !is_dropped(*character)).flat_map(|character| {
            let around = is_ideograph(character).then_some(' ');
            let character = if is_blank(character) { ' ' } else { character };
            around.into_iter().chain([character]).chain(around)
        });
        let text: String = if self.strips_accents {
            clean.nfd().filter(|character| !character.is_mark_nonspacing()).collect()
        } else {
            clean.collect()
        };
        if self.lowers { text.chars().flat_map(char::to_lowercase).collect() } else { text }
    }

    fn encode_word(&self, word: &str, out: &mut Vec<u32>) {
        let begin = out.len();
        let mut rest = word.as_bytes();
        let too_long = word.chars().nth(WORD_CHARACTERS_MAX).is_some();
        while !rest.is_empty() {
            let pieces = if rest.len() == word.len() { &self.begins } else { &self.goes_on };
            let Some((length, token)) = pieces.longest(rest).filter(|_| !too_long) else {
                out.truncate(begin);
                out.extend(self.unknown);
                return;
            };
            out.push(token);
            rest = &rest[length..];
        }
    }
}

fn is_blank(character: char) -> bool {
    matches!(character, '\t' | '\n' | '\r') || character.is_whitespace()
}

fn is_dropped(character: char) -> bool {
    let control = !matches!(character, '\t' | '\n' | '\r') && character.is_other();
    matches!(character, '\0' | char::REPLACEMENT_CHARACTER) || control
}

fn is_punctuation(character: char) -> bool {
    character.is_ascii_punctuation() || character.is_punctuation()
}

/// CJK ideographs, which BERT takes for words.
fn is_ideograph(character: char) -> bool {
    matches!(
        u32::from(character),
        0x4e00..=0x9fff
            | 0x3400..=0x4dbf
            | 0x20000..=0x2a6df
            | 0x2a700..=0x2b73f
            | 0x2b740..=0x2b81f
            | 0x2b920..=0x2ceaf
            | 0xf900..=0xfaff
            | 0x2f800..=0x2fa1f
    )
}
