//! Each program against plain Rust, on the first adapter: few shapes, since each compiles a program, and odd ones.

mod attention;
mod products;
mod rows;

use super::memory::{memory, tensor};
use crate::{DeviceChoice, sampler::SplitMix64};
use burn::tensor::{Device, Tensor, TensorData};
use burn_cubecl::tensor::CubeTensor;

pub(super) fn device() -> Device {
    let opened = DeviceChoice::Wgpu.open().unwrap_or_else(|error| {
        panic!("{error}. `cargo xtask test` provides a software adapter, and this test fails without any")
    });
    opened.tensors().clone()
}

/// Numbers between -1 and 1.
pub(super) fn random(seed: u64, count: usize) -> Vec<f32> {
    let mut random = SplitMix64::new(seed);
    (0..count).map(|_| (random.next_unit() * 2.0 - 1.0) as f32).collect()
}

pub(super) fn on<const D: usize>(device: &Device, numbers: &[f32], shape: [usize; D]) -> CubeTensor {
    memory(Tensor::<D>::from_data(TensorData::new(numbers.to_vec(), shape), device))
}

pub(super) fn back<const D: usize>(memory: CubeTensor) -> Vec<f32> {
    tensor::<D>(memory).into_data().try_to_vec().unwrap()
}

/// Every number is as near as `tolerance` of the largest.
pub(super) fn check(what: &str, found: &[f32], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let largest = expected.iter().fold(0.0f64, |most, number| most.max(number.abs()));
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        let difference = (f64::from(*found) - expected).abs();
        // Not the other way around: it would pass over what is no number.
        assert!(difference <= tolerance * largest, "{what}, {index}: {found}, not {expected}");
    }
}
