//! Weights as a device holds them: words of 32 bits, as narrow as their file has them.
//!
//! | packing | numbers of a word | number `i` of a word | from |
//! | --- | --- | --- | --- |
//! | `F32` | 1 | its bits | F32; what f16 cannot hold |
//! | `F16` | 2 | bits from `16 i` | F16; every type without a packing of its own, rounded |
//! | `Bf16` | 2 | bits from `16 i`, the upper half of an f32 | BF16 |
//! | `Bits8` | 4 | byte `i`, `q + 128` | Q8_0 |
//! | `Bits4` | 8 | nibble `i`, `q` | Q4_0, Q4_1, Q4_K |
//!
//! Four rows lie together: word `w` of row `r` is at `(r / 4 · words + w) · 4 + r % 4`. So one load of 16 bytes has the same
//! columns of four rows, and neighbouring loads have neighbouring columns; rows that are missing in the last four are zero.
//!
//! `Bits8` and `Bits4` come in groups of [`GROUP`] columns, where a number is `q · scale + offset`. Groups lie as words do,
//! four rows together: one word of two f16 (scale in the low half), where all of a matrix are exact in them
//! ([`Pairs::Halves`]); else four words of f32 scales, then four of offsets ([`Pairs::Singles`]).

use crate::{
    gguf::q4_k_scale_and_minimum,
    to_f32::{self, Stored},
};
use half::f16 as Half;
use rayon::prelude::*;
use remit_compute::weights::Format;
use std::ops::Range;

/// Rows that lie together.
pub(super) const ROWS: usize = 4;
/// Columns that share a scale and an offset.
pub(super) const GROUP: usize = 32;

/// How numbers are packed into words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::model) enum Packing {
    F32,
    F16,
    Bf16,
    Bits8(Pairs),
    Bits4(Pairs),
}

/// How a group's scale and offset are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::model) enum Pairs {
    Halves,
    Singles,
}

impl Packing {
    /// Numbers of a word.
    pub(super) fn columns(self) -> usize {
        match self {
            Self::F32 => 1,
            Self::F16 | Self::Bf16 => 2,
            Self::Bits8(_) => 4,
            Self::Bits4(_) => 8,
        }
    }

    /// How scales and offsets are stored, where there are groups.
    pub(super) fn pairs(self) -> Pairs {
        match self {
            Self::Bits8(pairs) | Self::Bits4(pairs) => pairs,
            Self::F32 | Self::F16 | Self::Bf16 => Pairs::Halves,
        }
    }

    /// Words of a group's scale and offset, where there are groups.
    pub(super) fn pair_words(self) -> usize {
        match self {
            Self::F32 | Self::F16 | Self::Bf16 => 0,
            Self::Bits8(Pairs::Halves) | Self::Bits4(Pairs::Halves) => 1,
            Self::Bits8(Pairs::Singles) | Self::Bits4(Pairs::Singles) => 2,
        }
    }
}

/// A matrix in words, in plain memory, on its way to a device.
#[derive(Debug)]
pub(in crate::model) struct Packed {
    pub(super) packing: Packing,
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    pub(super) words: Vec<u32>,
    /// Empty where there are no groups.
    pub(super) groups: Vec<u32>,
}

/// A weight's number is infinite or not a number.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::model) struct NotFinite;

impl Packed {
    /// Rows of a matrix of `inputs` columns, as a file stores it.
    ///
    /// # Errors
    /// [`NotFinite`]; reading the matrix as f32 says which number it is.
    pub(in crate::model) fn of_stored(
        stored: &Stored<'_>,
        rows: Range<usize>,
        inputs: usize,
    ) -> Result<Self, NotFinite> {
        let row_bytes = inputs / stored.block.elements * stored.block.bytes;
        let stored = Stored { bytes: &stored.bytes[rows.start * row_bytes..rows.end * row_bytes], ..*stored };
        match stored.format {
            Format::F32 => Self::plain(Packing::F32, stored.bytes, inputs),
            Format::F16 if inputs.is_multiple_of(2) => Self::plain(Packing::F16, stored.bytes, inputs),
            Format::Bf16 if inputs.is_multiple_of(2) => Self::plain(Packing::Bf16, stored.bytes, inputs),
            Format::Q8_0 => Self::grouped(Packing::Bits8, stored, inputs),
            Format::Q4_0 | Format::Q4_1 | Format::Q4K => Self::grouped(Packing::Bits4, stored, inputs),
            _ => {
                let mut numbers = Vec::new();
                to_f32::append(stored.bytes, stored.block, &mut numbers).map_err(|_| NotFinite)?;
                Self::of_numbers(&numbers, inputs, Packing::F16)
            }
        }
    }

