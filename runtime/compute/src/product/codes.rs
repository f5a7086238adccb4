//! Weights of codes and scales: integers times integers.

#![allow(clippy::needless_range_loop, reason = "loops of constant length, whose arrays become registers")]

use super::{Share, Tiles, each_tile};
use crate::{
    lanes::{Lanes, Work},
    rows::{Block, GROUPS, TILE, Wide},
    weights::{Layout, Offsets, Panel, Width},
};
use std::marker::PhantomData;

/// Rows that go through all panels of a task before the next ones come: two tiles, which stay in the first cache meanwhile.
const TOGETHER: usize = 2 * TILE;

/// Some panels of a part, for some rows.
pub(super) struct Strip<'a, F> {
    share: Share<'a>,
    layout: PhantomData<F>,
}

impl<'a, F> Strip<'a, F> {
    pub(super) fn new(share: Share<'a>) -> Self {
        Self { share, layout: PhantomData }
    }
}

impl<F: Layout> Work for Strip<'_, F> {
    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        let share = &self.share;
        for first in share.rows.clone().step_by(TOGETHER) {
            let rows = first..(first + TOGETHER).min(share.rows.end);
            for panel in share.panels.clone() {
                let weights = share.part.panel::<F>(panel);
                each_tile(lanes, rows.clone(), &OfPanel { share, panel, weights });
            }
        }
    }
}

struct OfPanel<'a, F> {
    share: &'a Share<'a>,
    panel: usize,
    weights: Panel<'a, F>,
}

impl<F: Layout> Tiles for OfPanel<'_, F> {
    const ROWS: usize = TILE;

    #[inline(always)]
    fn tile<L: Lanes, const R: usize>(&self, lanes: L, row: usize, at: usize) {
        let tile = self.share.input.tile(row);
        let is_first = row == self.share.rows.start;
        let mut sums = [lanes.splat(0.0); R];
        for (index, block) in tile.blocks.iter().enumerate() {
            let place = tile.place(index);
            if is_first {
                self.weights.announce(lanes, place);
            }
            let rows = Rows::<R> { block, wide: tile.wide.get(index), at };
            add_block(lanes, self.weights, place, rows, &mut sums);
        }
        self.share.store(lanes, self.panel, row, &sums);
    }
}

/// A block of `R` rows of a tile, from row `at` of it on.
#[derive(Clone, Copy)]
struct Rows<'a, const R: usize> {
    block: &'a Block,
    wide: Option<&'a Wide>,
    at: usize,
}

