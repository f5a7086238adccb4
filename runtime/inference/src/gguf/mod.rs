//! A bounds-checked reader of GGUF files, version 2 and 3.
//!
//! Source: the GGUF specification in the ggml repository (`docs/gguf.md`). Layout, little-endian throughout:
//!
//! | part | bytes |
//! | --- | --- |
//! | header | magic `GGUF`, version u32, tensor count u64, metadata count u64 |
//! | metadata | per entry: key (length u64, UTF-8), value type u32, value |
//! | directory | per tensor: name (length u64, UTF-8), dimension count u32, dimensions u64 each, type u32, offset u64 |
//! | data | from the next multiple of `general.alignment` (32 where absent); each offset counts from here |
//!
//! Principles:
//!
//! - A number of the file is an allegation. It is compared with what is left of the file before anything is allocated
//!   or multiplied with it, so that what parsing allocates is proportional to the file at most.
//! - Values stay where they are: an entry is a key, a type and an offset, and a getter decodes it. Parsing still walks
//!   over every value, so what a getter finds is inside the file.
//! - Each error is one sentence that names the place, the reason and the way out.
//!
//! Limits: [`ENTRIES_MAX`], [`KEY_BYTES_MAX`], [`ARRAY_DEPTH_MAX`], [`TENSOR_NAME_BYTES_MAX`], [`DIMENSIONS_MAX`]; one
//! file (no splits); little-endian files.

mod cursor;
mod dequantize;
mod error;
mod metadata;
#[cfg(test)]
pub(crate) mod sample;
#[cfg(test)]
mod tests;
mod types;

pub(crate) use dequantize::q4_k_scale_and_minimum;
pub use error::GgufError;
pub use metadata::{ValueType, optional};
pub use types::TensorType;

use crate::{
    mapped::{self, FileBytes, MapError},
    to_f32::Stored,
};
use cursor::Cursor;
use metadata::Entry;
use std::{collections::HashMap, path::Path};

/// Entries of the metadata, and tensors, each: the largest known files have some thousands.
pub const ENTRIES_MAX: u64 = 65_536;
/// The specification's limit on a key.
pub const KEY_BYTES_MAX: u64 = 65_535;
/// Arrays in arrays: known files have none.
pub const ARRAY_DEPTH_MAX: u32 = 4;
/// The specification's limit on a tensor's name.
pub const TENSOR_NAME_BYTES_MAX: u64 = 64;
/// The specification's limit on a tensor's dimensions.
pub const DIMENSIONS_MAX: u32 = 4;

const MAGIC: &[u8] = b"GGUF";
const ALIGNMENT_KEY: &str = "general.alignment";
const ALIGNMENT_DEFAULT: u32 = 32;

/// One tensor of the directory, checked to lie inside the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// Sizes, fastest-varying first: a matrix that maps `a` numbers to `b` has `[a, b]`.
    pub dimensions: Vec<usize>,
    /// How its elements are stored.
    pub kind: TensorType,
    start: usize,
    bytes: usize,
}

impl TensorInfo {
    /// How many numbers it has.
    #[must_use]
    pub fn elements(&self) -> usize {
        self.dimensions.iter().product()
    }
}

/// A GGUF file whose structure was checked.
pub struct Gguf {
    bytes: FileBytes,
    entries: HashMap<Box<str>, Entry>,
    tensors: HashMap<Box<str>, TensorInfo>,
}

impl std::fmt::Debug for Gguf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gguf").field("entries", &self.entries.len()).field("tensors", &self.tensors.len()).finish()
    }
}

impl Gguf {
    /// Maps and checks the file at `path`.
    ///
    /// # Errors
    /// [`GgufError`], where it cannot be opened or is not what it should be.
    pub fn open(path: &Path) -> Result<Self, GgufError> {
        let bytes = mapped::map(path).map_err(|error| match error {
            MapError::Open(source) => GgufError::Open { path: path.to_owned(), source },
            MapError::NotAFile => GgufError::NotAFile { path: path.to_owned() },
        })?;
        Self::parse(bytes)
    }

    /// Checks a file that is in memory.
    ///
    /// # Errors
    /// [`GgufError`], where it is not what it should be.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, GgufError> {
        Self::parse(Box::new(bytes))
    }

    fn parse(source: FileBytes) -> Result<Self, GgufError> {
        let bytes = (*source).as_ref();
        let mut cursor = Cursor::new(bytes);
        let (tensor_count, entry_count) = header(&mut cursor)?;
        let entries = metadata::read_entries(&mut cursor, entry_count)?;
        let alignment = alignment(bytes, &entries)?;
        let tensors = read_directory(&mut cursor, tensor_count, alignment)?;
        Ok(Self { bytes: source, entries, tensors })
    }

    fn bytes(&self) -> &[u8] {
        (*self.bytes).as_ref()
    }

    /// The names of all tensors, in no order.
    pub fn tensor_names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(AsRef::as_ref)
    }

    /// The tensor of that name.
    ///
    /// # Errors
    /// [`GgufError::NoTensor`].
    pub fn tensor(&self, name: &str) -> Result<&TensorInfo, GgufError> {
        self.tensors.get(name).ok_or_else(|| GgufError::NoTensor { name: name.to_owned() })
    }

    /// The numbers of a tensor as f32, appended to `out`.
    ///
    /// # Errors
    /// [`GgufError::NoTensor`], [`GgufError::Unsupported`], [`GgufError::NotFinite`].
    pub fn dequantize(&self, name: &str, out: &mut Vec<f32>) -> Result<(), GgufError> {
        dequantize::append(name, self.stored(name)?, out)
    }

    /// The numbers of a tensor as the file stores them.
    ///
    /// # Errors
    /// [`GgufError::NoTensor`], [`GgufError::Unsupported`].
    pub fn stored(&self, name: &str) -> Result<Stored<'_>, GgufError> {
        let info = self.tensor(name)?;
        let unsupported = || GgufError::Unsupported { name: name.to_owned(), kind: info.kind.name() };
        let (block, format) = info.kind.block().zip(info.kind.format()).ok_or_else(unsupported)?;
        let bytes = &self.bytes()[info.start..info.start + info.bytes];
        Ok(Stored { format, block, bytes })
    }
}

