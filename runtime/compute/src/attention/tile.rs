//! Some rows of a sequence, all query heads of one key head, through the stretches of their keys.
//!
//! For each stretch: scores of all rows, softmax of each, and the mixture with its values. Keys and values are widened in the
//! registers that they are multiplied in.
//!
//! | of a row of queries | is | vectors |
//! | --- | --- | --- |
//! | weights | sums of `2^(score - top)`, a lane for each position modulo 16 | 1 |
//! | top | the highest score so far, in the first lane | 1 |
//! | mixture | sums of weighted values | `width / 16` |
//!
//! Scores are logarithms of base two: the scale, times `log2(e)`, is in the queries.

use super::{
    Heads,
    registers::{Scores, mix_columns, score_blocks, soften},
};
use crate::{
    blocks::{BLOCK_TOKENS, Blocks, Head},
    functions::{exp2, tanh},
    lanes::{Lanes, Work},
    sixteen::{LANES, Sixteen},
};
use std::{f32::consts::LOG2_E, ops::Range};

/// Blocks of a stretch. 4: sums stay in registers for 64 tokens, and scores of a tile in the first cache.
pub(super) const STRETCH: usize = 4;
/// Tokens between two looks at the highest score.
pub(super) const STRETCH_TOKENS: usize = STRETCH * BLOCK_TOKENS;
/// Rows that are computed together, at most: with 12 sums of AVX2, 4 registers are left.
pub(super) const ROWS: usize = 6;

/// Where a row's sums are.
pub(super) const WEIGHTS: usize = 0;
pub(super) const TOP: usize = 1;
pub(super) const MIXTURE: usize = 2;

/// Some rows of a sequence, for one key head.
pub(super) struct Tile<'a> {
    pub(super) blocks: &'a Blocks,
    pub(super) layer: usize,
    pub(super) heads: &'a Heads,
    pub(super) table: &'a [u32],
    pub(super) projected: &'a [f32],
    pub(super) kv_head: usize,
    /// Of the step.
    pub(super) rows: Range<usize>,
    /// Of the first row.
    pub(super) position: usize,
}

/// What a thread has at hand for a tile, as large as for the largest one so far.
#[derive(Default)]
pub(super) struct Scratch {
    queries: Vec<f32>,
    scores: Vec<Scores>,
}

impl Tile<'_> {
    /// Rows of queries: the query heads of all rows, row by row.
    pub(super) fn query_rows(&self) -> usize {
        self.rows.len() * self.heads.group()
    }

    /// The stretches that any of its rows sees.
    pub(super) fn stretches(&self) -> Range<usize> {
        self.sight(0).start / STRETCH_TOKENS..self.sight(self.rows.len() - 1).end.div_ceil(STRETCH_TOKENS)
    }

    /// How many vectors its sums are.
    pub(super) fn sums(&self) -> usize {
        self.query_rows() * self.stride()
    }

    /// Sums of one row of queries.
    fn stride(&self) -> usize {
        MIXTURE + self.blocks.shape().columns()
    }

    /// What a row sees.
    fn sight(&self, row: usize) -> Range<usize> {
        self.heads.sight(self.position + row)
    }

    /// The rows of queries from `first` on that are computed together.
    fn together(&self, first: usize) -> usize {
        ROWS.min(self.query_rows() - first)
    }

    /// The queries of groups of [`ROWS`] rows, times a factor: `[group][width][row of the group]`.
    #[inline(always)]
    fn pack(&self, queries: &mut Vec<f32>) {
        let Heads { width, scale, softcap, .. } = *self.heads;
        let factor = softcap.map_or(scale * LOG2_E, |cap| scale / cap);
        let count = self.query_rows();
        queries.resize(queries.len().max(count * width), 0.0);
        for first in (0..count).step_by(ROWS) {
            let together = self.together(first);
            let packed = &mut queries[first * width..][..together * width];
            match together {
                ROWS => self.pack_rows::<ROWS>(first, factor, packed),
                _ => (0..together).for_each(|row| {
                    let packed = packed.iter_mut().skip(row).step_by(together);
                    packed.zip(self.query(first + row)).for_each(|(packed, query)| *packed = query * factor);
                }),
            }
        }
    }

    #[inline(always)]
    fn pack_rows<const R: usize>(&self, first: usize, factor: f32, packed: &mut [f32]) {
        let mut rows = [[].as_slice(); R];
        for (index, row) in rows.iter_mut().enumerate() {
            *row = self.query(first + index);
        }
        for (index, packed) in packed.as_chunks_mut::<R>().0.iter_mut().enumerate() {
            for (packed, row) in packed.iter_mut().zip(rows) {
                *packed = row[index] * factor;
            }
        }
    }

    /// One row of queries.
    #[inline(always)]
    fn query(&self, index: usize) -> &[f32] {
        let Heads { width, .. } = *self.heads;
        let group = self.heads.group();
        let row = &self.projected[(self.rows.start + index / group) * self.heads.projected_width()..];
        &row[(self.kv_head * group + index % group) * width..][..width]
    }
}

