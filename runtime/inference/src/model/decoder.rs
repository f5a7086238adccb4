//! The decoder: weights and the forward pass, for every family alike.

mod loader;

use super::{
    Adapter, Architecture, ModelError,
    adapter::Adapted,
    attention::{Attention, LayerAttention, cap},
    device::{self, HEAD_WIDTH_MAX, WeightForm},
    families,
    feed::FeedForward,
    linear::{Linear, as_numbers, indices, is_memory},
    native,
    placement::{Layout, Placement, Slot},
    pool::{BLOCK_TOKENS, Pool, PoolError},
    rows::StepRows,
    split::Split,
    tensors::Tensors,
};
use crate::{gguf::Gguf, sampler::argmax};
use burn::tensor::{Device, Tensor, TensorData};
use loader::{Loader, Source};
use remit_compute::Team;
use serde_json::{Map, Value};
use std::sync::Arc;

/// A model with its weights on a device.
#[derive(Debug)]
pub struct Decoder {
    architecture: Architecture,
    split: Split,
    start: Start,
    stage: Stage,
    norm: Norm,
    output: Arc<Linear>,
}

/// Where a step's hidden state comes from.
#[derive(Debug)]
enum Start {
    /// Tokens are looked up on the device.
    Embedding(Arc<Linear>),
    /// The CPU computes the first layers.
    Host(Box<native::Stage>, Arc<Team>),
}

/// The layers of the device, one behind the other.
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
#[derive(Clone, Copy, Debug)]
pub struct Span<'a> {
    /// The tokens behind those that are known; at least one, each of the vocabulary.
    pub tokens: &'a [u32],
    /// The sequence's blocks in the pool, in order: enough for all of its tokens with the new ones. Blocks of known tokens may
    /// be other sequences' too; those that new tokens go to are its own.
    pub table: &'a [u32],
    /// How many tokens' keys and values are in those blocks.
    pub known: usize,
    /// How many tokens the sequence may come to at most: models that turn long texts differently decide by it, and so it
    /// stays the same for all of a sequence's spans.
    pub room: usize,
    /// With what the sequence is computed; it stays the same too.
    pub adapter: Option<&'a Arc<Adapter>>,
    /// For how many of its last tokens the logits behind them are asked for.
    pub logits: usize,
}

impl Stage {
    /// The rows of a step through all layers of the stage.
    fn forward(&self, mut hidden: Tensor<2>, rows: &StepRows, spans: &[Span<'_>], pool: &mut Pool) -> Tensor<2> {
        let step = self.attention.begin(spans, rows);
        let adapted = Adapted::new(rows.spans.iter().cloned().zip(spans.iter().map(|span| span.adapter)));
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
            let attended = self.attention.attend(&block.attention, projected, (&step, spans), pool.layer(layer));
            let mixed = adapted.forward(&block.attention_output, (layer, Slot::AttentionOutput), attended);
            let normal;
            (hidden, normal) = block.feed_norm.after(hidden, Some(post(&block.post_attention_norm, mixed)));
            let fed = block.feed.forward(layer, rows, &adapted, normal);
            branch = Some(post(&block.post_feed_norm, fed));
        }
        branch.into_iter().fold(hidden, |hidden, branch| hidden + branch)
    }
}

