//! Weights without scales: numbers times numbers.
//!
//! Each output has two sums, of the even and of the odd inputs, which are added at the end: additions that wait for each other
//! take twice as long.

use super::{Output, Share};
use crate::{
    Rows,
    lanes::{LANES, Lanes, Work},
    weights::{Floats, Packed},
};
use std::{marker::PhantomData, ops::Range};

/// Some panels of a part, for some rows.
pub(super) struct Strip<'a, F> {
    part: &'a Packed,
    panels: Range<usize>,
    rows: Range<usize>,
    input: &'a Rows,
    output: &'a Output<'a>,
    format: PhantomData<F>,
}

impl<'a, F> Strip<'a, F> {
    pub(super) fn new(share: Share<'a>) -> Self {
        let Share { part, panels, rows, input, output, .. } = share;
        Self { part, panels, rows, input, output, format: PhantomData }
    }
}

impl<F: Floats> Work for Strip<'_, F> {
    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        for panel in self.panels.clone() {
            let mut row = self.rows.start;
            while row < self.rows.end {
                let count = L::ROWS.min(self.rows.end - row);
                if L::ROWS == 1 || count == 1 {
                    self.tile::<L, 1>(lanes, panel, row);
                } else if L::ROWS > 1 {
                    match count {
                        2 => self.tile::<L, 2>(lanes, panel, row),
                        3 => self.tile::<L, 3>(lanes, panel, row),
                        _ => self.tile::<L, 4>(lanes, panel, row),
                    }
                }
                row += count;
            }
        }
    }
}

impl<F: Floats> Strip<'_, F> {
    /// `R` rows times a panel.
    #[inline(always)]
    fn tile<L: Lanes, const R: usize>(&self, lanes: L, panel: usize, row: usize) {
        let weights = self.part.floats::<F>(panel);
        let inputs = weights.len() / (LANES * F::BYTES);
        let mut rows = [&[][..]; R];
        for (index, out) in rows.iter_mut().enumerate() {
            *out = &self.input.row(row + index).numbers[..inputs];
        }
        let mut sums = [[lanes.splat(0.0); 2]; R];
        for input in 0..inputs / 2 {
            for side in 0..2 {
                let weight = F::load(lanes, weights, 2 * input + side);
                for r in 0..R {
                    sums[r][side] = lanes.fused(weight, lanes.splat(rows[r][2 * input + side]), sums[r][side]);
                }
            }
        }
        if !inputs.is_multiple_of(2) {
            let weight = F::load(lanes, weights, inputs - 1);
            for r in 0..R {
                sums[r][0] = lanes.fused(weight, lanes.splat(rows[r][inputs - 1]), sums[r][0]);
            }
        }
        for (index, [even, odd]) in sums.into_iter().enumerate() {
            let mut results = [0.0; LANES];
            lanes.store(lanes.plus(even, odd), &mut results);
            let first = self.part.first + panel * LANES;
            let count = self.part.lanes(panel);
            #[allow(unsafe_code, reason = "several threads write one buffer")]
            // SAFETY: tasks have no output of a row in common.
            let output = unsafe { self.output.row(row + index, first..first + count) };
            output.copy_from_slice(&results[..count]);
        }
    }
}
