//! The decoder: weights and the forward pass, for every family alike.

mod loader;

use super::{
    Adapter, Architecture, KvCache, ModelError,
    adapter::Adapted,
    attention::{Attention, LayerAttention, cap},
    device::{self, HEAD_WIDTH_MAX},
    families,
    feed::FeedForward,
    linear::{Linear, as_numbers, indices, is_memory},
    placement::{Layout, Placement, Slot},
    rows::Place,
    tensors::Tensors,
};
use crate::gguf::Gguf;
use burn::tensor::{Device, Tensor, TensorData};
use loader::Loader;
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
        if !is_memory(&self.weight.device()) {
            return device::normalise(input, &self.weight, self.epsilon);
        }
        let square = (input.clone() * input.clone()).mean_dim(1);
        input / (square + self.epsilon).sqrt() * self.weight.clone().unsqueeze()
    }

    /// What a branch adds to the hidden state, and that normalised.
    fn after(&self, hidden: Tensor<2>, branch: Option<Tensor<2>>) -> (Tensor<2>, Tensor<2>) {
        let hidden = match branch {
            Some(branch) if !is_memory(&self.weight.device()) => {
                return device::add_normalise(hidden, branch, &self.weight, self.epsilon);
            }
            Some(branch) => hidden + branch,
            None => hidden,
        };
        let normal = self.forward(hidden.clone());
        (hidden, normal)
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
        if !is_memory(device) && architecture.head_width > HEAD_WIDTH_MAX {
            let width = architecture.head_width;
            return Err(ModelError::variant(format!("heads of {width} numbers, on a GPU more than {HEAD_WIDTH_MAX}")));
        }
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
        // What was computed and is not added yet.
        let mut branch = None;
        for (layer, block) in self.blocks.iter().enumerate() {
            let normal;
            (hidden, normal) = block.attention_norm.after(hidden, branch.take());
            let projected = adapted.forward(&block.project, (layer, Slot::Projection), normal);
            let attended = self.attention.attend((layer, &block.attention), projected, (&step, &rows), spans);
            let mixed = adapted.forward(&block.attention_output, (layer, Slot::AttentionOutput), attended);
            let normal;
            (hidden, normal) = block.feed_norm.after(hidden, Some(post(&block.post_attention_norm, mixed)));
            let fed = block.feed.forward(layer, &rows, &adapted, normal);
            branch = Some(post(&block.post_feed_norm, fed));
        }
        let hidden = branch.into_iter().fold(hidden, |hidden, branch| hidden + branch);
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