    /// Bytes that numbers of a format take, at most.
    pub(in crate::model) fn bytes_max(format: Format, numbers: u64) -> u64 {
        let groups = numbers / GROUP as u64 * 8;
        match format {
            Format::F32 => numbers.saturating_mul(4),
            Format::Q8_0 => numbers.saturating_add(groups),
            Format::Q4_0 | Format::Q4_1 | Format::Q4K => (numbers / 2).saturating_add(groups),
            _ => numbers.saturating_mul(2),
        }
    }

    /// Rows of `inputs` numbers as f32, or rounded to f16 where that is asked for and can hold them all.
    ///
    /// # Errors
    /// [`NotFinite`].
    pub(in crate::model) fn of_numbers(numbers: &[f32], inputs: usize, packing: Packing) -> Result<Self, NotFinite> {
        let fits = |number: &f32| number.abs() <= Half::MAX.to_f32();
        if packing == Packing::F16 && inputs.is_multiple_of(2) && numbers.par_iter().all(fits) {
            let halves: Vec<u8> =
                numbers.par_iter().flat_map_iter(|number| Half::from_f32(*number).to_le_bytes()).collect();
            return Self::plain(Packing::F16, &halves, inputs);
        }
        let bytes: Vec<u8> = numbers.par_iter().flat_map_iter(|number| number.to_le_bytes()).collect();
        Self::plain(Packing::F32, &bytes, inputs)
    }

    /// Numbers whose little-endian bytes are the words' too.
    fn plain(packing: Packing, rows: &[u8], inputs: usize) -> Result<Self, NotFinite> {
        let finite: fn(u32) -> bool = match packing {
            Packing::F16 => |word| word & 0x7c00 != 0x7c00 && word >> 16 & 0x7c00 != 0x7c00,
            Packing::Bf16 => |word| word & 0x7f80 != 0x7f80 && word >> 16 & 0x7f80 != 0x7f80,
            _ => |word| f32::from_bits(word).is_finite(),
        };
        let words = inputs / packing.columns();
        let read = |row: &[u8], write: &mut dyn FnMut(usize, u32)| {
            let mut sound = true;
            for (index, bytes) in row.as_chunks().0.iter().enumerate() {
                let word = u32::from_le_bytes(*bytes);
                sound &= finite(word);
                write(index, word);
            }
            sound
        };
        let outputs = rows.len() / (4 * words);
        let (words, sound) = interleave(rows, 4 * words, words, read);
        let packed = Self { packing, inputs, outputs, words, groups: Vec::new() };
        if sound { Ok(packed) } else { Err(NotFinite) }
    }

    /// Blocks that have a scale and an offset for each group.
    fn grouped(packing: fn(Pairs) -> Packing, stored: Stored<'_>, inputs: usize) -> Result<Self, NotFinite> {
        let (rows, groups) = (stored.bytes, inputs / GROUP);
        let row_bytes = inputs / stored.block.elements * stored.block.bytes;
        let pairs = |row: &[u8], each: &mut dyn FnMut(usize, (f32, f32))| each_pair(&stored, row, each);
        let halves = rows.par_chunks_exact(row_bytes).all(|row| {
            let mut all = true;
            pairs(row, &mut |_, (scale, offset)| all &= is_normal_half(scale) && is_normal_half(offset));
            all
        });
        let kind = if halves { Pairs::Halves } else { Pairs::Singles };
        let packing = packing(kind);
        let words = inputs / packing.columns();
        let (words, _) = interleave(rows, row_bytes, words, |row, write| {
            each_word(&stored, row, write);
            true
        });
        let (groups, sound) = interleave(rows, row_bytes, groups * packing.pair_words(), |row, write| {
            let mut sound = true;
            pairs(row, &mut |group, (scale, offset)| {
                sound &= scale.is_finite() && offset.is_finite();
                match kind {
                    Pairs::Halves => {
                        let bits = |number| u32::from(Half::from_f32(number).to_bits());
                        write(group, bits(scale) | bits(offset) << 16);
                    }
                    Pairs::Singles => {
                        write(2 * group, scale.to_bits());
                        write(2 * group + 1, offset.to_bits());
                    }
                }
            });
            sound
        });
        let packed = Self { packing, inputs, outputs: rows.len() / row_bytes, words, groups };
        if sound { Ok(packed) } else { Err(NotFinite) }
    }
}

