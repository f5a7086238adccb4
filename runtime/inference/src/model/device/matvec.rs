//! Products of a packed matrix with a few rows: `y = x · Wᵀ`, with a bias where there is one.
//!
//! The product is bound by reading the matrix, so each of its words is read once, for all rows. A unit takes words of
//! [`ROWS`] matrix rows at a time in one load of 16 bytes, and neighbouring units neighbouring words; so many units share
//! four outputs that each makes a few loads, [`AHEAD`] of them before the first is used. Sums are f32: a unit's own, then
//! those of its neighbours, by planes where a device has planes of one size, else through shared memory.
//!
//! A program is compiled for a packing, a number of rows, a number of units that share an output, and with or without a
//! bias. Sizes of matrices are arguments.

use super::{
    memory::{cubes, plane},
    packing::{GROUP, Packing, ROWS},
    words::{number, of_pair},
};
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

/// Units of a cube.
const UNITS: u32 = 256;
/// Loads of a unit before the first is used: their waiting times overlap.
const AHEAD: u32 = 4;
/// Units that share outputs, at least: a plane of most devices.
const LANES_MIN: u32 = 32;

/// What a program is compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Plan {
    packing: Packing,
    /// Of the input.
    rows: u32,
    /// Units that share four outputs: a power of two.
    lanes: u32,
    /// Of this many units, or zero.
    plane: u32,
    biased: bool,
}

/// A matrix of a device, as a program takes it.
#[derive(Clone, Copy)]
pub(super) struct Words<'a> {
    pub(super) packing: Packing,
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    pub(super) words: &'a CubeTensor,
    pub(super) groups: &'a CubeTensor,
}

/// Writes the products of `[rows, inputs]` into columns of `[rows, all outputs]` from `first` on.
pub(super) fn multiply(
    matrix: Words<'_>,
    input: &CubeTensor,
    bias: Option<&CubeTensor>,
    output: &CubeTensor,
    first: usize,
) {
    multiply_with(plane(input), matrix, input, bias, (output, first));
}

/// The same with planes of this size, or without any where it is zero.
pub(super) fn multiply_with(
    plane: u32,
    matrix: Words<'_>,
    input: &CubeTensor,
    bias: Option<&CubeTensor>,
    (output, first): (&CubeTensor, usize),
) {
    let (rows, stride) = (input.meta.shape()[0], output.meta.shape()[1]);
    let words = matrix.inputs / matrix.packing.columns();
    // At most as many loads for each unit as go ahead, where a cube has the units.
    let lanes = (words as u32 / AHEAD).next_power_of_two().clamp(LANES_MIN, UNITS);
    let plan = Plan { packing: matrix.packing, rows: rows as u32, lanes, plane, biased: bias.is_some() };
    let blocks = matrix.outputs.div_ceil(ROWS);
    multiply_kernel::launch(
        &input.client,
        cubes(blocks.div_ceil((UNITS / lanes) as usize)),
        CubeDim::new_1d(UNITS),
        matrix.packing.columns().min(4),
        matrix.words.clone().into_buffer_arg(),
        matrix.groups.clone().into_buffer_arg(),
        input.clone().into_buffer_arg(),
        bias.unwrap_or(input).clone().into_buffer_arg(),
        output.clone().into_buffer_arg(),
        words as u32,
        matrix.outputs as u32,
        first as u32,
        stride as u32,
        plan,
    );
}

#[cube(launch)]
fn multiply_kernel<N: Size>(
    weights: &[Vector<u32, Const<4>>],
    groups: &[Vector<u32, Const<4>>],
    input: &[Vector<f32, N>],
    bias: &[f32],
    output: &mut [f32],
    words: u32,
    outputs: u32,
    first: u32,
    stride: u32,
    #[comptime] plan: Plan,
) {
    let lanes = comptime!(plan.lanes);
    let blocks = outputs.div_ceil(4u32);
    let lane = UNIT_POS % lanes;
    let wanted = CUBE_POS as u32 * comptime!(UNITS / lanes) + UNIT_POS / lanes;
    // Units without a block of their own help with the last one, and write nothing: all come to every barrier.
    let block = clamp_max(wanted, blocks - 1u32);
    let mut sums = Array::<Vector<f32, Const<4>>>::new(comptime!(plan.rows as usize));
    #[unroll]
    for row in 0..plan.rows {
        sums[row as usize] = Vector::new(0.0f32);
    }
    for round in 0..words.div_ceil(comptime!(lanes * AHEAD)) {
        let begin = round * comptime!(lanes * AHEAD) + lane;
        let mut ahead = Array::<Vector<u32, Const<4>>>::new(comptime!(AHEAD as usize));
        #[unroll]
        for step in 0..AHEAD {
            // The last round may have fewer words: then the last one again, and it is not used.
            let word = clamp_max(begin + step * lanes, words - 1u32);
            ahead[step as usize] = weights[(block * words + word) as usize];
        }
        #[unroll]
        for step in 0..AHEAD {
            let word = begin + step * lanes;
            if word < words {
                add::<N>(&mut sums, ahead[step as usize], groups, input, word, block, words, plan);
            }
        }
    }
    let mut shared = Shared::<[Vector<f32, Const<4>>]>::new_slice(comptime!(UNITS as usize));
    #[unroll]
    for row in 0..plan.rows {
        let sum = total(sums[row as usize], &mut shared, lanes, plan.plane);
        if lane == 0u32 && wanted < blocks {
            #[unroll]
            for part in 0..4u32 {
                let place = block * 4u32 + part;
                if place < outputs {
                    let mut value = sum.extract(part as usize);
                    if comptime!(plan.biased) {
                        value += bias[(first + place) as usize];
                    }
                    output[(row * stride + first + place) as usize] = value;
                }
            }
        }
    }
}

