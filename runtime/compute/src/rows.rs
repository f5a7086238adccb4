//! What a product takes: rows of numbers, beside them the same rows in 8 bits.
//!
//! A row is cut into blocks of [`BLOCK`] numbers. The numbers of a block are `code × scale`, where `scale` is the largest
//! magnitude over 127, and `code` the nearest integer (of two that are as near, the even one). A block whose largest magnitude
//! is below 10⁻³⁰ is zero; a block with an infinite number or none at all makes its products NaN.
//!
//! Beside the codes stand their sums, which products with weights need that have a zero or a minimum of their own.

use crate::{
    Team,
    lanes::{Lanes, Work, run},
};
use std::sync::{Mutex, PoisonError};

/// Numbers that share a scale.
pub const BLOCK: usize = 32;
/// The largest code.
const CODE_MAX: f32 = 127.0;
/// Magnitudes below it would not have an inverse to multiply with. Nothing that a model computes depends on them.
const SMALLEST: f32 = 1e-30;
/// Numbers of a task: less would take as long as handing it over.
const TASK: usize = 8192;

/// Rows of numbers of one width, in a memory that is used again.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    width: usize,
    count: usize,
    numbers: Vec<f32>,
    codes: Vec<[i8; BLOCK]>,
    blocks: Vec<Block>,
}

/// What belongs to the codes of a block.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[repr(C)]
pub(crate) struct Block {
    pub(crate) scale: f32,
    /// All codes' sum, times the scale.
    pub(crate) sum: f32,
    /// All codes' sum.
    pub(crate) total: i32,
    /// The sums of the first 16 and of the others.
    pub(crate) halves: [i16; 2],
}

/// One row.
#[derive(Clone, Copy, Default)]
pub(crate) struct Row<'a> {
    pub(crate) numbers: &'a [f32],
    pub(crate) codes: &'a [[i8; BLOCK]],
    pub(crate) blocks: &'a [Block],
}

impl Rows {
    /// No rows yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes rows of `width` numbers each, one after the other, in place of those it had.
    ///
    /// # Panics
    /// Where the numbers are not whole rows.
    pub fn fill(&mut self, team: &Team, numbers: &[f32], width: usize) {
        let count = numbers.len().checked_div(width).unwrap_or(0);
        assert_eq!(count * width, numbers.len(), "these are not rows of {width} numbers");
        let blocks = width.div_ceil(BLOCK);
        (self.width, self.count) = (width, count);
        // Whatever is in them is written over.
        self.numbers.resize(count * width, 0.0);
        self.codes.resize(count * blocks, [0; BLOCK]);
        self.blocks.resize(count * blocks, Block::default());
        if count == 0 {
            return;
        }
        let rows = TASK.div_ceil(width);
        let inputs = numbers.chunks(rows * width);
        let kept = self.numbers.chunks_mut(rows * width);
        let outputs = self.codes.chunks_mut(rows * blocks).zip(self.blocks.chunks_mut(rows * blocks));
        let mut tasks = inputs.zip(kept).zip(outputs).map(|((numbers, kept), (codes, blocks))| Quantize {
            numbers,
            kept,
            width,
            codes,
            blocks,
        });
        if count <= rows {
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

    #[inline]
    pub(crate) fn row(&self, index: usize) -> Row<'_> {
        let blocks = self.width.div_ceil(BLOCK);
        Row {
            numbers: &self.numbers[index * self.width..][..self.width],
            codes: &self.codes[index * blocks..][..blocks],
            blocks: &self.blocks[index * blocks..][..blocks],
        }
    }

    /// What a row's codes stand for.
    #[cfg(test)]
    pub(crate) fn dequantized(&self, index: usize) -> Vec<f32> {
        let row = self.row(index);
        let of_block = |(codes, block): (&[i8; BLOCK], &Block)| codes.map(|code| f32::from(code) * block.scale);
        let mut numbers = row.codes.iter().zip(row.blocks).flat_map(of_block).collect::<Vec<_>>();
        numbers.truncate(self.width);
        numbers
    }
}

struct Quantize<'a> {
    numbers: &'a [f32],
    kept: &'a mut [f32],
    width: usize,
    codes: &'a mut [[i8; BLOCK]],
    blocks: &'a mut [Block],
}

