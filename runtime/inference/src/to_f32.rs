//! Stored numbers to f32, on all threads.
//!
//! What GGUF and safetensors share: both state how a tensor's numbers are stored, as blocks of a fixed size, and a model
//! computes with f32. Blocks are independent, so a tensor is converted in tasks, each of which also looks at its result
//! while that is in the cache: a weight that is infinite or not a number is damage, and would spread to every output.

use half::{bf16 as BHalf, f16 as Half, slice::HalfFloatSliceExt};
use rayon::prelude::*;
use remit_compute::weights::Format;

/// Reads whole blocks, and writes as many numbers as those hold.
pub(crate) type ReadBlocks = fn(blocks: &[u8], out: &mut [f32]);

/// How numbers are stored.
#[derive(Clone, Copy)]
pub(crate) struct Block {
    /// Bytes of one.
    pub(crate) bytes: usize,
    /// Numbers that it holds.
    pub(crate) elements: usize,
    pub(crate) read: ReadBlocks,
}

/// A tensor's numbers as its file stores them: whole blocks, row after row.
#[derive(Clone, Copy)]
pub struct Stored<'a> {
    pub(crate) format: Format,
    pub(crate) block: Block,
    pub(crate) bytes: &'a [u8],
}

impl std::fmt::Debug for Stored<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stored").field("format", &self.format).field("bytes", &self.bytes.len()).finish()
    }
}

/// Which number of a tensor is infinite or not a number: the first of them.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NotFinite(pub(crate) usize);

/// Numbers of a task: 256 KiB of f32, which is still in the second-level cache when it is checked.
const TASK_NUMBERS: usize = 64 * 1024;

/// Appends the numbers of whole blocks; `out` is as before where one is not finite.
pub(crate) fn append(blocks: &[u8], block: Block, out: &mut Vec<f32>) -> Result<(), NotFinite> {
    let start = out.len();
    out.resize(start + blocks.len() / block.bytes * block.elements, 0.0);
    let task = TASK_NUMBERS / block.elements;
    let bad = out[start..]
        .par_chunks_mut(task * block.elements)
        .zip(blocks.par_chunks(task * block.bytes))
        .enumerate()
        .filter_map(|(index, (out, blocks))| {
            (block.read)(blocks, out);
            first_not_finite(out).map(|position| index * task * block.elements + position)
        })
        .min();
    match bad {
        None => Ok(()),
        Some(index) => {
            out.truncate(start);
            Err(NotFinite(index))
        }
    }
}

fn first_not_finite(numbers: &[f32]) -> Option<usize> {
    // Without an exit from the loop it is vectorised, and almost every tensor is sound.
    let sound = numbers.iter().fold(true, |sound, number| sound & number.is_finite());
    if sound { None } else { numbers.iter().position(|number| !number.is_finite()) }
}

pub(crate) fn f32(blocks: &[u8], out: &mut [f32]) {
    for (bytes, out) in blocks.as_chunks::<4>().0.iter().zip(out) {
        *out = f32::from_le_bytes(*bytes);
    }
}

/// Numbers of two bytes that are converted by one call: it asks each time what the processor can do.
const HALVES: usize = 64;

pub(crate) fn f16(blocks: &[u8], out: &mut [f32]) {
    let (bytes, _) = blocks.as_chunks::<2>();
    for (bytes, out) in bytes.chunks(HALVES).zip(out.chunks_mut(HALVES)) {
        let mut halves = [Half::ZERO; HALVES];
        for (half, bytes) in halves.iter_mut().zip(bytes) {
            *half = Half::from_le_bytes(*bytes);
        }
        halves[..out.len()].convert_to_f32_slice(out);
    }
}

pub(crate) fn bf16(blocks: &[u8], out: &mut [f32]) {
    for (bytes, out) in blocks.as_chunks::<2>().0.iter().zip(out) {
        *out = BHalf::from_le_bytes(*bytes).to_f32();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const F32: Block = Block { bytes: 4, elements: 1, read: f32 };

    fn check(read: ReadBlocks, blocks: &[u8], expect: &[f32]) {
        let mut out = vec![0.0; expect.len()];
        read(blocks, &mut out);
        assert_eq!(out, expect);
    }

    #[test]
    fn plain_numbers_are_read() {
        check(f32, &[0, 0, 128, 63, 0, 0, 0, 192], &[1.0, -2.0]);
        check(f16, &[0, 60, 0, 192], &[1.0, -2.0]);
        check(bf16, &[128, 63, 0, 192], &[1.0, -2.0]);
    }

    #[test]
    fn tasks_read_what_one_call_reads() {
        let numbers: Vec<_> = (0..3 * TASK_NUMBERS + 5).map(|number| number as f32).collect();
        let bytes: Vec<_> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        let mut out = vec![7.0];
        append(&bytes, F32, &mut out).unwrap();
        assert_eq!(out[0], 7.0);
        assert_eq!(out[1..], numbers);
    }

    #[test]
    fn the_first_number_that_is_none_is_named() {
        let mut numbers = vec![0.0f32; 3 * TASK_NUMBERS];
        for (place, value) in [(2 * TASK_NUMBERS + 1, f32::NAN), (TASK_NUMBERS + 3, f32::INFINITY)] {
            numbers[place] = value;
        }
        let bytes: Vec<_> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        let mut out = vec![7.0];
        assert_eq!(append(&bytes, F32, &mut out), Err(NotFinite(TASK_NUMBERS + 3)));
        assert_eq!(out, [7.0]);
    }
}
