//! The vocabulary: what each token stands for, and which pairs merge.

use crate::gguf::{Gguf, GgufError, optional};
use std::collections::HashMap;
use thiserror::Error;

/// Why a tokenizer cannot be built.
#[derive(Debug, Error)]
pub enum TokenizerError {
    /// Its metadata are missing or of the wrong type.
    #[error("the tokenizer cannot be built: {0}")]
    File(#[from] GgufError),
    /// Another kind than byte-level BPE.
    #[error("the tokenizer's model is {name}, and gpt2 (byte-level BPE) is supported; choose another model file")]
    Kind {
        /// As the file names it.
        name: String,
    },
    /// A splitter that is not in the table.
    #[error("the pre-tokenizer is {name}, and supported are {known}; choose another model file")]
    PreTokenizer {
        /// As the file names it.
        name: String,
        /// Those in the table.
        known: String,
    },
    /// A pattern of the table that does not compile.
    #[error("the pattern of the pre-tokenizer {name} is broken: {why}; this is a defect of Remit, report it")]
    Pattern {
        /// Whose pattern.
        name: String,
        /// What is wrong.
        why: String,
    },
    /// Arrays that do not fit together, ids that do not exist.
    #[error("the tokenizer's metadata are damaged: {0}; download the file again")]
    Damaged(String),
}

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

/// Values of `tokenizer.ggml.token_type`.
const KIND_CONTROL: i32 = 3;
const KIND_USER_DEFINED: i32 = 4;

#[derive(Debug)]
pub(super) struct Vocabulary {
    /// The bytes of all tokens, one after the other: `bytes[ends[i - 1]..ends[i]]` are token i's.
    bytes: Vec<u8>,
    byte_ends: Vec<usize>,
    /// Control and user-defined tokens by id, with their text.
    control: HashMap<u32, Box<str>>,
    byte_tokens: [Option<u32>; 256],
    /// Left and right token → rank and merged token.
    merges: HashMap<(u32, u32), (u32, u32)>,
    begin: Option<u32>,
    end: Option<u32>,
    adds_begin: bool,
    ends: Vec<u32>,
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

impl Vocabulary {
    pub(super) fn from_gguf(file: &Gguf) -> Result<Self, TokenizerError> {
        let kind = file.get_str("tokenizer.ggml.model")?;
        if kind != "gpt2" {
            return Err(TokenizerError::Kind { name: kind.to_owned() });
        }
        let texts = file.get_strings("tokenizer.ggml.tokens")?;
        let kinds = file.get_i32s("tokenizer.ggml.token_type")?;
        if texts.len() != kinds.len() || texts.is_empty() || u32::try_from(texts.len()).is_err() {
            let (tokens, types) = (texts.len(), kinds.len());
            return Err(TokenizerError::Damaged(format!("there are {tokens} tokens and {types} token types")));
        }
        let mut vocabulary = Self {
            bytes: Vec::new(),
            byte_ends: Vec::with_capacity(texts.len()),
            control: HashMap::new(),
            byte_tokens: [None; 256],
            merges: HashMap::new(),
            begin: token_of(file, "tokenizer.ggml.bos_token_id", texts.len())?,
            end: token_of(file, "tokenizer.ggml.eos_token_id", texts.len())?,
            adds_begin: optional(file.get_bool("tokenizer.ggml.add_bos_token"))?.unwrap_or(false),
            ends: Vec::new(),
        };
        vocabulary.add_tokens(&texts, &kinds);
        vocabulary.add_merges(&texts, &file.get_strings("tokenizer.ggml.merges")?)?;
        vocabulary.add_ends(file)?;
        Ok(vocabulary)
    }