/// Lays rows together by fours, on all threads. `read` writes the words of a row by their index, and answers whether it
/// is sound; so does this for all.
fn interleave(
    rows: &[u8],
    row_bytes: usize,
    row_words: usize,
    read: impl Fn(&[u8], &mut dyn FnMut(usize, u32)) -> bool + Sync,
) -> (Vec<u32>, bool) {
    let count = rows.len() / row_bytes;
    let mut words = vec![0; count.div_ceil(ROWS) * ROWS * row_words];
    let parts = words.par_chunks_mut(ROWS * row_words).zip(rows.par_chunks(ROWS * row_bytes));
    let sound = parts.map(|(words, rows)| {
        let each = |(lane, row)| read(row, &mut |index, word| words[index * ROWS + lane] = word);
        rows.chunks_exact(row_bytes).enumerate().map(each).fold(true, |all, sound| all & sound)
    });
    let sound = sound.reduce(|| true, |all, sound| all & sound);
    (words, sound)
}

/// Whether f16 has this number, and not among its smallest: some devices compute with those as zero.
fn is_normal_half(number: f32) -> bool {
    let half = Half::from_f32(number);
    half.to_f32().to_bits() == number.to_bits() && (half.is_normal() || number == 0.0)
}

fn half(bytes: &[u8]) -> f32 {
    Half::from_le_bytes([bytes[0], bytes[1]]).to_f32()
}

/// Scale and offset of each group of a row.
fn each_pair(stored: &Stored<'_>, row: &[u8], each: &mut dyn FnMut(usize, (f32, f32))) {
    let parts = stored.block.elements / GROUP;
    for (index, block) in row.chunks_exact(stored.block.bytes).enumerate() {
        match stored.format {
            Format::Q4_0 => each(index, (half(block), -8.0 * half(block))),
            Format::Q4_1 => each(index, (half(block), half(&block[2..]))),
            Format::Q8_0 => each(index, (half(block), -128.0 * half(block))),
            Format::Q4K => {
                let (scale, minimum) = (half(block), half(&block[2..]));
                for part in 0..parts {
                    let (part_scale, part_minimum) = q4_k_scale_and_minimum(&block[4..16], part);
                    let pair = (scale * f32::from(part_scale), -(minimum * f32::from(part_minimum)));
                    each(index * parts + part, pair);
                }
            }
            format => unreachable!("{format:?} has no groups"),
        }
    }
}

/// The words of a row's quants.
fn each_word(stored: &Stored<'_>, row: &[u8], write: &mut dyn FnMut(usize, u32)) {
    let parts = stored.block.elements / GROUP;
    for (index, block) in row.chunks_exact(stored.block.bytes).enumerate() {
        match stored.format {
            Format::Q4_0 | Format::Q4_1 => {
                for (word, bytes) in block[block.len() - 16..].chunks_exact(8).enumerate() {
                    write(4 * index + word, nibbles(bytes, 0));
                    write(4 * index + 2 + word, nibbles(bytes, 4));
                }
            }
            Format::Q8_0 => {
                for (word, bytes) in block[2..].as_chunks().0.iter().enumerate() {
                    // The sign's bit turned over adds 128.
                    write(8 * index + word, u32::from_le_bytes(*bytes) ^ 0x8080_8080);
                }
            }
            Format::Q4K => {
                for part in 0..parts {
                    let bytes = &block[16 + 32 * (part / 2)..][..32];
                    for (word, bytes) in bytes.chunks_exact(8).enumerate() {
                        write(4 * (parts * index + part) + word, nibbles(bytes, 4 * (part % 2)));
                    }
                }
            }
            format => unreachable!("{format:?} has no quants"),
        }
    }
}

/// A nibble of each of eight bytes, the first one lowest.
fn nibbles(bytes: &[u8], shift: usize) -> u32 {
    bytes.iter().rev().fold(0, |word, byte| word << 4 | u32::from(byte >> shift & 15))
}
