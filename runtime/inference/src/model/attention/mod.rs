//! Attention of new positions to those before them: the seam between `burn` and plain memory for keys and values.
//!
//! Tensors go in and come out; between, each row's heads are normalised where the model does so, turned, and written to
//! the sequence's blocks in the [`Pool`](super::Pool), and its queries attend to what the layer's window leaves in sight. For that a
//! sequence's keys and values are gathered from its blocks. Few new rows are computed here; from [`BLOCK_ROWS_MIN`] on,
//! scores and mixtures are `burn` matrix products over all query heads that share a key head. That is on the CPU;
//! `device` hands all of it to programs of the device, which find a sequence's blocks themselves.
//!
//! Sources: Vaswani et al. 2017, "Attention Is All You Need"; Ainslie et al. 2023, "GQA"; Beltagy et al. 2020,
//! "Longformer" (windows); Henry et al. 2020, "Query-Key Normalization"; Bello et al. 2016, "Neural Combinatorial
//! Optimization" (capped scores).

mod device;

use super::{
    Architecture, Span,
    architecture::{Layer, Pairs},
    device::StepMemory,
    linear::{as_numbers, dot, is_memory},
    pool::{Gathered, LayerPool, LayerSlots},
    rope::Turns,
    rows::StepRows,
};
use burn::tensor::{Device, Tensor, TensorData};
use rayon::prelude::*;

/// New rows from which on matrix products are faster than one dot product a score.
pub const BLOCK_ROWS_MIN: usize = 16;
/// Scores from which on handing heads to threads is worth its cost.
const PARALLEL_SCORES_MIN: usize = 512;

/// What the attention of all layers has in common.
#[derive(Debug)]
pub(super) struct Attention {
    heads: usize,
    kv_heads: usize,
    head_width: usize,
    scale: f32,
    softcap: Option<f32>,
    epsilon: f32,
    pairs: Pairs,
    ropes: Vec<Turns>,
    device: Device,
    /// Whether keys and values lie in plain memory.
    in_memory: bool,
}

/// What a layer's attention has of its own.
#[derive(Debug)]
pub(super) struct LayerAttention {
    layer: Layer,
    norms: Option<HeadNorms>,
}

/// Weights of the norms of each query and key head.
#[derive(Debug)]
enum HeadNorms {
    Memory {
        query: Vec<f32>,
        key: Vec<f32>,
    },
    /// A query head's, then a key head's.
    Device(Box<Tensor<1>>),
}

/// What all layers need to know of a step.
pub(super) enum Step {
    /// Sine and cosine of each pair at each new position, for each rotary embedding: `[row][pair]`.
    Memory(Vec<Vec<(f32, f32)>>),
    Device(Box<StepMemory>),
}

impl LayerAttention {
    /// With weights of the norms of a query head and of a key head, where the model has them.
    pub(super) fn new(
        architecture: &Architecture,
        layer: usize,
        norms: Option<(Vec<f32>, Vec<f32>)>,
        device: &Device,
    ) -> Self {
        let place = |(query, key): (Vec<f32>, Vec<f32>)| match is_memory(device) {
            true => HeadNorms::Memory { query, key },
            false => HeadNorms::Device(Box::new(device::head_norms(&query, &key, device))),
        };
        Self { layer: architecture.layers[layer], norms: norms.map(place) }
    }
}

impl Attention {
    pub(super) fn new(architecture: &Architecture, device: &Device) -> Self {
        let turns = |rope| Turns::new(rope, architecture.rope_width);
        Self {
            heads: architecture.heads,
            kv_heads: architecture.kv_heads,
            head_width: architecture.head_width,
            scale: architecture.attention_scale,
            softcap: architecture.attention_softcap,
            epsilon: architecture.epsilon,
            pairs: architecture.rope_pairs,
            ropes: architecture.ropes.iter().map(turns).collect(),
            device: device.clone(),
            in_memory: is_memory(device),
        }
    }

