//! From a file's tensors to packed matrices.

use super::{
    feed::{Dense, Experts, Feed},
    stage::Layer,
};
use crate::model::{
    Architecture, ModelError, Tensors, architecture,
    placement::{Piece, Place, Placement, Slot},
    router::Router,
};
use remit_compute::{
    attention::Heads,
    weights::{Matrix, Packer, Part},
};

/// Packs weights.
pub(super) struct Loader<'a> {
    pub(super) placement: &'a Placement<'a>,
    pub(super) packer: &'a Packer<'a>,
}

impl Loader<'_> {
    /// A weight of `inputs` numbers for each output.
    pub(super) fn matrix(&self, slot: Slot, layer: usize, inputs: usize) -> Result<Matrix, ModelError> {
        let pieces = self.placement.pieces(slot, layer)?;
        let place = |piece: Piece| Place { rows: 0..piece.shape[0], name: piece.name, inputs };
        self.packed(&pieces.into_iter().map(place).collect::<Vec<_>>(), inputs)
    }

    fn packed(&self, places: &[Place], inputs: usize) -> Result<Matrix, ModelError> {
        pack(self.placement.tensors, self.packer, places, inputs)
    }

    pub(super) fn layer(&self, layer: usize) -> Result<Layer, ModelError> {
        let architecture = self.placement.architecture;
        let post = |slot| architecture.post_norms.then(|| self.placement.norm(slot, layer)).transpose();
        let head_norms = || {
            Ok::<_, ModelError>((
                self.placement.norm(Slot::QueryNorm, layer)?,
                self.placement.norm(Slot::KeyNorm, layer)?,
            ))
        };
        let bias = || self.placement.numbers(Slot::ProjectionBias, layer);
        let architecture::Layer { window, rope } = architecture.layers[layer];
        Ok(Layer {
            attention_norm: self.placement.norm(Slot::AttentionNorm, layer)?,
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
            feed_norm: self.placement.norm(Slot::FeedNorm, layer)?,
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
                    let place = |slot| self.placement.expert(slot, layer, expert);
                    let gate_up = [place(Slot::ExpertGates)?, place(Slot::ExpertUps)?];
                    let down = [place(Slot::ExpertDowns)?];
                    Ok(Dense { gate_up: self.packed(&gate_up, width)?, down: self.packed(&down, inner)? })
                };
                let experts = (0..count).map(expert).collect::<Result<_, ModelError>>()?;
                let router = super::of_numbers(self.packer, &self.placement.numbers(Slot::Router, layer)?, width)?;
                let choice = Router { experts: count, used, normalise };
                Ok(Feed::Experts(Experts { router, choice, experts, inner }))
            }
        }
    }
}

/// A matrix of some rows of tensors, one behind the other, of `inputs` numbers each.
///
/// # Errors
/// [`ModelError`], where there is a number among them that is none.
pub(in crate::model) fn pack(
    tensors: &dyn Tensors,
    packer: &Packer<'_>,
    places: &[Place],
    inputs: usize,
) -> Result<Matrix, ModelError> {
    let stored = places.iter().map(|Place { name, rows, .. }| {
        let stored = tensors.stored(name)?;
        let row_bytes = inputs / stored.block.elements * stored.block.bytes;
        let bytes = &stored.bytes[rows.start * row_bytes..rows.end * row_bytes];
        Ok(Part { format: stored.format, rows: rows.len(), bytes })
    });
    let parts = stored.collect::<Result<Vec<_>, ModelError>>()?;
    packer.pack(&parts, inputs).or_else(|source| {
        // Reading it says which number is none.
        for Place { name, .. } in places {
            tensors.read(name, &mut Vec::new())?;
        }
        Err(ModelError::Pack { name: places.first().map_or_else(String::new, |place| place.name.clone()), source })
    })
}
