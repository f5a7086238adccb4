//! Attention of new rows to the keys and values of their sequence, in [`Blocks`].
//!
//! A step has new rows of several sequences: one of each that generates, many of one whose prompt comes in. First the keys
//! and values of all new rows are written, then each row attends to those at its own position and before.
//!
//! | step | a task is | its size |
//! | --- | --- | --- |
//! | write | a block of a sequence | up to 16 rows |
//! | attend | a key head of a sequence, and some rows: a tile | about [`TILE_ROWS`] rows of queries |
//! | attend, few tiles and long contexts | a partition of a tile | [`PARTITION_TOKENS`] |
//! | merge, after the last | a tile | |
//!
//! What a row is given depends on nothing but its own sequence:
//!
//! - Keys are gone through in stretches of 64 tokens and in partitions of [`PARTITION_TOKENS`], which begin at absolute
//!   positions, whatever the rows of a step are. Softmax goes on from stretch to stretch, and partitions are merged in order,
//!   whether one thread did them or several.
//! - A score is a chain of additions in the order of the head's numbers; a number of the mixture is one in the order of the
//!   positions. Sums of weights have a lane for each position modulo 16, added in one order at the end.
//! - What a row does not see is never added, not even times zero: what is in a slot that was not written does not matter.
//!
//! What was tried, on two cores of an AMD EPYC of the third generation (AVX2), which others used too:
//!
//! | tried | instead of | and |
//! | --- | --- | --- |
//! | widening keys and values in registers, for every 6 rows | once for a tile, into memory | 101 GFLOP/s instead of 81, for scores of 6 rows |
//! | vectors by name in the innermost loops | arrays of 16 numbers | 53 GFLOP/s instead of 22, for 512 rows of a prompt: the compiler no longer takes the sums apart |
//! | tiles of 12 or 48 rows | of 24 | no difference that stands out |
//! | asking for a line of what comes next with each line that is read, for steps of few rows | for all of it at once | a quarter less time for 16 rows behind 128 tokens each, from memory |
//! | large pages and asking ahead, in a plain loop over blocks of 4 KiB in random order | neither | 3.7 GB/s instead of 2.0 |
//!
//! Sources: Vaswani et al. 2017, "Attention Is All You Need"; Milakov and Gimelshein 2018, "Online normalizer calculation for
//! softmax"; Dao et al. 2022, "FlashAttention"; Dao et al. 2023, "Flash-Decoding for long-context inference" (partitions);
//! Ainslie et al. 2023, "GQA"; Beltagy et al. 2020, "Longformer" (windows); Bello et al. 2016, "Neural Combinatorial
//! Optimization" (capped scores).

mod registers;
mod store;
mod tile;

#[cfg(test)]
mod tests;

use crate::{
    Team,
    blocks::{BLOCK_TOKENS, Blocks},
    lanes,
    parts::Parts,
    sixteen::Sixteen,
};
use std::{cell::RefCell, cmp::Reverse, ops::Range};
use tile::{Pass, STRETCH_TOKENS, Scratch, Tile};

/// Query heads of rows that go through the keys together, about: four times as many as the registers of AVX2 have sums for.
pub const TILE_ROWS: usize = 24;
/// Stretches of a partition: 1024 tokens, some 30 µs of one key head, beside which handing it to a thread is nothing.
const PARTITION: usize = 16;
/// Tokens of a partition, whose result is merged into that of those before.
pub const PARTITION_TOKENS: usize = PARTITION * STRETCH_TOKENS;
/// Tiles for each thread from which on they are not split further: the last one to end keeps the others waiting for no more than a
/// quarter.
const TILES_PER_THREAD: usize = 4;
/// Numbers that scores and mixtures go through from which on several threads do: some microseconds of one.
const SHARED_NUMBERS_MIN: usize = 1 << 15;

/// The heads of one layer's attention.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Heads {
    /// Of queries: a multiple of the key heads. Those of one key head lie side by side.
    pub heads: usize,
    /// Of keys, and as many of values.
    pub kv_heads: usize,
    /// Numbers of one head.
    pub width: usize,
    /// What a score is multiplied with.
    pub scale: f32,
    /// A score `s` becomes `cap · tanh(s / cap)`.
    pub softcap: Option<f32>,
    /// How many positions a row sees, itself among them; all before it where this is absent.
    pub window: Option<usize>,
}

impl Heads {
    /// Numbers of a projected row: all queries, all keys, all values.
    #[must_use]
    pub fn projected_width(&self) -> usize {
        (self.heads + 2 * self.kv_heads) * self.width
    }

    /// Numbers of a mixed row.
    #[must_use]
    pub fn mixed_width(&self) -> usize {
        self.heads * self.width
    }

    /// Query heads of one key head.
    fn group(&self) -> usize {
        self.heads / self.kv_heads
    }