impl<'a, const R: usize> Rows<'a, R> {
    #[inline(always)]
    fn of<T>(self, all: &'a [T]) -> &'a [T; R] {
        match all[self.at..].first_chunk() {
            Some(rows) => rows,
            None => panic!("a tile has fewer rows"),
        }
    }
}

/// Adds to the sums of `R` rows their products with a block of a panel.
///
/// What goes through the rows are loops of constant length, which are unrolled, so that all arrays become registers; functions
/// of the standard library that take closures would not be inlined here.
#[inline(always)]
fn add_block<L: Lanes, F: Layout, const R: usize>(
    lanes: L,
    weights: Panel<'_, F>,
    index: usize,
    rows: Rows<'_, R>,
    sums: &mut [L::Floats; R],
) {
    let block = rows.block;
    let ints = match F::WIDTH {
        Width::Eight if L::WIDE => pair_ints(lanes, weights, index, rows),
        _ => group_ints(lanes, weights, index, rows),
    };
    // What does not wait for the integers comes first.
    match F::SCALES.offsets() {
        Offsets::None => {}
        Offsets::Blocks => {
            let minimum = weights.minimum(lanes, index);
            for (sum, of_row) in sums.iter_mut().zip(rows.of(&block.sums)) {
                *sum = lanes.fused(minimum, lanes.splat(*of_row), *sum);
            }
        }
        Offsets::Parts => {
            let minimum = weights.minimum(lanes, index);
            let [first, second] = weights.offsets(lanes, index);
            for r in 0..R {
                let ints = lanes.float(lanes.paired(first, second, rows.of(&block.halves)[r]));
                let scale = lanes.mul(minimum, lanes.splat(rows.of(&block.scales)[r]));
                sums[r] = lanes.fused(ints, scale, sums[r]);
            }
        }
    }
    let scale = weights.scale(lanes, index);
    for r in 0..R {
        let scale = lanes.mul(scale, lanes.splat(rows.of(&block.scales)[r]));
        sums[r] = lanes.fused(lanes.float(ints[r]), scale, sums[r]);
    }
}

/// Exact sums of the products of a block's inputs and `code − zero`, of codes of 8 bits, which are multiplied in 16.
#[inline(always)]
fn pair_ints<L: Lanes, F: Layout, const R: usize>(
    lanes: L,
    weights: Panel<'_, F>,
    index: usize,
    rows: Rows<'_, R>,
) -> [L::Ints; R] {
    let Some(Wide(groups)) = rows.wide else { panic!("rows have no codes of 16 bits") };
    let mut ints = [lanes.int(0); R];
    for pair in 0..GROUPS / 2 {
        let [first, second] = weights.pair(lanes, index, pair);
        add_pairs(lanes, first, rows, &groups[2 * pair], &mut ints);
        add_pairs(lanes, second, rows, &groups[2 * pair + 1], &mut ints);
    }
    take_zeros(lanes, weights, index, rows, &mut ints);
    ints
}

/// Adds the products of a group.
#[inline(always)]
fn add_pairs<L: Lanes, const R: usize>(
    lanes: L,
    codes: L::Codes,
    rows: Rows<'_, R>,
    [even_inputs, odd_inputs]: &[[[i16; 2]; TILE]; 2],
    ints: &mut [L::Ints; R],
) {
    let [even, odd] = lanes.pairs(codes);
    for r in 0..R {
        ints[r] = lanes.dot_pairs(ints[r], even, lanes.pair_inputs(rows.of(even_inputs)[r]));
    }
    for r in 0..R {
        ints[r] = lanes.dot_pairs(ints[r], odd, lanes.pair_inputs(rows.of(odd_inputs)[r]));
    }
}

/// Exact sums of the products of a block's inputs and `code − zero`, times the factor of their part.
#[inline(always)]
fn group_ints<L: Lanes, F: Layout, const R: usize>(
    lanes: L,
    weights: Panel<'_, F>,
    index: usize,
    rows: Rows<'_, R>,
) -> [L::Ints; R] {
    let groups = &rows.block.codes;
    let has_parts = F::SCALES.has_parts();
    let groups_max = if L::WIDE { F::WIDTH.groups_max() } else { GROUPS };
    let groups_max = if has_parts { groups_max.min(GROUPS / 2) } else { groups_max };
    let mut ints = [lanes.int(0); R];
    for part in 0..GROUPS / groups_max {
        let mut sums = [lanes.no_sums(); R];
        for pair in part * groups_max / 2..(part + 1) * groups_max / 2 {
            let [even, odd] = weights.pair(lanes, index, pair);
            lanes.dot_rows(&mut sums, even, rows.of(&groups[2 * pair]));
            lanes.dot_rows(&mut sums, odd, rows.of(&groups[2 * pair + 1]));
        }
        let factors = weights.factors(lanes, index)[part * groups_max * 2 / GROUPS];
        for r in 0..R {
            let new = if has_parts { lanes.scaled(sums[r], factors) } else { lanes.ints(sums[r]) };
            ints[r] = lanes.add(ints[r], new);
        }
    }
    take_zeros(lanes, weights, index, rows, &mut ints);
    ints
}

/// Takes from the sums of `code × input` what they are too much, as each code is `zero` too much.
#[inline(always)]
fn take_zeros<L: Lanes, F: Layout, const R: usize>(
    lanes: L,
    weights: Panel<'_, F>,
    index: usize,
    rows: Rows<'_, R>,
    ints: &mut [L::Ints; R],
) {
    let zero = if F::WIDTH == Width::Eight { F::ZERO - L::WIDE_ZERO } else { F::ZERO };
    if zero == 0 {
        return;
    }
    let block = rows.block;
    for r in 0..R {
        let zeros = if F::SCALES.has_parts() {
            // Their zero is 32.
            let [first, second] = weights.factors(lanes, index);
            lanes.times_32(lanes.paired(first, second, rows.of(&block.halves)[r]))
        } else {
            lanes.zeros(rows.of(&block.totals)[r], zero)
        };
        ints[r] = lanes.sub(ints[r], zeros);
    }
}
