//! The innermost loops of a [`tile`](super::tile): what is done in registers.
//!
//! How many rows and vectors are computed together is what 16 vector registers hold: the sums, what is widened, and one number
//! of a query or a weight. It changes no result, since each sum has its own chain.

use super::tile::{MIXTURE, STRETCH, STRETCH_TOKENS, TOP, WEIGHTS};
use crate::{
    blocks::BLOCK_TOKENS,
    functions::exp2,
    halves::Halves,
    kernel::{LANES, Lanes},
};
use std::ops::Range;

/// A row's scores for a stretch, and then its weights.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Scores(pub(super) [f32; STRETCH_TOKENS]);

impl Scores {
    pub(super) const ZERO: Self = Self([0.0; STRETCH_TOKENS]);
}

/// Scores of `R` rows for `B` blocks side by side.
#[inline(always)]
pub(super) fn score_blocks<H: Halves, const R: usize, const B: usize>(
    by: H,
    queries: &[[f32; R]],
    keys: &[&[[u16; LANES]]],
    first: usize,
    scores: &mut [Scores],
) {
    let mut sums = [[Lanes::ZERO; B]; R];
    let mut own = [[].as_slice(); B];
    for block in 0..B {
        own[block] = &keys[block][..queries.len()];
    }
    for (index, query) in queries.iter().enumerate() {
        for block in 0..B {
            let key = by.widen(&own[block][index]);
            for row in 0..R {
                sums[row][block].add_product(query[row], &key);
            }
        }
    }
    for (scores, sums) in scores.iter_mut().zip(sums) {
        for (block, sums) in sums.iter().enumerate() {
            scores.0[(first + block) * BLOCK_TOKENS..][..LANES].copy_from_slice(&sums.0);
        }
    }
}

/// Adds values to `C` vectors of the mixtures of `R` rows.
#[inline(always)]
pub(super) fn mix_columns<H: Halves, const R: usize, const C: usize>(
    by: H,
    weights: &[Scores; R],
    values: &[&[[u16; LANES]]; STRETCH],
    seen: &Range<usize>,
    (column, columns): (usize, usize),
    sums: &mut [Lanes],
) {
    let stride = MIXTURE + columns;
    let mut own = [[Lanes::ZERO; C]; R];
    for row in 0..R {
        own[row].copy_from_slice(&sums[row * stride + MIXTURE + column..][..C]);
    }
    for block in seen.start / BLOCK_TOKENS..seen.end.div_ceil(BLOCK_TOKENS) {
        let (values, first) = (values[block], block * BLOCK_TOKENS);
        for token in seen.start.max(first)..seen.end.min(first + BLOCK_TOKENS) {
            let values = &values[(token - first) * columns + column..][..C];
            for vector in 0..C {
                let value = by.widen(&values[vector]);
                for row in 0..R {
                    own[row][vector].add_product(weights[row].0[token], &value);
                }
            }
        }
    }
    for row in 0..R {
        sums[row * stride + MIXTURE + column..][..C].copy_from_slice(&own[row]);
    }
}

/// A row's scores to weights, and its sums to what they are for the new highest score.
#[inline(always)]
pub(super) fn soften(scores: &mut Scores, seen: &Range<usize>, sums: &mut [Lanes]) {
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
        sums[WEIGHTS].add(&Lanes(*block));
    }
}

/// The highest of all scores.
#[inline(always)]
fn highest(scores: &Scores) -> f32 {
    let (blocks, _) = scores.0.as_chunks();
    let mut top = Lanes(blocks[0]);
    for block in &blocks[1..] {
        top.rise_to(&Lanes(*block));
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