/// What a row's query heads mixed, from the sums of all rows.
pub(super) struct Divide<'a> {
    pub(super) tile: &'a Tile<'a>,
    pub(super) row: usize,
    pub(super) sums: &'a [Sixteen],
    /// `[query head][width]`.
    pub(super) out: &'a mut [f32],
}

impl Work for Divide<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self, _lanes: L) {
        let heads = self.tile.heads;
        let rows = self.sums.chunks_exact(self.tile.stride()).skip(self.row * heads.group());
        for (sums, out) in rows.zip(self.out.chunks_exact_mut(heads.width)) {
            let factor = 1.0 / sums[WEIGHTS].sum();
            let (whole, rest) = out.as_chunks_mut::<LANES>();
            let mixture = &sums[MIXTURE..];
            for (out, mixture) in whole.iter_mut().zip(mixture) {
                for (out, mixture) in out.iter_mut().zip(mixture.0) {
                    *out = mixture * factor;
                }
            }
            if let Some(mixture) = mixture.get(whole.len()) {
                for (out, mixture) in rest.iter_mut().zip(mixture.0) {
                    *out = mixture * factor;
                }
            }
        }
    }
}

/// Goes through stretches of a tile that are in one partition.
pub(super) struct Pass<'a> {
    pub(super) tile: &'a Tile<'a>,
    pub(super) stretches: Range<usize>,
    /// What the thread goes on with, as far as it is known.
    pub(super) next: Option<&'a Tile<'a>>,
    pub(super) scratch: &'a mut Scratch,
    /// Where to leave the sums.
    pub(super) sums: &'a mut [Sixteen],
}

impl Work for Pass<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        let Self { tile, stretches, next, scratch: Scratch { queries, scores }, sums } = self;
        tile.pack(queries);
        scores.resize(tile.query_rows().max(scores.len()), Scores::ZERO);
        clear(tile, sums);
        for stretch in stretches.clone() {
            let own = Stretch::new(tile, stretch);
            let own = match next {
                _ if stretch + 1 < stretches.end => own.before(&Stretch::new(tile, stretch + 1)),
                Some(next) => own.before(&Stretch::new(next, next.stretches().start)),
                None => own,
            };
            own.attend(lanes, queries, scores, sums);
        }
    }
}

/// Before anything was seen.
#[inline(always)]
fn clear(tile: &Tile<'_>, sums: &mut [Sixteen]) {
    sums.fill(Sixteen::ZERO);
    for sums in sums.chunks_exact_mut(tile.stride()) {
        sums[TOP].0[0] = f32::NEG_INFINITY;
    }
}

/// Adds the sums of the next partition to those of all before.
pub(super) struct Merge<'a> {
    pub(super) tile: &'a Tile<'a>,
    pub(super) total: &'a mut [Sixteen],
    pub(super) next: &'a [Sixteen],
}

impl Work for Merge<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self, _lanes: L) {
        merge(self.tile, self.total, self.next);
    }
}

