//! From the blocks of a file to a lane of a panel.
//!
//! Source: `ggml-common.h` (the structs that lay a block out) and `ggml-quants.c` (what a block's numbers mean) of the ggml
//! repository.

use super::{
    Format,
    panel::{SUPER, Scales, Shape, Width},
};
use crate::{lanes::LANES, rows::BLOCK};

/// The levels of `IQ4_NL` and `IQ4_XS`.
const LEVELS: [i8; 16] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

/// A block of a file: 32 or 256 codes, with all that belongs to them.
struct Decoded {
    codes: [u8; 256],
    /// The block's scale, an f16.
    scale: [u8; 2],
    /// The block's minimum, or the scale of its minimums, an f16.
    minimum: [u8; 2],
    /// The integer scales of the block's parts.
    factors: [u8; 16],
    /// The integer minimums of the block's parts.
    offsets: [u8; 16],
}

/// Packs the row `bytes` as lane `lane` of the panel `out`, which was zero; false where it has a number that is not finite.
pub(super) fn pack(format: Format, bytes: &[u8], shape: &Shape, lane: usize, out: &mut [u8]) -> bool {
    let Some((width, scales)) = shape.codes else {
        return pack_floats(format, bytes, lane, out);
    };
    let (elements, block_bytes) = format.block();
    let mut decoded = Decoded { codes: [0; 256], scale: [0; 2], minimum: [0; 2], factors: [0; 16], offsets: [0; 16] };
    let mut is_finite = true;
    for (index, block) in bytes.chunks_exact(block_bytes).enumerate() {
        decode(format, block, &mut decoded);
        is_finite &= is_finite_half(decoded.scale) && is_finite_half(decoded.minimum);
        let parts = elements / BLOCK;
        for part in 0..parts {
            let codes = &decoded.codes[BLOCK * part..][..BLOCK];
            put_codes(width, codes, lane, &mut out[32 * width.vectors() * (index * parts + part)..]);
        }
        put_scales(scales, &decoded, index * parts, parts, lane, &mut out[shape.scales_at(width)..]);
        let at = shape.supers_at(width, scales) + index * parts / SUPER * scales.super_bytes() + 2 * lane;
        if scales.super_bytes() > 0 {
            out[at..][..2].copy_from_slice(&decoded.scale);
        }
        if scales.super_bytes() > 16 {
            out[at + 16..][..2].copy_from_slice(&decoded.minimum);
        }
    }
    is_finite
}

fn pack_floats(format: Format, bytes: &[u8], lane: usize, out: &mut [u8]) -> bool {
    let size = format.block().1;
    let mut is_finite = true;
    for (input, number) in bytes.chunks_exact(size).enumerate() {
        out[(input * LANES + lane) * size..][..size].copy_from_slice(number);
        is_finite &= match *number {
            [_, _, c, d] => u16::from_le_bytes([c, d]) & 0x7f80 != 0x7f80,
            [a, b] if format == Format::F16 => is_finite_half([a, b]),
            [a, b] => u16::from_le_bytes([a, b]) & 0x7f80 != 0x7f80,
            _ => false,
        };
    }
    is_finite
}

fn is_finite_half(bytes: [u8; 2]) -> bool {
    u16::from_le_bytes(bytes) & 0x7c00 != 0x7c00
}

/// Writes 32 codes, four at a time: a group.
fn put_codes(width: Width, codes: &[u8], lane: usize, out: &mut [u8]) {
    let mut put = |vector: usize, bits: u32| {
        let bytes = &mut out[32 * vector + 4 * lane..][..4];
        bytes.iter_mut().zip(bits.to_le_bytes()).for_each(|(byte, bits)| *byte |= bits);
    };
    for (group, codes) in codes.as_chunks().0.iter().enumerate() {
        let codes = u32::from_le_bytes(*codes);
        if width == Width::Eight {
            put(group, codes);
            continue;
        }
        put(group / 2, (codes & 0x0f0f_0f0f) << (4 * (group % 2)));
        let high = codes >> 4 & 0x0f0f_0f0f;
        match width {
            Width::Four | Width::Eight => {}
            Width::Five => put(4, high << group),
            Width::Six => put(4 + group / 4, high << (2 * (group % 4))),
        }
    }
}

