//! What adapters add to the products of their sequences' rows.

use crate::model::{Adapter, Span, adapter::NativeChange, placement::Slot};
use remit_compute::{Team, attention::Sequence, rows::Rows};
use std::ops::Range;

/// The rows of a step that have an adapter.
pub(super) struct Changes<'a>(Vec<(Range<usize>, &'a Adapter)>);

impl<'a> Changes<'a> {
    pub(super) fn new(sequences: &[Sequence<'_>], spans: &[Span<'a>]) -> Self {
        let adapted = sequences.iter().zip(spans);
        Self(adapted.filter_map(|(at, span)| Some((at.rows.clone(), &**span.adapter?))).collect())
    }

    /// Adds to a weight's output for all rows of the step, `[rows, outputs]`, what each row's adapter changes in it.
    pub(super) fn apply(&self, team: &Team, place: (usize, Slot), input: &[f32], output: &mut [f32]) {
        let mut rows = Rows::new();
        for (range, adapter) in &self.0 {
            for NativeChange { outputs, down, up, scale } in adapter.native(place) {
                let (inputs, stride) = (down.inputs(), output.len() / (input.len() / down.inputs()));
                rows.fill(team, &input[range.start * inputs..range.end * inputs], down);
                let mut few = vec![0.0; range.len() * down.outputs()];
                down.multiply(team, &rows, &mut few);
                rows.fill(team, &few, up);
                let mut change = vec![0.0; range.len() * up.outputs()];
                up.multiply(team, &rows, &mut change);
                for (row, change) in range.clone().zip(change.chunks_exact(up.outputs())) {
                    let to = &mut output[row * stride..][outputs.clone()];
                    to.iter_mut().zip(change).for_each(|(to, change)| *to += change * scale);
                }
            }
        }
    }
}
