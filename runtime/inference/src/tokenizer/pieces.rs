//! SentencePiece's BPE (`tokenizer.ggml.model` = `llama`): of all pairs that are a piece together, the one with the
//! highest score merges first, and of equal ones the leftmost.
//!
//! Sources: Kudo & Richardson 2018, "SentencePiece"; its `bpe_model.cc` (a heap of pairs, pieces that are unused, runs of
//! unknown text); llama.cpp's `llama-vocab.cpp` for the metadata.
//!
//! Characters are a linked list and candidate pairs a heap, and no pair longer than the longest piece is looked up: a
//! text of n characters takes O(n log n).

use super::{
    TokenizerError,
    normalize::{Normalizer, Unknown, piece_bytes},
    vocabulary::{Listing, TokenBytes, TokenKind, is_text_piece},
};
use crate::gguf::Gguf;
use std::{
    cmp::{Ordering, Reverse},
    collections::{BinaryHeap, HashMap},
};

#[derive(Debug)]
pub(super) struct Pieces {
    normalizer: Normalizer,
    unknown: Unknown,
    pieces: HashMap<Box<str>, Piece>,
    /// Bytes of the longest.
    longest: usize,
}

#[derive(Clone, Copy, Debug)]
struct Piece {
    id: u32,
    score: Score,
    unused: bool,
}

/// A score, which is always finite.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Score(f32);

impl Eq for Score {}

impl Ord for Score {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.partial_cmp(&other.0).unwrap_or(Ordering::Equal)
    }
}

impl PartialOrd for Score {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[derive(Clone, Copy)]
struct Symbol {
    begin: usize,
    /// Equal to `begin` once it merged into the one before.
    end: usize,
    previous: usize,
    next: usize,
    /// A user-defined piece, which does not merge.
    whole: bool,
}

const NONE: usize = usize::MAX;

/// One text on its way.
struct Merge<'a> {
    model: &'a Pieces,
    text: &'a str,
    symbols: Vec<Symbol>,
    /// Score, left symbol, bytes of both together. A pair whose symbols grew is stale.
    pairs: BinaryHeap<(Score, Reverse<usize>, usize)>,
    /// Where an unused piece was put together.
    splits: HashMap<&'a str, usize>,
}

impl Pieces {
    pub(super) fn from_gguf(file: &Gguf, listing: &Listing<'_>) -> Result<(Self, TokenBytes), TokenizerError> {
        let scores = listing.scores(file)?;
        let normalizer = Normalizer::from_gguf(file, listing, true)?;
        let unknown = Unknown::from_gguf(file, listing)?;
        let mut model = Self { normalizer, unknown, pieces: HashMap::new(), longest: 0 };
        let mut bytes = TokenBytes::default();
        for ((id, text, kind), score) in listing.iter().zip(scores) {
            bytes.push(piece_bytes(text, kind));
            let found_in_text = match kind {
                TokenKind::Normal | TokenKind::Unused => true,
                TokenKind::UserDefined => is_text_piece(text),
                TokenKind::Control | TokenKind::Unknown | TokenKind::Byte => false,
            };
            if found_in_text {
                let piece = Piece { id, score: Score(score), unused: kind == TokenKind::Unused };
                model.pieces.entry(text.into()).or_insert(piece);
                model.longest = model.longest.max(text.len());
            }
        }
        Ok((model, bytes))
    }

    pub(super) fn prefixes_space(&self) -> bool {
        self.normalizer.prefixes_space()
    }

    /// Appends the tokens of a text.
    pub(super) fn encode(&self, text: &str, out: &mut Vec<u32>) {
        let text = self.normalizer.normalize(text);
        let symbols = self.symbols(&text);
        let mut merge = Merge { model: self, text: &text, symbols, pairs: BinaryHeap::new(), splits: HashMap::new() };
        merge.run();
        merge.finish(out);
    }

    fn symbols(&self, text: &str) -> Vec<Symbol> {
        let mut symbols: Vec<Symbol> = Vec::with_capacity(text.len());
        let mut begin = 0;
        while let Some(first) = text[begin..].chars().next() {
            let whole = self.normalizer.whole(&text[begin..]);
            let end = begin + whole.unwrap_or(first.len_utf8());
            let index = symbols.len();
            let next = if end == text.len() { NONE } else { index + 1 };
            symbols.push(Symbol { begin, end, previous: index.wrapping_sub(1), next, whole: whole.is_some() });
            begin = end;
        }
        symbols
    }
}

impl Merge<'_> {
    fn run(&mut self) {
        for right in 1..self.symbols.len() {
            self.enter(right - 1, right);
        }
        while let Some((_, Reverse(left), length)) = self.pairs.pop() {
            let Symbol { begin, end, next: right, .. } = self.symbols[left];
            if begin == end || right == NONE || self.symbols[right].end - begin != length {
                continue;
            }
            let Symbol { end, next, .. } = self.symbols[right];
            self.symbols[right].end = self.symbols[right].begin;
            self.symbols[left].end = end;
            self.symbols[left].next = next;
            if next != NONE {
                self.symbols[next].previous = left;
            }
            self.enter(self.symbols[left].previous, left);
            self.enter(left, next);
        }
    }

    /// Enters a pair, where it is a piece.
    fn enter(&mut self, left: usize, right: usize) {
        if left == NONE || right == NONE || self.symbols[left].whole || self.symbols[right].whole {
            return;
        }
        let (begin, end) = (self.symbols[left].begin, self.symbols[right].end);
        if end - begin > self.model.longest {
            return;
        }
        let text: &str = &self.text[begin..end];
        if let Some(piece) = self.model.pieces.get(text) {
            self.pairs.push((piece.score, Reverse(left), end - begin));
            if piece.unused {
                self.splits.insert(text, self.symbols[right].begin - begin);
            }
        }
    }

    fn finish(self, out: &mut Vec<u32>) {
        let mut after_unknown = false;
        let mut parts = Vec::new();
        for symbol in self.symbols.iter().filter(|symbol| symbol.begin < symbol.end) {
            parts.push(&self.text[symbol.begin..symbol.end]);
            // An unused piece falls apart into what it was made of, and so do its parts.
            while let Some(part) = parts.pop() {
                let piece = self.model.pieces.get(part);
                match (piece, self.splits.get(part)) {
                    (Some(Piece { unused: true, .. }), Some(split)) => parts.extend([&part[*split..], &part[..*split]]),
                    (Some(piece), _) => out.push(piece.id),
                    (None, _) => self.model.unknown.encode(part, after_unknown, out),
                }
                after_unknown = piece.is_none();
            }
        }
    }
}
