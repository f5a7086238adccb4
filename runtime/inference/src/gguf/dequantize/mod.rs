//! From a tensor's stored blocks to f32.
//!
//! Source: `ggml-common.h` (the structs that lay a block out) and `ggml-quants.c` (what a block's numbers mean) of the
//! ggml repository. Multiplication and addition are rounded apart and in the order written there, so that the numbers
//! are the same bit for bit; `tests/goldens/quants` holds what the `gguf` package makes of some blocks of each type.
//!
//! | family | numbers of a block | what a number is | where |
//! | --- | --- | --- | --- |
//! | `Q4_0` … `Q8_0` | 32 | integer × scale (+ minimum) | [`simple`] |
//! | `Q2_K` … `Q6_K` | 256, in parts of 16 or 32 | integer × the part's scale (− its minimum), these quantised too | [`k`] |
//! | `IQ4_NL`, `IQ4_XS` | 32; 256 in parts of 32 | one of sixteen levels × scale | [`levels`] |
//!
//! Each function takes whole blocks and as many outputs as those hold. Numbers of a block are counted from 0, bits from
//! the lowest, and a scale without a type is an f16.

mod k;
mod levels;
mod simple;
#[cfg(test)]
mod tests;

pub(crate) use k::scale_and_minimum as q4_k_scale_and_minimum;
pub(super) use k::{q2_k, q3_k, q4_k, q5_k, q6_k};
pub(super) use levels::{iq4_nl, iq4_xs};
pub(super) use simple::{q4_0, q4_1, q5_0, q5_1, q8_0};

use super::GgufError;
use crate::to_f32::{self, Stored};
use half::f16 as Half;

/// Appends the numbers of a tensor whose blocks were checked against its shape.
pub(super) fn append(name: &str, stored: Stored<'_>, out: &mut Vec<f32>) -> Result<(), GgufError> {
    to_f32::append(stored.bytes, stored.block, out)
        .map_err(|to_f32::NotFinite(index)| GgufError::NotFinite { name: name.to_owned(), index })
}

fn half(bytes: &[u8]) -> f32 {
    Half::from_le_bytes([bytes[0], bytes[1]]).to_f32()
}

/// Calls `read` for each block.
fn each<const BYTES: usize, const ELEMENTS: usize>(
    blocks: &[u8],
    out: &mut [f32],
    read: impl Fn(&[u8; BYTES], &mut [f32; ELEMENTS]),
) {
    for (block, out) in blocks.as_chunks().0.iter().zip(out.as_chunks_mut().0) {
        read(block, out);
    }
}
