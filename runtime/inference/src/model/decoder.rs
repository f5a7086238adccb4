//! The decoder: weights and the forward pass, for every family alike.

use super::{
    Adapter, Architecture, KvCache, ModelError,
    adapter::Adapted,
    architecture::Feed,
    attention::{Attention, LayerAttention, cap},
    families,
    feed::{Dense, Experts, FeedForward},
    linear::{Linear, as_numbers, indices, is_memory},
    placement::{Layout, Placement, Slot},
    rows::Place,
    tensors::Tensors,
};
use crate::gguf::Gguf;
use burn::tensor::{Device, Tensor, TensorData};
use serde_json::{Map, Value};
use std::sync::Arc;

/// A model with its weights on a device.
#[derive(Debug)]
pub struct Decoder {
    architecture: Architecture,
    device: Device,
    embedding: Linear,
    attention: Attention,
    blocks: Vec<Block>,
    norm: Norm,
    /// Absent where the embedding serves.
    output: Option<Linear>,
}

#[derive(Debug)]
struct Block {
    attention_norm: Norm,
    /// Query, key and value heads, in this order.
    project: Linear,
    attention: LayerAttention,
    attention_output: Linear,
    post_attention_norm: Option<Norm>,
    feed_norm: Norm,
    feed: FeedForward,
    post_feed_norm: Option<Norm>,
}

/// RMSNorm.
#[derive(Debug)]
struct Norm {
    weight: Tensor<1>,
    epsilon: f32,
}

impl Norm {
    fn forward(&self, input: Tensor<2>) -> Tensor<2> {
        let square = (input.clone() * input.clone()).mean_dim(1);
        input / (square + self.epsilon).sqrt() * self.weight.clone().unsqueeze()
    }
}

/// New tokens of one sequence in a forward pass.
pub struct Span<'a> {
    /// The tokens behind those of the cache; at least one, each of the vocabulary, and no more than fit into the cache.
    pub tokens: &'a [u32],
    /// What the sequence came to so far: [`Decoder::cache`] made it, or a cache's `prefix`.
    pub cache: &'a mut KvCache,
    /// Whether the logits after the last of them are asked for.
    pub wants_logits: bool,
}

/// Puts a file's weights onto a device.
struct Loader<'a> {
    placement: Placement<'a>,
    device: &'a Device,
}

impl Loader<'_> {
    fn linear(&self, slot: Slot, layer: usize, inputs: usize) -> Result<Linear, ModelError> {
        Ok(Linear::new(self.placement.numbers(slot, layer)?, inputs, self.device))
    }

    fn norm_weight(&self, slot: Slot, layer: usize) -> Result<Vec<f32>, ModelError> {
        let mut weight = self.placement.numbers(slot, layer)?;
        let offset = self.placement.layout.norm_offset;
        if offset != 0.0 {
            weight.iter_mut().for_each(|weight| *weight += offset);
        }
        Ok(weight)
    }

    fn norm(&self, slot: Slot, layer: usize) -> Result<Norm, ModelError> {
        let weight = self.norm_weight(slot, layer)?;
        let width = weight.len();
        let weight = Tensor::from_data(TensorData::new(weight, [width]), self.device);
        Ok(Norm { weight, epsilon: self.placement.architecture.epsilon })
    }

    fn block(&self, layer: usize) -> Result<Block, ModelError> {
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
        // A layer's experts are held twice while it is read: gate and up of each come to lie behind each other.
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
        let experts = experts.collect();
        let router = self.linear(Slot::Router, layer, width)?;
        Ok(FeedForward::Experts(Box::new(Experts { router, experts, used, normalise })))
    }
}

impl Decoder {
    /// Reads the weights of a GGUF file onto a device.
    ///
    /// # Errors
    /// [`ModelError`], where the file holds no model that this decoder can compute.
    pub fn load(file: &Gguf, device: &Device) -> Result<Self, ModelError> {
        let (architecture, layout) = families::read_gguf(file)?;
        Self::place(architecture, layout, file, device)
    }

    /// Reads weights that a `config.json` describes onto a device.
    ///
    /// # Errors
    /// [`ModelError`], where they are no model that this decoder can compute.
    pub fn from_json(config: &Map<String, Value>, tensors: &dyn Tensors, device: &Device) -> Result<Self, ModelError> {
        let (architecture, layout) = families::read_json(config, tensors)?;
        Self::place(architecture, layout, tensors, device)
    }

