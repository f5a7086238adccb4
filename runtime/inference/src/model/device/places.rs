//! Where the rows of a step stand: each at a position of its sequence, and the sequence's positions in blocks.
//!
//! Programs find all of it in one buffer of words, which a step uploads once:
//!
//! | words | what |
//! | --- | --- |
//! | two for each row | how many positions it sees, its own as the last one, then where its sequence's table begins; a row that pads sees none |
//! | the others | the tables, one behind the other: a sequence's blocks in order |
//!
//! So a row needs nothing else to be computed beside rows of any other sequences, in one launch.

use crate::model::pool::BLOCK_TOKENS;
use cubecl::prelude::*;

/// Positions of a block.
const BLOCK: u32 = BLOCK_TOKENS as u32;
/// Words of a row.
const ROW_WORDS: usize = 2;

/// The buffer, while it is put together.
#[derive(Debug)]
pub(in crate::model) struct Places {
    words: Vec<u32>,
    /// Rows so far; the others pad them.
    live: usize,
    total: usize,
    /// The most positions that a row sees.
    longest: usize,
}

impl Places {
    /// Of so many rows, of which none is a sequence's yet.
    pub(in crate::model) fn new(total: usize) -> Self {
        Self { words: vec![0; ROW_WORDS * total], live: 0, total, longest: 0 }
    }

    /// The next rows are a sequence's, behind its first `known` positions.
    ///
    /// # Panics
    /// Where they are more than there are rows.
    pub(in crate::model) fn sequence(&mut self, known: usize, rows: usize, table: &[u32]) {
        assert!(self.live + rows <= self.total, "{} rows and {rows} more, of {}", self.live, self.total);
        // Words of a step, and positions of a context, fit: both are numbered with u32.
        let begin = self.words.len() as u32;
        let words = &mut self.words[ROW_WORDS * self.live..][..ROW_WORDS * rows];
        for (seen, row) in (known + 1..=known + rows).zip(words.chunks_exact_mut(ROW_WORDS)) {
            row.copy_from_slice(&[seen as u32, begin]);
        }
        self.words.extend_from_slice(table);
        self.live += rows;
        self.longest = self.longest.max(known + rows);
    }

    pub(super) fn live(&self) -> usize {
        self.live
    }

    pub(super) fn total(&self) -> usize {
        self.total
    }

    pub(super) fn longest(&self) -> usize {
        self.longest
    }

    pub(super) fn into_words(self) -> Vec<u32> {
        self.words
    }
}

/// How many positions a row sees.
#[cube]
pub(super) fn seen(places: &[u32], row: u32) -> u32 {
    places[(row * comptime!(ROW_WORDS as u32)) as usize]
}

/// Where the table of a row's sequence begins.
#[cube]
pub(super) fn table(places: &[u32], row: u32) -> u32 {
    places[(row * comptime!(ROW_WORDS as u32) + 1u32) as usize]
}

/// The slot of a position, by a table.
#[cube]
pub(super) fn slot(places: &[u32], table: u32, position: u32) -> u32 {
    places[(table + position / BLOCK) as usize] * BLOCK + position % BLOCK
}
