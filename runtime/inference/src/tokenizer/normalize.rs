//! What SentencePiece does to a text before it looks for pieces: replacements, blanks, `▁` for a space.
//!
//! Source: SentencePiece's `normalizer.cc`.

use super::{
    TokenizerError,
    charsmap::Charsmap,
    prefixes::Prefixes,
    vocabulary::{Listing, TOKEN_BYTES_MAX, TokenKind, flag, is_text_piece},
};
use crate::gguf::{Gguf, optional};

/// What stands for a space inside pieces: U+2581.
pub(super) const SPACE: char = '▁';

#[derive(Debug)]
pub(super) struct Normalizer {
    rules: Option<Charsmap>,
    /// Pieces that are taken as they are.
    whole: Prefixes,
    prefixes_space: bool,
    merges_spaces: bool,
}

impl Normalizer {
    /// `prefixes_space` where the file does not say.
    pub(super) fn from_gguf(file: &Gguf, listing: &Listing<'_>, prefixes_space: bool) -> Result<Self, TokenizerError> {
        if let Some(text) = listing.texts.iter().find(|text| text.len() > TOKEN_BYTES_MAX) {
            let start: String = text.chars().take(16).collect();
            return Err(TokenizerError::Damaged(format!("the token {start}… has more than {TOKEN_BYTES_MAX} bytes")));
        }
        let rules = optional(file.get_bytes("tokenizer.ggml.precompiled_charsmap"))?;
        Ok(Self {
            rules: rules.filter(|bytes| !bytes.is_empty()).map(Charsmap::new).transpose()?,
            whole: text_pieces(listing),
            prefixes_space: flag(file, "tokenizer.ggml.add_space_prefix")?.unwrap_or(prefixes_space),
            merges_spaces: flag(file, "tokenizer.ggml.remove_extra_whitespaces")?.unwrap_or(false),
        })
    }

    pub(super) fn prefixes_space(&self) -> bool {
        self.prefixes_space
    }

    /// The length of the user-defined piece that a text begins with.
    pub(super) fn whole(&self, text: &str) -> Option<usize> {
        self.whole.longest(text.as_bytes()).map(|(length, _)| length)
    }

    pub(super) fn normalize(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len() * 2);
        let mut rest = text;
        // Where blanks are merged, a text behaves as if a space stood before it.
        let mut behind_space = self.merges_spaces;
        let mut begun = false;
        while let Some((mut replacement, length)) = self.replace(rest) {
            rest = &rest[length..];
            if behind_space {
                replacement = replacement.trim_start_matches(' ');
            }
            if !begun && (!self.merges_spaces || !replacement.is_empty()) {
                begun = true;
                out.extend(self.prefixes_space.then_some(SPACE));
            }
            out.extend(replacement.chars().map(|character| if character == ' ' { SPACE } else { character }));
            if let (true, Some(last)) = (self.merges_spaces, replacement.chars().next_back()) {
                behind_space = last == ' ';
            }
        }
        if self.merges_spaces {
            out.truncate(out.trim_end_matches(SPACE).len());
        }
        out
    }

    /// What the beginning of a text becomes, and how long that beginning is; `None` at the end.
    fn replace<'a>(&'a self, text: &'a str) -> Option<(&'a str, usize)> {
        let first = text.chars().next()?;
        if let Some(length) = self.whole(text) {
            return Some((&text[..length], length));
        }
        let replaced = self.rules.as_ref().and_then(|rules| rules.longest(text));
        Some(replaced.unwrap_or((&text[..first.len_utf8()], first.len_utf8())))
    }
}

fn text_pieces(listing: &Listing<'_>) -> Prefixes {
    let user = listing.iter().filter(|(_, text, kind)| *kind == TokenKind::UserDefined && is_text_piece(text));
    Prefixes::new(user.map(|(id, text, _)| (text, id)))
}

/// The tokens of text that is in no piece: those of its bytes, or the one that stands for the unknown.
#[derive(Debug)]
pub(super) struct Unknown {
    token: Option<u32>,
    bytes: [Option<u32>; 256],
}

impl Unknown {
    pub(super) fn from_gguf(file: &Gguf, listing: &Listing<'_>) -> Result<Self, TokenizerError> {
        let mut bytes = [None; 256];
        for (id, text, kind) in listing.iter() {
            if let (TokenKind::Byte, Some(byte)) = (kind, super::vocabulary::byte_of(text)) {
                bytes[usize::from(byte)].get_or_insert(id);
            }
        }
        Ok(Self { token: listing.unknown(file)?, bytes })
    }

    /// Appends them. A run of unknown text is one token: `continues` says that the text before was unknown too.
    pub(super) fn encode(&self, text: &str, continues: bool, out: &mut Vec<u32>) {
        let bytes: Option<Vec<u32>> = text.bytes().map(|byte| self.bytes[usize::from(byte)]).collect();
        match bytes {
            Some(bytes) => out.extend(bytes),
            None if continues => {}
            None => out.extend(self.token),
        }
    }
}

/// The bytes that a piece stands for.
pub(super) fn piece_bytes(text: &str, kind: TokenKind) -> Vec<u8> {
    match (kind, super::vocabulary::byte_of(text)) {
        (TokenKind::Control | TokenKind::Unknown, _) => Vec::new(),
        (TokenKind::Byte, Some(byte)) => vec![byte],
        _ => text.replace(SPACE, " ").into_bytes(),
    }
}
