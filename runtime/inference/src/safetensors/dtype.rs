//! The table of element types.
//!
//! Source: the enum `Dtype` of the safetensors repository. A type without a reader is known only by its size, so that the
//! rest of its file can be checked and read.

use crate::to_f32::{self, Block, ReadBlocks};
use remit_compute::weights::Format;

/// How a tensor's elements are stored.
#[derive(Clone, Copy)]
pub struct Dtype(&'static Row);

#[derive(Clone, Copy)]
struct Row {
    name: &'static str,
    bits: u64,
    read: Option<(Format, ReadBlocks)>,
}

const fn known(name: &'static str, bits: u64) -> Row {
    Row { name, bits, read: None }
}

const fn read_by(format: Format, read: ReadBlocks, row: Row) -> Row {
    Row { read: Some((format, read)), ..row }
}

/// `F64` is not read: no model that is served has such weights, and rounding them would be a silent change.
static TABLE: [Row; 22] = [
    read_by(Format::F32, to_f32::f32, known("F32", 32)),
    read_by(Format::F16, to_f32::f16, known("F16", 16)),
    read_by(Format::Bf16, to_f32::bf16, known("BF16", 16)),
    known("F64", 64),
    known("I64", 64),
    known("I32", 32),
    known("I16", 16),
    known("I8", 8),
    known("U64", 64),
    known("U32", 32),
    known("U16", 16),
    known("U8", 8),
    known("BOOL", 8),
    known("C64", 64),
    known("F8_E4M3", 8),
    known("F8_E5M2", 8),
    known("F8_E8M0", 8),
    known("F8_E4M3FNUZ", 8),
    known("F8_E5M2FNUZ", 8),
    known("F6_E2M3", 6),
    known("F6_E3M2", 6),
    known("F4", 4),
];

impl Dtype {
    /// The type of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        TABLE.iter().find(|row| row.name == name).map(Self)
    }

    /// As the format calls it, for example `BF16`.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.0.name
    }

    /// Bits of an element; a tensor's are packed without gaps and fill whole bytes.
    #[must_use]
    pub fn bits(self) -> u64 {
        self.0.bits
    }

    /// What reads it, where something does: types that are read have whole bytes.
    pub(super) fn block(self) -> Option<Block> {
        Some(Block { bytes: self.0.bits as usize / 8, elements: 1, read: self.0.read?.1 })
    }

    /// What its elements are, where something reads them.
    pub(super) fn format(self) -> Option<Format> {
        Some(self.0.read?.0)
    }

    /// The names of all types that can be read, comma-separated.
    #[must_use]
    pub fn supported() -> String {
        let names: Vec<_> = TABLE.iter().filter(|row| row.read.is_some()).map(|row| row.name).collect();
        names.join(", ")
    }
}

impl PartialEq for Dtype {
    fn eq(&self, other: &Self) -> bool {
        self.0.name == other.0.name
    }
}

impl Eq for Dtype {}

impl std::fmt::Debug for Dtype {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
