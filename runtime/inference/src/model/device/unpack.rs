//! Rows of a packed matrix as f32: some of them, by their index, or all.

use super::{
    matvec::Words,
    memory::{cubes, room},
    packing::{GROUP, Packing},
    words::{number, of_pair},
};
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

/// Units of a cube.
const UNITS: u32 = 256;

/// The rows of these indices, each number times `scale`: `[indices, inputs]`.
pub(super) fn gather(matrix: Words<'_>, indices: &CubeTensor, scale: f32) -> CubeTensor {
    let rows = indices.meta.shape()[0];
    let output = room(matrix.words, [rows, matrix.inputs]);
    let words = matrix.inputs / matrix.packing.columns();
    gather_kernel::launch(
        &indices.client,
        cubes((rows * words).div_ceil(UNITS as usize)),
        CubeDim::new_1d(UNITS),
        matrix.words.clone().into_buffer_arg(),
        matrix.groups.clone().into_buffer_arg(),
        indices.clone().into_buffer_arg(),
        output.clone().into_buffer_arg(),
        words as u32,
        rows as u32,
        scale,
        matrix.packing,
    );
    output
}

/// All rows, into those of `[all outputs, inputs]` from `first` on.
pub(super) fn unpack(matrix: Words<'_>, output: &CubeTensor, first: usize) {
    let words = matrix.inputs / matrix.packing.columns();
    let blocks = matrix.outputs.div_ceil(super::packing::ROWS);
    unpack_kernel::launch(
        &output.client,
        cubes((blocks * words).div_ceil(UNITS as usize)),
        CubeDim::new_1d(UNITS),
        matrix.words.clone().into_buffer_arg(),
        matrix.groups.clone().into_buffer_arg(),
        output.clone().into_buffer_arg(),
        words as u32,
        matrix.outputs as u32,
        first as u32,
        matrix.packing,
    );
}

/// A unit has a word of one row.
#[cube(launch)]
fn gather_kernel(
    weights: &[u32],
    groups: &[u32],
    indices: &[u32],
    output: &mut [f32],
    words: u32,
    rows: u32,
    factor: f32,
    #[comptime] packing: Packing,
) {
    let unit = ABSOLUTE_POS as u32;
    if unit >= rows * words {
        terminate!();
    }
    let columns = comptime!(packing.columns());
    let (row, word) = (indices[(unit / words) as usize], unit % words);
    let (block, lane) = (row / 4u32, row % 4u32);
    let loaded = weights[((block * words + word) * 4u32 + lane) as usize];
    let pair_words = comptime!(packing.pair_words() as u32);
    let mut scale = 1.0f32;
    let mut offset = 0.0f32;
    if comptime!(pair_words > 0) {
        let group_words = comptime!((GROUP / packing.columns()) as u32);
        let place = (block * (words / group_words) + word / group_words) * pair_words;
        let pair = one(groups[(place * 4u32 + lane) as usize]);
        let second = one(groups[((place + comptime!(pair_words - 1)) * 4u32 + lane) as usize]);
        scale = of_pair::<Const<1>>(pair, second, 0u32, comptime!(packing.pairs())).extract(0usize);
        offset = of_pair::<Const<1>>(pair, second, 1u32, comptime!(packing.pairs())).extract(0usize);
    }
    #[unroll]
    for column in 0..columns {
        let number = number::<Const<1>>(one(loaded), comptime!(column as u32), packing).extract(0usize);
        output[unit as usize * columns + column] = (number * scale + offset) * factor;
    }
}

#[cube]
fn one(word: u32) -> Vector<u32, Const<1>> {
    Vector::new(word)
}

/// A unit has a word of four rows.
#[cube(launch)]
fn unpack_kernel(
    weights: &[Vector<u32, Const<4>>],
    groups: &[Vector<u32, Const<4>>],
    output: &mut [f32],
    words: u32,
    outputs: u32,
    first: u32,
    #[comptime] packing: Packing,
) {
    let unit = ABSOLUTE_POS as u32;
    let (block, word) = (unit / words, unit % words);
    if block * 4u32 >= outputs {
        terminate!();
    }
    let columns = comptime!(packing.columns());
    let loaded = weights[unit as usize];
    let pair_words = comptime!(packing.pair_words() as u32);
    let mut scale = Vector::<f32, Const<4>>::new(1.0f32);
    let mut offset = Vector::<f32, Const<4>>::new(0.0f32);
    if comptime!(pair_words > 0) {
        let group_words = comptime!((GROUP / packing.columns()) as u32);
        let place = (block * (words / group_words) + word / group_words) * pair_words;
        let pair = groups[place as usize];
        let second = groups[(place + comptime!(pair_words - 1)) as usize];
        scale = of_pair::<Const<4>>(pair, second, 0u32, comptime!(packing.pairs()));
        offset = of_pair::<Const<4>>(pair, second, 1u32, comptime!(packing.pairs()));
    }
    #[unroll]
    for column in 0..columns {
        let numbers = number::<Const<4>>(loaded, comptime!(column as u32), packing) * scale + offset;
        #[unroll]
        for lane in 0..4u32 {
            let row = block * 4u32 + lane;
            if row < outputs {
                output[((first + row) * words + word) as usize * columns + column] = numbers.extract(lane as usize);
            }
        }
    }
}
