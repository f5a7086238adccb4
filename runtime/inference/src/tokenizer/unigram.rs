//! SentencePiece's unigram model (`tokenizer.ggml.model` = `t5`): of all ways to cut a text into pieces, the one whose
//! scores have the highest sum.
//!
//! Sources: Kudo 2018, "Subword Regularization"; SentencePiece's `unigram_model.cc` (the best path is found from left to
//! right, one best end at each byte; a character without a piece costs ten below the lowest score; sums are kept in
//! f32).
//!
//! Limit: where several ways to cut a run of one character have sums that differ by rounding alone, versions of
//! SentencePiece choose differently, and so may this.

use super::{
    TokenizerError,
    normalize::{Normalizer, Unknown, piece_bytes},
    prefixes::Prefixes,
    vocabulary::{Listing, TokenBytes, TokenKind, is_text_piece},
};
use crate::gguf::Gguf;

/// What a character without a piece costs below the lowest score.
const UNKNOWN_PENALTY: f32 = 10.0;

#[derive(Debug)]
pub(super) struct Unigram {
    normalizer: Normalizer,
    unknown: Unknown,
    pieces: Prefixes,
    scores: Vec<f32>,
    unknown_score: f32,
}

/// The best way to a place in the text.
#[derive(Clone, Copy)]
struct Way {
    score: f32,
    /// Where the last piece begins; none for a place that nothing leads to.
    begin: Option<usize>,
    /// The last piece; none for unknown text.
    token: Option<u32>,
}

impl Unigram {
    pub(super) fn from_gguf(file: &Gguf, listing: &Listing<'_>) -> Result<(Self, TokenBytes), TokenizerError> {
        let mut scores = listing.scores(file)?;
        let normalizer = Normalizer::from_gguf(file, listing, true)?;
        let unknown = Unknown::from_gguf(file, listing)?;
        let mut bytes = TokenBytes::default();
        for (_, text, kind) in listing.iter() {
            bytes.push(piece_bytes(text, kind));
        }
        let normal = listing.kinds.iter().zip(&scores).filter(|(kind, _)| **kind == TokenKind::Normal);
        let lowest = normal.fold(f32::MAX, |lowest, (_, score)| lowest.min(*score));
        let favours = |text: &str, kind| kind == TokenKind::UserDefined && is_text_piece(text);
        // Scores are logarithms of probabilities, so that a piece with zero wins over its parts.
        for (id, _, _) in listing.iter().filter(|(_, text, kind)| favours(text, *kind)) {
            scores[id as usize] = 0.0;
        }
        let found_in_text = listing.iter().filter(|(_, text, kind)| *kind == TokenKind::Normal || favours(text, *kind));
        let model = Self {
            normalizer,
            unknown,
            pieces: Prefixes::new(found_in_text.map(|(id, text, _)| (text, id))),
            scores,
            unknown_score: lowest - UNKNOWN_PENALTY,
        };
        Ok((model, bytes))
    }

    pub(super) fn prefixes_space(&self) -> bool {
        self.normalizer.prefixes_space()
    }

    /// Appends the tokens of a text.
    pub(super) fn encode(&self, text: &str, out: &mut Vec<u32>) {
        let text = self.normalizer.normalize(text);
        let ways = self.best_ways(&text);
        let mut path = Vec::new();
        let mut end = text.len();
        while let Some(begin) = ways[end].begin {
            path.push((begin..end, ways[end].token));
            end = begin;
        }
        let mut after_unknown = false;
        for (range, token) in path.into_iter().rev() {
            match token {
                Some(token) => out.push(token),
                None => self.unknown.encode(&text[range], after_unknown, out),
            }
            after_unknown = token.is_none();
        }
    }

    /// For each byte, the best way to end a piece there.
    fn best_ways(&self, text: &str) -> Vec<Way> {
        let mut ways = vec![Way { score: 0.0, begin: None, token: None }; text.len() + 1];
        for (begin, character) in text.char_indices() {
            let so_far = ways[begin].score;
            let mut single = false;
            let mut offer = |length: usize, score: f32, token| {
                let way = &mut ways[begin + length];
                let score = score + so_far;
                if way.begin.is_none() || score > way.score {
                    *way = Way { score, begin: Some(begin), token };
                }
            };
            self.pieces.each(&text.as_bytes()[begin..], |length, token| {
                single |= length == character.len_utf8();
                offer(length, self.scores[token as usize], Some(token));
            });
            if !single {
                offer(character.len_utf8(), self.unknown_score, None);
            }
        }
        ways
    }
}