/// The rows of tokens from plain memory to a device; those that pad them are zeros.
fn hand_over(hidden: &[f32], rows: &StepRows, width: usize, device: &Device) -> Tensor<2> {
    let mut moved = hidden.to_vec();
    moved.resize(rows.total * width, 0.0);
    Tensor::from_data(TensorData::new(moved, [rows.total, width]), device)
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
        let device = split.device();
        if !is_memory(device) && architecture.head_width > HEAD_WIDTH_MAX {
            let width = architecture.head_width;
            return Err(ModelError::variant(format!("heads of {width} numbers, on a GPU more than {HEAD_WIDTH_MAX}")));
        }
        let layers = architecture.layers.len();
        let first = split.host_layers(layers);
        let loader = Loader { architecture: &architecture, source, device };
        let host = split.host().map(|host| loader.host(first, &host.team).map(|stage| (stage, host.team.clone())));
        let linear = |slot| loader.linear(slot, 0, architecture.width).map(Arc::new);
        let (start, output) = match (host.transpose()?, architecture.tied_output) {
            // Tokens are looked up on the CPU, and the same matrix is the output on the device.
            (Some((stage, team)), true) => (Start::Host(Box::new(stage), team), linear(Slot::Embedding)?),
            (Some((stage, team)), false) => (Start::Host(Box::new(stage), team), linear(Slot::Output)?),
            (None, true) => {
                let both = linear(Slot::Embedding)?;
                (Start::Embedding(both.clone()), both)
            }
            (None, false) => (Start::Embedding(linear(Slot::Embedding)?), linear(Slot::Output)?),
        };
        let blocks = (first..layers).map(|layer| loader.block(layer)).collect::<Result<_, ModelError>>()?;
        let stage = Stage { attention: Attention::new(&architecture, device), first, blocks };
        let norm = loader.norm(Slot::OutputNorm, 0)?;
        Ok(Self { start, stage, norm, output, split, architecture })
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

    /// Keys and values for so many blocks of sequences that this decoder computes. On a device all of their memory is
    /// taken now.
    ///
    /// # Errors
    /// [`PoolError`], where there cannot be so many.
    pub fn pool(&self, blocks: usize) -> Result<Pool, PoolError> {
        Pool::new(&self.architecture, blocks, &self.split)
    }

    /// Bytes of weights that one decode step of one sequence reads.
    #[must_use]
    pub fn step_bytes(&self) -> usize {
        let block = |block: &Block| block.project.bytes() + block.attention_output.bytes() + block.feed.row_bytes();
        let host = match &self.start {
            Start::Host(stage, _) => stage.row_bytes(),
            Start::Embedding(_) => 0,
        };
        host + self.stage.blocks.iter().map(block).sum::<usize>() + self.output.bytes()
    }

    /// Computes new tokens of some sequences, and writes their keys and values to the sequences' blocks. Returns the
    /// logits that are asked for, span by span and token by token, one vocabulary after the other.
    ///
    /// # Panics
    /// Where a span does not keep what [`Span`] says, the pool is another decoder's, or the device failed.
    #[must_use]
    pub fn forward(&self, pool: &mut Pool, spans: &[Span<'_>]) -> Vec<f32> {
        let Some((count, logits)) = self.compute(pool, spans) else { return Vec::new() };
        let logits = logits.into_data();
        let mut logits = as_numbers(&logits)[..count * self.architecture.vocabulary].to_vec();
        cap(&mut logits, self.architecture.output_softcap);
        logits
    }

    /// The same, but returns the likeliest token instead of logits: of the first `tokens` of the vocabulary,
    /// since some models round its rows up, and of equally likely ones the first. On a device nothing else leaves it.
    ///
    /// # Panics
    /// As [`forward`](Self::forward).
    #[must_use]
    pub fn forward_greedy(&self, pool: &mut Pool, spans: &[Span<'_>], tokens: usize) -> Vec<u32> {
        let Some((count, logits)) = self.compute(pool, spans) else { return Vec::new() };
        if is_memory(self.split.device()) {
            let logits = logits.into_data();
            let rows = as_numbers(&logits).chunks_exact(self.architecture.vocabulary);
            return rows.map(|row| argmax(&row[..tokens.min(row.len())])).collect();
        }
        // A cap changes no order.
        device::likeliest(logits, (count, tokens))
    }

    /// How many tokens' logits are asked for, and these, with rows that pad them.
    fn compute(&self, pool: &mut Pool, spans: &[Span<'_>]) -> Option<(usize, Tensor<2>)> {
        spans.iter().for_each(|span| self.check(pool, span));
        let rows = self.stage.attention.rows(spans);
        let hidden = match &self.start {
            Start::Embedding(embedding) => {
                let tokens = rows.tokens(spans.iter().map(|span| span.tokens));
                embedding.rows(tokens.into_iter(), self.architecture.embedding_scale)
            }
            Start::Host(stage, team) => {
                let memory = pool.host();
                // The same rows in the same order.
                let _ = stage.forward(team, memory, spans);
                hand_over(memory.hidden(), &rows, self.architecture.width, self.split.device())
            }
        };
        let hidden = self.stage.forward(hidden, &rows, spans, pool);
        let ends = rows.spans.iter().zip(spans);
        let last: Vec<usize> = ends.flat_map(|(rows, span)| rows.end - span.logits..rows.end).collect();
        (!last.is_empty()).then(|| (last.len(), self.logits(&last, hidden)))
    }

    /// What a caller has to keep, so that no sequence is computed from another's keys and values.
    fn check(&self, pool: &Pool, span: &Span<'_>) {
        let Span { tokens, table, known, adapter, logits, .. } = *span;
        assert!(!tokens.is_empty() && logits <= tokens.len(), "{logits} logits of {} new tokens", tokens.len());
        let end = known + tokens.len();
        assert!(end <= table.len() * BLOCK_TOKENS, "{end} tokens in {} blocks", table.len());
        assert!(pool.has(table), "a sequence's blocks are of the pool, which has {}", pool.blocks());
        let fits = adapter.is_none_or(|adapter| *adapter.architecture() == self.architecture);
        assert!(fits, "an adapter fits models of the architecture it was loaded for");
    }

    /// The logits of some rows.
    fn logits(&self, rows: &[usize], hidden: Tensor<2>) -> Tensor<2> {
        let device = self.split.device();
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
        self.output.forward(self.norm.forward(last))
    }
}
