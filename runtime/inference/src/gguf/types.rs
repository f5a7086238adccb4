//! The table of tensor types: how each is stored, and what reads it.
//!
//! Source: `ggml.h` (ids) and `ggml-common.h` (block layouts) of the ggml repository. A type without a reader is known
//! only by its size: it can be named, and the rest of its file can be read. To support one, write its function in
//! [`dequantize`](super::dequantize) and name it here.

use super::dequantize;
use crate::to_f32::{self, Block, ReadBlocks};
use remit_compute::weights::Format;

/// How a tensor's elements are stored.
#[derive(Clone, Copy)]
pub struct TensorType(&'static Row);

#[derive(Clone, Copy)]
struct Row {
    id: u32,
    name: &'static str,
    block_elements: usize,
    block_bytes: usize,
    read: Option<(Format, ReadBlocks)>,
}

const fn known(id: u32, name: &'static str, block_elements: usize, block_bytes: usize) -> Row {
    Row { id, name, block_elements, block_bytes, read: None }
}

const fn read_by(format: Format, read: ReadBlocks, row: Row) -> Row {
    Row { read: Some((format, read)), ..row }
}

static TABLE: [Row; 31] = [
    read_by(Format::F32, to_f32::f32, known(0, "F32", 1, 4)),
    read_by(Format::F16, to_f32::f16, known(1, "F16", 1, 2)),
    read_by(Format::Q4_0, dequantize::q4_0, known(2, "Q4_0", 32, 18)),
    read_by(Format::Q4_1, dequantize::q4_1, known(3, "Q4_1", 32, 20)),
    read_by(Format::Q5_0, dequantize::q5_0, known(6, "Q5_0", 32, 22)),
    read_by(Format::Q5_1, dequantize::q5_1, known(7, "Q5_1", 32, 24)),
    read_by(Format::Q8_0, dequantize::q8_0, known(8, "Q8_0", 32, 34)),
    known(9, "Q8_1", 32, 36),
    read_by(Format::Q2K, dequantize::q2_k, known(10, "Q2_K", 256, 84)),
    read_by(Format::Q3K, dequantize::q3_k, known(11, "Q3_K", 256, 110)),
    read_by(Format::Q4K, dequantize::q4_k, known(12, "Q4_K", 256, 144)),
    read_by(Format::Q5K, dequantize::q5_k, known(13, "Q5_K", 256, 176)),
    read_by(Format::Q6K, dequantize::q6_k, known(14, "Q6_K", 256, 210)),
    known(15, "Q8_K", 256, 292),
    known(16, "IQ2_XXS", 256, 66),
    known(17, "IQ2_XS", 256, 74),
    known(18, "IQ3_XXS", 256, 98),
    known(19, "IQ1_S", 256, 50),
    read_by(Format::Iq4Nl, dequantize::iq4_nl, known(20, "IQ4_NL", 32, 18)),
    known(21, "IQ3_S", 256, 110),
    known(22, "IQ2_S", 256, 82),
    read_by(Format::Iq4Xs, dequantize::iq4_xs, known(23, "IQ4_XS", 256, 136)),
    known(24, "I8", 1, 1),
    known(25, "I16", 1, 2),
    known(26, "I32", 1, 4),
    known(27, "I64", 1, 8),
    known(28, "F64", 1, 8),
    known(29, "IQ1_M", 256, 56),
    read_by(Format::Bf16, to_f32::bf16, known(30, "BF16", 1, 2)),
    known(34, "TQ1_0", 256, 54),
    known(35, "TQ2_0", 256, 66),
];

impl TensorType {
    /// The type of that id in `ggml.h`.
    #[must_use]
    pub fn from_id(id: u32) -> Option<Self> {
        TABLE.iter().find(|row| row.id == id).map(Self)
    }

    /// As ggml calls it, for example `Q4_1`.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.0.name
    }

    /// Elements that are stored together.
    #[must_use]
    pub fn block_elements(self) -> usize {
        self.0.block_elements
    }

    /// Bytes of a block.
    #[must_use]
    pub fn block_bytes(self) -> usize {
        self.0.block_bytes
    }

    /// What reads it, where something does.
    pub(crate) fn block(self) -> Option<Block> {
        Some(Block { bytes: self.0.block_bytes, elements: self.0.block_elements, read: self.0.read?.1 })
    }

    /// What its blocks hold, where something reads it.
    pub(crate) fn format(self) -> Option<Format> {
        Some(self.0.read?.0)
    }

    /// The names of all types that can be read, comma-separated.
    #[must_use]
    pub fn supported() -> String {
        let names: Vec<_> = TABLE.iter().filter(|row| row.read.is_some()).map(|row| row.name).collect();
        names.join(", ")
    }
}

impl PartialEq for TensorType {
    fn eq(&self, other: &Self) -> bool {
        self.0.id == other.0.id
    }
}

impl Eq for TensorType {}

impl std::fmt::Debug for TensorType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
