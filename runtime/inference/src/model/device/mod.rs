//! Programs of our own for GPUs, in `cubecl`, through `burn`'s tensors: weights that stay narrow, and few launches.
//!
//! | part | does |
//! | --- | --- |
//! | `packing` | lays a file's blocks out as words, on the CPU's threads |
//! | `words` | from words to numbers, inside programs |
//! | `matvec`, `unpack` | products with few rows; rows as f32 |
//! | `norm`, `gate` | RMSNorm with what is added before; activation and product of a feed-forward |
//! | `heads`, `attend` | heads to their sequences' blocks; attention to these |
//! | `places` | where a step's rows stand in which blocks |
//! | `blocks` | copies of whole blocks |
//! | `likeliest` | the largest logit's token |
//! | `noise` | weights for measurements |
//! | `memory` | `burn`'s tensors as memory, and back |
//!
//! Principles:
//!
//! - A step of one token is bound by reading the weights. So each word of a weight is read once, and what lies between
//!   the products is done in one launch each, for all sequences of a step: eight for a layer, and one more where attention
//!   shares positions out.
//! - Sizes that differ from step to step are arguments, never part of a program: nothing is compiled while a sequence
//!   grows. What a program is compiled for (packings, rows of a product, a head's shape) are few things of a model.
//! - Sums are f32 everywhere. No program needs a device's types of 16 or 8 bits, its planes, or its matrix units; planes
//!   are used where they are of one size.
//! - All programs check the bounds of what they read and write.
//!
//! What an operation is on the CPU stands in the module that calls it ([`linear`](super::linear),
//! [`attention`](super::attention), `feed`, `decoder`), which asks once where a tensor is.

mod attend;
mod blocks;
mod gate;
mod heads;
mod likeliest;
mod matvec;
mod memory;
mod noise;
mod norm;
mod packing;
mod places;
#[cfg(test)]
mod tests;
mod unpack;
mod words;

pub(super) use attend::{HEAD_WIDTH_MAX, Sight};
pub(super) use heads::HeadShape;
pub use noise::WeightForm;
pub(super) use packing::{NotFinite, Packed, Packing};
pub(super) use places::Places;

use super::{
    architecture::Activation,
    linear::{ROWS_MAX, as_numbers},
    pool::BLOCK_TOKENS,
};
use blocks::Piece;
use burn::tensor::{Device, Int, Tensor};
use burn_cubecl::tensor::CubeTensor;
use heads::Slots;
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

/// Keys and values of a layer, with so many slots. For the layout see `heads`.
#[derive(Debug)]
pub(super) struct LayerMemory {
    keys: CubeTensor,
    values: CubeTensor,
    kv_heads: usize,
    quarters: usize,
    slots: usize,
}

/// Bytes of numbers that programs count with 32 bits.
pub(super) const COUNTED_BYTES_MAX: u64 = u32::MAX as u64 * size_of::<f32>() as u64;

/// Bytes of one allocation that programs of a device see at once, and whose numbers they can count.
pub(super) fn buffer_bytes_max(device: &Device) -> u64 {
    memory::cube_device(device).client().properties().memory.max_page_size.min(COUNTED_BYTES_MAX)
}

impl LayerMemory {
    /// Room, which nobody has written to. Its keys have at most [`buffer_bytes_max`], and so have its values.
    ///
    /// # Panics
    /// Where programs could not count its numbers, which they do with 32 bits.
    pub(super) fn new(kv_heads: usize, head_width: usize, slots: usize, device: &Device) -> Self {
        let quarters = head_width.div_ceil(4);
        let numbers = kv_heads * quarters * slots * 4;
        assert!(u32::try_from(numbers).is_ok(), "{numbers} numbers of a layer's keys are more than 32 bits can count");
        let make = || memory::empty(device, [numbers]);
        Self { keys: make(), values: make(), kv_heads, quarters, slots }
    }

