//! Blocks of 256 numbers, in parts that have scales of their own, which are integers times the block's scale.
//!
//! | type | parts | bytes of a block | a number of `q` |
//! | --- | --- | --- | --- |
//! | `Q2_K` | 16 of 16 | 16 of a part's scale and minimum, 64 of two bits, scale, scale of the minimums | `q × scale − minimum` |
//! | `Q3_K` | 16 of 16 | 32 of third bits, 64 of two bits, 12 of scales, scale | `(q − 4) × scale` |
//! | `Q4_K` | 8 of 32 | scale, scale of the minimums, 12 of scales and minimums, 128 of nibbles | `q × scale − minimum` |
//! | `Q5_K` | 8 of 32 | as `Q4_K`, with 32 of fifth bits before the nibbles | `q × scale − minimum` |
//! | `Q6_K` | 16 of 16 | 128 of nibbles, 64 of two bits, 16 signed scales, scale | `(q − 32) × scale` |
//!
//! The bits of a number are spread so that one shift serves 32 numbers at once. Part `p` of sixteen lies in half
//! `p / 8` of the block, in quarter `p / 2 % 4` of that and on side `p % 2` of that ([`Place`]); part `p` of eight is its
//! parts `2p` and `2p + 1`.

use super::{each, half};

/// Where a part of 16 numbers lies.
#[derive(Clone, Copy)]
struct Place {
    half: usize,
    quarter: usize,
    side: usize,
}

/// Calls `read` for each of the 16 parts of a block.
fn parts(out: &mut [f32; 256], mut read: impl FnMut(usize, Place, &mut [f32; 16])) {
    for (part, out) in out.as_chunks_mut().0.iter_mut().enumerate() {
        read(part, Place { half: part / 8, quarter: part / 2 % 4, side: part % 2 }, out);
    }
}

/// The 16 bytes whose bits belong to a part, where 32 bytes serve the four quarters of a half.
fn quarters(bytes: &[u8], place: Place) -> &[u8] {
    &bytes[32 * place.half + 16 * place.side..][..16]
}

pub(in crate::gguf) fn q2_k(blocks: &[u8], out: &mut [f32]) {
    each(blocks, out, |block: &[u8; 84], out: &mut [f32; 256]| {
        let (scales, rest) = block.split_at(16);
        let (pairs, rest) = rest.split_at(64);
        let (scale, minimum) = (half(rest), half(&rest[2..]));
        parts(out, |part, place, out| {
            let scale = scale * f32::from(scales[part] & 15);
            let minimum = minimum * f32::from(scales[part] >> 4);
            for (out, byte) in out.iter_mut().zip(quarters(pairs, place)) {
                *out = scale * f32::from(byte >> (2 * place.quarter) & 3) - minimum;
            }
        });
    });
}

/// A part's scale: bits 0 to 3 are a nibble of the first eight bytes (low halves first), bits 4 and 5 a pair of the last
/// four (lowest pairs first); 32 is zero.
fn q3_k_scale(scales: &[u8], part: usize) -> i8 {
    let low = scales[part % 8] >> (4 * (part / 8)) & 15;
    let high = scales[8 + part % 4] >> (2 * (part / 4)) & 3;
    (low | high << 4).cast_signed() - 32
}

pub(in crate::gguf) fn q3_k(blocks: &[u8], out: &mut [f32]) {
    each(blocks, out, |block: &[u8; 110], out: &mut [f32; 256]| {
        let (thirds, rest) = block.split_at(32);
        let (pairs, rest) = rest.split_at(64);
        let (scales, scale) = rest.split_at(12);
        let scale = half(scale);
        parts(out, |part, place, out| {
            let scale = scale * f32::from(q3_k_scale(scales, part));
            let thirds = &thirds[16 * place.side..][..16];
            for ((out, byte), third) in out.iter_mut().zip(quarters(pairs, place)).zip(thirds) {
                let third = third >> (4 * place.half + place.quarter) & 1;
                let number = byte >> (2 * place.quarter) & 3 | third << 2;
                *out = scale * f32::from(number.cast_signed() - 4);
            }
        });
    });
}

/// The scale and the minimum, six bits each, of a part of eight. The first four parts have the low bits of eight bytes;
/// the others have a nibble each of the last four, and their two highest bits are those that the eight bytes leave.
pub(crate) fn scale_and_minimum(bytes: &[u8], part: usize) -> (u8, u8) {
    if part < 4 {
        return (bytes[part] & 63, bytes[part + 4] & 63);
    }
    let nibbles = bytes[part + 4];
    (nibbles & 15 | bytes[part - 4] >> 6 << 4, nibbles >> 4 | bytes[part] >> 6 << 4)
}

pub(in crate::gguf) fn q4_k(blocks: &[u8], out: &mut [f32]) {
    each(blocks, out, |block: &[u8; 144], out: &mut [f32; 256]| {
        let (scale, minimum) = (half(block), half(&block[2..]));
        let (scales, nibbles) = block[4..].split_at(12);
        for (part, out) in out.as_chunks_mut::<32>().0.iter_mut().enumerate() {
            let (part_scale, part_minimum) = scale_and_minimum(scales, part);
            let (scale, minimum) = (scale * f32::from(part_scale), minimum * f32::from(part_minimum));
            for (out, byte) in out.iter_mut().zip(&nibbles[32 * (part / 2)..][..32]) {
                *out = scale * f32::from(byte >> (4 * (part % 2)) & 15) - minimum;
            }
        }
    });
}

pub(in crate::gguf) fn q5_k(blocks: &[u8], out: &mut [f32]) {
    each(blocks, out, |block: &[u8; 176], out: &mut [f32; 256]| {
        let (scale, minimum) = (half(block), half(&block[2..]));
        let (scales, rest) = block[4..].split_at(12);
        let (fifths, nibbles) = rest.split_at(32);
        for (part, out) in out.as_chunks_mut::<32>().0.iter_mut().enumerate() {
            let (part_scale, part_minimum) = scale_and_minimum(scales, part);
            let (scale, minimum) = (scale * f32::from(part_scale), minimum * f32::from(part_minimum));
            let nibbles = &nibbles[32 * (part / 2)..][..32];
            for ((out, byte), fifth) in out.iter_mut().zip(nibbles).zip(fifths) {
                let number = byte >> (4 * (part % 2)) & 15 | (fifth >> part & 1) << 4;
                *out = scale * f32::from(number) - minimum;
            }
        }
    });
}

pub(in crate::gguf) fn q6_k(blocks: &[u8], out: &mut [f32]) {
    each(blocks, out, |block: &[u8; 210], out: &mut [f32; 256]| {
        let (nibbles, rest) = block.split_at(128);
        let (pairs, rest) = rest.split_at(64);
        let (scales, scale) = rest.split_at(16);
        let scale = half(scale);
        parts(out, |part, place, out| {
            let scale = scale * f32::from(scales[part].cast_signed());
            // Quarters 0 and 1 are the low halves of two runs of 32 bytes, quarters 2 and 3 their high halves.
            let nibbles = &nibbles[64 * place.half + 32 * (place.quarter % 2) + 16 * place.side..][..16];
            for ((out, nibble), pair) in out.iter_mut().zip(nibbles).zip(quarters(pairs, place)) {
                let nibble = nibble >> (4 * (place.quarter / 2)) & 15;
                let pair = pair >> (2 * place.quarter) & 3;
                *out = scale * f32::from((nibble | pair << 4).cast_signed() - 32);
            }
        });
    });
}