    fn place(
        architecture: Architecture,
        layout: Layout,
        tensors: &dyn Tensors,
        device: &Device,
    ) -> Result<Self, ModelError> {
        let loader = Loader { placement: Placement { architecture: &architecture, layout, tensors }, device };
        let width = architecture.width;
        let output = (!architecture.tied_output).then(|| loader.linear(Slot::Output, 0, width)).transpose()?;
        Ok(Self {
            device: device.clone(),
            embedding: loader.linear(Slot::Embedding, 0, width)?,
            attention: Attention::new(&architecture, device),
            blocks: (0..architecture.layers.len()).map(|layer| loader.block(layer)).collect::<Result<_, _>>()?,
            norm: loader.norm(Slot::OutputNorm, 0)?,
            output,
            architecture,
        })
    }

    /// What it is.
    #[must_use]
    pub fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// An empty cache for up to `capacity` tokens of a sequence that this decoder computes.
    #[must_use]
    pub fn cache(&self, capacity: usize) -> KvCache {
        KvCache::on(&self.architecture, capacity, &self.device)
    }

    /// The same for a sequence that is computed with an adapter.
    ///
    /// # Panics
    /// Where the adapter was loaded for another architecture.
    #[must_use]
    pub fn adapted_cache(&self, capacity: usize, adapter: Arc<Adapter>) -> KvCache {
        self.cache(capacity).adapt(&self.architecture, adapter)
    }

    /// Bytes of weights that one decode step of one sequence reads.
    #[must_use]
    pub fn step_bytes(&self) -> usize {
        let block = |block: &Block| block.project.bytes() + block.attention_output.bytes() + block.feed.row_bytes();
        self.blocks.iter().map(block).sum::<usize>() + self.output().bytes()
    }

    fn output(&self) -> &Linear {
        self.output.as_ref().unwrap_or(&self.embedding)
    }

    /// Computes new tokens of some sequences, and lengthens their caches. Returns the logits of each span that asks for
    /// them, in order, one vocabulary after the other.
    ///
    /// # Panics
    /// Where a span does not keep what [`Span`] says.
    #[must_use]
    pub fn forward(&self, spans: &mut [Span<'_>]) -> Vec<f32> {
        let rows = self.attention.rows(spans);
        let step = self.attention.begin(spans, &rows);
        let live = rows.places.iter().map(Place::live);
        let adapted = Adapted::new(live.zip(&*spans).map(|(rows, span)| (rows, span.cache.adapter())));
        let tokens = rows.tokens(spans.iter().map(|span| span.tokens));
        let mut hidden = self.embedding.rows(tokens.into_iter(), self.architecture.embedding_scale);
        let post = |norm: &Option<Norm>, branch: Tensor<2>| match norm {
            Some(norm) => norm.forward(branch),
            None => branch,
        };
        for (layer, block) in self.blocks.iter().enumerate() {
            let normal = block.attention_norm.forward(hidden.clone());
            let projected = adapted.forward(&block.project, (layer, Slot::Projection), normal);
            let attended = self.attention.attend((layer, &block.attention), projected, (&step, &rows), spans);
            let mixed = adapted.forward(&block.attention_output, (layer, Slot::AttentionOutput), attended);
            hidden = hidden + post(&block.post_attention_norm, mixed);
            let fed = block.feed.forward(layer, &rows, &adapted, block.feed_norm.forward(hidden.clone()));
            hidden = hidden + post(&block.post_feed_norm, fed);
        }
        for span in &mut *spans {
            span.cache.advance(span.tokens.len());
        }
        let asked = spans.iter().zip(&rows.places).filter(|(span, _)| span.wants_logits);
        self.logits(&asked.map(|(_, place)| place.live().end - 1).collect::<Vec<_>>(), hidden)
    }

    /// The logits of some rows.
    fn logits(&self, rows: &[usize], hidden: Tensor<2>) -> Vec<f32> {
        if rows.is_empty() {
            return Vec::new();
        }
        let last = if is_memory(&self.device) {
            let width = self.architecture.width;
            let hidden = hidden.into_data();
            let hidden = as_numbers(&hidden);
            let last: Vec<f32> = rows.iter().flat_map(|row| &hidden[row * width..][..width]).copied().collect();
            Tensor::<2>::from_data(TensorData::new(last, [rows.len(), width]), &self.device)
        } else {
            let mut padded: Vec<i64> = rows.iter().map(|row| *row as i64).collect();
            padded.resize(rows.len().next_power_of_two(), 0);
            hidden.select(0, indices(padded, &self.device))
        };
        let logits = self.output().forward(self.norm.forward(last)).into_data();
        let mut logits = as_numbers(&logits)[..rows.len() * self.architecture.vocabulary].to_vec();
        cap(&mut logits, self.architecture.output_softcap);
        logits
    }
}
