//! What a product takes: rows of numbers, as its matrix multiplies them.
//!
//! | the matrix has | the rows are |
//! | --- | --- |
//! | plain numbers | as they are |
//! | codes | in 8 bits |
//! | codes of 8 bits | also in 16 bits, for instructions that have products of no other signed pairs |
//!
//! In 8 bits a row is cut into blocks of [`BLOCK`] numbers. The numbers of a block are `code × scale`, where `scale` is the
//! largest magnitude over 127, and `code` the nearest integer (of two that are as near, the even one). A block whose largest
//! magnitude is below 10⁻³⁰ is zero; a block with an infinite number or none at all makes its products NaN. Beside the codes
//! stand their sums, which products with weights need that have a zero or a minimum of their own.
//!
//! A few numbers of a row are often far larger than all others, and most of what is lost by rounding is lost in their blocks. So
//! blocks whose scale is large beside the row's others ([`FINE`]) are kept in about 16 bits: what the codes leave of their numbers
//! is a second block, with codes and a scale of its own, which is multiplied with the same weights behind all others. Which
//! these are depends on the row alone; where another row of a tile has a second block and this one has none, its scale is zero.
//! Tried with SmolLM2-135M in Q4_1 on 256 tokens of prose, in PyTorch; distance of the logits from those of rows in f32, over
//! their length:
//!
//! | second blocks | mean | of a row's blocks, before qkv, output, gate and up, down, vocabulary |
//! | --- | --- | --- |
//! | none | 3.1e-2 | |
//! | where the square is 9 times the mean | 2.3e-2 | 4, 0, 2, 1 and 1 % |
//! | 6 times | 1.8e-2 | 5, 1, 4, 2 and 4 % |
//! | 4 times | 1.9e-2 | 6, 4, 6, 4 and 7 % |
//! | 3 times | 1.6e-2 | 8, 8, 7, 6 and 9 % |
//! | the quarter with the largest scales | 1.2e-2 | 25 % |
//! | all | 5e-4 | 100 % |
//!
//! and in the engine itself, at 196 places of 50 thousand tokens, with the perplexity over that of rows in f32:
//!
//! | second blocks | mean | largest | perplexity |
//! | --- | --- | --- | --- |
//! | none | 3.0e-2 | 1.4e-1 | +0.30 % |
//! | where the square is 6 times the mean | 2.03e-2 | 1.1e-1 | +0.19 % |
//! | 5 times | 1.9e-2 | 1.5e-1 | +0.12 % |
//! | 4 times | 1.8e-2 | 7.1e-2 | +0.17 % |
//!
//! [`TILE`] rows lie together, as eight outputs of weights do: of each block and each group of 4 inputs the codes of all rows,
//! side by side. A kernel goes through all of them with one pointer, and its loads do not fall into the same bank of the cache.

use crate::{
    Matrix, Team,
    lanes::{Lanes, Work, run},
};
use std::sync::{Mutex, PoisonError};

/// Numbers that share a scale.
pub const BLOCK: usize = 32;
/// Rows that lie together: half of the registers hold their sums.
pub(crate) const TILE: usize = 8;
/// Groups of 4 inputs of a block.
pub(crate) const GROUPS: usize = BLOCK / 4;
/// A block has a second one where the square of its scale is so many times the mean square of the row's scales.
const FINE: f32 = 5.0;
/// The largest code.
const CODE_MAX: f32 = 127.0;
/// Magnitudes below it would not have an inverse to multiply with. Nothing that a model computes depends on them.
const SMALLEST: f32 = 1e-30;
/// Numbers of a task: less would take as long as handing it over.
const TASK: usize = 4096;

/// Rows of numbers of one width, in a memory that is used again.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    width: usize,
    count: usize,
    forms: Forms,
    numbers: Vec<f32>,
    /// Of each tile as many as a row has, and then room for a second one of each.
    blocks: Vec<Block>,
    /// The same in 16 bits, or nothing.
    wide: Vec<Wide>,
    /// Of each tile the numbers of the blocks that have a second one.
    fine: Vec<Vec<u32>>,
}

/// What rows are kept as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Forms {
    pub(crate) numbers: bool,
    pub(crate) codes: bool,
    /// In 16 bits too.
    pub(crate) wide: bool,
}

impl Forms {
    pub(crate) fn and(self, other: Self) -> Self {
        Self { numbers: self.numbers || other.numbers, codes: self.codes || other.codes, wide: self.wide || other.wide }
    }
}

