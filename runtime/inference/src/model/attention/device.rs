//! Attention on a device other than the CPU: keys and values stay there, and nothing comes back between layers.
//!
//! A step uploads the angles of its rows and where they stand in their sequences' blocks; a layer then takes two
//! programs for all rows of all sequences, or three (see `model::device`).

use super::{Attention, HeadNorms, LayerAttention};
use crate::model::{
    Span,
    device::{HeadShape, LayerMemory, Places, Sight, StepMemory, attend},
    rope::Turns,
    rows::StepRows,
};
use burn::tensor::{Device, Tensor, TensorData};

/// Weights of a query head, then those of a key head.
pub(super) fn head_norms(query: &[f32], key: &[f32], device: &Device) -> Tensor<1> {
    let weights = [query, key].concat();
    let count = weights.len();
    Tensor::from_data(TensorData::new(weights, [count]), device)
}

/// Uploads what depends on the positions of a step: the turns of each rotary embedding, and the rows' places.
pub(super) fn begin(
    turns: impl Iterator<Item = Vec<(f32, f32)>>,
    spans: &[Span<'_>],
    rows: &StepRows,
    device: &Device,
) -> StepMemory {
    let mut places = Places::new(rows.total);
    spans.iter().for_each(|span| places.sequence(span.known, span.tokens.len(), span.table));
    let turns = turns.map(|turns| turns.into_iter().flat_map(|(sin, cos)| [cos, sin]).collect());
    StepMemory::new(turns.collect(), places, device)
}

impl Attention {
    /// For each row its query, key and value heads, to all query heads' mixtures.
    pub(super) fn attend_on_device(
        &self,
        layer: &LayerAttention,
        projected: Tensor<2>,
        step: &StepMemory,
        pool: &LayerMemory,
    ) -> Tensor<2> {
        let shape = HeadShape {
            heads: self.heads,
            kv_heads: self.kv_heads,
            width: self.head_width,
            pairs: self.ropes.first().map_or(0, Turns::pairs),
            order: self.pairs,
            scale: self.scale,
            epsilon: self.epsilon,
        };
        let sight = Sight { window: layer.layer.window, softcap: self.softcap };
        let norms = match &layer.norms {
            Some(HeadNorms::Device(weights)) => Some(weights.as_ref()),
            Some(HeadNorms::Memory { .. }) | None => None,
        };
        attend(&shape, projected, (step, layer.layer.rope), (norms, sight), pool)
    }
}
