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
        let pairs = inputs / 2;
        // Of one length, so that nothing is checked in the loop.
        let mut rows = [&[][..]; R];
        let mut last = [0.0; R];
        for r in 0..R {
            let (whole, rest) = self.share.input.numbers(row + r)[..inputs].as_chunks::<2>();
            rows[r] = &whole[..pairs];
            last[r] = rest.first().copied().unwrap_or_default();
        }
        let mut sums = [[lanes.splat(0.0); 2]; R];
        let mut weights = self.weights.chunks_exact(2 * LANES * F::BYTES);
        for (input, weights) in weights.by_ref().take(pairs).enumerate() {
            for side in 0..2 {
                let weight = F::load(lanes, weights, side);
                for r in 0..R {
                    sums[r][side] = lanes.fused(weight, lanes.splat(rows[r][input][side]), sums[r][side]);
                }
            }
        }
        if !inputs.is_multiple_of(2) {
            let weight = F::load(lanes, weights.remainder(), 0);
            for r in 0..R {
                sums[r][0] = lanes.fused(weight, lanes.splat(last[r]), sums[r][0]);
            }
        }
        let mut both = [lanes.splat(0.0); R];
        for r in 0..R {
            both[r] = lanes.plus(sums[r][0], sums[r][1]);
        }
        self.share.store(lanes, self.panel, row, &both);
    }
}