/// Writes the scales of `parts` blocks, the first of which is `first`.
fn put_scales(scales: Scales, from: &Decoded, first: usize, parts: usize, lane: usize, out: &mut [u8]) {
    let size = scales.block_bytes();
    for part in 0..parts {
        let out = &mut out[(first + part) * size..][..size];
        match scales {
            Scales::Halves => out[2 * lane..][..2].copy_from_slice(&from.scale),
            Scales::Minimums => {
                out[2 * lane..][..2].copy_from_slice(&from.scale);
                out[16 + 2 * lane..][..2].copy_from_slice(&from.minimum);
            }
            Scales::Signed => out[lane] = from.factors[part],
            Scales::K => {
                out[lane] = from.factors[part];
                out[8 + lane] = from.offsets[part];
            }
            Scales::Parts => {
                out[lane] = from.factors[2 * part];
                out[8 + lane] = from.factors[2 * part + 1];
            }
            Scales::PartMinimums => {
                out[lane] = from.factors[2 * part];
                out[8 + lane] = from.factors[2 * part + 1];
                out[16 + lane] = from.offsets[2 * part];
                out[24 + lane] = from.offsets[2 * part + 1];
            }
        }
    }
}

fn decode(format: Format, block: &[u8], out: &mut Decoded) {
    match format {
        Format::F32 | Format::F16 | Format::Bf16 => {}
        Format::Q4_0 => {
            out.scale = [block[0], block[1]];
            nibbles(&block[2..], &mut out.codes, |code| code);
        }
        Format::Q4_1 => {
            out.scale = [block[0], block[1]];
            out.minimum = [block[2], block[3]];
            nibbles(&block[4..], &mut out.codes, |code| code);
        }
        Format::Q5_0 => {
            out.scale = [block[0], block[1]];
            fives(&block[2..], &mut out.codes);
            out.codes.iter_mut().for_each(|code| *code = code.wrapping_add(128 - 16));
        }
        Format::Q5_1 => {
            out.scale = [block[0], block[1]];
            out.minimum = [block[2], block[3]];
            fives(&block[4..], &mut out.codes);
        }
        Format::Q8_0 => {
            out.scale = [block[0], block[1]];
            out.codes.iter_mut().zip(&block[2..]).for_each(|(code, byte)| *code = byte ^ 128);
        }
        Format::Iq4Nl => {
            out.scale = [block[0], block[1]];
            nibbles(&block[2..], &mut out.codes, level);
        }
        Format::Iq4Xs => iq4_xs(block, out),
        Format::Q2K => q2_k(block, out),
        Format::Q3K => q3_k(block, out),
        Format::Q4K | Format::Q5K => q45_k(format, block, out),
        Format::Q6K => q6_k(block, out),
    }
}

fn level(code: u8) -> u8 {
    LEVELS[usize::from(code)].cast_unsigned() ^ 128
}

/// 32 codes of 16 bytes: byte `i` has code `i` in its low half and code `i + 16` in its high half.
fn nibbles(bytes: &[u8], codes: &mut [u8], code: impl Fn(u8) -> u8) {
    for (index, byte) in bytes[..16].iter().enumerate() {
        codes[index] = code(byte & 15);
        codes[index + 16] = code(byte >> 4);
    }
}

/// 32 codes of 4 bytes of fifth bits and 16 of nibbles.
fn fives(bytes: &[u8], codes: &mut [u8; 256]) {
    let fifths = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    nibbles(&bytes[4..], codes, |code| code);
    for (index, code) in codes[..BLOCK].iter_mut().enumerate() {
        *code |= ((fifths >> index & 1) as u8) << 4;
    }
}

/// f16 scale, 2 and 4 bytes of the parts' six-bit scales (pairs of high bits, nibbles of low ones; 32 is zero), 128 of nibbles.
fn iq4_xs(block: &[u8], out: &mut Decoded) {
    out.scale = [block[0], block[1]];
    let high = u16::from_le_bytes([block[2], block[3]]);
    for part in 0..8 {
        let low = block[4 + part / 2] >> (4 * (part % 2)) & 15;
        let high = (high >> (2 * part) & 3) as u8;
        out.factors[part] = (low | high << 4).wrapping_sub(32);
        nibbles(&block[8 + 16 * part..], &mut out.codes[BLOCK * part..], level);
    }
}

