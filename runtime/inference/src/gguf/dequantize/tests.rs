//! Every type against what the `gguf` package makes of the same blocks, and against noise.

use crate::{
    gguf::{Gguf, TensorType, sample::Writer},
    to_f32::Block,
};
use proptest::prelude::*;
use std::path::Path;

fn supported() -> impl Iterator<Item = (TensorType, Block)> {
    (0..64).filter_map(TensorType::from_id).filter_map(|kind| Some((kind, kind.block()?)))
}

/// The blocks of a golden and their numbers; see `tests/goldens/quants.py`.
fn golden(kind: TensorType) -> (Vec<u8>, Vec<u32>) {
    let path = Path::new("tests/goldens/quants").join(kind.name()).with_extension("bin");
    let mut blocks = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let count = blocks.len() / (kind.block_bytes() + 4 * kind.block_elements());
    let numbers = blocks.split_off(count * kind.block_bytes());
    assert_eq!(numbers.len(), count * kind.block_elements() * 4);
    (blocks, numbers.as_chunks().0.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect())
}

fn check(kind: TensorType, id: u32) {
    let (blocks, expect) = golden(kind);
    let file = Writer::new().tensor("t", &[expect.len() as u64], id, &blocks).finish();
    let mut out = Vec::new();
    Gguf::from_bytes(file).unwrap().dequantize("t", &mut out).unwrap();
    for (index, (got, expect)) in out.iter().zip(&expect).enumerate() {
        assert_eq!(got.to_bits(), *expect, "number {index} of {kind:?}: {got}, not {}", f32::from_bits(*expect));
    }
    assert_eq!(out.len(), expect.len());
}

#[test]
fn every_type_reads_as_the_reference_bit_for_bit() {
    for id in 0..64 {
        if let Some(kind) = TensorType::from_id(id).filter(|kind| kind.block().is_some()) {
            check(kind, id);
        }
    }
}

#[test]
fn readers_take_blocks_of_the_tables_sizes() {
    for (kind, block) in supported() {
        // A larger block than the table's would leave numbers of three unwritten, a smaller one would show in the goldens.
        let mut out = vec![f32::NAN; 3 * block.elements];
        (block.read)(&vec![1; 3 * block.bytes], &mut out);
        assert!(out.iter().all(|number| number.is_finite()), "{kind:?}: {out:?}");
    }
}

proptest! {
    #[test]
    fn readers_survive_noise(noise in prop::collection::vec(any::<u8>(), 0..1200)) {
        for (_, block) in supported() {
            let count = noise.len() / block.bytes;
            let mut out = vec![0.0; count * block.elements];
            (block.read)(&noise[..count * block.bytes], &mut out);
            // Also where the sizes do not fit, which a checked file rules out.
            (block.read)(&noise, &mut out);
            (block.read)(&noise, &mut [0.0; 7]);
        }
    }
}