/// Adds the products of a word of four matrix rows.
#[cube]
fn add<N: Size>(
    sums: &mut Array<Vector<f32, Const<4>>>,
    loaded: Vector<u32, Const<4>>,
    groups: &[Vector<u32, Const<4>>],
    input: &[Vector<f32, N>],
    word: u32,
    block: u32,
    words: u32,
    #[comptime] plan: Plan,
) {
    let columns = comptime!(plan.packing.columns());
    let width = comptime!(columns.min(4));
    let mut numbers = Array::<Vector<f32, Const<4>>>::new(columns);
    #[unroll]
    for column in 0..columns {
        numbers[column] = number::<Const<4>>(loaded, comptime!(column as u32), plan.packing);
    }
    let mut scale = Vector::<f32, Const<4>>::new(1.0f32);
    let mut offset = Vector::<f32, Const<4>>::new(0.0f32);
    let pair_words = comptime!(plan.packing.pair_words() as u32);
    if comptime!(pair_words > 0) {
        let group_words = comptime!(GROUP as u32 / plan.packing.columns() as u32);
        let place = (block * (words / group_words) + word / group_words) * pair_words;
        let pairs = comptime!(plan.packing.pairs());
        let pair = groups[place as usize];
        let second = groups[(place + comptime!(pair_words - 1)) as usize];
        scale = of_pair::<Const<4>>(pair, second, 0u32, pairs);
        offset = of_pair::<Const<4>>(pair, second, 1u32, pairs);
    }
    #[unroll]
    for row in 0..plan.rows {
        let mut product = Vector::<f32, Const<4>>::new(0.0f32);
        let mut plain = 0.0f32;
        #[unroll]
        for part in 0..comptime!(columns / width) {
            let numbers_in = input[(row * words + word) as usize * comptime!(columns / width) + part];
            #[unroll]
            for index in 0..width {
                let x = numbers_in.extract(index);
                product += Vector::new(x) * numbers[comptime!(part * width + index)];
                plain += x;
            }
        }
        if comptime!(pair_words > 0) {
            sums[row as usize] += product * scale + offset * Vector::new(plain);
        } else {
            sums[row as usize] += product;
        }
    }
}

/// The sum over `lanes` neighbouring units, for each of them.
#[cube]
fn total(
    own: Vector<f32, Const<4>>,
    shared: &mut Shared<[Vector<f32, Const<4>>]>,
    #[comptime] lanes: u32,
    #[comptime] plane: u32,
) -> Vector<f32, Const<4>> {
    let unit = UNIT_POS as usize;
    if comptime!(plane > 0 && lanes.is_multiple_of(plane)) {
        let planes = comptime!((lanes / plane) as usize);
        let sum = plane_sum(own);
        if comptime!(planes == 1) {
            sum
        } else {
            let in_plane = UNIT_POS % plane;
            if in_plane == 0u32 {
                shared[unit / comptime!(plane as usize)] = sum;
            }
            sync_cube();
            let first = unit / comptime!(lanes as usize) * planes;
            let mut sum = shared[first];
            #[unroll]
            for index in 1..planes {
                sum += shared[first + index];
            }
            sync_cube();
            sum
        }
    } else {
        shared[unit] = own;
        sync_cube();
        let lane = unit % comptime!(lanes as usize);
        #[unroll]
        for step in 1..comptime!(lanes.trailing_zeros() + 1) {
            let half = comptime!((lanes >> step) as usize);
            if lane < half {
                shared[unit] = shared[unit] + shared[unit + half];
            }
            sync_cube();
        }
        let sum = shared[unit - lane];
        sync_cube();
        sum
    }
}
