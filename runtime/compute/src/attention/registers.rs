//! The innermost loops of a [`tile`](super::tile): what is done in registers.
//!
//! How many rows and vectors are computed together is what 16 vector registers hold: the sums, what is widened, and one number
//! of a query or a weight. It changes no result, since each sum has its own chain.

use super::tile::{MIXTURE, ROWS, STRETCH, STRETCH_TOKENS, TOP, WEIGHTS};
use crate::{
    blocks::BLOCK_TOKENS,
    functions::exp2,
    lanes::{self, Lanes},
    sixteen::{LANES, Sixteen},
};
use std::ops::Range;

/// Registers of sixteen numbers.
const HALVES: usize = LANES / lanes::LANES;
/// Vectors of keys or values in a line of the cache.
const VECTORS: usize = 64 / size_of::<[u16; LANES]>();

/// A head's keys or values in a block.
type InBlock<'a> = &'a [[u16; LANES]];

/// A row's scores for a stretch, and then its weights.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Scores(pub(super) [f32; STRETCH_TOKENS]);

impl Scores {
    pub(super) const ZERO: Self = Self([0.0; STRETCH_TOKENS]);
}

/// Scores of `R` rows for `B` blocks side by side. Where the rows are few, the next keys are announced: others have so much to compute
/// that it does not matter.
#[inline(always)]
pub(super) fn score_blocks<L: Lanes, const R: usize, const B: usize>(
    lanes: L,
    queries: &[[f32; R]],
    (keys, next): (&[InBlock<'_>], &[InBlock<'_>]),
    first: usize,
    scores: &mut [Scores],
) {
    let mut sums = [[[lanes.splat(0.0); HALVES]; B]; R];
    let mut own = [[].as_slice(); B];
    for block in 0..B {
        own[block] = &keys[block][..queries.len()];
    }
    for (index, query) in queries.iter().enumerate() {
        for block in 0..B {
            let key = widen(lanes, &own[block][index]);
            if R < ROWS && index % VECTORS == 0 {
                lanes.will_read(next[block].as_ptr().wrapping_add(index).cast());
            }
            for row in 0..R {
                let query = lanes.splat(query[row]);
                for half in 0..HALVES {
                    sums[row][block][half] = lanes.fused(query, key[half], sums[row][block][half]);
                }
            }
        }
    }
    for (scores, sums) in scores.iter_mut().zip(&sums) {
        for (block, sums) in sums.iter().enumerate() {
            let (scores, _) = scores.0[(first + block) * BLOCK_TOKENS..].as_chunks_mut();
            for half in 0..HALVES {
                lanes.store(sums[half], &mut scores[half]);
            }
        }
    }
}

/// Adds values to `C` vectors of the mixtures of `R` rows. Next values are announced as next keys are.
#[inline(always)]
pub(super) fn mix_columns<L: Lanes, const R: usize, const C: usize>(
    lanes: L,
    weights: &[Scores; R],
    (values, next): (&[InBlock<'_>; STRETCH], &[InBlock<'_>; STRETCH]),
    seen: &Range<usize>,
    (column, columns): (usize, usize),
    sums: &mut [Sixteen],
) {
    let stride = MIXTURE + columns;
    let mut own = [[[lanes.splat(0.0); HALVES]; C]; R];
    for row in 0..R {
        for vector in 0..C {
            let (sums, _) = sums[row * stride + MIXTURE + column + vector].0.as_chunks();
            for half in 0..HALVES {
                own[row][vector][half] = lanes.floats(&sums[half]);
            }
        }
    }
    for block in seen.start / BLOCK_TOKENS..seen.end.div_ceil(BLOCK_TOKENS) {
        let (values, next, first) = (values[block], next[block], block * BLOCK_TOKENS);
        for token in seen.start.max(first)..seen.end.min(first + BLOCK_TOKENS) {
            let at = (token - first) * columns + column;
            let values = &values[at..][..C];
            for line in (0..C).step_by(VECTORS) {
                if R < ROWS {
                    lanes.will_read(next.as_ptr().wrapping_add(at + line).cast());
                }
            }
            for vector in 0..C {
                let value = widen(lanes, &values[vector]);
                for row in 0..R {
                    let weight = lanes.splat(weights[row].0[token]);
                    for half in 0..HALVES {
                        own[row][vector][half] = lanes.fused(weight, value[half], own[row][vector][half]);
                    }
                }
            }
        }
    }
    for row in 0..R {
        for vector in 0..C {
            let (sums, _) = sums[row * stride + MIXTURE + column + vector].0.as_chunks_mut();
            for half in 0..HALVES {
                lanes.store(own[row][vector][half], &mut sums[half]);
            }
        }
    }
}

#[inline(always)]
fn widen<L: Lanes>(lanes: L, numbers: &[u16; LANES]) -> [L::Floats; HALVES] {
    let (halves, _) = numbers.as_chunks();
    [lanes.widen(&halves[0]), lanes.widen(&halves[1])]
}

/// A row's scores to weights, and its sums to what they are for the new highest score.
#[inline(always)]
pub(super) fn soften(scores: &mut Scores, seen: &Range<usize>, sums: &mut [Sixteen]) {
    if *seen != (0..STRETCH_TOKENS) {
        for (token, score) in scores.0.iter_mut().enumerate() {
            let is_seen = token >= seen.start && token < seen.end;
            *score = if is_seen { *score } else { f32::NEG_INFINITY };
        }
    }
    let before = sums[TOP].0[0];
    let highest = highest(scores);
    let top = if highest > before { highest } else { before };
    if highest > before {
        let factor = exp2(before - top);
        for sums in sums.iter_mut() {
            sums.scale(factor);
        }
        sums[TOP].0[0] = top;
    }
    for score in &mut scores.0 {
        *score = exp2(*score - top);
    }
    for block in scores.0.as_chunks().0 {
        sums[WEIGHTS].add(&Sixteen(*block));
    }
}

/// The highest of all scores.
#[inline(always)]
fn highest(scores: &Scores) -> f32 {
    let (blocks, _) = scores.0.as_chunks();
    let mut top = Sixteen(blocks[0]);
    for block in &blocks[1..] {
        top.rise_to(&Sixteen(*block));
    }
    // Otherwise the compiler takes all for one tree, and does it by twos.
    let mut top = std::hint::black_box(top).0;
    let mut half = LANES / 2;
    while half > 0 {
        for lane in 0..half {
            top[lane] = if top[lane + half] > top[lane] { top[lane + half] } else { top[lane] };
        }
        half /= 2;
    }
    top[0]
}
