//! Every format against its formula, for awkward numbers of rows; and what cannot be packed.

use super::*;
use crate::{Isa, Team, halves::widen};
use proptest::prelude::*;

/// Numbers that look random: xorshift64.
pub(crate) struct Noise(pub(crate) u64);

impl Noise {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Between −1 and 1.
    pub(crate) fn float(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1 << 23) as f32 - 1.0
    }
}

/// Where the f16 scales of a block are.
fn scales_at(format: Format) -> &'static [usize] {
    match format {
        Format::F32 | Format::Bf16 => &[],
        Format::F16 | Format::Q4_0 | Format::Q5_0 | Format::Q8_0 | Format::Iq4Nl | Format::Iq4Xs => &[0],
        Format::Q4_1 | Format::Q5_1 | Format::Q4K | Format::Q5K => &[0, 2],
        Format::Q2K => &[80, 82],
        Format::Q3K => &[108],
        Format::Q6K => &[208],
    }
}

/// The blocks of `count` weights: noise, with finite scales.
pub(crate) fn blocks(format: Format, count: usize, noise: &mut Noise) -> Vec<u8> {
    let (elements, bytes) = format.block();
    let mut out = Vec::with_capacity(count / elements * bytes);
    for _ in 0..count / elements {
        let number = noise.float().to_le_bytes();
        let start = out.len();
        match format {
            Format::F32 => out.extend(number),
            Format::Bf16 => out.extend(&number[2..]),
            _ => out.extend((0..bytes).map(|_| noise.next() as u8)),
        }
        for at in scales_at(format) {
            // Of either sign, between 2⁻⁸ and 2⁻⁴.
            let bits = noise.next() as u16 & 0x83ff | (7 + noise.next() as u16 % 4) << 10;
            out[start + at..][..2].copy_from_slice(&bits.to_le_bytes());
        }
    }
    out
}

fn f16(bytes: &[u8]) -> f32 {
    widen(u16::from_le_bytes([bytes[0], bytes[1]]))
}

/// Weight `i` of a block, by its format's formula.
fn formula(format: Format, block: &[u8], i: usize) -> f32 {
    let nibble = |bytes: &[u8]| i32::from(if i < 16 { bytes[i] & 15 } else { bytes[i - 16] >> 4 });
    let fifth = |bytes: &[u8]| i32::from(bytes[i / 8] >> (i % 8) & 1) * 16;
    let levels = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113_i32];
    let pair = |bytes: &[u8]| i32::from(bytes[i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2) & 3);
    let k = |at: usize| {
        let s = &block[4..16];
        let low = |j: usize| if j < 4 { s[j + at] & 63 } else { 0 };
        let part = i / 32;
        f32::from(match (part < 4, at) {
            (true, _) => low(part),
            (false, 0) => s[part + 4] & 15 | s[part - 4] >> 6 << 4,
            (false, _) => s[part + 4] >> 4 | s[part] >> 6 << 4,
        })
    };
    let k_nibble = |bytes: &[u8]| i32::from(bytes[i / 64 * 32 + i % 32] >> (i / 32 % 2 * 4) & 15);
    match format {
        Format::F32 => f32::from_le_bytes([block[0], block[1], block[2], block[3]]),
        Format::F16 => f16(block),
        Format::Bf16 => f32::from_le_bytes([0, 0, block[0], block[1]]),
        Format::Q4_0 => (nibble(&block[2..]) - 8) as f32 * f16(block),
        Format::Q4_1 => nibble(&block[4..]) as f32 * f16(block) + f16(&block[2..]),
        Format::Q5_0 => (nibble(&block[6..]) + fifth(&block[2..]) - 16) as f32 * f16(block),
        Format::Q5_1 => (nibble(&block[8..]) + fifth(&block[4..])) as f32 * f16(block) + f16(&block[2..]),
        Format::Q8_0 => f32::from(block[2 + i] as i8) * f16(block),
        Format::Iq4Nl => f16(block) * levels[nibble(&block[2..]) as usize] as f32,
        Format::Iq4Xs => {
            let part = i / 32;
            let low = i32::from(block[4 + part / 2] >> (part % 2 * 4) & 15);
            let high = i32::from(u16::from_le_bytes([block[2], block[3]]) >> (2 * part) & 3);
            let byte = block[8 + 16 * part + i % 16];
            let level = levels[usize::from(if i % 32 < 16 { byte & 15 } else { byte >> 4 })];
            f16(block) * (low + 16 * high - 32) as f32 * level as f32
        }
        Format::Q2K => {
            let part = block[i / 16];
            let (scale, minimum) = (f16(&block[80..]) * f32::from(part & 15), f16(&block[82..]) * f32::from(part >> 4));
            scale * pair(&block[16..]) as f32 - minimum
        }
        Format::Q3K => {
            let (part, s) = (i / 16, &block[96..108]);
            let low = if part < 8 { s[part] & 15 } else { s[part - 8] >> 4 };
            let scale = i32::from(low) + 16 * i32::from(s[8 + part % 4] >> (part / 4 * 2) & 3) - 32;
            let third = i32::from(block[i % 32] >> (i / 32) & 1);
            f16(&block[108..]) * scale as f32 * (pair(&block[32..]) + 4 * third - 4) as f32
        }
        Format::Q4K => f16(block) * k(0) * k_nibble(&block[16..]) as f32 - f16(&block[2..]) * k(4),
        Format::Q5K => {
            let fifth = i32::from(block[16 + i % 32] >> (i / 32) & 1) * 16;
            f16(block) * k(0) * (k_nibble(&block[48..]) + fifth) as f32 - f16(&block[2..]) * k(4)
        }
        Format::Q6K => {
            let nibble = i32::from(block[i / 128 * 64 + i % 64] >> (i % 128 / 64 * 4) & 15);
            let scale = f16(&block[208..]) * f32::from(block[192 + i / 16] as i8);
            scale * (nibble + 16 * pair(&block[128..]) - 32) as f32
        }
    }
}