    /// What a position sees.
    fn sight(&self, position: usize) -> Range<usize> {
        let begin = self.window.map_or(0, |window| (position + 1).saturating_sub(window));
        begin..position + 1
    }
}

/// The new rows of one sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sequence<'a> {
    /// Its blocks, in order: at least as many as its tokens need, new ones counted.
    pub table: &'a [u32],
    /// Tokens whose keys and values are in the blocks.
    pub known: usize,
    /// Its rows in this step, the token after the known ones first.
    pub rows: Range<usize>,
}

/// Writes the keys and values of all new rows into their blocks, and mixes values for each row.
///
/// - `projected` is `[rows][(heads + 2 · kv_heads) · width]`: queries, keys and values; queries and keys are turned already.
/// - `out` is `[rows][heads · width]`. Rows of no sequence are left as they are.
/// - Sequences may have blocks in common, those aside into which new rows are written.
///
/// # Panics
/// For shapes that do not fit together; for sequences whose rows are not after those of the sequence before; for blocks, layers
/// and rows that there are not; where two sequences write to one block.
pub fn attend(
    team: &Team,
    blocks: &mut Blocks,
    layer: usize,
    heads: &Heads,
    projected: &[f32],
    sequences: &[Sequence<'_>],
    out: &mut [f32],
) {
    check(blocks, layer, heads, (projected, &*out), sequences);
    store::store(team, blocks, layer, heads, projected, sequences);
    let step = Step { blocks, layer, heads, projected, sequences };
    step.attend(team, out);
}

fn check(blocks: &Blocks, layer: usize, heads: &Heads, (projected, out): (&[f32], &[f32]), sequences: &[Sequence<'_>]) {
    let shape = blocks.shape();
    assert!(layer < shape.layers, "layer {layer} of {}", shape.layers);
    assert!(
        heads.kv_heads == shape.kv_heads && heads.width == shape.head_width,
        "{} key heads of {} numbers for blocks that have {} of {}",
        heads.kv_heads,
        heads.width,
        shape.kv_heads,
        shape.head_width
    );
    let is_grouped = heads.heads != 0 && heads.heads.is_multiple_of(heads.kv_heads);
    assert!(is_grouped, "{} key heads do not divide {} heads", heads.kv_heads, heads.heads);
    assert!(heads.window != Some(0), "a window of no position");
    let rows = projected.len() / heads.projected_width();
    assert_eq!(projected.len(), rows * heads.projected_width(), "projected numbers are not whole rows");
    assert_eq!(out.len(), rows * heads.mixed_width(), "there is room for other than {rows} rows");
    let mut end = 0;
    for Sequence { table, known, rows: own } in sequences {
        assert!(end <= own.start && own.start <= own.end, "rows {own:?} after those before {end}");
        end = own.end;
        let tokens = known.checked_add(own.len());
        let has_room = tokens.is_some_and(|tokens| tokens.div_ceil(BLOCK_TOKENS) <= table.len());
        assert!(has_room, "{} blocks for {known} tokens and {} more", table.len(), own.len());
    }
    assert!(end <= rows, "rows up to {end} of {rows}");
}

/// What all tiles of a step read.
struct Step<'a> {
    blocks: &'a Blocks,
    layer: usize,
    heads: &'a Heads,
    projected: &'a [f32],
    sequences: &'a [Sequence<'a>],
}

/// A tile, whole or one of its partitions.
struct Piece {
    tile: usize,
    stretches: Range<usize>,
    /// Where its sums are among those of all pieces.
    sums: Range<usize>,
}

/// What a thread has at hand: allocating it for each tile would take as long as a short tile.
#[derive(Default)]
struct AtHand {
    scratch: Scratch,
    /// Of one partition, and of those before.
    sums: [Vec<Sixteen>; 2],
}

thread_local! {
    static AT_HAND: RefCell<AtHand> = RefCell::default();
}

