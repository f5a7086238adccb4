//! Attention on a device other than the CPU: keys and values stay there, and nothing comes back between layers.
//!
//! A head is turned by one product with cosines and one of its numbers in swapped places with sines: `x · cos + swap(x) ·
//! sin`, where a number that is not turned has the cosine one and the sine zero. So neighbours and halves are the same program, and the
//! exchange is exact. Of what a row must not see, the score is lowered by [`HIDDEN`]; the sums for it depend on positions
//! only, so that a step makes them once for each window that a layer has.
//!
//! Each sequence attends alone, in some ten programs a layer: they read its own cache up to a padded length (see `rows`).
//! Scores of all rows are held at once: 4 bytes for each head, row of the chunk and position read. Several sequences in one
//! program would need one tensor for all caches.

use super::{Attention, HeadNorms, LayerAttention};
use crate::model::{
    Architecture, Span,
    architecture::Pairs,
    linear::indices,
    rows::{Place, StepRows, padded_positions},
};
use burn::tensor::{Device, Int, Tensor, TensorData, activation::softmax};

/// Added to scores that do not count: far below any score, and far from the smallest f32, so that sums with it are finite.
const HIDDEN: f32 = -1e30;

/// What all layers need to know of a step.
pub(in crate::model) struct DeviceStep {
    /// For each rotary embedding.
    turns: Vec<Turns>,
    /// For each number of a head, which one it is turned together with.
    swapped: Tensor<1, Int>,
    /// For each span and each window of the model's.
    hidden: Vec<Vec<Tensor<4>>>,
}

/// `[row, 1, head width]` each.
struct Turns {
    cos: Tensor<3>,
    /// Negative where the swapped number is subtracted.
    sin: Tensor<3>,
}

/// Weights for all query heads, then for all key heads.
pub(super) fn head_norms(architecture: &Architecture, query: &[f32], key: &[f32], device: &Device) -> Tensor<3> {
    let Architecture { heads, kv_heads, head_width, .. } = *architecture;
    let weights = [query.repeat(heads), key.repeat(kv_heads)].concat();
    Tensor::from_data(TensorData::new(weights, [1, heads + kv_heads, head_width]), device)
}

/// The two numbers of a pair.
fn pair(pairs: Pairs, count: usize, index: usize) -> (usize, usize) {
    match pairs {
        Pairs::Neighbours => (2 * index, 2 * index + 1),
        Pairs::Halves => (index, index + count),
    }
}

