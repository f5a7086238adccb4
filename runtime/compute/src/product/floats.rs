//! Weights without scales: numbers times numbers.
//!
//! Each output has two sums, of the even and of the odd inputs, which are added at the end: additions that wait for each other
//! take twice as long.

use super::{Share, Tiles, each_tile};
use crate::{
    lanes::{LANES, Lanes, Work},
    weights::Floats,
};
use std::marker::PhantomData;

/// Some panels of a part, for some rows.
pub(super) struct Strip<'a, F> {
    share: Share<'a>,
    format: PhantomData<F>,
}

impl<'a, F> Strip<'a, F> {
    pub(super) fn new(share: Share<'a>) -> Self {
        Self { share, format: PhantomData }
    }
}

impl<F: Floats> Work for Strip<'_, F> {
    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        let share = &self.share;
        for panel in share.panels.clone() {
            let weights = share.part.floats::<F>(panel);
            each_tile(lanes, share.rows.clone(), &OfPanel::<F> { share, panel, weights, format: PhantomData });
        }
    }
}

struct OfPanel<'a, F> {
    share: &'a Share<'a>,
    panel: usize,
    weights: &'a [u8],
    format: PhantomData<F>,
}

impl<F: Floats> Tiles for OfPanel<'_, F> {
    /// Each has two sums.
    const ROWS: usize = 4;

    #[inline(always)]
    fn tile<L: Lanes, const R: usize>(&self, lanes: L, row: usize, _at: usize) {
        let inputs = self.weights.len() / (LANES * F::BYTES);
        let mut rows = [&[][..]; R];
        for (index, out) in rows.iter_mut().enumerate() {
            *out = &self.share.input.numbers(row + index)[..inputs];
        }
        let mut sums = [[lanes.splat(0.0); 2]; R];
        for input in 0..inputs / 2 {
            for side in 0..2 {
                let weight = F::load(lanes, self.weights, 2 * input + side);
                for r in 0..R {
                    sums[r][side] = lanes.fused(weight, lanes.splat(rows[r][2 * input + side]), sums[r][side]);
                }
            }
        }
        if !inputs.is_multiple_of(2) {
            let weight = F::load(lanes, self.weights, inputs - 1);
            for r in 0..R {
                sums[r][0] = lanes.fused(weight, lanes.splat(rows[r][inputs - 1]), sums[r][0]);
            }
        }
        let mut both = [lanes.splat(0.0); R];
        for r in 0..R {
            both[r] = lanes.plus(sums[r][0], sums[r][1]);
        }
        self.share.store(lanes, self.panel, row, &both);
    }
}