    /// Where the tokens of these spans lie.
    pub(super) fn rows(&self, spans: &[Span<'_>]) -> StepRows {
        let tokens = spans.iter().map(|span| span.tokens.len());
        if self.in_memory { StepRows::packed(tokens) } else { StepRows::padded(tokens) }
    }

    /// For the new positions of all spans.
    pub(super) fn begin(&self, spans: &[Span<'_>], rows: &StepRows) -> Step {
        let turns = self.ropes.iter().map(|rope| rope.of(spans));
        match self.in_memory {
            true => Step::Memory(turns.collect()),
            false => Step::Device(Box::new(device::begin(turns, spans, rows, &self.device))),
        }
    }

    /// For each row its query, key and value heads, to all query heads' mixtures.
    pub(super) fn attend(
        &self,
        layer: &LayerAttention,
        projected: Tensor<2>,
        (step, spans): (&Step, &[Span<'_>]),
        pool: &mut LayerPool,
    ) -> Tensor<2> {
        let turns = match step {
            Step::Memory(turns) => turns,
            Step::Device(step) => return self.attend_on_device(layer, projected, step, pool.device()),
        };
        let pool = pool.memory();
        let [rows, stride] = projected.dims();
        let query = self.heads * self.head_width;
        let mut projected = projected.into_data();
        let mut attended = vec![0.0; rows * query];
        let Ok(mut rest) = projected.as_mut_slice::<f32>() else { unreachable!("every tensor of the decoder is f32") };
        let mut out = attended.as_mut_slice();
        let pairs = self.ropes[layer.layer.rope].pairs();
        let mut turns = turns[layer.layer.rope].as_slice();
        for span in spans {
            let count = span.tokens.len();
            let (here, after) = rest.split_at_mut(count * stride);
            let (here_out, after_out) = out.split_at_mut(count * query);
            let (here_turns, after_turns) = turns.split_at(count * pairs);
            let Span { table, known: position, .. } = *span;
            let rows = Rows { attention: self, layer, position, count, table, projected: here, out: here_out };
            rows.attend(here_turns, pool);
            (rest, out, turns) = (after, after_out, after_turns);
        }
        Tensor::from_data(TensorData::new(attended, [rows, query]), &self.device)
    }
}

/// The new rows of one sequence in a layer.
struct Rows<'a> {
    attention: &'a Attention,
    layer: &'a LayerAttention,
    /// Of the first of them.
    position: usize,
    count: usize,
    /// The sequence's blocks.
    table: &'a [u32],
    /// For each row: query heads, key heads, value heads. Rotated in place.
    projected: &'a mut [f32],
    /// For each row: all query heads.
    out: &'a mut [f32],
}

impl Rows<'_> {
    /// Rotates, writes keys and values behind those that are known, and attends.
    fn attend(mut self, turns: &[(f32, f32)], pool: &mut LayerSlots) {
        self.write(turns, pool);
        // All that any of these rows sees.
        let seen = pool.gather(self.table, self.begin(self.position)..self.position + self.count);
        if self.count < BLOCK_ROWS_MIN {
            self.attend_by_row(&seen);
        } else {
            self.attend_by_block(seen);
        }
    }

    fn stride(&self) -> usize {
        (self.attention.heads + 2 * self.attention.kv_heads) * self.attention.head_width
    }

    /// The first position in sight of one.
    fn begin(&self, position: usize) -> usize {
        self.layer.layer.window.map_or(0, |window| (position + 1).saturating_sub(window))
    }

    fn write(&mut self, turns: &[(f32, f32)], pool: &mut LayerSlots) {
        let stride = self.stride();
        let Attention { heads, kv_heads, head_width: width, scale, epsilon, pairs, .. } = *self.attention;
        let turns_of_row = turns.len() / self.count;
        for (row, projected) in self.projected.chunks_exact_mut(stride).enumerate() {
            let turns = &turns[row * turns_of_row..][..turns_of_row];
            let (queries, rest) = projected.split_at_mut(heads * width);
            let (keys, values) = rest.split_at_mut(kv_heads * width);
            if let Some(HeadNorms::Memory { query, key }) = &self.layer.norms {
                queries.chunks_exact_mut(width).for_each(|head| normalize(head, query, epsilon));
                keys.chunks_exact_mut(width).for_each(|head| normalize(head, key, epsilon));
            }
            for head in queries.chunks_exact_mut(width) {
                rotate(head, turns, pairs);
                head.iter_mut().for_each(|value| *value *= scale);
            }
            for (index, (key, value)) in keys.chunks_exact_mut(width).zip(values.chunks_exact(width)).enumerate() {
                rotate(key, turns, pairs);
                pool.write(self.table, self.position + row, index, key, value);
            }
        }
    }

    fn attend_by_row(&mut self, gathered: &Gathered) {
        let stride = self.stride();
        let Attention { heads, kv_heads, head_width: width, softcap, .. } = *self.attention;
        let query = heads * width;
        let group = heads / kv_heads * width;
        let first = self.begin(self.position);
        let known = self.position + self.count - first;
        for row in 0..self.count {
            let end = self.position + row + 1;
            let begin = self.begin(end - 1);
            let each = |(kv_head, (queries, out)): (usize, (&[f32], &mut [f32]))| {
                let from = kv_head * known;
                let seen = (from + begin - first) * width..(from + end - first) * width;
                let (keys, values) = (&gathered.keys[seen.clone()], &gathered.values[seen]);
                let mut scores = vec![0.0; end - begin];
                for (query, out) in queries.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
                    attend_head(query, keys, values, softcap, &mut scores, out);
                }
            };
            let queries = &self.projected[row * stride..][..query];
            let out = &mut self.out[row * query..][..query];
            if (end - begin) * heads < PARALLEL_SCORES_MIN {
                queries.chunks_exact(group).zip(out.chunks_exact_mut(group)).enumerate().for_each(each);
            } else {
                queries.par_chunks_exact(group).zip(out.par_chunks_exact_mut(group)).enumerate().for_each(each);
            }
        }
    }

    fn attend_by_block(&mut self, gathered: Gathered) {
        let stride = self.stride();
        let Attention { heads, kv_heads, head_width: width, softcap, ref device, .. } = *self.attention;
        let (query, group) = (heads * width, heads / kv_heads);
        let (position, count) = (self.position, self.count);
        let begin = self.begin(position);
        let known = position + count - begin;
        let mut queries = Vec::with_capacity(count * query);
        for head in 0..heads {
            for row in self.projected.chunks_exact(stride) {
                queries.extend_from_slice(&row[head * width..][..width]);
            }
        }
        let tensor = |heads: Vec<f32>| Tensor::<3>::from_data(TensorData::new(heads, [kv_heads, known, width]), device);
        let queries = Tensor::<3>::from_data(TensorData::new(queries, [kv_heads, group * count, width]), device);
        let mut scores = queries.matmul(tensor(gathered.keys).transpose()).into_data();
        if let Ok(scores) = scores.as_mut_slice::<f32>() {
            scores.par_chunks_exact_mut(known).enumerate().for_each(|(index, scores)| {
                let at = position + index % count;
                let (seen, after) = scores.split_at_mut(at + 1 - begin);
                let (before, seen) = seen.split_at_mut(self.begin(at) - begin);
                cap(seen, softcap);
                softmax(seen);
                before.fill(0.0);
                after.fill(0.0);
            });
        }
        let mixed = Tensor::<3>::from_data(scores, device).matmul(tensor(gathered.values)).into_data();
        for (index, mixed) in as_numbers(&mixed).chunks_exact(width).enumerate() {
            let (head, row) = (index / count, index % count);
            self.out[row * query + head * width..][..width].copy_from_slice(mixed);
        }
    }
}

/// Turns as many numbers of a head as there are turns for.
fn rotate(head: &mut [f32], turns: &[(f32, f32)], pairs: Pairs) {
    match pairs {
        Pairs::Neighbours => {
            for (pair, (sin, cos)) in head.as_chunks_mut::<2>().0.iter_mut().zip(turns) {
                let [a, b] = *pair;
                *pair = [a * cos - b * sin, a * sin + b * cos];
            }
        }
        Pairs::Halves => {
            let (first, second) = head.split_at_mut(turns.len());
            for ((first, second), (sin, cos)) in first.iter_mut().zip(second).zip(turns) {
                let (a, b) = (*first, *second);
                (*first, *second) = (a * cos - b * sin, a * sin + b * cos);
            }
        }
    }
}

/// RMSNorm of one head.
fn normalize(head: &mut [f32], weight: &[f32], epsilon: f32) {
    let square = dot(head, head) / head.len() as f32;
    let scale = 1.0 / (square + epsilon).sqrt();
    head.iter_mut().zip(weight).for_each(|(value, weight)| *value *= scale * weight);
}

fn attend_head(query: &[f32], keys: &[f32], values: &[f32], softcap: Option<f32>, scores: &mut [f32], out: &mut [f32]) {
    let width = query.len();
    for (score, key) in scores.iter_mut().zip(keys.chunks_exact(width)) {
        *score = dot(query, key);
    }
    cap(scores, softcap);
    softmax(scores);
    out.fill(0.0);
    for (score, value) in scores.iter().zip(values.chunks_exact(width)) {
        for (out, value) in out.iter_mut().zip(value) {
            *out += score * value;
        }
    }
}

/// Keeps numbers within a cap.
pub(super) fn cap(numbers: &mut [f32], softcap: Option<f32>) {
    if let Some(cap) = softcap {
        numbers.iter_mut().for_each(|number| *number = cap * (*number / cap).tanh());
    }
}

pub(super) fn softmax(scores: &mut [f32]) {
    let top = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for score in scores.iter_mut() {
        *score = (*score - top).exp();
        sum += *score;
    }
    let scale = 1.0 / sum;
    scores.iter_mut().for_each(|score| *score *= scale);
}
