//! From a file's weights, or random ones, to a decoder's parts.

use super::{Block, Norm};
use crate::model::{
    Architecture, ModelError,
    architecture::Feed,
    attention::LayerAttention,
    device::WeightForm,
    feed::{Dense, Experts, FeedForward},
    linear::{Linear, is_memory},
    native,
    placement::{Placement, Slot},
    router::Router,
};
use burn::tensor::{Device, Tensor, TensorData};
use remit_compute::{Packer, Team};

/// Puts weights onto a device.
pub(super) struct Loader<'a> {
    pub(super) architecture: &'a Architecture,
    pub(super) source: Source<'a>,
    pub(super) device: &'a Device,
}

/// Where weights come from.
#[derive(Clone, Copy)]
pub(super) enum Source<'a> {
    File(&'a Placement<'a>),
    /// From nowhere, all in one form.
    Random(WeightForm),
}

impl Loader<'_> {
    /// The first layers for the CPU.
    pub(super) fn host(&self, layers: usize, team: &Team) -> Result<native::Stage, ModelError> {
        match &self.source {
            Source::File(placement) => native::Stage::load(placement, layers, &Packer::new(team)),
            Source::Random(_) => Err(ModelError::variant("random weights on the CPU")),
        }
    }

    pub(super) fn linear(&self, slot: Slot, layer: usize, inputs: usize) -> Result<Linear, ModelError> {
        match &self.source {
            Source::File(placement) if is_memory(self.device) => {
                Ok(Linear::new(placement.numbers(slot, layer)?, inputs, self.device))
            }
            Source::File(placement) => Ok(Linear::packed(placement.packed(slot, layer)?, self.device)),
            Source::Random(form) => Linear::random(*form, self.numbers_of(slot) / inputs, inputs, self.device),
        }
    }

    /// How many numbers a weight outside of experts has.
    fn numbers_of(&self, slot: Slot) -> usize {
        let Architecture { width, head_width, vocabulary, .. } = *self.architecture;
        let (query, key) = (self.architecture.query_width(), self.architecture.key_width());
        let inner = match self.architecture.feed {
            Feed::Dense { inner } | Feed::Experts { inner, .. } => inner,
        };
        match slot {
            Slot::Embedding | Slot::Output => vocabulary * width,
            Slot::Projection => (query + 2 * key) * width,
            Slot::ProjectionBias => query + 2 * key,
            Slot::AttentionOutput => query * width,
            Slot::GateUp => 2 * inner * width,
            Slot::Down => inner * width,
            Slot::QueryNorm | Slot::KeyNorm => head_width,
            _ => width,
        }
    }

    /// A bias. Nobody's changes nothing.
    fn bias(&self, slot: Slot, layer: usize) -> Result<Vec<f32>, ModelError> {
        match &self.source {
            Source::File(placement) => placement.numbers(slot, layer),
            Source::Random(_) => Ok(vec![0.0; self.numbers_of(slot)]),
        }
    }

    /// The weights of a norm. Nobody's change nothing.
    fn norm_weight(&self, slot: Slot, layer: usize) -> Result<Vec<f32>, ModelError> {
        match &self.source {
            Source::File(placement) => placement.norm(slot, layer),
            Source::Random(_) => Ok(vec![1.0; self.numbers_of(slot)]),
        }
    }

    pub(super) fn norm(&self, slot: Slot, layer: usize) -> Result<Norm, ModelError> {
        let weight = self.norm_weight(slot, layer)?;
        let width = weight.len();
        let weight = Tensor::from_data(TensorData::new(weight, [width]), self.device);
        Ok(Norm { weight, epsilon: self.architecture.epsilon })
    }

    pub(super) fn block(&self, layer: usize) -> Result<Block, ModelError> {
        let architecture = self.architecture;
        let mut project = self.linear(Slot::Projection, layer, architecture.width)?;
        if architecture.projection_bias {
            project = project.with_bias(self.bias(Slot::ProjectionBias, layer)?);
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
        let Architecture { width, activation, feed, .. } = *self.architecture;
        let (choice, inner) = match feed {
            Feed::Experts { count, used, inner, normalise } => (Router { experts: count, used, normalise }, inner),
            Feed::Dense { inner } => {
                let gate_up = self.linear(Slot::GateUp, layer, width)?;
                let down = self.linear(Slot::Down, layer, inner)?;
                return Ok(FeedForward::Dense(Box::new(Dense { gate_up, down, inner, activation })));
            }
        };
        let Source::File(placement) = &self.source else {
            return Err(ModelError::variant("random experts"));
        };
        let router = self.linear(Slot::Router, layer, width)?;
        let experts = match is_memory(self.device) {
            true => self.experts(placement, layer, inner)?,
            false => self.packed_experts(placement, layer, inner)?,
        };
        Ok(FeedForward::Experts(Box::new(Experts { router, choice, experts })))
    }

    /// A layer's experts are held twice while it is read: gate and up of each come to lie behind each other.
    fn experts(&self, placement: &Placement<'_>, layer: usize, inner: usize) -> Result<Vec<Dense>, ModelError> {
        let Architecture { width, activation, .. } = *self.architecture;
        let each = |slot| placement.numbers(slot, layer);
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

    fn packed_experts(&self, placement: &Placement<'_>, layer: usize, inner: usize) -> Result<Vec<Dense>, ModelError> {
        let Architecture { activation, feed, .. } = *self.architecture;
        let Feed::Experts { count, .. } = feed else { return Ok(Vec::new()) };
        let expert = |expert| {
            let packed = |slot| placement.packed_expert(slot, layer, expert);
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
