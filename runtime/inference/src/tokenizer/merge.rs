//! The merges of BPE: the pair of the lowest rank first, and of equal ranks the leftmost.
//!
//! Symbols are a linked list and candidate pairs a heap, so that a word of n bytes takes O(n log n), however long it
//! is.

use std::{cmp::Reverse, collections::BinaryHeap};

/// What BPE goes by.
pub(super) trait Pairs {
    /// The token of a byte, where it has one.
    fn byte_token(&self, byte: u8) -> Option<u32>;
    /// The rank of a pair and the token that it becomes, where it merges.
    fn merge(&self, left: u32, right: u32) -> Option<(u32, u32)>;
}

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
    pub(super) fn merge(&mut self, pairs: &impl Pairs, word: &[u8], out: &mut Vec<u32>) {
        self.symbols.clear();
        self.pairs.clear();
        let last = word.len().wrapping_sub(1);
        self.symbols.extend(word.iter().enumerate().map(|(index, byte)| Symbol {
            token: pairs.byte_token(*byte),
            previous: index.wrapping_sub(1),
            next: if index == last { NONE } else { index + 1 },
            dead: false,
        }));
        for left in 0..last.min(word.len()) {
            self.enter(pairs, left);
        }
        while let Some(Reverse((_, left, left_token, right_token))) = self.pairs.pop() {
            let right = self.symbols[left].next;
            let stale = self.symbols[left].dead
                || right == NONE
                || self.symbols[left].token != Some(left_token)
                || self.symbols[right].token != Some(right_token);
            if !stale {
                self.join(pairs, left, right, pairs.merge(left_token, right_token).map(|(_, token)| token));
            }
        }
        out.extend(self.symbols.iter().filter(|symbol| !symbol.dead).filter_map(|symbol| symbol.token));
    }

    fn join(&mut self, pairs: &impl Pairs, left: usize, right: usize, token: Option<u32>) {
        let next = self.symbols[right].next;
        self.symbols[right].dead = true;
        self.symbols[left].token = token;
        self.symbols[left].next = next;
        if next != NONE {
            self.symbols[next].previous = left;
            self.enter(pairs, left);
        }
        let previous = self.symbols[left].previous;
        if previous != NONE {
            self.enter(pairs, previous);
        }
    }

    /// Enters the pair of a symbol and the one after it, where they can be merged.
    fn enter(&mut self, pairs: &impl Pairs, left: usize) {
        let right = self.symbols[left].next;
        if let (Some(left_token), Some(right_token)) = (self.symbols[left].token, self.symbols[right].token)
            && let Some((rank, _)) = pairs.merge(left_token, right_token)
        {
            self.pairs.push(Reverse((rank, left, left_token, right_token)));
        }
    }
}