impl Attention {
    /// Uploads what depends on the positions of a step.
    pub(super) fn begin_on_device(&self, spans: &[Span<'_>], rows: &StepRows) -> DeviceStep {
        let pairs = self.ropes.first().map_or(0, |rope| rope.short.len());
        let mut swapped: Vec<i64> = (0..self.head_width as i64).collect();
        for index in 0..pairs {
            let (a, b) = pair(self.pairs, pairs, index);
            swapped.swap(a, b);
        }
        DeviceStep {
            turns: (0..self.ropes.len()).map(|rope| self.turns(rope, spans, rows)).collect(),
            swapped: indices(swapped, &self.device),
            hidden: spans.iter().zip(&rows.places).map(|(span, place)| self.hidden(span, place)).collect(),
        }
    }

    fn turns(&self, rope: usize, spans: &[Span<'_>], rows: &StepRows) -> Turns {
        let rope = &self.ropes[rope];
        let (pairs, width) = (rope.short.len(), self.head_width);
        let mut turns = Vec::new();
        for (span, place) in spans.iter().zip(&rows.places) {
            rope.turns(span, place.padded, &mut turns);
        }
        let (mut cosines, mut sines) = (vec![1.0; rows.total * width], vec![0.0; rows.total * width]);
        let heads = cosines.chunks_exact_mut(width).zip(sines.chunks_exact_mut(width));
        for ((cosines, sines), turns) in heads.zip(turns.chunks_exact(pairs)) {
            for (index, (sin, cos)) in turns.iter().enumerate() {
                let (a, b) = pair(self.pairs, pairs, index);
                (cosines[a], cosines[b]) = (*cos, *cos);
                (sines[a], sines[b]) = (-sin, *sin);
            }
        }
        let upload =
            |numbers: Vec<f32>| Tensor::from_data(TensorData::new(numbers, [rows.total, 1, width]), &self.device);
        Turns { cos: upload(cosines), sin: upload(sines) }
    }

    /// What a span's rows do not see, for each window: `[1, 1, row, position]`, zero or [`HIDDEN`].
    fn hidden(&self, span: &Span<'_>, place: &Place) -> Vec<Tensor<4>> {
        let begin = span.cache.length();
        let positions = padded_positions(begin + place.tokens);
        let of = |range: std::ops::Range<usize>| indices(range.map(|position| position as i64).collect(), &self.device);
        let rows = of(begin..begin + place.padded).reshape([1, 1, place.padded, 1]);
        let columns = of(0..positions).reshape([1, 1, 1, positions]);
        // How far back a position lies; negative ones are still to come.
        let back = rows - columns;
        let hidden = |window: &Option<usize>| {
            let later = back.clone().lower_elem(0).float();
            let hidden = match window {
                Some(window) => later + back.clone().greater_equal_elem(*window as i64).float(),
                None => later,
            };
            hidden * HIDDEN
        };
        self.windows.iter().map(hidden).collect()
    }

    /// For each row its query, key and value heads, to all query heads' mixtures.
    pub(super) fn attend_on_device(
        &self,
        (index, layer): (usize, &LayerAttention),
        projected: Tensor<2>,
        (step, rows): (&DeviceStep, &StepRows),
        spans: &mut [Span<'_>],
    ) -> Tensor<2> {
        let Self { heads, kv_heads, head_width: width, .. } = *self;
        let all = projected.reshape([rows.total, heads + 2 * kv_heads, width]);
        let values = all.clone().narrow(1, heads + kv_heads, kv_heads);
        let turned = self.turn(layer, all.narrow(1, 0, heads + kv_heads), step);
        let queries = turned.clone().narrow(1, 0, heads) * self.scale;
        let keys = turned.narrow(1, heads, kv_heads);
        let window = self.windows.iter().position(|window| *window == layer.layer.window).unwrap_or_default();
        let mut attended = Vec::new();
        let mut end = 0;
        for ((span, place), hidden) in spans.iter_mut().zip(&rows.places).zip(&step.hidden) {
            let begin = span.cache.length();
            let new = |heads: &Tensor<3>| heads.clone().narrow(0, place.begin, place.tokens).swap_dims(0, 1);
            let cache = span.cache.device(index);
            cache.write(begin, new(&keys), new(&values));
            let known = cache.first(padded_positions(begin + place.tokens));
            let queries = queries.clone().narrow(0, place.begin, place.padded);
            attended.push(self.mix(queries, known, hidden[window].clone()));
            end = place.begin + place.padded;
        }
        if end < rows.total {
            attended.push(Tensor::zeros([rows.total - end, heads * width], &self.device));
        }
        match attended.len() {
            1 => attended.swap_remove(0),
            _ => Tensor::cat(attended, 0),
        }
    }

    /// Query and key heads, normalised where the model does so, and turned.
    fn turn(&self, layer: &LayerAttention, heads: Tensor<3>, step: &DeviceStep) -> Tensor<3> {
        let heads = match &layer.norms {
            Some(HeadNorms::Device(weight)) => {
                let square = (heads.clone() * heads.clone()).mean_dim(2);
                heads / (square + self.epsilon).sqrt() * weight.as_ref().clone()
            }
            _ => heads,
        };
        let Turns { cos, sin } = &step.turns[layer.layer.rope];
        heads.clone() * cos.clone() + heads.select(2, step.swapped.clone()) * sin.clone()
    }

    /// Queries `[row, head, head width]` to mixtures `[row, head and head width]` of `[kv head, position, head width]`.
    fn mix(&self, queries: Tensor<3>, (keys, values): (Tensor<3>, Tensor<3>), hidden: Tensor<4>) -> Tensor<2> {
        let Self { heads, kv_heads, head_width: width, .. } = *self;
        let ([rows, _, _], [_, positions, _]) = (queries.dims(), keys.dims());
        let group = heads / kv_heads;
        let queries = queries.swap_dims(0, 1).reshape([kv_heads, group * rows, width]);
        let scores = queries.matmul(keys.transpose());
        let scores = match self.softcap {
            Some(cap) => (scores / cap).tanh() * cap,
            None => scores,
        };
        let scores = scores.reshape([kv_heads, group, rows, positions]) + hidden;
        let shares = softmax(scores, 3).reshape([kv_heads, group * rows, positions]);
        shares.matmul(values).reshape([heads, rows, width]).swap_dims(0, 1).reshape([rows, heads * width])
    }
}
