//! The decoder on the CPU: the same pass as [`Decoder`](super::Decoder)'s, over plain memory, with the kernels of
//! [`remit_compute`].
//!
//! | part | does |
//! | --- | --- |
//! | this file | weights of a model, and the pass over its layers |
//! | `load` | from a file's tensors to packed matrices |
//! | `feed` | the feed-forward, dense or of experts |
//! | `change` | what adapters add |
//! | `memory` | keys and values of all sequences, and what a step needs while it is computed |
//!
//! Principles:
//!
//! - Weights stay as narrow as their file has them: they are packed once, in the order in which they are read.
//! - What a row comes to depends on its sequence alone: the same bits in any batch, however its prompt is cut, on any number of
//!   threads and with any instruction set. Every kernel keeps that, and nothing here adds across rows.
//! - Rows are numbers in plain memory from the embedding to the logits: no tensors are made, and rows lie in memory that one step
//!   leaves to the next.
//! - Products with quantized weights take rows quantized to 8 bits; how far that is from the plain path is tested.
//!
//! Limits: all layers on the CPU. A model that is split between CPU and GPU is [`Decoder`](super::Decoder)'s.

mod change;
mod feed;
mod load;
mod memory;
#[cfg(test)]
mod tests;

pub use memory::NativeMemory;

use super::{
    Architecture, ModelError, Span, Tensors,
    architecture::Pairs as ModelPairs,
    families,
    placement::{Layout, Placement, Slot},
    rope::Rope,
};
use crate::gguf::Gguf;
use change::Changes;
use feed::Feed;
use load::Loader;
use memory::Scratch;
use remit_compute::{
    Team,
    attention::{Heads, Sequence, attend},
    elementwise::{self, HeadNorms, Pairs},
    weights::{Format, Matrix, Part},
};
use serde_json::{Map, Value};

/// A model with its weights in memory.
#[derive(Debug)]
pub struct NativeDecoder {
    architecture: Architecture,
    embedding: Matrix,
    layers: Vec<Layer>,
    norm: Vec<f32>,
    /// Absent where the embedding serves.
    output: Option<Matrix>,
    ropes: Vec<Turns>,
}

#[derive(Debug)]
struct Layer {
    attention_norm: Vec<f32>,
    /// Query, key and value heads, in this order.
    project: Matrix,
    project_bias: Option<Vec<f32>>,
    /// Of a query head, and of a key head.
    head_norms: Option<(Vec<f32>, Vec<f32>)>,
    heads: Heads,
    rope: usize,
    attention_output: Matrix,
    post_attention_norm: Option<Vec<f32>>,
    feed_norm: Vec<f32>,
    feed: Feed,
    post_feed_norm: Option<Vec<f32>>,
}

/// A rotary embedding's angles from one position to the next.
#[derive(Debug)]
struct Turns {
    short: Vec<f64>,
    /// For sequences with more room than this.
    long: Option<(usize, Vec<f64>)>,
    magnitude: f64,
}

impl Turns {
    fn new(rope: &Rope, width: usize) -> Self {
        Self {
            short: rope.steps(width, false),
            long: rope.long_from().map(|tokens| (tokens, rope.steps(width, true))),
            magnitude: rope.magnitude(),
        }
    }

    /// Sine and cosine of each pair at one position.
    fn at(&self, position: usize, room: usize, out: &mut [(f32, f32)]) {
        let steps = match &self.long {
            Some((tokens, long)) if room > *tokens => long,
            _ => &self.short,
        };
        for (step, out) in steps.iter().zip(out) {
            let (sin, cos) = (position as f64 * step).sin_cos();
            *out = ((sin * self.magnitude) as f32, (cos * self.magnitude) as f32);
        }
    }
}

impl NativeDecoder {
    /// Packs the weights of a GGUF file.
    ///
    /// # Errors
    /// [`ModelError`], where the file holds no model that the decoder can compute.
    pub fn load(file: &Gguf, team: &Team) -> Result<Self, ModelError> {
        let (architecture, layout) = families::read_gguf(file)?;
        Self::place(architecture, layout, file, team)
    }

    /// Packs weights that a `config.json` describes.
    ///
    /// # Errors
    /// [`ModelError`], where they are no model that the decoder can compute.
    pub fn from_json(config: &Map<String, Value>, tensors: &dyn Tensors, team: &Team) -> Result<Self, ModelError> {
        let (architecture, layout) = families::read_json(config, tensors)?;
        Self::place(architecture, layout, tensors, team)
    }

