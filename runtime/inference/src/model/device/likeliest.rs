//! The largest logit of each row: so that of greedy drawing only tokens leave the device.

use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

/// Units of a cube, which has a row.
const UNITS: u32 = 256;

/// For each row the one of the first `columns` that has the largest number, the first of several; u32.
pub(super) fn likeliest(logits: &CubeTensor, columns: usize) -> CubeTensor {
    let shape = logits.meta.shape();
    let (rows, stride) = (shape[0], shape[1]);
    let handle = logits.client.empty(rows * size_of::<u32>());
    let (client, device) = (logits.client.clone(), logits.device.clone());
    let output = CubeTensor::new_contiguous(client, device, [rows].into(), handle, burn::tensor::DType::U32);
    likeliest_kernel::launch(
        &logits.client,
        CubeCount::Static(rows as u32, 1, 1),
        CubeDim::new_1d(UNITS),
        logits.clone().into_buffer_arg(),
        output.clone().into_buffer_arg(),
        columns.min(stride) as u32,
        stride as u32,
    );
    output
}

#[cube(launch)]
fn likeliest_kernel(logits: &[f32], output: &mut [u32], columns: u32, stride: u32) {
    let begin = CUBE_POS * stride as usize;
    // Units that have no number repeat the first.
    let mut place = select(UNIT_POS < columns, UNIT_POS, 0u32);
    let mut most = logits[begin + place as usize];
    for column in range_stepped(UNIT_POS + UNITS, columns, UNITS) {
        let value = logits[begin + column as usize];
        if value > most {
            most = value;
            place = column;
        }
    }
    let mut values = Shared::<[f32]>::new_slice(comptime!(UNITS as usize));
    let mut places = Shared::<[u32]>::new_slice(comptime!(UNITS as usize));
    let unit = UNIT_POS as usize;
    values[unit] = most;
    places[unit] = place;
    sync_cube();
    #[unroll]
    for step in 1..comptime!(UNITS.trailing_zeros() + 1) {
        let half = comptime!((UNITS >> step) as usize);
        if unit < half {
            let (value, other) = (values[unit], values[unit + half]);
            let (place, other_place) = (places[unit], places[unit + half]);
            if other > value || (other == value && other_place < place) {
                values[unit] = other;
                places[unit] = other_place;
            }
        }
        sync_cube();
    }
    if unit == 0 {
        output[CUBE_POS] = places[0usize];
    }
}