    fn add_tokens(&mut self, texts: &[&str], kinds: &[i32]) {
        let byte_of: HashMap<char, u8> = (0..=255).map(|byte| (byte_character(byte), byte)).collect();
        for (id, (text, kind)) in texts.iter().zip(kinds).enumerate() {
            // The count was compared with u32 before.
            let id = id as u32;
            if matches!(*kind, KIND_CONTROL | KIND_USER_DEFINED) {
                self.control.insert(id, Box::from(*text));
            }
            if *kind != KIND_CONTROL {
                for character in text.chars() {
                    match byte_of.get(&character) {
                        Some(byte) if *kind != KIND_USER_DEFINED => self.bytes.push(*byte),
                        _ => self.bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
                    }
                }
                let mut characters = text.chars();
                let single = characters.next().filter(|_| characters.next().is_none());
                if let Some(byte) = single.and_then(|character| byte_of.get(&character)) {
                    self.byte_tokens[usize::from(*byte)].get_or_insert(id);
                }
            }
            self.byte_ends.push(self.bytes.len());
        }
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

    fn add_ends(&mut self, file: &Gguf) -> Result<(), TokenizerError> {
        self.ends.extend(self.end);
        for key in ["tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"] {
            self.ends.extend(token_of(file, key, self.size())?);
        }
        let named = self.control.iter().filter(|(_, text)| END_TEXTS.contains(&&***text));
        self.ends.extend(named.map(|(id, _)| *id));
        self.ends.sort_unstable();
        self.ends.dedup();
        Ok(())
    }

    pub(super) fn size(&self) -> usize {
        self.byte_ends.len()
    }

    pub(super) fn bytes(&self, token: u32) -> &[u8] {
        let index = token as usize;
        let begin = index.checked_sub(1).and_then(|before| self.byte_ends.get(before)).copied().unwrap_or(0);
        let end = self.byte_ends.get(index).copied().unwrap_or(begin);
        &self.bytes[begin..end]
    }

    pub(super) fn text_of(&self, token: u32) -> Option<&str> {
        self.control.get(&token).map(AsRef::as_ref)
    }

    pub(super) fn control_texts(&self) -> impl Iterator<Item = (&str, u32)> {
        self.control.iter().map(|(id, text)| (text.as_ref(), *id))
    }

    pub(super) fn byte_token(&self, byte: u8) -> Option<u32> {
        self.byte_tokens[usize::from(byte)]
    }

    pub(super) fn merge(&self, left: u32, right: u32) -> Option<(u32, u32)> {
        self.merges.get(&(left, right)).copied()
    }

    pub(super) fn begin(&self) -> Option<u32> {
        self.begin
    }

    pub(super) fn end(&self) -> Option<u32> {
        self.end
    }

    pub(super) fn adds_begin(&self) -> bool {
        self.adds_begin
    }

    pub(super) fn ends(&self) -> &[u32] {
        &self.ends
    }
}

fn token_of(file: &Gguf, key: &str, size: usize) -> Result<Option<u32>, TokenizerError> {
    let token = optional(file.get_u32(key))?;
    match token {
        Some(token) if token as usize >= size => {
            Err(TokenizerError::Damaged(format!("{key} is {token} and there are {size} tokens")))
        }
        token => Ok(token),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gguf::sample::{I32, STRING, Writer, string, with_tokenizer};
    use std::collections::HashSet;

    #[test]
    fn bytes_have_characters_of_their_own() {
        let characters: HashSet<char> = (0..=255).map(byte_character).collect();
        assert_eq!(characters.len(), 256);
        let expect =
            [(b' ', 'Ġ'), (b'\n', 'Ċ'), (b'a', 'a'), (0, 'Ā'), (0x7f, 'ġ'), (0xa0, 'ł'), (0xad, 'Ń'), (0xff, 'ÿ')];
        assert_eq!(expect.map(|(byte, _)| byte_character(byte)), expect.map(|(_, character)| character));
    }

    fn check(writer: Writer, expect: &str) {
        let file = Gguf::from_bytes(writer.finish()).unwrap();
        let sentence = super::super::Tokenizer::from_gguf(&file).unwrap_err().to_string();
        assert!(sentence.contains(expect), "{sentence}");
    }

    #[test]
    fn refuses_what_it_cannot_build() {
        let base = || Writer::new().str("tokenizer.ggml.model", "gpt2");
        let tokens = |count: usize, kinds: usize| {
            let kinds = vec![1i32.to_le_bytes().to_vec(); kinds];
            base().array("tokenizer.ggml.tokens", STRING, &vec![string("a"); count]).array(
                "tokenizer.ggml.token_type",
                I32,
                &kinds,
            )
        };
        check(Writer::new(), "no metadata key tokenizer.ggml.model");
        check(Writer::new().str("tokenizer.ggml.model", "llama"), "model is llama, and gpt2");
        check(base(), "no metadata key tokenizer.ggml.tokens");
        check(tokens(2, 1), "2 tokens and 1 token types");
        check(tokens(0, 0), "0 tokens");
        check(tokens(2, 2).u32("tokenizer.ggml.eos_token_id", 2), "eos_token_id is 2 and there are 2 tokens");
        check(tokens(2, 2).array("tokenizer.ggml.merges", STRING, &[string("ab")]), "merge 0 has not two parts");
        let merges = [string("a a")];
        let pre = |name| tokens(1, 1).array("tokenizer.ggml.merges", STRING, &merges).str("tokenizer.ggml.pre", name);
        check(pre("exotic"), "pre-tokenizer is exotic, and supported are gpt-2, smollm");
    }

    #[test]
    fn ends_are_named_or_known_by_text() {
        let file = Gguf::from_bytes(with_tokenizer(Writer::new()).finish()).unwrap();
        assert_eq!(Vocabulary::from_gguf(&file).unwrap().ends(), [crate::gguf::sample::END]);
    }
}
