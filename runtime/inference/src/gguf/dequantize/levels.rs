//! Blocks whose four-bit numbers name one of sixteen levels, close together around zero, where most weights are.
//!
//! | type | numbers of a block | bytes of a block |
//! | --- | --- | --- |
//! | `IQ4_NL` | 32 | scale, 16 of nibbles |
//! | `IQ4_XS` | 256, in 8 parts of 32 | scale, 2 and 4 of the parts' six-bit scales, 128 of nibbles |
//!
//! Of 16 bytes of nibbles, byte `i` holds number `i` in its low half and number `i + 16` in its high half.

use super::{each, half};

const LEVELS: [i8; 16] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

/// 32 numbers of 16 bytes of nibbles.
fn part(scale: f32, nibbles: &[u8], out: &mut [f32]) {
    let level = |number: u8| f32::from(LEVELS[usize::from(number)]);
    let (low, high) = out.split_at_mut(16);
    for ((byte, low), high) in nibbles.iter().zip(low).zip(high) {
        *low = scale * level(byte & 15);
        *high = scale * level(byte >> 4);
    }
}

pub(in crate::gguf) fn iq4_nl(blocks: &[u8], out: &mut [f32]) {
    each(blocks, out, |block: &[u8; 18], out: &mut [f32; 32]| part(half(block), &block[2..], out));
}

/// A part's scale: bits 0 to 3 are a nibble of the four bytes, bits 4 and 5 a pair of the two, both in the order of
/// parts; 32 is zero.
pub(in crate::gguf) fn iq4_xs(blocks: &[u8], out: &mut [f32]) {
    each(blocks, out, |block: &[u8; 136], out: &mut [f32; 256]| {
        let scale = half(block);
        let high = u16::from_le_bytes([block[2], block[3]]);
        let (low, nibbles) = block[4..].split_at(4);
        for (index, (nibbles, out)) in nibbles.chunks_exact(16).zip(out.chunks_exact_mut(32)).enumerate() {
            let low = low[index / 2] >> (4 * (index % 2)) & 15;
            let high = (high >> (2 * index)) as u8 & 3;
            part(scale * f32::from((low | high << 4).cast_signed() - 32), nibbles, out);
        }
    });
}