    fn place(
        architecture: Architecture,
        layout: Layout,
        tensors: &dyn Tensors,
        team: &Team,
    ) -> Result<Self, ModelError> {
        let of_file = architecture.clone();
        let placement = Placement { architecture: &of_file, layout, tensors };
        let loader = Loader { placement: &placement, team };
        let width = architecture.width;
        let output = match architecture.tied_output {
            true => None,
            false => Some(loader.matrix(Slot::Output, 0, width)?),
        };
        let layers = 0..architecture.layers.len();
        Ok(Self {
            embedding: loader.matrix(Slot::Embedding, 0, width)?,
            layers: layers.map(|layer| loader.layer(layer)).collect::<Result<_, ModelError>>()?,
            norm: loader.norm(Slot::OutputNorm, 0)?,
            output,
            ropes: architecture.ropes.iter().map(|rope| Turns::new(rope, architecture.rope_width)).collect(),
            architecture,
        })
    }

    /// What it is.
    #[must_use]
    pub fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// Bytes of all weights.
    #[must_use]
    pub fn weights_bytes(&self) -> usize {
        let layers = self.layers.iter().map(Layer::bytes).sum::<usize>();
        layers + self.embedding.bytes() + self.output.as_ref().map_or(0, Matrix::bytes)
    }

    /// Bytes of weights that one decode step of one sequence reads.
    #[must_use]
    pub fn step_bytes(&self) -> usize {
        self.layers.iter().map(Layer::row_bytes).sum::<usize>() + self.output().bytes()
    }

    fn output(&self) -> &Matrix {
        self.output.as_ref().unwrap_or(&self.embedding)
    }

