//! What the device can do: the limits that a model's figures are held against.

use burn::{
    backend::Cube,
    tensor::{DType, Device, Distribution, FloatDType, Tensor},
};
use cubecl::prelude::*;
use remit_inference::OpenDevice;
use std::time::{Duration, Instant};

/// Bytes that are read at a time: many times what any cache holds.
const BYTES: usize = 1 << 30;
/// The same on a software adapter, whose buffers are smaller.
const BYTES_SOFTWARE: usize = 64 << 20;
/// Rows and columns of matrices that are multiplied.
const SIDE: usize = 8192;
const SIDE_SOFTWARE: usize = 256;
/// A figure is taken over so long at least.
const TIME: Duration = Duration::from_millis(400);
/// Units of a cube, and loads of each before the first is used.
const UNITS: u32 = 256;
const AHEAD: u32 = 8;

/// The limits.
pub(crate) struct Roofs {
    /// Bytes a second.
    pub(crate) bandwidth: f64,
    /// Over which this was measured.
    pub(crate) bytes: usize,
    /// Multiplications and additions a second, by the type of the numbers.
    pub(crate) compute: Vec<(&'static str, f64)>,
}

impl Roofs {
    pub(crate) fn best_compute(&self) -> f64 {
        self.compute.iter().map(|(_, rate)| *rate).fold(0.0, f64::max)
    }
}

pub(crate) fn measure(device: &OpenDevice) -> Roofs {
    let (bytes, side) = if device.is_software() { (BYTES_SOFTWARE, SIDE_SOFTWARE) } else { (BYTES, SIDE) };
    let tensors = device.tensors();
    let bandwidth = read_rate(tensors, bytes).max(copy_rate(tensors, bytes));
    tensors.memory_cleanup();
    let compute = compute_rates(tensors, side);
    tensors.memory_cleanup();
    Roofs { bandwidth, bytes, compute }
}

/// How often a second `work` is done, after it was done twice.
fn rate(device: &Device, mut work: impl FnMut()) -> f64 {
    let wait = || device.sync().unwrap_or_else(|error| panic!("the device failed: {error:?}"));
    let mut times = |count: usize| {
        let begin = Instant::now();
        (0..count).for_each(|_| work());
        wait();
        begin.elapsed()
    };
    times(2);
    let mut count = 2;
    loop {
        let time = times(count);
        if time >= TIME {
            return count as f64 / time.as_secs_f64();
        }
        count *= 2;
    }
}

/// A program that only reads.
fn read_rate(device: &Device, bytes: usize) -> f64 {
    let primitive = |tensor: Tensor<1>| match tensor.try_into_primitive::<Cube>() {
        Ok(primitive) => primitive,
        Err(error) => unreachable!("a GPU's tensors are cubecl's: {error:?}"),
    };
    let input = primitive(Tensor::ones([bytes / 4], device));
    // Each unit makes so many rounds.
    let rounds = 8;
    let units = bytes / 16 / (AHEAD as usize * rounds);
    let output = primitive(Tensor::zeros([units], device));
    let per_second = rate(device, || {
        read_kernel::launch(
            &input.client,
            CubeCount::Static(units as u32 / UNITS, 1, 1),
            CubeDim::new_1d(UNITS),
            input.clone().into_buffer_arg(),
            output.clone().into_buffer_arg(),
            rounds as u32,
            units as u32,
        );
    });
    per_second * bytes as f64
}

#[cube(launch)]
fn read_kernel(input: &[Vector<u32, Const<4>>], output: &mut [u32], rounds: u32, units: u32) {
    let unit = ABSOLUTE_POS as u32;
    let mut all = Vector::<u32, Const<4>>::new(0u32);
    for round in 0..rounds {
        let mut ahead = Array::<Vector<u32, Const<4>>>::new(comptime!(AHEAD as usize));
        #[unroll]
        for step in 0..AHEAD {
            ahead[step as usize] = input[((round * AHEAD + step) * units + unit) as usize];
        }
        #[unroll]
        for step in 0..AHEAD {
            all ^= ahead[step as usize];
        }
    }
    output[unit as usize] = all.extract(0usize) ^ all.extract(1usize) ^ all.extract(2usize) ^ all.extract(3usize);
}

/// `burn`'s own program that reads and writes as much.
fn copy_rate(device: &Device, bytes: usize) -> f64 {
    let input = Tensor::<1>::ones([bytes / 8], device);
    rate(device, || drop(input.clone() + 1.0)) * bytes as f64
}

/// `burn`'s products of large matrices, for each type that the device computes with.
fn compute_rates(device: &Device, side: usize) -> Vec<(&'static str, f64)> {
    let kinds = [("f32", FloatDType::F32), ("f16", FloatDType::F16), ("bf16", FloatDType::BF16)];
    let mut rates = Vec::new();
    for (name, kind) in kinds {
        if !device.supports_dtype(DType::from(kind)) {
            continue;
        }
        let matrix = Tensor::<2>::random([side, side], Distribution::Default, device).cast(kind);
        let per_second = rate(device, || drop(matrix.clone().matmul(matrix.clone())));
        rates.push((name, per_second * 2.0 * (side as f64).powi(3)));
    }
    rates
}
