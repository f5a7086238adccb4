//! From a tensor's stored blocks to f32.
//!
//! Source: `ggml-quants.c` (`dequantize_row_*`) of the ggml repository; multiplication and addition are rounded apart,
//! as there, so that the numbers are the same bit for bit. Each function takes whole blocks and as many outputs as
//! those hold.

use super::{GgufError, TensorInfo};
use half::f16 as Half;

pub(super) type Dequantize = fn(blocks: &[u8], out: &mut [f32]);

/// Appends the numbers of a tensor whose `blocks` were checked against its shape.
pub(super) fn append(name: &str, info: &TensorInfo, blocks: &[u8], out: &mut Vec<f32>) -> Result<(), GgufError> {
    let read =
        info.kind.reader().ok_or_else(|| GgufError::Unsupported { name: name.to_owned(), kind: info.kind.name() })?;
    let start = out.len();
    out.resize(start + info.elements(), 0.0);
    read(blocks, &mut out[start..]);
    Ok(())
}

fn half(bytes: &[u8]) -> f32 {
    Half::from_le_bytes([bytes[0], bytes[1]]).to_f32()
}

pub(super) fn f32(blocks: &[u8], out: &mut [f32]) {
    for (bytes, out) in blocks.as_chunks::<4>().0.iter().zip(out) {
        *out = f32::from_le_bytes(*bytes);
    }
}

pub(super) fn f16(blocks: &[u8], out: &mut [f32]) {
    for (bytes, out) in blocks.as_chunks::<2>().0.iter().zip(out) {
        *out = half(bytes);
    }
}

/// Scale and minimum as f16, then 16 bytes: the low nibbles are elements 0 to 15, the high ones 16 to 31.
pub(super) fn q4_1(blocks: &[u8], out: &mut [f32]) {
    for (block, out) in blocks.as_chunks::<20>().0.iter().zip(out.as_chunks_mut::<32>().0) {
        let (scale, minimum) = (half(block), half(&block[2..]));
        let (low, high) = out.split_at_mut(16);
        for ((byte, low), high) in block[4..].iter().zip(low).zip(high) {
            *low = f32::from(byte & 15) * scale + minimum;
            *high = f32::from(byte >> 4) * scale + minimum;
        }
    }
}

/// Scale as f16, then 32 signed bytes.
pub(super) fn q8_0(blocks: &[u8], out: &mut [f32]) {
    for (block, out) in blocks.as_chunks::<34>().0.iter().zip(out.as_chunks_mut::<32>().0) {
        let scale = half(block);
        for (byte, out) in block[2..].iter().zip(out) {
            *out = f32::from(byte.cast_signed()) * scale;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(read: Dequantize, blocks: &[u8], expect: &[f32]) {
        let mut out = vec![0.0; expect.len()];
        read(blocks, &mut out);
        assert_eq!(out, expect);
    }

    #[test]
    fn plain_numbers() {
        check(f32, &[0, 0, 128, 63, 0, 0, 0, 192], &[1.0, -2.0]);
        check(f16, &[0, 60, 0, 192], &[1.0, -2.0]);
    }

    #[test]
    fn nibbles_with_a_minimum() {
        let mut block = vec![0, 56, 0, 188]; // 0.5 and -1
        block.extend((0..16).map(|i| i | (15 - i) << 4));
        let low = (0..16).map(|i| i as f32 * 0.5 - 1.0);
        let high = (0..16).map(|i| (15 - i) as f32 * 0.5 - 1.0);
        check(q4_1, &block, &low.chain(high).collect::<Vec<_>>());
    }

    #[test]
    fn signed_bytes() {
        let mut block = vec![0, 52]; // 0.25
        block.extend((-16i8..16).map(i8::cast_unsigned));
        check(q8_0, &block, &(-16..16).map(|i| i as f32 * 0.25).collect::<Vec<_>>());
    }
}
