//! Byte-level BPE as GPT-2 has it (`tokenizer.ggml.model` = `gpt2`): a splitter cuts words, and the bytes of each merge.

use super::{
    TokenizerError,
    merge::{Merger, Pairs},
    split::Splitter,
    vocabulary::{Listing, TokenBytes, TokenKind},
};
use crate::gguf::Gguf;
use std::collections::HashMap;
use unicode_normalization::UnicodeNormalization;

#[derive(Debug)]
pub(super) struct ByteLevel {
    splitter: Splitter,
    byte_tokens: [Option<u32>; 256],
    /// Left and right token → rank and merged token.
    merges: HashMap<(u32, u32), (u32, u32)>,
    /// Words that are tokens as they are, where the family looks for these before it merges.
    words: HashMap<Box<[u8]>, u32>,
}

/// The character that GPT-2 writes for a byte: itself where it is printable, else one from U+0100 on.
pub(crate) fn byte_character(byte: u8) -> char {
    match byte {
        b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff => char::from(byte),
        0..=b' ' => shifted(u32::from(byte)),
        0x7f..=0xa0 => shifted(u32::from(byte) - 0x7f + 33),
        0xad => shifted(67),
    }
}

fn shifted(offset: u32) -> char {
    char::from_u32(0x100 + offset).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// Which byte each of those characters stands for.
pub(super) fn bytes_by_character() -> HashMap<char, u8> {
    (0..=255).map(|byte| (byte_character(byte), byte)).collect()
}

/// The bytes that a token's text stands for; a character that stands for none is its own UTF-8.
pub(super) fn token_bytes(byte_of: &HashMap<char, u8>, text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    for character in text.chars() {
        match byte_of.get(&character) {
            Some(byte) => bytes.push(*byte),
            None => bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    bytes
}

impl ByteLevel {
    pub(super) fn from_gguf(
        file: &Gguf,
        listing: &Listing<'_>,
        splitter: Splitter,
    ) -> Result<(Self, TokenBytes), TokenizerError> {
        let mut model = Self { splitter, byte_tokens: [None; 256], merges: HashMap::new(), words: HashMap::new() };
        let bytes = model.add_tokens(listing);
        model.add_merges(&listing.texts, &file.get_strings("tokenizer.ggml.merges")?)?;
        Ok((model, bytes))
    }

    fn add_tokens(&mut self, listing: &Listing<'_>) -> TokenBytes {
        let byte_of = bytes_by_character();
        let mut all = TokenBytes::default();
        for (id, text, kind) in listing.iter() {
            let bytes = match kind {
                TokenKind::Control | TokenKind::Unknown => Vec::new(),
                TokenKind::UserDefined => text.as_bytes().to_vec(),
                TokenKind::Normal | TokenKind::Unused | TokenKind::Byte => token_bytes(&byte_of, text),
            };
            if let ([byte], true) = (&bytes[..], text.chars().count() == 1) {
                self.byte_tokens[usize::from(*byte)].get_or_insert(id);
            }
            if self.splitter.keeps_words() && kind == TokenKind::Normal {
                self.words.entry(bytes.clone().into()).or_insert(id);
            }
            all.push(bytes);
        }
        all
    }

    fn add_merges(&mut self, texts: &[&str], merges: &[&str]) -> Result<(), TokenizerError> {
        let ids: HashMap<&str, u32> = texts.iter().enumerate().map(|(id, text)| (*text, id as u32)).collect();
        for (rank, merge) in merges.iter().enumerate() {
            // The space that divides the two is the first one that is not the left part itself.
            let space = merge.char_indices().skip(1).find(|(_, character)| *character == ' ');
            let Some((left, right)) = space.map(|(index, _)| (&merge[..index], &merge[index + 1..])) else {
                return Err(TokenizerError::Damaged(format!("merge {rank} has not two parts")));
            };
            let merged = [left, right].concat();
            // A part or a result without a token can never come up.
            if let (Some(left), Some(right), Some(merged)) = (ids.get(left), ids.get(right), ids.get(merged.as_str())) {
                let rank = u32::try_from(rank).unwrap_or(u32::MAX);
                self.merges.entry((*left, *right)).or_insert((rank, *merged));
            }
        }
        Ok(())
    }

    /// Appends the tokens of a text.
    pub(super) fn encode(&self, text: &str, out: &mut Vec<u32>) {
        if self.splitter.composes() && !unicode_normalization::is_nfc(text) {
            self.encode_words(&text.nfc().collect::<String>(), out);
        } else {
            self.encode_words(text, out);
        }
    }

    fn encode_words(&self, text: &str, out: &mut Vec<u32>) {
        let mut merger = Merger::default();
        self.splitter.split(text, |word| match self.words.get(word.as_bytes()) {
            Some(token) => out.push(*token),
            None => merger.merge(self, word.as_bytes(), out),
        });
    }
}

impl Pairs for ByteLevel {
    fn byte_token(&self, byte: u8) -> Option<u32> {
        self.byte_tokens[usize::from(byte)]
    }

    fn merge(&self, left: u32, right: u32) -> Option<(u32, u32)> {
        self.merges.get(&(left, right)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn bytes_have_characters_of_their_own() {
        let characters: HashSet<char> = (0..=255).map(byte_character).collect();
        assert_eq!(characters.len(), 256);
        let expect =
            [(b' ', 'Ġ'), (b'\n', 'Ċ'), (b'a', 'a'), (0, 'Ā'), (0x7f, 'ġ'), (0xa0, 'ł'), (0xad, 'Ń'), (0xff, 'ÿ')];
        assert_eq!(expect.map(|(byte, _)| byte_character(byte)), expect.map(|(_, character)| character));
    }
}
