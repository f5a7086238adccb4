//! Attention on a device other than the CPU: keys and values stay there, and nothing comes back between layers.
//!
//! A step uploads the angles of its rows and how far each of its sequences is; a layer then takes two programs for each
//! sequence, since each has a cache of its own (see `model::device`).

use super::{Attention, HeadNorms, LayerAttention};
use crate::model::{
    Span,
    device::{Attending, HeadShape, Sight, SpanRows, StepMemory},
    rows::StepRows,
};
use burn::tensor::{Device, Tensor, TensorData};

/// Weights of a query head, then those of a key head.
pub(super) fn head_norms(query: &[f32], key: &[f32], device: &Device) -> Tensor<1> {
    let weights = [query, key].concat();
    let count = weights.len();
    Tensor::from_data(TensorData::new(weights, [count]), device)
}

impl Attention {
    /// Uploads what depends on the positions of a step.
    pub(super) fn begin_on_device(&self, spans: &[Span<'_>], rows: &StepRows) -> StepMemory {
        let turns = self.ropes.iter().map(|rope| {
            let mut turns = Vec::new();
            for (span, place) in spans.iter().zip(&rows.places) {
                rope.turns(span, place.padded, &mut turns);
            }
            turns.into_iter().flat_map(|(sin, cos)| [cos, sin]).collect()
        });
        // Positions of a context fit: its tokens are numbered with u32.
        let begins = spans.iter().map(|span| span.cache.length() as u32).collect();
        StepMemory::new(turns.collect(), begins, &self.device)
    }

    /// For each row its query, key and value heads, to all query heads' mixtures.
    pub(super) fn attend_on_device(
        &self,
        (index, layer): (usize, &LayerAttention),
        projected: Tensor<2>,
        (step, rows): (&StepMemory, &StepRows),
        spans: &[Span<'_>],
    ) -> Tensor<2> {
        let shape = HeadShape {
            heads: self.heads,
            kv_heads: self.kv_heads,
            width: self.head_width,
            pairs: self.ropes.first().map_or(0, |rope| rope.short.len()),
            order: self.pairs,
            scale: self.scale,
            epsilon: self.epsilon,
        };
        let sight = Sight { window: layer.layer.window, softcap: self.softcap };
        let norms = match &layer.norms {
            Some(HeadNorms::Device(weights)) => Some(weights.as_ref()),
            Some(HeadNorms::Memory { .. }) | None => None,
        };
        let attending = Attending::new(&shape, step, projected);
        let ends = rows.places.iter().skip(1).map(|place| place.begin).chain([rows.total]);
        for (span, ((place, end), sequence)) in rows.places.iter().zip(ends).zip(spans).enumerate() {
            let before = sequence.cache.length();
            let rows = SpanRows { span, row: place.begin, tokens: place.tokens, before, padded: end - place.begin };
            attending.span(rows, (layer.layer.rope, norms, sight), sequence.cache.device(index));
        }
        attending.mixtures()
    }
}
