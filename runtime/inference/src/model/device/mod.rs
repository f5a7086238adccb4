//! Programs of our own for GPUs, in `cubecl`, through `burn`'s tensors: weights that stay narrow, and few launches.
//!
//! | part | does |
//! | --- | --- |
//! | `packing` | lays a file's blocks out as words, on the CPU's threads |
//! | `words` | from words to numbers, inside programs |
//! | `matvec`, `unpack` | products with few rows; rows as f32 |
//! | `norm`, `gate` | RMSNorm with what is added before; activation and product of a feed-forward |
//! | `heads`, `attend` | heads to the cache; attention to it |
//! | `likeliest` | the largest logit's token |
//! | `noise` | weights for measurements |
//! | `memory` | `burn`'s tensors as memory, and back |
//!
//! Principles:
//!
//! - A step of one token is bound by reading the weights. So each word of a weight is read once, and what lies between
//!   the products is done in one launch each: eight for a layer, and one more where attention shares positions out.
//! - Sizes that differ from step to step are arguments, never part of a program: nothing is compiled while a sequence
//!   grows. What a program is compiled for (packings, rows of a product, a head's shape) are few things of a model.
//! - Sums are f32 everywhere. No program needs a device's types of 16 or 8 bits, its planes, or its matrix units; planes
//!   are used where they are of one size.
//! - All programs check the bounds of what they read and write.
//!
//! What an operation is on the CPU stands in the module that calls it ([`linear`](super::linear),
//! [`attention`](super::attention), `feed`, `decoder`), which asks once where a tensor is.

mod attend;
mod gate;
mod heads;
mod likeliest;
mod matvec;
mod memory;
mod noise;
mod norm;
mod packing;
#[cfg(test)]
mod tests;
mod unpack;
mod words;

pub(super) use attend::{HEAD_WIDTH_MAX, Sight};
pub(super) use heads::{HeadShape, SpanRows};
pub use noise::WeightForm;
pub(super) use packing::{NotFinite, Packed, Packing};

use super::{architecture::Activation, linear::ROWS_MAX};
use burn::tensor::{Device, Int, Tensor};
use burn_cubecl::tensor::CubeTensor;
use heads::Cached;
use matvec::Words;
use memory::{memory, room, tensor, upload};

/// A weight on a device: parts that a file may store differently, one behind the other.
#[derive(Debug)]
pub(super) struct Matrix {
    inputs: usize,
    outputs: usize,
    parts: Vec<Part>,
}

#[derive(Debug)]
struct Part {
    packing: Packing,
    outputs: usize,
    words: CubeTensor,
    /// The words again where there are no groups: a program takes both.
    groups: CubeTensor,
}

impl Matrix {
    /// Parts of the same number of inputs.
    pub(super) fn new(parts: Vec<Packed>, device: &Device) -> Self {
        let inputs = parts.first().map_or(0, |part| part.inputs);
        let part = |Packed { packing, outputs, words, groups, .. }| {
            let words = upload(words, device);
            let groups = if groups.is_empty() { words.clone() } else { upload(groups, device) };
            Part { packing, outputs, words, groups }
        };
        let parts: Vec<Part> = parts.into_iter().map(part).collect();
        Self { inputs, outputs: parts.iter().map(|part| part.outputs).sum(), parts }
    }

    /// Random words, made on the device.
    pub(super) fn random(form: WeightForm, outputs: usize, inputs: usize, device: &Device) -> Self {
        let (packing, words, groups) = noise::weight(form, outputs, inputs, device);
        let groups = groups.unwrap_or_else(|| words.clone());
        Self { inputs, outputs, parts: vec![Part { packing, outputs, words, groups }] }
    }

    pub(super) fn inputs(&self) -> usize {
        self.inputs
    }

    pub(super) fn outputs(&self) -> usize {
        self.outputs
    }

    /// Bytes that a product reads.
    pub(super) fn bytes(&self) -> usize {
        let bytes = |memory: &CubeTensor| memory.meta.num_elements() * size_of::<u32>();
        let part = |part: &Part| match part.packing.pair_words() {
            0 => bytes(&part.words),
            _ => bytes(&part.words) + bytes(&part.groups),
        };
        self.parts.iter().map(part).sum()
    }

    /// The parts, and each one's first output.
    fn parts(&self) -> impl Iterator<Item = (usize, Words<'_>)> {
        self.parts.iter().scan(0, |first, part| {
            let Part { packing, outputs, words, groups } = part;
            let begin = *first;
            *first += outputs;
            Some((begin, Words { packing: *packing, inputs: self.inputs, outputs: *outputs, words, groups }))
        })
    }

    /// Some rows, each times `scale`: `[indices, inputs]`. Of a weight of one part.
    pub(super) fn rows(&self, indices: Vec<u32>, scale: f32, device: &Device) -> Tensor<2> {
        let [part] = self.parts.as_slice() else { unreachable!("an embedding is one tensor of its file") };
        let Part { packing, outputs, words, groups } = part;
        let matrix = Words { packing: *packing, inputs: self.inputs, outputs: *outputs, words, groups };
        tensor(unpack::gather(matrix, &upload(indices, device), scale))
    }

    /// `[rows, inputs]` to `[rows, outputs]`, with a bias where there is one.
    pub(super) fn forward(&self, input: Tensor<2>, bias: Option<&Tensor<1>>) -> Tensor<2> {
        let [rows, _] = input.dims();
        if rows > ROWS_MAX {
            let product = input.clone().matmul(self.unpacked(input).transpose());
            return match bias {
                Some(bias) => product + bias.clone().unsqueeze(),
                None => product,
            };
        }
        let input = memory(input);
        let bias = bias.map(|bias| memory(bias.clone()));
        let output = room(&input, [rows, self.outputs]);
        for (first, matrix) in self.parts() {
            matvec::multiply(matrix, &input, bias.as_ref(), &output, first);
        }
        tensor(output)
    }

