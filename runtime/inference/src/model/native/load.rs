//! From a file's tensors to packed matrices.

use super::{
    Layer,
    feed::{Dense, Experts, Feed},
};
use crate::model::{
    Architecture, ModelError, architecture,
    placement::{Placement, Slot},
};
use remit_compute::{
    Team,
    attention::Heads,
    weights::{Matrix, Part},
};

/// Packs weights.
pub(super) struct Loader<'a> {
    pub(super) placement: &'a Placement<'a>,
    pub(super) team: &'a Team,
}

impl Loader<'_> {
    /// A weight of `inputs` numbers for each output.
    pub(super) fn matrix(&self, slot: Slot, layer: usize, inputs: usize) -> Result<Matrix, ModelError> {
        let pieces = self.placement.pieces(slot, layer)?;
        let pieces = pieces.iter().map(|piece| (piece.name.as_str(), 0..piece.shape[0]));
        self.pack(&pieces.collect::<Vec<_>>(), inputs)
    }

    /// Some rows of tensors, one behind the other.
    fn pack(&self, pieces: &[(&str, std::ops::Range<usize>)], inputs: usize) -> Result<Matrix, ModelError> {
        let stored = pieces.iter().map(|(name, rows)| {
            let stored = self.placement.tensors.stored(name)?;
            let row_bytes = inputs / stored.block.elements * stored.block.bytes;
            let bytes = &stored.bytes[rows.start * row_bytes..rows.end * row_bytes];
            Ok(Part { format: stored.format, rows: rows.len(), bytes })
        });
        let parts = stored.collect::<Result<Vec<_>, ModelError>>()?;
        Matrix::new(self.team, &parts, inputs).or_else(|source| {
            // Reading it says which number is none.
            for (name, _) in pieces {
                self.placement.tensors.read(name, &mut Vec::new())?;
            }
            Err(ModelError::Pack {
                name: pieces.first().map_or_else(String::new, |(name, _)| (*name).to_owned()),
                source,
            })
        })
    }

    /// A norm's weight.
    pub(super) fn norm(&self, slot: Slot, layer: usize) -> Result<Vec<f32>, ModelError> {
        let mut weight = self.placement.numbers(slot, layer)?;
        let offset = self.placement.layout.norm_offset;
        if offset != 0.0 {
            weight.iter_mut().for_each(|weight| *weight += offset);
        }
        Ok(weight)
    }

    pub(super) fn layer(&self, layer: usize) -> Result<Layer, ModelError> {
        let architecture = self.placement.architecture;
        let post = |slot| architecture.post_norms.then(|| self.norm(slot, layer)).transpose();
        let head_norms = || Ok::<_, ModelError>((self.norm(Slot::QueryNorm, layer)?, self.norm(Slot::KeyNorm, layer)?));
        let bias = || self.placement.numbers(Slot::ProjectionBias, layer);
        let architecture::Layer { window, rope } = architecture.layers[layer];
        Ok(Layer {
            attention_norm: self.norm(Slot::AttentionNorm, layer)?,
            project: self.matrix(Slot::Projection, layer, architecture.width)?,
            project_bias: architecture.projection_bias.then(bias).transpose()?,
            head_norms: architecture.query_key_norm.then(head_norms).transpose()?,
            heads: Heads {
                heads: architecture.heads,
                kv_heads: architecture.kv_heads,
                width: architecture.head_width,
                scale: architecture.attention_scale,
                softcap: architecture.attention_softcap,
                window,
            },
            rope,
            attention_output: self.matrix(Slot::AttentionOutput, layer, architecture.query_width())?,
            post_attention_norm: post(Slot::PostAttentionNorm)?,
            feed_norm: self.norm(Slot::FeedNorm, layer)?,
            feed: self.feed(layer)?,
            post_feed_norm: post(Slot::PostFeedNorm)?,
        })
    }

    fn feed(&self, layer: usize) -> Result<Feed, ModelError> {
        let Architecture { width, feed, .. } = *self.placement.architecture;
        match feed {
            architecture::Feed::Dense { inner } => Ok(Feed::Dense(Dense {
                gate_up: self.matrix(Slot::GateUp, layer, width)?,
                down: self.matrix(Slot::Down, layer, inner)?,
            })),
            architecture::Feed::Experts { count, used, inner, normalise } => {
                let expert = |expert| {
                    let gate = self.expert(Slot::ExpertGates, layer, expert)?;
                    let up = self.expert(Slot::ExpertUps, layer, expert)?;
                    let down = self.expert(Slot::ExpertDowns, layer, expert)?;
                    let pieces = [(gate.0.as_str(), gate.1), (up.0.as_str(), up.1)];
                    Ok(Dense { gate_up: self.pack(&pieces, width)?, down: self.pack(&[(&down.0, down.1)], inner)? })
                };
                let experts = (0..count).map(expert).collect::<Result<_, ModelError>>()?;
                let router = super::of_numbers(self.team, &self.placement.numbers(Slot::Router, layer)?, width)?;
                Ok(Feed::Experts(Experts { router, experts, used, inner, normalise }))
            }
        }
    }

    /// Where an expert's weight is: a tensor, and its rows.
    fn expert(&self, slot: Slot, layer: usize, expert: usize) -> Result<(String, std::ops::Range<usize>), ModelError> {
        let pieces = self.placement.pieces(slot, layer)?;
        Ok(match pieces.as_slice() {
            [piece] if piece.shape.len() == 3 => {
                let rows = piece.shape[1];
                (piece.name.clone(), expert * rows..(expert + 1) * rows)
            }
            pieces => (pieces[expert].name.clone(), 0..pieces[expert].shape[0]),
        })
    }
}