/// A partition that a row does not see changes none of its numbers.
#[inline(always)]
fn merge(tile: &Tile<'_>, total: &mut [Sixteen], next: &[Sixteen]) {
    let stride = tile.stride();
    for (total, next) in total.chunks_exact_mut(stride).zip(next.chunks_exact(stride)) {
        // Who saw nothing has no weights; even a zero of the other's would change its sign if it were added to one.
        if next[WEIGHTS] == Sixteen::ZERO {
            continue;
        }
        if total[WEIGHTS] == Sixteen::ZERO {
            total.copy_from_slice(next);
            continue;
        }
        let [before, now] = [total[TOP].0[0], next[TOP].0[0]];
        let top = if now > before { now } else { before };
        let [before, now] = [exp2(before - top), exp2(now - top)];
        for (total, next) in total.iter_mut().zip(next) {
            total.scale(before);
            total.add_product(now, next);
        }
        total[TOP].0[0] = top;
    }
}

/// A stretch of a tile.
struct Stretch<'a> {
    tile: &'a Tile<'a>,
    begin: usize,
    /// Blocks that any row sees.
    blocks: Range<usize>,
    /// As many as there are blocks; those that no row sees are empty.
    keys: [&'a [[u16; LANES]]; STRETCH],
    values: [&'a [[u16; LANES]]; STRETCH],
    /// Those of the stretch that comes next, of which a line is announced for each that is read here. Blocks are all over the memory:
    /// the processor does not guess which one is next, and would wait where all were announced at once.
    next_keys: [&'a [[u16; LANES]]; STRETCH],
    next_values: [&'a [[u16; LANES]]; STRETCH],
}

impl<'a> Stretch<'a> {
    #[inline(always)]
    fn new(tile: &'a Tile<'a>, index: usize) -> Self {
        let begin = index * STRETCH_TOKENS;
        let seen = within(&(tile.sight(0).start..tile.sight(tile.rows.len() - 1).end), begin);
        let blocks = seen.start / BLOCK_TOKENS..seen.end.div_ceil(BLOCK_TOKENS);
        let (mut keys, mut values) = ([[].as_slice(); STRETCH], [[].as_slice(); STRETCH]);
        for block in blocks.clone() {
            let number = tile.table[begin / BLOCK_TOKENS + block];
            let head: Head<'_> = tile.blocks.head(number, tile.layer, tile.kv_head);
            (keys[block], values[block]) = (head.keys, head.values);
        }
        Self { tile, begin, blocks, keys, values, next_keys: keys, next_values: values }
    }

    /// The same, with what comes next.
    #[inline(always)]
    fn before(self, next: &Self) -> Self {
        let Self { mut next_keys, mut next_values, .. } = self;
        for block in next.blocks.clone() {
            (next_keys[block], next_values[block]) = (next.keys[block], next.values[block]);
        }
        Self { next_keys, next_values, ..self }
    }

    #[inline(always)]
    fn attend<L: Lanes>(&self, lanes: L, queries: &[f32], scores: &mut [Scores], sums: &mut [Sixteen]) {
        let tile = self.tile;
        let (count, group, width) = (tile.query_rows(), tile.heads.group(), tile.heads.width);
        for first in (0..count).step_by(ROWS) {
            let rows = tile.together(first);
            self.score(lanes, &queries[first * width..][..rows * width], &mut scores[first..first + rows]);
        }
        let stride = tile.stride();
        for row in 0..tile.rows.len() {
            let seen = self.seen(row);
            if !seen.is_empty() {
                for row in row * group..(row + 1) * group {
                    soften(&mut scores[row], &seen, &mut sums[row * stride..][..stride]);
                }
            }
        }
        // What all rows see, together; what only some see before and after that, row by row: so each goes in order.
        let begin = self.seen(tile.rows.len() - 1).start;
        let end = self.seen(0).end.max(begin);
        for (part, together) in [(0..begin, group), (begin..end, count), (end..STRETCH_TOKENS, group)] {
            for first in (0..count).step_by(together) {
                let seen = self.seen(first / group);
                let seen = seen.start.max(part.start)..seen.end.min(part.end);
                self.mix(lanes, scores, first..first + together, &seen, sums);
            }
        }
    }

    /// What a row sees of the stretch.
    #[inline(always)]
    fn seen(&self, row: usize) -> Range<usize> {
        within(&self.tile.sight(row), self.begin)
    }

    /// Scores of at most [`ROWS`] rows for the blocks that any row sees.
    #[inline(always)]
    fn score<L: Lanes>(&self, lanes: L, queries: &[f32], scores: &mut [Scores]) {
        match scores.len() {
            1 => self.score_rows::<L, 1, 4>(lanes, queries, scores),
            2 => self.score_rows::<L, 2, 2>(lanes, queries, scores),
            3 => self.score_rows::<L, 3, 2>(lanes, queries, scores),
            4 => self.score_rows::<L, 4, 1>(lanes, queries, scores),
            5 => self.score_rows::<L, 5, 1>(lanes, queries, scores),
            _ => self.score_rows::<L, ROWS, 1>(lanes, queries, scores),
        }
        let Some(cap) = self.tile.heads.softcap else { return };
        for scores in scores {
            let seen = self.blocks.start * BLOCK_TOKENS..self.blocks.end * BLOCK_TOKENS;
            for score in &mut scores.0[seen] {
                *score = tanh(*score) * (cap * LOG2_E);
            }
        }
    }

    #[inline(always)]
    fn score_rows<L: Lanes, const R: usize, const B: usize>(&self, lanes: L, queries: &[f32], scores: &mut [Scores]) {
        let (queries, _) = queries.as_chunks::<R>();
        let mut block = self.blocks.start;
        while block + B <= self.blocks.end {
            let next = &self.next_keys[block..block + B];
            score_blocks::<L, R, B>(lanes, queries, (&self.keys[block..block + B], next), block, scores);
            block += B;
        }
        while block < self.blocks.end {
            let next = &self.next_keys[block..=block];
            score_blocks::<L, R, 1>(lanes, queries, (&self.keys[block..=block], next), block, scores);
            block += 1;
        }
    }

    /// Adds weighted values to the mixtures of rows that see the same tokens.
    #[inline(always)]
    fn mix<L: Lanes>(
        &self,
        lanes: L,
        weights: &[Scores],
        rows: Range<usize>,
        seen: &Range<usize>,
        sums: &mut [Sixteen],
    ) {
        if seen.is_empty() {
            return;
        }
        let stride = self.tile.stride();
        let mut first = rows.start;
        while first < rows.end {
            let count = ROWS.min(rows.end - first);
            let weights = &weights[first..first + count];
            let sums = &mut sums[first * stride..][..count * stride];
            match count {
                1 => self.mix_rows::<L, 1, 4>(lanes, weights, seen, sums),
                2 => self.mix_rows::<L, 2, 2>(lanes, weights, seen, sums),
                3 => self.mix_rows::<L, 3, 2>(lanes, weights, seen, sums),
                4 => self.mix_rows::<L, 4, 1>(lanes, weights, seen, sums),
                5 => self.mix_rows::<L, 5, 1>(lanes, weights, seen, sums),
                _ => self.mix_rows::<L, ROWS, 1>(lanes, weights, seen, sums),
            }
            first += count;
        }
    }

    #[inline(always)]
    fn mix_rows<L: Lanes, const R: usize, const C: usize>(
        &self,
        lanes: L,
        weights: &[Scores],
        seen: &Range<usize>,
        sums: &mut [Sixteen],
    ) {
        let columns = self.tile.stride() - MIXTURE;
        let Some(weights) = weights.first_chunk::<R>() else { return };
        let mut column = 0;
        while column + C <= columns {
            mix_columns::<L, R, C>(lanes, weights, (&self.values, &self.next_values), seen, (column, columns), sums);
            column += C;
        }
        while column < columns {
            mix_columns::<L, R, 1>(lanes, weights, (&self.values, &self.next_values), seen, (column, columns), sums);
            column += 1;
        }
    }
}

/// What of a range of positions is in a stretch, counted from its begin.
#[inline(always)]
fn within(positions: &Range<usize>, begin: usize) -> Range<usize> {
    let place = |position: usize| position.saturating_sub(begin).min(STRETCH_TOKENS);
    place(positions.start)..place(positions.end)
}