    /// Computes new tokens of some sequences, and writes their keys and values. Returns the logits of the last tokens of each
    /// span that it asks for, in order, one vocabulary after the other.
    ///
    /// # Panics
    /// Where a span does not keep what [`Span`] says.
    #[must_use]
    pub fn forward(&self, team: &Team, memory: &mut NativeMemory, spans: &[Span<'_>]) -> Vec<f32> {
        let NativeMemory { blocks, scratch } = memory;
        let mut next = 0;
        let sequences: Vec<_> = spans
            .iter()
            .map(|span| {
                let rows = next..next + span.tokens.len();
                next = rows.end;
                Sequence { table: span.table, known: span.known, rows }
            })
            .collect();
        let changes = Changes::new(&sequences, spans);
        self.embed(team, spans, next, scratch);
        let turns = self.turns(spans);
        for (index, layer) in self.layers.iter().enumerate() {
            self.project(team, (index, layer), &turns[layer.rope], &changes, scratch);
            let Scratch { projected, attended, .. } = scratch;
            attend(team, blocks, index, &layer.heads, projected, &sequences, attended);
            self.mix(team, (index, layer), &changes, scratch);
            layer.feed(team, index, &changes, &self.architecture, scratch);
        }
        let asked = spans.iter().zip(&sequences).flat_map(|(span, at)| at.rows.end - span.logits..at.rows.end);
        self.logits(team, asked, scratch)
    }

    /// The tokens' embeddings.
    fn embed(&self, team: &Team, spans: &[Span<'_>], rows: usize, scratch: &mut Scratch) {
        scratch.resize(&self.architecture, rows);
        let (width, scale) = (self.architecture.width, self.architecture.embedding_scale);
        let tokens = spans.iter().flat_map(|span| span.tokens);
        for (token, row) in tokens.zip(scratch.hidden.chunks_exact_mut(width)) {
            self.embedding.row(*token as usize, row);
        }
        if scale != 1.0 {
            elementwise::scale(team, &mut scratch.hidden, scale);
        }
    }

    /// For each rotary embedding, of each row and pair the sine and the cosine.
    fn turns(&self, spans: &[Span<'_>]) -> Vec<Vec<(f32, f32)>> {
        let positions = || {
            let each = |span: &Span<'_>| (span.known..span.known + span.tokens.len(), span.room);
            spans.iter().map(each).flat_map(|(positions, room)| positions.map(move |position| (position, room)))
        };
        let of = |turns: &Turns| {
            let pairs = turns.short.len();
            let mut out = vec![(0.0, 0.0); positions().count() * pairs];
            for ((position, room), out) in positions().zip(out.chunks_exact_mut(pairs)) {
                turns.at(position, room, out);
            }
            out
        };
        self.ropes.iter().map(of).collect()
    }

    /// From the hidden state to turned queries and keys, and values.
    fn project(
        &self,
        team: &Team,
        (index, layer): (usize, &Layer),
        turns: &[(f32, f32)],
        changes: &Changes<'_>,
        scratch: &mut Scratch,
    ) {
        let Architecture { epsilon, rope_pairs, .. } = self.architecture;
        let Scratch { hidden, normal, rows, projected, .. } = scratch;
        elementwise::rms_norm(team, hidden, &layer.attention_norm, epsilon, normal);
        rows.fill(team, normal, &layer.project);
        layer.project.multiply(team, rows, projected);
        changes.apply(team, (index, Slot::Projection), normal, projected);
        if let Some(bias) = &layer.project_bias {
            for row in projected.chunks_exact_mut(bias.len()) {
                row.iter_mut().zip(bias).for_each(|(number, bias)| *number += bias);
            }
        }
        let heads = &layer.heads;
        if let Some((query, key)) = &layer.head_norms {
            elementwise::norm_heads(team, heads, &HeadNorms { query, key, epsilon }, projected);
        }
        let pairs = match rope_pairs {
            ModelPairs::Neighbours => Pairs::Neighbours,
            ModelPairs::Halves => Pairs::Halves,
        };
        elementwise::turn(team, heads, turns, pairs, projected);
    }

    /// From the heads' mixtures to the hidden state.
    fn mix(&self, team: &Team, (index, layer): (usize, &Layer), changes: &Changes<'_>, scratch: &mut Scratch) {
        let Scratch { rows, attended, branch, .. } = scratch;
        rows.fill(team, attended, &layer.attention_output);
        layer.attention_output.multiply(team, rows, branch);
        changes.apply(team, (index, Slot::AttentionOutput), attended, branch);
        scratch.add_branch(team, layer.post_attention_norm.as_deref(), self.architecture.epsilon);
    }

    /// The logits of some rows.
    fn logits(&self, team: &Team, asked: impl Iterator<Item = usize>, scratch: &mut Scratch) -> Vec<f32> {
        let Architecture { width, vocabulary, epsilon, output_softcap, .. } = self.architecture;
        let Scratch { hidden, rows, .. } = scratch;
        let last: Vec<f32> = asked.flat_map(|row| &hidden[row * width..][..width]).copied().collect();
        if last.is_empty() {
            return Vec::new();
        }
        let mut normal = vec![0.0; last.len()];
        elementwise::rms_norm(team, &last, &self.norm, epsilon, &mut normal);
        rows.fill(team, &normal, self.output());
        let mut logits = vec![0.0; last.len() / width * vocabulary];
        self.output().multiply(team, rows, &mut logits);
        if let Some(cap) = output_softcap {
            elementwise::softcap(team, &mut logits, cap);
        }
        logits
    }
}

/// A matrix of plain numbers.
pub(super) fn of_numbers(team: &Team, numbers: &[f32], inputs: usize) -> Result<Matrix, ModelError> {
    let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    let part = Part { format: Format::F32, rows: numbers.len() / inputs, bytes: &bytes };
    Matrix::new(team, &[part], inputs)
        .map_err(|source| ModelError::Pack { name: "of plain numbers".to_owned(), source })
}

impl Layer {
    fn bytes(&self) -> usize {
        self.project.bytes() + self.attention_output.bytes() + self.feed.bytes()
    }

    fn row_bytes(&self) -> usize {
        self.project.bytes() + self.attention_output.bytes() + self.feed.row_bytes()
    }

    /// What the feed-forward adds to the hidden state.
    fn feed(
        &self,
        team: &Team,
        index: usize,
        changes: &Changes<'_>,
        architecture: &Architecture,
        scratch: &mut Scratch,
    ) {
        elementwise::rms_norm(team, &scratch.hidden, &self.feed_norm, architecture.epsilon, &mut scratch.normal);
        self.feed.forward(team, index, changes, architecture, scratch);
        scratch.add_branch(team, self.post_feed_norm.as_deref(), architecture.epsilon);
    }
}
