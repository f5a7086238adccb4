//! Blocks of 32 numbers with one scale.
//!
//! | type | bytes of a block | a number of `q` |
//! | --- | --- | --- |
//! | `Q4_0` | scale, 16 nibbles' bytes | `(q − 8) × scale` |
//! | `Q4_1` | scale, minimum, 16 nibbles' bytes | `q × scale + minimum` |
//! | `Q5_0` | scale, 4 of fifth bits, 16 nibbles' bytes | `(q − 16) × scale` |
//! | `Q5_1` | scale, minimum, 4 of fifth bits, 16 nibbles' bytes | `q × scale + minimum` |
//! | `Q8_0` | scale, 32 signed | `q × scale` |
//!
//! Byte `i` of the nibbles holds number `i` in its low half and number `i + 16` in its high half. The fifth bits are a
//! little-endian u32 whose bit `i` belongs to number `i`.

use super::{each, half};

pub(in crate::gguf) fn q4_0(blocks: &[u8], out: &mut [f32]) {
    each(blocks, out, |block: &[u8; 18], out: &mut [f32; 32]| {
        let scale = half(block);
        let (low, high) = out.split_at_mut(16);
        for ((byte, low), high) in block[2..].iter().zip(low).zip(high) {
            *low = f32::from((byte & 15).cast_signed() - 8) * scale;
            *high = f32::from((byte >> 4).cast_signed() - 8) * scale;
        }
    });
}

pub(in crate::gguf) fn q4_1(blocks: &[u8], out: &mut [f32]) {
    each(blocks, out, |block: &[u8; 20], out: &mut [f32; 32]| {
        let (scale, minimum) = (half(block), half(&block[2..]));
        let (low, high) = out.split_at_mut(16);
        for ((byte, low), high) in block[4..].iter().zip(low).zip(high) {
            *low = f32::from(byte & 15) * scale + minimum;
            *high = f32::from(byte >> 4) * scale + minimum;
        }
    });
}

/// The numbers 0 to 31 of 4 bytes of fifth bits and 16 of nibbles.
fn five_bits(bytes: &[u8]) -> [u8; 32] {
    let fifth = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    let fifth = |index: usize| ((fifth >> index) as u8 & 1) << 4;
    let mut numbers = [0; 32];
    for (index, byte) in bytes[4..20].iter().enumerate() {
        numbers[index] = byte & 15 | fifth(index);
        numbers[index + 16] = byte >> 4 | fifth(index + 16);
    }
    numbers
}

pub(in crate::gguf) fn q5_0(blocks: &[u8], out: &mut [f32]) {
    each(blocks, out, |block: &[u8; 22], out: &mut [f32; 32]| {
        let scale = half(block);
        for (out, number) in out.iter_mut().zip(five_bits(&block[2..])) {
            *out = f32::from(number.cast_signed() - 16) * scale;
        }
    });
}

pub(in crate::gguf) fn q5_1(blocks: &[u8], out: &mut [f32]) {
    each(blocks, out, |block: &[u8; 24], out: &mut [f32; 32]| {
        let (scale, minimum) = (half(block), half(&block[2..]));
        for (out, number) in out.iter_mut().zip(five_bits(&block[4..])) {
            *out = f32::from(number) * scale + minimum;
        }
    });
}

pub(in crate::gguf) fn q8_0(blocks: &[u8], out: &mut [f32]) {
    each(blocks, out, |block: &[u8; 34], out: &mut [f32; 32]| {
        let scale = half(block);
        for (byte, out) in block[2..].iter().zip(out) {
            *out = f32::from(byte.cast_signed()) * scale;
        }
    });
}
