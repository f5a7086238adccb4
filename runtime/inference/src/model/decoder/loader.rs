//! From a file's weights to a decoder's parts.

use super::{Block, Norm};
use crate::model::{
    Architecture, ModelError,
    architecture::Feed,
    attention::LayerAttention,
    feed::{Dense, Experts, FeedForward},
    linear::{Linear, is_memory},
    placement::{Placement, Slot},
};
use burn::tensor::{Device, Tensor, TensorData};

/// Puts a file's weights onto a device.
pub(super) struct Loader<'a> {
    pub(super) placement: &'a Placement<'a>,
    pub(super) device: &'a Device,
}

impl Loader<'_> {
    pub(super) fn linear(&self, slot: Slot, layer: usize, inputs: usize) -> Result<Linear, ModelError> {
        match is_memory(self.device) {
            true => Ok(Linear::new(self.placement.numbers(slot, layer)?, inputs, self.device)),
            false => Ok(Linear::packed(self.placement.packed(slot, layer)?, self.device)),
        }
    }

    fn norm_weight(&self, slot: Slot, layer: usize) -> Result<Vec<f32>, ModelError> {
        let mut weight = self.placement.numbers(slot, layer)?;
        let offset = self.placement.layout.norm_offset;
        if offset != 0.0 {
            weight.iter_mut().for_each(|weight| *weight += offset);
        }
        Ok(weight)
    }

    pub(super) fn norm(&self, slot: Slot, layer: usize) -> Result<Norm, ModelError> {
        let weight = self.norm_weight(slot, layer)?;
        let width = weight.len();
        let weight = Tensor::from_data(TensorData::new(weight, [width]), self.device);
        Ok(Norm { weight, epsilon: self.placement.architecture.epsilon })
    }

    pub(super) fn block(&self, layer: usize) -> Result<Block, ModelError> {
        let architecture = self.placement.architecture;
        let mut project = self.linear(Slot::Projection, layer, architecture.width)?;
        if architecture.projection_bias {
            project = project.with_bias(self.placement.numbers(Slot::ProjectionBias, layer)?);
        }
        let post = |slot| architecture.post_norms.then(|| self.norm(slot, layer)).transpose();
        let head_norms = || -> Result<_, ModelError> {
            let query = self.norm_weight(Slot::QueryNorm, layer)?;
            Ok((query, self.norm_weight(Slot::KeyNorm, layer)?))
        };
        let norms = architecture.query_key_norm.then(head_norms).transpose()?;
        Ok(Block {
            attention_norm: self.norm(Slot::AttentionNorm, layer)?,
            project,
            attention: LayerAttention::new(architecture, layer, norms, self.device),
            attention_output: self.linear(Slot::AttentionOutput, layer, architecture.query_width())?,
            post_attention_norm: post(Slot::PostAttentionNorm)?,
            feed_norm: self.norm(Slot::FeedNorm, layer)?,
            feed: self.feed(layer)?,
            post_feed_norm: post(Slot::PostFeedNorm)?,
        })
    }

    fn feed(&self, layer: usize) -> Result<FeedForward, ModelError> {
        let Architecture { width, activation, feed, .. } = *self.placement.architecture;
        let (used, inner, normalise) = match feed {
            Feed::Experts { used, inner, normalise, .. } => (used, inner, normalise),
            Feed::Dense { inner } => {
                let gate_up = self.linear(Slot::GateUp, layer, width)?;
                let down = self.linear(Slot::Down, layer, inner)?;
                return Ok(FeedForward::Dense(Box::new(Dense { gate_up, down, inner, activation })));
            }
        };
        let router = self.linear(Slot::Router, layer, width)?;
        let experts =
            if is_memory(self.device) { self.experts(layer, inner)? } else { self.packed_experts(layer, inner)? };
        Ok(FeedForward::Experts(Box::new(Experts { router, experts, used, normalise })))
    }

    /// A layer's experts are held twice while it is read: gate and up of each come to lie behind each other.
    fn experts(&self, layer: usize, inner: usize) -> Result<Vec<Dense>, ModelError> {
        let Architecture { width, activation, .. } = *self.placement.architecture;
        let each = |slot| self.placement.numbers(slot, layer);
        let (gates, ups, downs) = (each(Slot::ExpertGates)?, each(Slot::ExpertUps)?, each(Slot::ExpertDowns)?);
        let size = width * inner;
        let parts = gates.chunks_exact(size).zip(ups.chunks_exact(size)).zip(downs.chunks_exact(size));
        let experts = parts.map(|((gate, up), down)| Dense {
            gate_up: Linear::new([gate, up].concat(), width, self.device),
            down: Linear::new(down.to_vec(), inner, self.device),
            inner,
            activation,
        });
        Ok(experts.collect())
    }

    fn packed_experts(&self, layer: usize, inner: usize) -> Result<Vec<Dense>, ModelError> {
        let Architecture { activation, feed, .. } = *self.placement.architecture;
        let Feed::Experts { count, .. } = feed else { return Ok(Vec::new()) };
        let expert = |expert| {
            let packed = |slot| self.placement.packed_expert(slot, layer, expert);
            Ok(Dense {
                gate_up: Linear::packed(vec![packed(Slot::ExpertGates)?, packed(Slot::ExpertUps)?], self.device),
                down: Linear::packed(vec![packed(Slot::ExpertDowns)?], self.device),
                inner,
                activation,
            })
        };
        (0..count).map(expert).collect()
    }
}