    /// All of it as f32, beside another tensor: as much as a product of many rows reads, and gone after it.
    fn unpacked(&self, beside: Tensor<2>) -> Tensor<2> {
        let output = room(&memory(beside), [self.outputs, self.inputs]);
        for (first, matrix) in self.parts() {
            unpack::unpack(matrix, &output, first);
        }
        tensor(output)
    }
}

/// RMSNorm of rows `[rows, width]`.
pub(super) fn normalise(input: Tensor<2>, weight: &Tensor<1>, epsilon: f32) -> Tensor<2> {
    tensor(norm::norm(&memory(input), &memory(weight.clone()), epsilon))
}

/// The sum of two, and RMSNorm of its rows.
pub(super) fn add_normalise(
    input: Tensor<2>,
    added: Tensor<2>,
    weight: &Tensor<1>,
    epsilon: f32,
) -> (Tensor<2>, Tensor<2>) {
    let (sum, normal) = norm::add_norm(&memory(input), &memory(added), &memory(weight.clone()), epsilon);
    (tensor(sum), tensor(normal))
}

/// `[rows, gate and up]` to `activation(gate) · up`.
pub(super) fn gated(both: Tensor<2>, activation: Activation) -> Tensor<2> {
    tensor(gate::gate(&memory(both), activation))
}

/// For each of the first rows of logits its largest one's place, the first of several.
///
/// # Panics
/// Where the device failed.
pub(super) fn likeliest(logits: Tensor<2>, (rows, columns): (usize, usize)) -> Vec<u32> {
    let tokens = likeliest::likeliest(&memory(logits), columns);
    let tokens = Tensor::<1, Int>::from_primitive::<burn::backend::Cube>(tokens).into_data();
    let tokens = tokens.as_slice::<u32>().unwrap_or_else(|error| panic!("the device gave no tokens: {error:?}"));
    tokens[..rows].to_vec()
}

/// Keys and values of a layer, with room for so many positions. For the layout see `heads`.
#[derive(Debug)]
pub(super) struct LayerMemory {
    keys: CubeTensor,
    values: CubeTensor,
    shape: [usize; 2],
    capacity: usize,
}

impl LayerMemory {
    /// Room, which nobody has written to.
    pub(super) fn new(kv_heads: usize, head_width: usize, capacity: usize, device: &Device) -> Self {
        let quarters = head_width.div_ceil(4);
        let make = || memory::empty(device, [kv_heads * quarters * capacity * 4]);
        Self { keys: make(), values: make(), shape: [kv_heads, quarters], capacity }
    }

    /// Another with other room that begins with the first positions of this one.
    pub(super) fn prefix(&self, positions: usize, capacity: usize, device: &Device) -> Self {
        let [kv_heads, quarters] = self.shape;
        let copy = Self::new(kv_heads, 4 * quarters, capacity, device);
        if positions > 0 {
            heads::copy(&self.keys, &copy.keys, kv_heads * quarters, 4, positions);
            heads::copy(&self.values, &copy.values, kv_heads, 4 * quarters, positions);
        }
        copy
    }

    fn cached(&self) -> Cached<'_> {
        Cached { keys: &self.keys, values: &self.values, capacity: self.capacity }
    }
}

/// What attention of all layers needs to know of a step.
#[derive(Debug)]
pub(super) struct StepMemory {
    /// For each rotary embedding, of each row and pair the cosine and the sine.
    turns: Vec<CubeTensor>,
    /// For each sequence, how many positions it has.
    begins: CubeTensor,
}

impl StepMemory {
    pub(super) fn new(turns: Vec<Vec<f32>>, begins: Vec<u32>, device: &Device) -> Self {
        let turns = turns.into_iter().map(|turns| upload(turns, device)).collect();
        Self { turns, begins: upload(begins, device) }
    }
}

/// The rows of a step on their way through a layer's attention.
pub(super) struct Attending<'a> {
    shape: &'a HeadShape,
    step: &'a StepMemory,
    projected: CubeTensor,
    queries: CubeTensor,
    output: CubeTensor,
}

impl<'a> Attending<'a> {
    /// Of rows `[rows, query, key and value heads]`.
    pub(super) fn new(shape: &'a HeadShape, step: &'a StepMemory, projected: Tensor<2>) -> Self {
        let projected = memory(projected);
        let size = [projected.meta.shape()[0], shape.heads * shape.width];
        let (queries, output) = (room(&projected, size), room(&projected, size));
        Self { shape, step, projected, queries, output }
    }

    /// Writes a sequence's keys and values behind the positions that it has, and attends to all of these.
    pub(super) fn span(
        &self,
        rows: SpanRows,
        (rope, norms, sight): (usize, Option<&Tensor<1>>, Sight),
        cache: &LayerMemory,
    ) {
        let Self { shape, step, projected, queries, output } = self;
        let norms = norms.map(|norms| memory(norms.clone()));
        let turns = &step.turns[rope];
        heads::place(shape, rows, projected, norms.as_ref(), (turns, &step.begins), queries, cache.cached());
        attend::attend(shape, sight, rows, queries, &step.begins, cache.cached(), output);
    }

    /// `[rows, query heads]`. All of the step's rows were in a span.
    pub(super) fn mixtures(self) -> Tensor<2> {
        tensor(self.output)
    }
}