/// A block of the rows of a tile. Where a tile has fewer rows, what the others have means nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[repr(C, align(64))]
pub(crate) struct Block {
    pub(crate) codes: [[[i8; 4]; TILE]; GROUPS],
    pub(crate) scales: [f32; TILE],
    /// All codes' sum, times the scale.
    pub(crate) sums: [f32; TILE],
    /// All codes' sum.
    pub(crate) totals: [i32; TILE],
    /// The sums of the first 16 and of the others.
    pub(crate) halves: [[i16; 2]; TILE],
}

/// The same codes in 16 bits: of each group inputs 0 and 2 of all rows, then inputs 1 and 3.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[repr(C, align(64))]
pub(crate) struct Wide(pub(crate) [[[[i16; 2]; TILE]; 2]; GROUPS]);

/// Rows that lie together.
#[derive(Clone, Copy)]
pub(crate) struct Tile<'a> {
    /// One for each of the weights', and then the second ones.
    pub(crate) blocks: &'a [Block],
    /// As many, or none where nobody needs them.
    pub(crate) wide: &'a [Wide],
    /// Which blocks of the weights the second ones are for.
    fine: &'a [u32],
}

impl Tile<'_> {
    /// Which block of the weights is multiplied with one of these.
    #[inline(always)]
    pub(crate) fn place(self, block: usize) -> usize {
        let first = self.blocks.len() - self.fine.len();
        if block < first { block } else { self.fine[block - first] as usize }
    }
}

impl Rows {
    /// No rows yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes rows for a matrix, one after the other, in place of those it had. `numbers` is `[rows][matrix.inputs()]`.
    ///
    /// # Panics
    /// Where the numbers are not whole rows.
    pub fn fill(&mut self, team: &Team, numbers: &[f32], matrix: &Matrix) {
        self.fill_as(team, numbers, matrix.inputs(), matrix.forms());
    }

    fn fill_as(&mut self, team: &Team, numbers: &[f32], width: usize, forms: Forms) {
        let count = numbers.len().checked_div(width).unwrap_or(0);
        assert_eq!(count * width, numbers.len(), "these are not rows of {width} numbers");
        (self.width, self.count, self.forms) = (width, count, forms);
        if forms.numbers {
            self.numbers.clear();
            self.numbers.extend_from_slice(numbers);
        }
        if !forms.codes || count == 0 {
            return;
        }
        let per_row = width.div_ceil(BLOCK);
        let tiles = count.div_ceil(TILE);
        let blocks = tiles * 2 * per_row;
        // Whatever is in them is written over.
        self.blocks.resize(blocks, Block::default());
        self.wide.resize(if forms.wide { blocks } else { 0 }, Wide::default());
        self.fine.resize(tiles, Vec::new());
        let rows = TASK.div_ceil(width).next_multiple_of(TILE);
        let together = rows / TILE * 2 * per_row;
        let mut wide = self.wide.chunks_mut(together);
        let outputs = self.blocks.chunks_mut(together).zip(self.fine.chunks_mut(rows / TILE));
        let mut tasks = numbers.chunks(rows * width).zip(outputs).map(|(numbers, (blocks, fine))| {
            let wide = wide.next().unwrap_or_default();
            Quantize { numbers, width, blocks, wide, fine }
        });
        if count <= rows || team.threads() == 1 {
            tasks.for_each(|task| run(team.isa(), task));
            return;
        }
        let tasks: Vec<_> = tasks.by_ref().map(|task| Mutex::new(Some(task))).collect();
        team.each(tasks.len(), |index| {
            let task = tasks[index].lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(task) = task {
                run(team.isa(), task);
            }
        });
    }

    /// Numbers of a row.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// How many rows there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// What they are kept as.
    pub(crate) fn forms(&self) -> Forms {
        self.forms
    }

    /// The numbers of a row, where they are kept.
    #[inline]
    pub(crate) fn numbers(&self, row: usize) -> &[f32] {
        &self.numbers[row * self.width..][..self.width]
    }

    /// The tile of a row, where there are codes.
    #[inline]
    pub(crate) fn tile(&self, row: usize) -> Tile<'_> {
        let (tile, per_row) = (row / TILE, self.width.div_ceil(BLOCK));
        let fine = self.fine[tile].as_slice();
        let (first, count) = (tile * 2 * per_row, per_row + fine.len());
        let wide = if self.forms.wide { &self.wide[first..][..count] } else { &[] };
        Tile { blocks: &self.blocks[first..][..count], wide, fine }
    }

    /// What a row's codes stand for.
    #[cfg(test)]
    pub(crate) fn dequantized(&self, row: usize) -> Vec<f32> {
        let (at, tile) = (row % TILE, self.tile(row));
        let mut numbers = vec![0.0; self.width.next_multiple_of(BLOCK)];
        for (index, block) in tile.blocks.iter().enumerate() {
            let codes = block.codes.iter().flat_map(|group| group[at]);
            for (number, code) in numbers[tile.place(index) * BLOCK..].iter_mut().zip(codes) {
                *number += f32::from(code) * block.scales[at];
            }
        }
        numbers.truncate(self.width);
        numbers
    }
}

