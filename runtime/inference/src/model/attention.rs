//! Attention of new positions to all before them, over a cache of keys and values in plain memory.
//!
//! The cache of a sequence is allocated once, for as many tokens as it can come to, and written in place: with tensors,
//! each new token would copy it. Zeroed memory that was not touched takes no room yet.
//!
//! Layout of a layer's keys, and of its values: `[kv head][position][head width]`, so that what one head reads lies
//! together. Few new rows are computed here; from [`BLOCK_ROWS_MIN`] on, scores and mixtures are `burn` matrix products
//! over all query heads that share a key head.

use super::{
    Config,
    linear::{as_numbers, dot},
};
use burn::tensor::{Device, Tensor, TensorData};
use rayon::prelude::*;

/// New rows from which on matrix products are faster than one dot product a score.
pub const BLOCK_ROWS_MIN: usize = 16;
/// Scores from which on handing heads to threads is worth its cost.
const PARALLEL_SCORES_MIN: usize = 512;

/// Keys and values of one sequence.
#[derive(Debug)]
pub struct KvCache {
    layers: Vec<LayerCache>,
    capacity: usize,
    length: usize,
}

#[derive(Clone, Debug)]
struct LayerCache {
    keys: Vec<f32>,
    values: Vec<f32>,
}

impl KvCache {
    /// An empty cache for up to `capacity` tokens.
    #[must_use]
    pub fn new(config: &Config, capacity: usize) -> Self {
        let size = config.kv_heads * config.head_width * capacity;
        // Not cloned: a clone would touch the memory.
        let layers = (0..config.layers).map(|_| LayerCache { keys: vec![0.0; size], values: vec![0.0; size] });
        Self { layers: layers.collect(), capacity, length: 0 }
    }

    /// How many tokens it holds.
    #[must_use]
    pub fn length(&self) -> usize {
        self.length
    }

    /// How many tokens it can hold.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// A cache of its own for up to `capacity` tokens, that begins with the first `tokens` of this one.
    #[must_use]
    pub fn prefix(&self, config: &Config, tokens: usize, capacity: usize) -> Self {
        let tokens = tokens.min(self.length).min(capacity);
        let mut copy = Self::new(config, capacity);
        copy.length = tokens;
        let (from, to, used) =
            (self.capacity * config.head_width, capacity * config.head_width, tokens * config.head_width);
        if used == 0 {
            return copy;
        }
        for (source, target) in self.layers.iter().zip(&mut copy.layers) {
            for (source, target) in [(&source.keys, &mut target.keys), (&source.values, &mut target.values)] {
                for (source, target) in source.chunks_exact(from).zip(target.chunks_exact_mut(to)) {
                    target[..used].copy_from_slice(&source[..used]);
                }
            }
        }
        copy
    }

    /// Makes what was written for the next `tokens` count.
    pub(super) fn advance(&mut self, tokens: usize) {
        self.length += tokens;
    }
}

/// Sine and cosine of each pair at each new position: `[row][pair]`.
pub(super) struct Rotation(Vec<(f32, f32)>);

impl Rotation {
    pub(super) fn new(config: &Config, positions: impl Iterator<Item = usize>) -> Self {
        let pairs = config.rope_width / 2;
        let step = |pair: usize| config.rope_base.powf(-2.0 * pair as f64 / config.rope_width as f64);
        let steps: Vec<f64> = (0..pairs).map(step).collect();
        let angles = positions.flat_map(|position| steps.iter().map(move |step| position as f64 * step));
        Self(angles.map(|angle| (angle.sin() as f32, angle.cos() as f32)).collect())
    }

    /// The part for some of the rows.
    fn row(&self, config: &Config, row: usize) -> &[(f32, f32)] {
        let pairs = config.rope_width / 2;
        &self.0[row * pairs..][..pairs]
    }
}

fn rotate(head: &mut [f32], rotation: &[(f32, f32)]) {
    for (pair, (sin, cos)) in head.as_chunks_mut::<2>().0.iter_mut().zip(rotation) {
        let [a, b] = *pair;
        *pair = [a * cos - b * sin, a * sin + b * cos];
    }
}

/// The new rows of one sequence in a layer.
pub(super) struct Rows<'a> {
    pub(super) config: &'a Config,
    pub(super) layer: usize,
    /// For each row: query heads, key heads, value heads. Rotated in place.
    pub(super) projected: &'a mut [f32],
    pub(super) rotation: &'a Rotation,
    /// Of these rows in the rotation.
    pub(super) first_row: usize,
    /// For each row: all query heads.
    pub(super) out: &'a mut [f32],
}