/// What the blocks hold, by their format's formula.
pub(crate) fn numbers(format: Format, bytes: &[u8]) -> Vec<f32> {
    let (elements, block_bytes) = format.block();
    let of_block = |block: &[u8]| (0..elements).map(|index| formula(format, block, index)).collect::<Vec<_>>();
    bytes.chunks_exact(block_bytes).flat_map(of_block).collect()
}

fn team() -> Team {
    Team::new(2, Isa::best()).unwrap()
}

/// Packs parts of these formats and rows, and reads all rows back.
fn check(parts: &[(Format, usize)], inputs: usize, seed: u64) {
    let mut noise = Noise(seed | 1);
    let bytes: Vec<_> = parts.iter().map(|(format, rows)| blocks(*format, rows * inputs, &mut noise)).collect();
    let expect: Vec<f32> = parts.iter().zip(&bytes).flat_map(|((format, _), bytes)| numbers(*format, bytes)).collect();
    let parts: Vec<_> = parts.iter().zip(&bytes).map(|(&(format, rows), bytes)| Part { format, rows, bytes }).collect();
    let matrix = Packer::new(&team()).pack(&parts, inputs).unwrap();
    assert_eq!((matrix.outputs(), matrix.inputs()), (expect.len() / inputs, inputs));
    let mut row = vec![f32::NAN; inputs];
    for (index, expect) in expect.chunks_exact(inputs).enumerate() {
        matrix.row(index, &mut row);
        for (input, (got, expect)) in row.iter().zip(expect).enumerate() {
            assert_eq!(got.to_bits(), expect.to_bits(), "{parts:?}: row {index}, input {input}: {got}, not {expect}");
        }
    }
}

#[test]
fn every_format_keeps_its_numbers() {
    for format in Format::ALL {
        for rows in [1, 7, 8, 9, 100] {
            check(&[(format, rows)], 256, 7 + rows as u64);
        }
        check(&[(format, 3)], 1024, 5);
    }
    check(&[(Format::F16, 5), (Format::F32, 9), (Format::Bf16, 1)], 37, 3);
    check(&[(Format::Q8_0, 5), (Format::Q4_1, 2)], 96, 3);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn parts_lie_behind_each_other(
        parts in prop::collection::vec((prop::sample::select(&Format::ALL[..]), 0_usize..20), 0..4),
        blocks in 1_usize..4,
        seed: u64,
    ) {
        check(&parts, 256 * blocks, seed);
    }
}

#[test]
fn little_more_is_held_than_the_file_has() {
    let team = team();
    for (format, limit) in [
        (Format::F32, 1.0),
        (Format::F16, 1.0),
        (Format::Bf16, 1.0),
        (Format::Q8_0, 1.04),
        (Format::Q4_0, 1.04),
        (Format::Q4_1, 1.04),
        (Format::Q5_1, 1.04),
        (Format::Q4K, 1.06),
        (Format::Q5K, 1.06),
        (Format::Q6K, 1.06),
    ] {
        for inputs in [256, 512, 1536, 4096] {
            let bytes = blocks(format, 64 * inputs, &mut Noise(9));
            let matrix = Packer::new(&team).pack(&[Part { format, rows: 64, bytes: &bytes }], inputs).unwrap();
            let ratio = matrix.bytes() as f64 / bytes.len() as f64;
            assert!(ratio <= limit, "{format} of {inputs} inputs: {ratio}");
        }
    }
}