/// Some tiles of rows.
struct Quantize<'a> {
    numbers: &'a [f32],
    width: usize,
    blocks: &'a mut [Block],
    /// As many, or none.
    wide: &'a mut [Wide],
    /// Of each tile.
    fine: &'a mut [Vec<u32>],
}

impl Work for Quantize<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        let room = 2 * self.width.div_ceil(BLOCK);
        let mut wide = self.wide.chunks_mut(room);
        let outputs = self.blocks.chunks_mut(room).zip(self.fine);
        for (rows, (blocks, fine)) in self.numbers.chunks(self.width * TILE).zip(outputs) {
            let wide = wide.next().unwrap_or_default();
            QuantizeTile { rows, width: self.width, blocks, wide, fine }.run(lanes);
        }
    }
}

/// The rows of a tile, and its part of all that is in [`Quantize`].
struct QuantizeTile<'a> {
    rows: &'a [f32],
    width: usize,
    blocks: &'a mut [Block],
    wide: &'a mut [Wide],
    fine: &'a mut Vec<u32>,
}

impl QuantizeTile<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        let Self { rows, width, blocks, wide, fine } = self;
        let per_row = width.div_ceil(BLOCK);
        // Squares of scales from which on a block has a second one.
        let mut least = [f32::INFINITY; TILE];
        for (at, row) in rows.chunks_exact(width).enumerate() {
            let mut squares = 0.0;
            for (index, block) in blocks[..per_row].iter_mut().enumerate() {
                quantize(lanes, &numbers_of(row, index), block, wide.get_mut(index), at);
                squares += block.scales[at] * block.scales[at];
            }
            least[at] = FINE * squares / per_row as f32;
        }
        fine.clear();
        let (first, second) = blocks.split_at_mut(per_row);
        for (index, block) in first.iter().enumerate() {
            let mut has_second = [false; TILE];
            for (has_second, (scale, least)) in has_second.iter_mut().zip(block.scales.iter().zip(least)) {
                *has_second = scale * scale > least;
            }
            if has_second == [false; TILE] {
                continue;
            }
            let (out, mut wide) = (&mut second[fine.len()], wide.get_mut(per_row + fine.len()));
            *out = Block::default();
            if let Some(wide) = &mut wide {
                **wide = Wide::default();
            }
            for (at, row) in rows.chunks_exact(width).enumerate().filter(|(at, _)| has_second[*at]) {
                quantize(lanes, &left_of(&numbers_of(row, index), block, at), out, wide.as_deref_mut(), at);
            }
            fine.push(index as u32);
        }
    }
}

/// The numbers of a row's block; zeros behind its end.
#[inline(always)]
fn numbers_of(row: &[f32], block: usize) -> [f32; BLOCK] {
    let rest = &row[block * BLOCK..];
    if let Some(numbers) = rest.first_chunk() {
        return *numbers;
    }
    let mut numbers = [0.0; BLOCK];
    numbers[..rest.len()].copy_from_slice(rest);
    numbers
}

/// What the codes leave of the numbers.
#[inline(always)]
fn left_of(numbers: &[f32; BLOCK], block: &Block, at: usize) -> [f32; BLOCK] {
    let mut left = *numbers;
    for (left, group) in left.as_chunks_mut().0.iter_mut().zip(&block.codes) {
        let left: &mut [f32; 4] = left;
        for (left, code) in left.iter_mut().zip(group[at]) {
            *left -= f32::from(code) * block.scales[at];
        }
    }
    left
}