/// Returns the counts of tensors and of metadata entries.
fn header(cursor: &mut Cursor<'_>) -> Result<(u64, u64), GgufError> {
    let magic = cursor.take(4, "the magic number")?;
    if magic != MAGIC {
        return Err(GgufError::NotGguf);
    }
    let version = cursor.u32("the version")?;
    if !matches!(version, 2 | 3) {
        return Err(if version.swap_bytes() <= 3 { GgufError::BigEndian } else { GgufError::Version { version } });
    }
    let tensor_count = cursor.u64("the tensor count")?;
    let entry_count = cursor.u64("the metadata count")?;
    for (what, count) in [("tensors", tensor_count), ("metadata entries", entry_count)] {
        if count > ENTRIES_MAX {
            return Err(GgufError::TooMany { what, count, limit: ENTRIES_MAX });
        }
    }
    Ok((tensor_count, entry_count))
}

fn alignment(bytes: &[u8], entries: &HashMap<Box<str>, Entry>) -> Result<u64, GgufError> {
    let alignment = match entries.get(ALIGNMENT_KEY) {
        Some(entry) => entry.unsigned(ALIGNMENT_KEY, bytes)?,
        None => u64::from(ALIGNMENT_DEFAULT),
    };
    if !alignment.is_power_of_two() || alignment > 1 << 20 {
        return Err(GgufError::Alignment { alignment });
    }
    Ok(alignment)
}

/// A tensor as the file states it, before its place is known to be in the file.
struct Stated {
    name: Box<str>,
    dimensions: Vec<usize>,
    kind: TensorType,
    offset: u64,
    bytes: u64,
}

fn read_directory(
    cursor: &mut Cursor<'_>,
    count: u64,
    alignment: u64,
) -> Result<HashMap<Box<str>, TensorInfo>, GgufError> {
    let mut stated = Vec::new();
    for _ in 0..count {
        stated.push(read_tensor(cursor)?);
    }
    let length = cursor.length();
    let data_start = cursor.position().next_multiple_of(alignment);
    let mut tensors = HashMap::new();
    for Stated { name, dimensions, kind, offset, bytes } in stated {
        let end = data_start.checked_add(offset).and_then(|start| start.checked_add(bytes));
        let inside = end.filter(|end| *end <= length);
        let (Some(end), true) = (inside, offset.is_multiple_of(alignment)) else {
            return Err(GgufError::Outside { name: name.into(), offset, bytes, length, alignment });
        };
        // Both fit: they are at most the length of a slice.
        let info = TensorInfo { dimensions, kind, start: (end - bytes) as usize, bytes: bytes as usize };
        if tensors.contains_key(&name) {
            return Err(GgufError::Duplicate { what: "tensor", name: name.into() });
        }
        tensors.insert(name, info);
    }
    Ok(tensors)
}

fn read_tensor(cursor: &mut Cursor<'_>) -> Result<Stated, GgufError> {
    let name = cursor.string("a tensor's name", TENSOR_NAME_BYTES_MAX)?;
    let shape_error = |why| GgufError::Shape { name: name.to_owned(), why };
    let count = cursor.u32("a tensor's dimension count")?;
    if !(1..=DIMENSIONS_MAX).contains(&count) {
        return Err(shape_error("it must have one to four dimensions"));
    }
    let mut dimensions = Vec::new();
    let mut elements = 1u64;
    for _ in 0..count {
        let size = cursor.u64("a tensor's dimensions")?;
        elements = elements.checked_mul(size).ok_or_else(|| shape_error("the product of its dimensions overflows"))?;
        dimensions.push(usize::try_from(size).map_err(|_| shape_error("a dimension exceeds this machine's memory"))?);
    }
    if elements == 0 {
        return Err(shape_error("a dimension is zero"));
    }
    let id = cursor.u32("a tensor's type")?;
    let kind = TensorType::from_id(id).ok_or_else(|| GgufError::UnknownType { name: name.to_owned(), id })?;
    if !dimensions[0].is_multiple_of(kind.block_elements()) {
        return Err(shape_error("its rows are not whole blocks of its type"));
    }
    let blocks = elements / kind.block_elements() as u64;
    let bytes = blocks.checked_mul(kind.block_bytes() as u64).ok_or_else(|| shape_error("its size overflows"))?;
    let offset = cursor.u64("a tensor's offset")?;
    Ok(Stated { name: name.into(), dimensions, kind, offset, bytes })
}
