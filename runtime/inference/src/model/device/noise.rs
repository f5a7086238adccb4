//! Random weights, made where they are used: models of any size for measurements, without a file.

use super::{
    memory::{cubes, empty},
    packing::{GROUP, Packing, Pairs, ROWS},
};
use burn::tensor::Device;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

/// Units of a cube.
const UNITS: u32 = 256;

/// How random weights are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WeightForm {
    /// 32 bits each.
    F32,
    /// 16 bits each.
    F16,
    /// 16 bits each, with an f32's exponent.
    Bf16,
    /// 8 bits each, and 32 for each 32 of them, as from a Q8_0 file.
    Bits8,
    /// 4 bits each, and 32 for each 32 of them, as from a Q4_1 file.
    Bits4,
}

impl WeightForm {
    fn packing(self) -> Packing {
        match self {
            Self::F32 => Packing::F32,
            Self::F16 => Packing::F16,
            Self::Bf16 => Packing::Bf16,
            Self::Bits8 => Packing::Bits8(Pairs::Halves),
            Self::Bits4 => Packing::Bits4(Pairs::Halves),
        }
    }

    /// A row has a multiple of so many numbers.
    pub(in crate::model) fn columns(self) -> usize {
        match self {
            Self::Bits8 | Self::Bits4 => GROUP,
            plain => plain.packing().columns(),
        }
    }

    /// Which bits of a word are random, and what the others are. Numbers are around a hundredth, of both signs.
    fn word(self) -> (u32, u32) {
        match self {
            // Sign and mantissa are random, the exponent is that of 2^-7.
            Self::F32 => (0x807f_ffff, 0x3c00_0000),
            Self::F16 => (0x83ff_83ff, 0x2000_2000),
            Self::Bf16 => (0x807f_807f, 0x3c00_3c00),
            Self::Bits8 | Self::Bits4 => (u32::MAX, 0),
        }
    }

    /// A group's scale and offset: two f16, the scale in the lower half.
    fn pair(self) -> u32 {
        match self {
            // 2^-13 and -2^-6.
            Self::Bits8 => 0xa400_0800,
            // 2^-9 and -2^-6.
            _ => 0xa400_1800,
        }
    }
}

/// The packing, words and groups of a weight.
pub(super) fn weight(
    form: WeightForm,
    outputs: usize,
    inputs: usize,
    device: &Device,
) -> (Packing, CubeTensor, Option<CubeTensor>) {
    let packing = form.packing();
    let rows = outputs.next_multiple_of(ROWS);
    let (mask, pattern) = form.word();
    let words = noise(rows * (inputs / packing.columns()), mask, pattern, device);
    let groups = rows * (inputs / GROUP) * packing.pair_words();
    (packing, words, (groups > 0).then(|| noise(groups, 0, form.pair(), device)))
}

fn noise(words: usize, mask: u32, pattern: u32, device: &Device) -> CubeTensor {
    let output = empty(device, [words]);
    noise_kernel::launch(
        &output.client,
        cubes(words.div_ceil(UNITS as usize)),
        CubeDim::new_1d(UNITS),
        output.clone().into_buffer_arg(),
        words as u32,
        mask,
        pattern,
    );
    output
}

/// A word from its place, and from how many there are: the mix of MurmurHash3 (Appleby 2011).
#[cube(launch)]
fn noise_kernel(output: &mut [u32], words: u32, mask: u32, pattern: u32) {
    let unit = ABSOLUTE_POS as u32;
    if unit >= words {
        terminate!();
    }
    let mut word = unit ^ words;
    word = (word ^ (word >> 16u32)) * 0x85eb_ca6bu32;
    word = (word ^ (word >> 13u32)) * 0xc2b2_ae35u32;
    word ^= word >> 16u32;
    output[unit as usize] = (word & mask) | pattern;
}
