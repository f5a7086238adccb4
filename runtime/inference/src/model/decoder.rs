//! The decoder: weights and the forward pass, for every family alike.

mod loader;

use super::{
    Adapter, Architecture, KvCache, ModelError,
    adapter::Adapted,
    attention::{Attention, LayerAttention, cap},
    device::{self, HEAD_WIDTH_MAX, WeightForm},
    families,
    feed::FeedForward,
    linear::{Linear, as_numbers, indices, is_memory},
    placement::{Layout, Placement, Slot},
    rows::{Place, StepRows},
    split::{DeviceBytes, Split},
    tensors::Tensors,
};
use crate::{gguf::Gguf, sampler::argmax};
use burn::tensor::{Device, Tensor, TensorData};
use loader::{Loader, Source};
use serde_json::{Map, Value};
use std::sync::Arc;

/// A model with its weights on a device.
#[derive(Debug)]
pub struct Decoder {
    architecture: Architecture,
    split: Split,
    embedding: Linear,
    /// At least one.
    stages: Vec<Stage>,
    norm: Norm,
    /// Absent where the embedding serves.
    output: Option<Linear>,
}

/// Layers of one device, one behind the other.
#[derive(Debug)]
struct Stage {
    attention: Attention,
    /// The number of the first.
    first: usize,
    blocks: Vec<Block>,
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

impl Stage {
    /// The rows of a step through all layers of the stage.
    fn forward(&self, mut hidden: Tensor<2>, rows: &StepRows, spans: &mut [Span<'_>]) -> Tensor<2> {
        let step = self.attention.begin(spans, rows);
        let live = rows.places.iter().map(Place::live);
        let adapted = Adapted::new(live.zip(&*spans).map(|(rows, span)| (rows, span.cache.adapter())));
        let post = |norm: &Option<Norm>, branch: Tensor<2>| match norm {
            Some(norm) => norm.forward(branch),
            None => branch,
        };
        // What was computed and is not added yet.
        let mut branch = None;
        for (layer, block) in (self.first..).zip(&self.blocks) {
            let normal;
            (hidden, normal) = block.attention_norm.after(hidden, branch.take());
            let projected = adapted.forward(&block.project, (layer, Slot::Projection), normal);
            let attended = self.attention.attend((layer, &block.attention), projected, (&step, rows), spans);
            let mixed = adapted.forward(&block.attention_output, (layer, Slot::AttentionOutput), attended);
            let normal;
            (hidden, normal) = block.feed_norm.after(hidden, Some(post(&block.post_attention_norm, mixed)));
            let fed = block.feed.forward(layer, rows, &adapted, normal);
            branch = Some(post(&block.post_feed_norm, fed));
        }
        branch.into_iter().fold(hidden, |hidden, branch| hidden + branch)
    }
}

/// The rows of tokens, from where one device has them to where another wants them; those that pad them are zeros.
fn hand_over(hidden: Tensor<2>, (from, to): (&StepRows, &StepRows), device: &Device) -> Tensor<2> {
    let [_, width] = hidden.dims();
    let hidden = hidden.into_data();
    let rows: Vec<&[f32]> = as_numbers(&hidden).chunks_exact(width).collect();
    let mut moved = vec![0.0; to.total * width];
    for (source, target) in from.live().zip(to.live()) {
        moved[target * width..][..width].copy_from_slice(rows[source]);
    }
    Tensor::from_data(TensorData::new(moved, [to.total, width]), device)
}

impl Decoder {
    /// Reads the weights of a GGUF file onto a device, or onto two.
    ///
    /// # Errors
    /// [`ModelError`], where the file holds no model that this decoder can compute.
    pub fn load(file: &Gguf, split: impl Into<Split>) -> Result<Self, ModelError> {
        let (architecture, layout) = families::read_gguf(file)?;
        Self::place(architecture, layout, file, split.into())
    }

    /// Reads weights that a `config.json` describes onto a device, or onto two.
    ///
    /// # Errors
    /// [`ModelError`], where they are no model that this decoder can compute.
    pub fn from_json(
        config: &Map<String, Value>,
        tensors: &dyn Tensors,
        split: impl Into<Split>,
    ) -> Result<Self, ModelError> {
        let (architecture, layout) = families::read_json(config, tensors)?;
        Self::place(architecture, layout, tensors, split.into())
    }

    /// What a GGUF file's model takes on a device.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub(crate) fn bytes(file: &Gguf) -> Result<DeviceBytes, ModelError> {
        let (architecture, layout) = families::read_gguf(file)?;
        DeviceBytes::of(&Placement { architecture: &architecture, layout, tensors: file })
    }

    /// The same of one that a `config.json` describes.
    ///
    /// # Errors
    /// As [`from_json`](Self::from_json).
    pub(crate) fn json_bytes(config: &Map<String, Value>, tensors: &dyn Tensors) -> Result<DeviceBytes, ModelError> {
        let (architecture, layout) = families::read_json(config, tensors)?;
        DeviceBytes::of(&Placement { architecture: &architecture, layout, tensors })
    }

    /// A model of random weights on a device other than the CPU, all stored in one form: as fast as one with trained
    /// weights. For measurements.
    ///
    /// # Errors
    /// [`ModelError`], where its sizes do not fit together, a form does not fit its widths, or it has experts.
    pub fn random(architecture: &Architecture, form: WeightForm, device: &Device) -> Result<Self, ModelError> {
        architecture.check()?;
        Self::assemble(architecture.clone(), Source::Random(form), device.into())
    }

    fn place(
        architecture: Architecture,
        layout: Layout,
        tensors: &dyn Tensors,
        split: Split,
    ) -> Result<Self, ModelError> {
        let of_file = architecture.clone();
        Self::assemble(architecture, Source::File(&Placement { architecture: &of_file, layout, tensors }), split)
    }