/// Makes a row's numbers those of row `at` of a block.
#[inline(always)]
fn quantize<L: Lanes>(lanes: L, numbers: &[f32; BLOCK], block: &mut Block, wide: Option<&mut Wide>, at: usize) {
    let largest = lanes.largest(numbers);
    let is_number = largest.is_finite() && largest >= SMALLEST;
    let mut codes = [0; BLOCK];
    let scale = if is_number {
        lanes.rounded(numbers, CODE_MAX / largest, &mut codes);
        largest / CODE_MAX
    } else if largest.is_finite() {
        0.0
    } else {
        f32::NAN
    };
    let halves = lanes.halves_total(&codes);
    let total = i32::from(halves[0]) + i32::from(halves[1]);
    block.scales[at] = scale;
    block.sums[at] = scale * total as f32;
    block.totals[at] = total;
    block.halves[at] = halves;
    for (out, group) in block.codes.iter_mut().zip(codes.as_chunks().0) {
        out[at] = *group;
    }
    if let Some(wide) = wide {
        for (out, pairs) in wide.0.iter_mut().zip(lanes.widened(&codes)) {
            (out[0][at], out[1][at]) = (pairs[0], pairs[1]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Isa;
    use proptest::prelude::*;

    fn filled(isa: Isa, threads: usize, numbers: &[f32], width: usize) -> Rows {
        let mut rows = Rows::new();
        rows.fill_as(
            &Team::new(threads, isa).unwrap(),
            numbers,
            width,
            Forms { numbers: true, codes: true, wide: true },
        );
        rows
    }

    /// One row of a block by the words of the module.
    fn check(numbers: &[f32; BLOCK], block: &Block, Wide(wide): &Wide, at: usize) {
        let codes = block.codes.map(|group| group[at]).concat();
        let largest = numbers.iter().fold(0.0_f32, |largest, number| largest.max(number.abs()));
        let scale = if largest < SMALLEST { 0.0 } else { largest / 127.0 };
        assert_eq!(block.scales[at], scale);
        for (number, code) in numbers.iter().zip(&codes) {
            let expect = if scale == 0.0 { 0.0 } else { (number * (127.0 / largest)).round_ties_even() };
            assert_eq!(f32::from(*code), expect, "{number} with the scale {scale}");
        }
        let sum = |codes: &[i8]| codes.iter().map(|code| i32::from(*code)).sum::<i32>();
        assert_eq!(block.halves[at].map(i32::from), [sum(&codes[..16]), sum(&codes[16..])]);
        assert_eq!(block.totals[at], sum(&codes));
        assert_eq!(block.sums[at], block.scales[at] * block.totals[at] as f32);
        for (index, code) in codes.iter().enumerate() {
            assert_eq!(wide[index / 4][index % 2][at][index % 4 / 2], i16::from(*code));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn each_block_has_codes_of_its_own(
            (width, count) in (1_usize..5, 1_usize..20),
            seed in prop::collection::vec((-1.0_f32..1.0, -35_i32..30), 4 * 32 * 20),
        ) {
            let numbers: Vec<f32> =
                seed[..width * BLOCK * count].iter().map(|(part, power)| part * 10_f32.powi(*power)).collect();
            let plain = filled(Isa::Plain, 1, &numbers, width * BLOCK);
            for (index, numbers) in numbers.as_chunks().0.iter().enumerate() {
                let (row, block) = (index / width, index % width);
                let tile = plain.tile(row);
                check(numbers, &tile.blocks[block], &tile.wide[block], row % TILE);
            }
            for isa in Isa::all_here() {
                let other = filled(isa, 3, &numbers, width * BLOCK);
                prop_assert_eq!(&other.fine, &plain.fine);
                for row in (0..plain.count()).step_by(TILE) {
                    prop_assert_eq!(other.tile(row).blocks, plain.tile(row).blocks);
                    prop_assert_eq!(other.tile(row).wide, plain.tile(row).wide);
                }
                prop_assert_eq!(&other.numbers, &numbers);
            }
        }
    }

    #[test]
    fn many_rows_are_shared_and_the_last_block_may_be_short() {
        let numbers: Vec<f32> = (0..300 * 70).map(|index| (index % 97) as f32 - 48.0).collect();
        let one = filled(Isa::Plain, 1, &numbers, 70);
        assert_eq!((one.count(), one.width()), (300, 70));
        for isa in Isa::all_here() {
            let other = filled(isa, 2, &numbers, 70);
            for row in 0..300 {
                let (one, other) = (one.tile(row), other.tile(row));
                assert_eq!((one.blocks, one.wide, one.fine), (other.blocks, other.wide, other.fine));
            }
        }
        let distance = one.dequantized(299).into_iter().zip(&numbers[299 * 70..]).map(|(a, b)| (a - b).abs());
        assert!(distance.fold(0.0, f32::max) <= 48.0 / 127.0 / 2.0 + 1e-5);
    }

    #[test]
    fn what_is_no_number_stays_in_its_block() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut numbers = [1.0; 64];
            numbers[3] = bad;
            let rows = filled(Isa::best(), 1, &numbers, 64);
            let of = |block: usize| (rows.blocks[block].scales[0], rows.blocks[block].codes.map(|group| group[0]));
            assert!(of(0).0.is_nan() && of(0).1 == [[0; 4]; GROUPS]);
            assert_eq!(of(1), (1.0 / 127.0, [[127; 4]; GROUPS]));
        }
        assert_eq!(filled(Isa::Plain, 1, &[], 0).count(), 0);
    }
}