    fn slots(&self) -> Slots<'_> {
        Slots { keys: &self.keys, values: &self.values, count: self.slots }
    }

    /// Numbers of a block, keys and values.
    pub(super) fn block_numbers(&self) -> usize {
        2 * self.kv_heads * self.quarters * 4 * BLOCK_TOKENS
    }

    /// A block's keys and its values, which are at a place of a buffer.
    fn pieces(&self, block: u32, place: usize) -> [(&CubeTensor, Piece); 2] {
        let Self { kv_heads, quarters, slots, .. } = *self;
        let keys = Piece { lines: kv_heads * quarters, numbers: 4, slots, block, place };
        let values = Piece { lines: kv_heads, numbers: 4 * quarters, slots, block, place: place + keys.size() };
        [(&self.keys, keys), (&self.values, values)]
    }

    /// Copies a block.
    pub(super) fn copy(&self, from: u32, to: u32) {
        let buffer = room(&self.keys, [self.block_numbers()]);
        self.pieces(from, 0).into_iter().for_each(|(layer, piece)| piece.read(layer, &buffer));
        self.pieces(to, 0).into_iter().for_each(|(layer, piece)| piece.write(layer, &buffer));
    }

    /// The numbers of a block in some layers of one device, one behind the other.
    ///
    /// # Panics
    /// Where the device failed.
    pub(super) fn read(layers: &[&Self], block: u32) -> Vec<f32> {
        let Some(first) = layers.first() else { return Vec::new() };
        let each = first.block_numbers();
        let buffer = room(&first.keys, [layers.len() * each]);
        for (index, layer) in layers.iter().enumerate() {
            layer.pieces(block, index * each).into_iter().for_each(|(layer, piece)| piece.read(layer, &buffer));
        }
        as_numbers(&tensor::<1>(buffer).into_data()).to_vec()
    }

    /// Writes such numbers.
    pub(super) fn write(layers: &[&Self], block: u32, numbers: Vec<f32>, device: &Device) {
        let Some(first) = layers.first() else { return };
        let each = first.block_numbers();
        let buffer = upload(numbers, device);
        for (index, layer) in layers.iter().enumerate() {
            layer.pieces(block, index * each).into_iter().for_each(|(layer, piece)| piece.write(layer, &buffer));
        }
    }
}

/// What attention of all layers needs to know of a step.
#[derive(Debug)]
pub(super) struct StepMemory {
    /// For each rotary embedding, of each row and pair the cosine and the sine.
    turns: Vec<CubeTensor>,
    rows: Rows,
}

/// The rows of a step, and where each stands (see `places`).
#[derive(Debug)]
struct Rows {
    places: CubeTensor,
    live: usize,
    /// With those that pad them.
    total: usize,
    /// The most positions that one sees.
    longest: usize,
}

impl StepMemory {
    pub(super) fn new(turns: Vec<Vec<f32>>, places: Places, device: &Device) -> Self {
        let turns = turns.into_iter().map(|turns| upload(turns, device)).collect();
        let (live, total, longest) = (places.live(), places.total(), places.longest());
        Self { turns, rows: Rows { places: upload(places.into_words(), device), live, total, longest } }
    }
}

/// The rows of a step `[rows, query, key and value heads]` to `[rows, query heads]`: writes their keys and values to their
/// sequences' blocks, and attends to what each row sees. Rows that pad come out as zeros.
pub(super) fn attend(
    shape: &HeadShape,
    projected: Tensor<2>,
    (step, rope): (&StepMemory, usize),
    (norms, sight): (Option<&Tensor<1>>, Sight),
    layer: &LayerMemory,
) -> Tensor<2> {
    let projected = memory(projected);
    let norms = norms.map(|norms| memory(norms.clone()));
    let size = [step.rows.total, shape.heads * shape.width];
    let queries = room(&projected, size);
    heads::place(shape, &step.rows, &projected, (norms.as_ref(), &step.turns[rope]), &queries, layer.slots());
    tensor(attend::attend(shape, sight, &step.rows, &queries, layer.slots()))
}