    fn assemble(architecture: Architecture, source: Source<'_>, split: Split) -> Result<Self, ModelError> {
        if !is_memory(split.last()) && architecture.head_width > HEAD_WIDTH_MAX {
            let width = architecture.head_width;
            return Err(ModelError::variant(format!("heads of {width} numbers, on a GPU more than {HEAD_WIDTH_MAX}")));
        }
        let stages = split.stages(architecture.layers.len()).into_iter().map(|(device, layers)| {
            let attention = Attention::new(&architecture, &device);
            let first = layers.start;
            let loader = Loader { architecture: &architecture, source, device: &device };
            let blocks = layers.map(|layer| loader.block(layer)).collect::<Result<_, ModelError>>()?;
            Ok(Stage { attention, first, blocks })
        });
        let stages = stages.collect::<Result<Vec<_>, ModelError>>()?;
        let on = |device| Loader { architecture: &architecture, source, device };
        let (width, last) = (architecture.width, on(split.last()));
        let output = match (architecture.tied_output, stages.len()) {
            (false, _) => Some(last.linear(Slot::Output, 0, width)?),
            // Tokens are looked up on one device, and the same matrix is the output on the other.
            (true, 2..) => Some(last.linear(Slot::Embedding, 0, width)?),
            (true, _) => None,
        };
        let embedding = on(split.of(0)).linear(Slot::Embedding, 0, width)?;
        let norm = last.norm(Slot::OutputNorm, 0)?;
        Ok(Self { split, embedding, stages, norm, output, architecture })
    }

    /// What it is.
    #[must_use]
    pub fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// Where its layers are computed.
    #[must_use]
    pub fn split(&self) -> &Split {
        &self.split
    }

    /// An empty cache for up to `capacity` tokens of a sequence that this decoder computes.
    #[must_use]
    pub fn cache(&self, capacity: usize) -> KvCache {
        KvCache::on(&self.architecture, capacity, &self.split)
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
        self.stages.iter().flat_map(|stage| &stage.blocks).map(block).sum::<usize>() + self.output().bytes()
    }

    fn output(&self) -> &Linear {
        self.output.as_ref().unwrap_or(&self.embedding)
    }

    /// Computes new tokens of some sequences, and lengthens their caches. Returns the logits of each span that asks for
    /// them, in order, one vocabulary after the other.
    ///
    /// # Panics
    /// Where a span does not keep what [`Span`] says, or the device failed.
    #[must_use]
    pub fn forward(&self, spans: &mut [Span<'_>]) -> Vec<f32> {
        let Some((count, logits)) = self.compute(spans) else { return Vec::new() };
        let logits = logits.into_data();
        let mut logits = as_numbers(&logits)[..count * self.architecture.vocabulary].to_vec();
        cap(&mut logits, self.architecture.output_softcap);
        logits
    }

    /// The same, but returns the likeliest token of each span that asks for logits: of the first `tokens` of the vocabulary,
    /// since some models round its rows up, and of equally likely ones the first. On a device nothing else leaves it.
    ///
    /// # Panics
    /// As [`forward`](Self::forward).
    #[must_use]
    pub fn forward_greedy(&self, spans: &mut [Span<'_>], tokens: usize) -> Vec<u32> {
        let Some((count, logits)) = self.compute(spans) else { return Vec::new() };
        if is_memory(self.split.last()) {
            let logits = logits.into_data();
            let rows = as_numbers(&logits).chunks_exact(self.architecture.vocabulary);
            return rows.map(|row| argmax(&row[..tokens.min(row.len())])).collect();
        }
        // A cap changes no order.
        device::likeliest(logits, (count, tokens))
    }

    /// How many spans ask for logits, and theirs, with rows that pad them.
    fn compute(&self, spans: &mut [Span<'_>]) -> Option<(usize, Tensor<2>)> {
        let mut flow: Option<(Tensor<2>, StepRows)> = None;
        for stage in &self.stages {
            let rows = stage.attention.rows(spans);
            let hidden = match flow {
                None => {
                    let tokens = rows.tokens(spans.iter().map(|span| span.tokens));
                    self.embedding.rows(tokens.into_iter(), self.architecture.embedding_scale)
                }
                Some((hidden, others)) => hand_over(hidden, (&others, &rows), stage.attention.device()),
            };
            flow = Some((stage.forward(hidden, &rows, spans), rows));
        }
        let Some((hidden, rows)) = flow else { unreachable!("a decoder has a stage") };
        for span in &mut *spans {
            span.cache.advance(span.tokens.len());
        }
        let asked = spans.iter().zip(&rows.places).filter(|(span, _)| span.wants_logits);
        let last: Vec<usize> = asked.map(|(_, place)| place.live().end - 1).collect();
        (!last.is_empty()).then(|| (last.len(), self.logits(&last, hidden)))
    }

    /// The logits of some rows.
    fn logits(&self, rows: &[usize], hidden: Tensor<2>) -> Tensor<2> {
        let device = self.split.last();
        let last = if is_memory(device) {
            let width = self.architecture.width;
            let hidden = hidden.into_data();
            let hidden = as_numbers(&hidden);
            let last: Vec<f32> = rows.iter().flat_map(|row| &hidden[row * width..][..width]).copied().collect();
            Tensor::<2>::from_data(TensorData::new(last, [rows.len(), width]), device)
        } else {
            let mut padded: Vec<i64> = rows.iter().map(|row| *row as i64).collect();
            padded.resize(rows.len().next_power_of_two(), 0);
            hidden.select(0, indices(padded, device))
        };
        self.output().forward(self.norm.forward(last))
    }
}
