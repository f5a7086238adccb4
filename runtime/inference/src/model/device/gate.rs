//! Gate and up of a feed-forward, `[rows, 2 · inner]`, to `activation(gate) · up`.

use super::memory::{cubes, room};
use crate::model::architecture::Activation;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

/// Units of a cube.
const UNITS: u32 = 256;

/// `[rows, inner]` of gate and up.
pub(super) fn gate(both: &CubeTensor, activation: Activation) -> CubeTensor {
    let shape = both.meta.shape();
    let (rows, inner) = (shape[0], shape[1] / 2);
    let output = room(both, [rows, inner]);
    gate_kernel::launch(
        &both.client,
        cubes((rows * inner).div_ceil(UNITS as usize)),
        CubeDim::new_1d(UNITS),
        both.clone().into_buffer_arg(),
        output.clone().into_buffer_arg(),
        inner as u32,
        rows as u32,
        activation,
    );
    output
}

#[cube(launch)]
fn gate_kernel(both: &[f32], output: &mut [f32], inner: u32, rows: u32, #[comptime] activation: Activation) {
    let unit = ABSOLUTE_POS as u32;
    if unit >= rows * inner {
        terminate!();
    }
    let place = (unit / inner * 2u32 * inner + unit % inner) as usize;
    let gate = both[place];
    let up = both[place + inner as usize];
    if comptime!(activation == Activation::Silu) {
        output[unit as usize] = gate / (1.0f32 + (-gate).exp()) * up;
    } else {
        // The square root of 2 / π. Beyond 10 tanh is one, and some devices' has no number there.
        let inside = (gate + gate * gate * gate * 0.044_715f32) * 0.797_884_6f32;
        let bounded = clamp(inside, -10.0f32, 10.0f32);
        output[unit as usize] = gate * (bounded.tanh() + 1.0f32) * 0.5f32 * up;
    }
}