impl Rows<'_> {
    /// Rotates, writes keys and values behind those of the cache, and attends.
    pub(super) fn attend(mut self, cache: &mut KvCache, device: &Device) {
        let (position, capacity) = (cache.length, cache.capacity);
        let layer = &mut cache.layers[self.layer];
        let count = self.write(layer, position, capacity);
        if count < BLOCK_ROWS_MIN {
            self.attend_by_row(layer, position, capacity);
        } else {
            self.attend_by_block(layer, position, capacity, device);
        }
    }

    fn write(&mut self, layer: &mut LayerCache, position: usize, capacity: usize) -> usize {
        let config = self.config;
        let (width, query) = (config.head_width, config.heads * config.head_width);
        let key = config.kv_heads * width;
        let scale = 1.0 / (width as f32).sqrt();
        let rows = self.projected.chunks_exact_mut(query + 2 * key);
        let count = rows.len();
        for (row, projected) in rows.enumerate() {
            let rotation = self.rotation.row(config, self.first_row + row);
            let (queries, rest) = projected.split_at_mut(query);
            let (keys, values) = rest.split_at_mut(key);
            for head in queries.chunks_exact_mut(width) {
                rotate(head, rotation);
                head.iter_mut().for_each(|value| *value *= scale);
            }
            for (index, (key, value)) in keys.chunks_exact_mut(width).zip(values.chunks_exact(width)).enumerate() {
                rotate(key, rotation);
                let place = (index * capacity + position + row) * width;
                layer.keys[place..place + width].copy_from_slice(key);
                layer.values[place..place + width].copy_from_slice(value);
            }
        }
        count
    }

    fn attend_by_row(&mut self, layer: &LayerCache, position: usize, capacity: usize) {
        let config = self.config;
        let (width, query) = (config.head_width, config.heads * config.head_width);
        let stride = query + 2 * config.kv_heads * width;
        let group = config.heads / config.kv_heads * width;
        let rows = self.projected.chunks_exact(stride).zip(self.out.chunks_exact_mut(query));
        for (row, (projected, out)) in rows.enumerate() {
            let known = position + row + 1;
            let each = |(kv_head, (queries, out)): (usize, (&[f32], &mut [f32]))| {
                let begin = kv_head * capacity * width;
                let keys = &layer.keys[begin..begin + known * width];
                let values = &layer.values[begin..begin + known * width];
                let mut scores = vec![0.0; known];
                for (query, out) in queries.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
                    attend_head(query, keys, values, &mut scores, out);
                }
            };
            let queries = &projected[..query];
            if known * config.heads < PARALLEL_SCORES_MIN {
                queries.chunks_exact(group).zip(out.chunks_exact_mut(group)).enumerate().for_each(each);
            } else {
                queries.par_chunks_exact(group).zip(out.par_chunks_exact_mut(group)).enumerate().for_each(each);
            }
        }
    }

    fn attend_by_block(&mut self, layer: &LayerCache, position: usize, capacity: usize, device: &Device) {
        let config = self.config;
        let (width, query, kv_heads) = (config.head_width, config.heads * config.head_width, config.kv_heads);
        let stride = query + 2 * kv_heads * width;
        let group = config.heads / kv_heads;
        let count = self.projected.len() / stride;
        let known = position + count;
        let mut queries = Vec::with_capacity(count * query);
        for head in 0..config.heads {
            for row in self.projected.chunks_exact(stride) {
                queries.extend_from_slice(&row[head * width..][..width]);
            }
        }
        let cached = |numbers: &[f32]| {
            let heads = numbers.chunks_exact(capacity * width).flat_map(|head| &head[..known * width]);
            let data = TensorData::new(heads.copied().collect::<Vec<f32>>(), [kv_heads, known, width]);
            Tensor::<3>::from_data(data, device)
        };
        let queries = Tensor::<3>::from_data(TensorData::new(queries, [kv_heads, group * count, width]), device);
        let mut scores = queries.matmul(cached(&layer.keys).transpose()).into_data();
        if let Ok(scores) = scores.as_mut_slice::<f32>() {
            scores.par_chunks_exact_mut(known).enumerate().for_each(|(index, scores)| {
                let (seen, unseen) = scores.split_at_mut(position + index % count + 1);
                softmax(seen);
                unseen.fill(0.0);
            });
        }
        let mixed = Tensor::<3>::from_data(scores, device).matmul(cached(&layer.values)).into_data();
        for (index, mixed) in as_numbers(&mixed).chunks_exact(width).enumerate() {
            let (head, row) = (index / count, index % count);
            self.out[row * query + head * width..][..width].copy_from_slice(mixed);
        }
    }
}

fn attend_head(query: &[f32], keys: &[f32], values: &[f32], scores: &mut [f32], out: &mut [f32]) {
    let width = query.len();
    for (score, key) in scores.iter_mut().zip(keys.chunks_exact(width)) {
        *score = dot(query, key);
    }
    softmax(scores);
    out.fill(0.0);
    for (score, value) in scores.iter().zip(values.chunks_exact(width)) {
        for (out, value) in out.iter_mut().zip(value) {
            *out += score * value;
        }
    }
}

fn softmax(scores: &mut [f32]) {
    let top = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for score in scores.iter_mut() {
        *score = (*score - top).exp();
        sum += *score;
    }
    let scale = 1.0 / sum;
    scores.iter_mut().for_each(|score| *score *= scale);
}
