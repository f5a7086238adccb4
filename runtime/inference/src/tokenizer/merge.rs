//! The merges of BPE: the pair of the lowest rank first, and of equal ranks the leftmost.
//!
//! Symbols are a linked list and candidate pairs a heap, so that a word of n bytes takes O(n log n), however long it
//! is.

use super::vocabulary::Vocabulary;
use std::{cmp::Reverse, collections::BinaryHeap};

/// Merges words; keeps its buffers between them.
#[derive(Default)]
pub(super) struct Merger {
    symbols: Vec<Symbol>,
    /// Rank, left symbol, both tokens as they were when the pair was entered. A pair whose tokens changed is stale.
    pairs: BinaryHeap<Reverse<(u32, usize, u32, u32)>>,
}

struct Symbol {
    token: Option<u32>,
    previous: usize,
    next: usize,
    dead: bool,
}

const NONE: usize = usize::MAX;

impl Merger {
    /// Appends the tokens of a word.
    pub(super) fn merge(&mut self, vocabulary: &Vocabulary, word: &[u8], out: &mut Vec<u32>) {
        self.symbols.clear();
        self.pairs.clear();
        let last = word.len().wrapping_sub(1);
        self.symbols.extend(word.iter().enumerate().map(|(index, byte)| Symbol {
            token: vocabulary.byte_token(*byte),
            previous: index.wrapping_sub(1),
            next: if index == last { NONE } else { index + 1 },
            dead: false,
        }));
        for left in 0..last.min(word.len()) {
            self.enter(vocabulary, left);
        }
        while let Some(Reverse((_, left, left_token, right_token))) = self.pairs.pop() {
            let right = self.symbols[left].next;
            let stale = self.symbols[left].dead
                || right == NONE
                || self.symbols[left].token != Some(left_token)
                || self.symbols[right].token != Some(right_token);
            if !stale {
                self.join(vocabulary, left, right, vocabulary.merge(left_token, right_token).map(|(_, token)| token));
            }
        }
        out.extend(self.symbols.iter().filter(|symbol| !symbol.dead).filter_map(|symbol| symbol.token));
    }

    fn join(&mut self, vocabulary: &Vocabulary, left: usize, right: usize, token: Option<u32>) {
        let next = self.symbols[right].next;
        self.symbols[right].dead = true;
        self.symbols[left].token = token;
        self.symbols[left].next = next;
        if next != NONE {
            self.symbols[next].previous = left;
            self.enter(vocabulary, left);
        }
        let previous = self.symbols[left].previous;
        if previous != NONE {
            self.enter(vocabulary, previous);
        }
    }

    /// Enters the pair of a symbol and the one after it, where they can be merged.
    fn enter(&mut self, vocabulary: &Vocabulary, left: usize) {
        let right = self.symbols[left].next;
        if let (Some(left_token), Some(right_token)) = (self.symbols[left].token, self.symbols[right].token)
            && let Some((rank, _)) = vocabulary.merge(left_token, right_token)
        {
            self.pairs.push(Reverse((rank, left, left_token, right_token)));
        }
    }
}
