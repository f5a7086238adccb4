//! RMSNorm of rows in one program, and with what is added to them before.

use super::memory::room;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

/// Units of a cube, which has a row.
const UNITS: u32 = 256;

/// Rows `[rows, width]`, normalised.
pub(super) fn norm(input: &CubeTensor, weight: &CubeTensor, epsilon: f32) -> CubeTensor {
    let normal = room(input, input.meta.shape().clone());
    launch(input, None, weight, &normal, epsilon);
    normal
}

/// The sums of two, and these normalised.
pub(super) fn add_norm(
    input: &CubeTensor,
    added: &CubeTensor,
    weight: &CubeTensor,
    epsilon: f32,
) -> (CubeTensor, CubeTensor) {
    let (sum, normal) = (room(input, input.meta.shape().clone()), room(input, input.meta.shape().clone()));
    launch(input, Some((added, &sum)), weight, &normal, epsilon);
    (sum, normal)
}

fn launch(
    input: &CubeTensor,
    added: Option<(&CubeTensor, &CubeTensor)>,
    weight: &CubeTensor,
    normal: &CubeTensor,
    epsilon: f32,
) {
    let shape = input.meta.shape();
    let (rows, width) = (shape[0], shape[1]);
    let (other, sum) = added.unwrap_or((input, normal));
    norm_kernel::launch(
        &input.client,
        CubeCount::Static(rows as u32, 1, 1),
        CubeDim::new_1d(UNITS),
        input.clone().into_buffer_arg(),
        other.clone().into_buffer_arg(),
        weight.clone().into_buffer_arg(),
        sum.clone().into_buffer_arg(),
        normal.clone().into_buffer_arg(),
        width as u32,
        epsilon,
        added.is_some(),
    );
}

#[cube(launch)]
fn norm_kernel(
    input: &[f32],
    other: &[f32],
    weight: &[f32],
    sum: &mut [f32],
    normal: &mut [f32],
    width: u32,
    epsilon: f32,
    #[comptime] adds: bool,
) {
    let begin = CUBE_POS * width as usize;
    let mut square = 0.0f32;
    for index in range_stepped(UNIT_POS, width, UNITS) {
        let place = begin + index as usize;
        let mut value = input[place];
        if comptime!(adds) {
            value += other[place];
            sum[place] = value;
        }
        square += value * value;
    }
    let square = total(square, UNITS);
    let factor = 1.0f32 / (square / width as f32 + epsilon).sqrt();
    for index in range_stepped(UNIT_POS, width, UNITS) {
        let place = begin + index as usize;
        let mut value = input[place];
        if comptime!(adds) {
            value += other[place];
        }
        normal[place] = value * factor * weight[index as usize];
    }
}

/// The sum over all units of a cube, for each of them.
#[cube]
pub(super) fn total(own: f32, #[comptime] units: u32) -> f32 {
    let mut shared = Shared::<[f32]>::new_slice(comptime!(units as usize));
    let unit = UNIT_POS as usize;
    shared[unit] = own;
    sync_cube();
    #[unroll]
    for step in 1..comptime!(units.trailing_zeros() + 1) {
        let half = comptime!((units >> step) as usize);
        if unit < half {
            shared[unit] += shared[unit + half];
        }
        sync_cube();
    }
    shared[0usize]
}