/// Where the two bits of code `index` are, of 64 bytes: the byte, and how far the bits are shifted.
///
/// Each half of a block has 32 bytes, whose lowest bits are its first 32 codes, the next ones the next 32.
fn two_bits(index: usize) -> (usize, usize) {
    (32 * (index / 128) + index % 32, 2 * (index / 32 % 4))
}

/// 16 bytes of the parts' scales (low) and minimums (high), 64 of two bits, f16 scale, f16 scale of the minimums.
fn q2_k(block: &[u8], out: &mut Decoded) {
    out.scale = [block[80], block[81]];
    out.minimum = [block[82], block[83]];
    for (part, byte) in block[..16].iter().enumerate() {
        out.factors[part] = byte & 15;
        out.offsets[part] = byte >> 4;
    }
    for (index, code) in out.codes.iter_mut().enumerate() {
        let (byte, shift) = two_bits(index);
        *code = block[16 + byte] >> shift & 3;
    }
}

/// 32 bytes of third bits, 64 of two bits, 12 of the parts' six-bit scales (32 is zero), f16 scale. A code of 4 is zero, 32 in
/// the panel.
fn q3_k(block: &[u8], out: &mut Decoded) {
    let (thirds, scales) = (&block[..32], &block[96..108]);
    out.scale = [block[108], block[109]];
    for part in 0..16 {
        let low = scales[part % 8] >> (4 * (part / 8)) & 15;
        let high = scales[8 + part % 4] >> (2 * (part / 4)) & 3;
        out.factors[part] = (low | high << 4).wrapping_sub(32);
    }
    for (index, code) in out.codes.iter_mut().enumerate() {
        let (byte, shift) = two_bits(index);
        let third = thirds[index % 32] >> (index / 32) & 1;
        *code = (block[32 + byte] >> shift & 3 | third << 2) + (32 - 4);
    }
}

/// f16 scale, f16 scale of the minimums, 12 bytes of the parts' six-bit scales and minimums, for `Q5_K` 32 of fifth bits, 128
/// of nibbles: 32 bytes for two parts.
fn q45_k(format: Format, block: &[u8], out: &mut Decoded) {
    out.scale = [block[0], block[1]];
    out.minimum = [block[2], block[3]];
    let scales = &block[4..16];
    for part in 0..8 {
        (out.factors[part], out.offsets[part]) = if part < 4 {
            (scales[part] & 63, scales[part + 4] & 63)
        } else {
            let nibbles = scales[part + 4];
            (nibbles & 15 | scales[part - 4] >> 6 << 4, nibbles >> 4 | scales[part] >> 6 << 4)
        };
    }
    let (fifths, nibbles) = if format == Format::Q5K { block[16..].split_at(32) } else { block[16..].split_at(0) };
    for (index, code) in out.codes.iter_mut().enumerate() {
        let (part, within) = (index / BLOCK, index % BLOCK);
        let fifth = fifths.get(within).map_or(0, |byte| byte >> part & 1);
        *code = nibbles[BLOCK * (part / 2) + within] >> (4 * (part % 2)) & 15 | fifth << 4;
    }
}

/// 128 bytes of nibbles, 64 of two bits, 16 signed scales of the parts, f16 scale. Each half of a block has 64 bytes of
/// nibbles, whose low halves are its first 64 codes.
fn q6_k(block: &[u8], out: &mut Decoded) {
    out.scale = [block[208], block[209]];
    out.factors.copy_from_slice(&block[192..208]);
    for (index, code) in out.codes.iter_mut().enumerate() {
        let (byte, shift) = two_bits(index);
        let nibble = block[64 * (index / 128) + index % 64] >> (4 * (index % 128 / 64)) & 15;
        *code = nibble | (block[128 + byte] >> shift & 3) << 4;
    }
}