impl Step<'_> {
    fn attend(&self, team: &Team, out: &mut [f32]) {
        let tiles = self.tiles();
        let numbers: usize = tiles.iter().map(|tile| self.work(tile)).sum();
        let out = Parts::new(out);
        let is_long = |tile: &Tile<'_>| partitions(&tile.stretches()).count() > 1;
        if team.threads() == 1 || numbers < SHARED_NUMBERS_MIN {
            (0..tiles.len()).for_each(|index| self.attend_tile(team, (&tiles[index], tiles.get(index + 1)), &out));
        } else if tiles.len() >= TILES_PER_THREAD * team.threads() || !tiles.iter().any(is_long) {
            let next = team.threads();
            team.each(tiles.len(), |index| self.attend_tile(team, (&tiles[index], tiles.get(index + next)), &out));
        } else {
            self.attend_by_partition(team, &tiles, &out);
        }
    }

    /// A tile as a whole, one partition after the other. The other tile is what the thread is likely to go on with.
    fn attend_tile(&self, team: &Team, (tile, next_tile): (&Tile<'_>, Option<&Tile<'_>>), out: &Parts<'_, f32>) {
        AT_HAND.with_borrow_mut(|AtHand { scratch, sums: [next, total] }| {
            for sums in [&mut *next, &mut *total] {
                sums.resize(sums.len().max(tile.sums()), Sixteen::ZERO);
            }
            let (next, total) = (&mut next[..tile.sums()], &mut total[..tile.sums()]);
            for (index, stretches) in partitions(&tile.stretches()).enumerate() {
                let sums = if index == 0 { &mut *total } else { &mut *next };
                let next_tile = next_tile.filter(|_| stretches.end == tile.stretches().end);
                lanes::run(team.isa(), Pass { tile, stretches, next: next_tile, scratch, sums });
                if index != 0 {
                    lanes::run(team.isa(), tile::Merge { tile, total, next });
                }
            }
            self.finish(team, tile, total, out);
        });
    }

    /// Where there are fewer tiles than threads want.
    fn attend_by_partition(&self, team: &Team, tiles: &[Tile<'_>], out: &Parts<'_, f32>) {
        let mut pieces = Vec::new();
        let mut end = 0;
        for (index, tile) in tiles.iter().enumerate() {
            for stretches in partitions(&tile.stretches()) {
                let sums = end..end + tile.sums();
                end = sums.end;
                pieces.push(Piece { tile: index, stretches, sums });
            }
        }
        let mut all = vec![Sixteen::ZERO; end];
        let sums = Parts::new(&mut all);
        team.each(pieces.len(), |index| {
            let piece = &pieces[index];
            #[allow(unsafe_code, reason = "each piece has its own sums")]
            // SAFETY: the ranges of pieces are disjoint, and each piece is done once.
            let sums = unsafe { sums.part(piece.sums.clone()) };
            AT_HAND.with_borrow_mut(|AtHand { scratch, .. }| {
                let (tile, stretches) = (&tiles[piece.tile], piece.stretches.clone());
                lanes::run(team.isa(), Pass { tile, stretches, next: None, scratch, sums });
            });
        });
        // A tile's pieces are side by side.
        let of_tile: Vec<_> = pieces.chunk_by(|one, next| one.tile == next.tile).collect();
        team.each(of_tile.len(), |index| {
            let pieces = of_tile[index];
            let tile = &tiles[pieces[0].tile];
            let mut total = all[pieces[0].sums.clone()].to_vec();
            for piece in &pieces[1..] {
                lanes::run(team.isa(), tile::Merge { tile, total: &mut total, next: &all[piece.sums.clone()] });
            }
            self.finish(team, tile, &total, out);
        });
    }

    /// All tiles, those with most to do first, so that none is left over for one thread at the end.
    fn tiles(&self) -> Vec<Tile<'_>> {
        let Self { blocks, layer, heads, projected, sequences } = *self;
        let tokens = (TILE_ROWS / heads.group()).max(1);
        let mut tiles = Vec::new();
        for sequence in sequences {
            let rows = sequence.rows.len();
            for first in (0..rows).step_by(tokens).rev() {
                let rows = first..rows.min(first + tokens);
                tiles.extend((0..heads.kv_heads).map(|kv_head| Tile {
                    blocks,
                    layer,
                    heads,
                    table: sequence.table,
                    projected,
                    kv_head,
                    rows: sequence.rows.start + rows.start..sequence.rows.start + rows.end,
                    position: sequence.known + rows.start,
                }));
            }
        }
        tiles.sort_by_key(|tile| Reverse(self.work(tile)));
        tiles
    }

    /// How many numbers of queries meet keys in a tile.
    fn work(&self, tile: &Tile<'_>) -> usize {
        tile.stretches().len() * STRETCH_TOKENS * tile.query_rows() * self.heads.width
    }

    /// Divides a tile's sums of values by its sums of weights, into its rows.
    fn finish(&self, team: &Team, tile: &Tile<'_>, sums: &[Sixteen], out: &Parts<'_, f32>) {
        let (group, width) = (self.heads.group() * self.heads.width, self.heads.mixed_width());
        for (index, at) in tile.rows.clone().enumerate() {
            let begin = at * width + tile.kv_head * group;
            #[allow(unsafe_code, reason = "each tile has its own part of some rows")]
            // SAFETY: `check` saw that sequences have disjoint rows; tiles of one sequence have disjoint rows or other key
            // heads, and each tile is finished once.
            let out = unsafe { out.part(begin..begin + group) };
            lanes::run(team.isa(), tile::Divide { tile, row: index, sums, out });
        }
    }
}

/// The parts of some stretches that are in one partition each.
fn partitions(stretches: &Range<usize>) -> impl Iterator<Item = Range<usize>> + use<> {
    let Range { start, end } = *stretches;
    (start / PARTITION..end.div_ceil(PARTITION))
        .map(move |index| start.max(index * PARTITION)..end.min((index + 1) * PARTITION))
}