impl Work for Quantize<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        let per_row = self.width.div_ceil(BLOCK);
        let rows = self.numbers.chunks_exact(self.width).zip(self.kept.chunks_exact_mut(self.width));
        for (((row, kept), codes), blocks) in
            rows.zip(self.codes.chunks_exact_mut(per_row)).zip(self.blocks.chunks_exact_mut(per_row))
        {
            let (whole, rest) = row.as_chunks();
            let (kept, kept_rest) = kept.as_chunks_mut();
            for (((numbers, kept), codes), block) in whole.iter().zip(kept).zip(&mut *codes).zip(&mut *blocks) {
                *block = quantize(lanes, numbers, codes);
                *kept = *numbers;
            }
            kept_rest.copy_from_slice(rest);
            if !rest.is_empty()
                && let (Some(codes), Some(block)) = (codes.last_mut(), blocks.last_mut())
            {
                let mut numbers = [0.0; BLOCK];
                numbers[..rest.len()].copy_from_slice(rest);
                *block = quantize(lanes, &numbers, codes);
            }
        }
    }
}

/// The numbers' codes, and what belongs to them.
#[inline(always)]
fn quantize<L: Lanes>(lanes: L, numbers: &[f32; BLOCK], codes: &mut [i8; BLOCK]) -> Block {
    let largest = lanes.largest(numbers);
    if !largest.is_finite() {
        *codes = [0; BLOCK];
        return Block { scale: f32::NAN, sum: f32::NAN, ..Block::default() };
    }
    if largest < SMALLEST {
        *codes = [0; BLOCK];
        return Block::default();
    }
    let scale = largest / CODE_MAX;
    lanes.rounded(numbers, CODE_MAX / largest, codes);
    let (first, second) = codes.split_at(BLOCK / 2);
    let sum = |codes: &[i8]| codes.iter().fold(0, |sum: i16, code| sum.wrapping_add(i16::from(*code)));
    let halves = [sum(first), sum(second)];
    let total = i32::from(halves[0]) + i32::from(halves[1]);
    Block { scale, sum: scale * total as f32, total, halves }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Isa;
    use proptest::prelude::*;

    fn filled(isa: Isa, threads: usize, numbers: &[f32], width: usize) -> Rows {
        let mut rows = Rows::new();
        rows.fill(&Team::new(threads, isa).unwrap(), numbers, width);
        rows
    }

    /// One block by the words of the module.
    fn check(numbers: &[f32; BLOCK], codes: &[i8; BLOCK], block: &Block) {
        let largest = numbers.iter().fold(0.0_f32, |largest, number| largest.max(number.abs()));
        let scale = if largest < SMALLEST { 0.0 } else { largest / 127.0 };
        assert_eq!(block.scale, scale);
        for (number, code) in numbers.iter().zip(codes) {
            let expect = if scale == 0.0 { 0.0 } else { (number * (127.0 / largest)).round_ties_even() };
            assert_eq!(f32::from(*code), expect, "{number} with the scale {scale}");
        }
        let sum = |codes: &[i8]| codes.iter().map(|code| i32::from(*code)).sum::<i32>();
        assert_eq!(block.halves.map(i32::from), [sum(&codes[..16]), sum(&codes[16..])]);
        assert_eq!(block.total, sum(codes));
        assert_eq!(block.sum, block.scale * block.total as f32);
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
            for ((numbers, codes), block) in numbers.as_chunks().0.iter().zip(&plain.codes).zip(&plain.blocks) {
                check(numbers, codes, block);
            }
            for isa in Isa::all_here() {
                let other = filled(isa, 3, &numbers, width * BLOCK);
                prop_assert_eq!(&other.codes, &plain.codes);
                prop_assert_eq!(&other.blocks, &plain.blocks);
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
            assert_eq!((&one.codes, &one.blocks), (&other.codes, &other.blocks));
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
            assert!(rows.blocks[0].scale.is_nan() && rows.codes[0] == [0; BLOCK]);
            assert_eq!((rows.blocks[1].scale, rows.codes[1]), (1.0 / 127.0, [127; BLOCK]));
        }
        assert_eq!(filled(Isa::Plain, 1, &[], 0).count(), 0);
    }
}