#[test]
fn what_is_not_a_matrix_is_said() {
    let team = team();
    let pack = |format, rows, bytes: &[u8], inputs| {
        Packer::new(&team).pack(&[Part { format, rows, bytes }], inputs).err().map(|error| error.to_string())
    };
    let empty = Packer::new(&team).pack(&[], 32).unwrap();
    assert_eq!((empty.outputs(), empty.bytes()), (0, 0));
    for format in Format::ALL {
        let (elements, bytes) = format.block();
        assert_eq!(pack(format, 0, &[], elements), None);
        let text = pack(format, 0, &[], 0).unwrap();
        assert!(text.contains("not made of whole blocks"), "{text}");
        if elements > 1 {
            let text = pack(format, 1, &vec![0; bytes], elements + 1).unwrap();
            assert!(text.contains("not made of whole blocks"), "{text}");
        }
        for length in [0, bytes - 1, bytes + 1] {
            let text = pack(format, 1, &vec![0; length], elements).unwrap();
            assert!(text.contains(&format!("have {bytes} bytes, not {length}")), "{text}");
        }
        for (rows, inputs) in [(usize::MAX, elements), (1 << 40, 1 << 30), (usize::MAX / 2, 256)] {
            let text = pack(format, rows, &[0; 64], inputs).unwrap();
            assert!(text.contains("more than this machine can address"), "{text}");
        }
    }
}

#[test]
fn scales_that_are_no_numbers_are_refused() {
    let team = team();
    for format in Format::ALL {
        let (elements, _) = format.block();
        for bad in [[0x00, 0x7c], [0x01, 0xfe]] {
            for at in scales_at(format) {
                let mut bytes = blocks(format, 10 * elements, &mut Noise(1));
                let row = bytes.len() / 10;
                bytes[9 * row + at..][..2].copy_from_slice(&bad);
                let good = Part { format, rows: 9, bytes: &bytes[..9 * row] };
                let error =
                    Packer::new(&team).pack(&[good, Part { format, rows: 10, bytes: &bytes }], elements).unwrap_err();
                assert_eq!(error, PackError::NotFinite { part: 1, row: 9 }, "{format}");
            }
        }
    }
    for (format, bytes) in [(Format::F32, f32::NAN.to_le_bytes()), (Format::Bf16, f32::INFINITY.to_le_bytes())] {
        let bytes = &bytes[4 - format.block().1..];
        let error = Packer::new(&team).pack(&[Part { format, rows: 1, bytes }], 1).unwrap_err();
        assert_eq!(error, PackError::NotFinite { part: 0, row: 0 }, "{format}");
    }
}

#[test]
#[should_panic(expected = "there is no row 8 of 8")]
fn rows_that_are_not_there_are_a_mistake() {
    let bytes = blocks(Format::Q4_0, 8 * 32, &mut Noise(1));
    let matrix = Packer::new(&team()).pack(&[Part { format: Format::Q4_0, rows: 8, bytes: &bytes }], 32).unwrap();
    matrix.row(8, &mut [0.0; 32]);
}

#[test]
fn matrices_of_one_packer_lie_side_by_side_and_have_nothing_in_common() {
    let team = team();
    let packer = Packer::new(&team);
    let mut noise = Noise(7);
    let all: Vec<(Vec<u8>, Matrix)> = (1..40)
        .map(|rows| {
            let bytes: Vec<u8> = (0..rows * 64).flat_map(|_| noise.float().to_le_bytes()).collect();
            let matrix = packer.pack(&[Part { format: Format::F32, rows, bytes: &bytes }], 64).unwrap();
            (bytes, matrix)
        })
        .collect();
    let begins = all.windows(2).map(|two| {
        let [first, second] = [&two[0].1, &two[1].1].map(|matrix| &*matrix.parts[0].lines);
        (first.as_ptr_range().end, second.as_ptr())
    });
    begins.for_each(|(end, begin)| assert_eq!(end, begin));
    drop(packer);
    for (bytes, matrix) in &all {
        let mut row = vec![0.0; 64];
        for (index, bytes) in bytes.as_chunks::<256>().0.iter().enumerate() {
            matrix.row(index, &mut row);
            assert!(
                row.iter().zip(bytes.as_chunks::<4>().0).all(|(number, bytes)| *number == f32::from_le_bytes(*bytes))
            );
        }
    }
}
