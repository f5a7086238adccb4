//! A bounds-checked reader of safetensors files, and of models in several of them.
//!
//! Source: the format's description in the safetensors repository (`README.md`). Layout:
//!
//! | part | bytes |
//! | --- | --- |
//! | length | of the header, u64, little-endian |
//! | header | a JSON object, padded with spaces: per tensor its name and `dtype`, `shape`, `data_offsets` |
//! | data | each tensor's elements, little-endian; offsets count from here, and every byte belongs to one tensor |
//!
//! Principles, as in [`gguf`](crate::gguf): a number of the file is an allegation; what parsing allocates is
//! proportional to the header; weights stay where they are until they are read; each error is one sentence.
//!
//! Why not the crate `safetensors` (0.8): it reads the header into maps, so that a name that is there twice is one
//! tensor and no error; its reader borrows the bytes, so that it cannot be kept beside the map that it reads; its
//! errors say neither which tensor it was nor what to do. JSON is `serde_json`'s here as there.
//!
//! Limits: [`HEADER_BYTES_MAX`], [`TENSORS_MAX`], [`NAME_BYTES_MAX`], [`INDEX_BYTES_MAX`], [`SHARDS_MAX`]; weights of the
//! types in [`Dtype::supported`].

mod dtype;
mod error;
mod header;
mod index;
mod json;
#[cfg(test)]
pub(crate) mod sample;
#[cfg(test)]
mod tests;

pub use dtype::Dtype;
pub use error::SafetensorsError;

use crate::{
    mapped::{self, FileBytes, MapError},
    to_f32::{self, Stored},
};
use std::{collections::HashMap, path::Path};

/// Tensors of a model: the largest known one has some 90,000 (DeepSeek-V3).
pub const TENSORS_MAX: usize = 262_144;
/// Bytes of a header: 128 for each of the most tensors. The format allows 100 MB; known ones have less than one.
pub const HEADER_BYTES_MAX: u64 = 128 * TENSORS_MAX as u64;
/// Bytes of a tensor's name: known ones have less than 150.
pub const NAME_BYTES_MAX: usize = 1024;
/// Bytes of an index: as a header, for it has a line for each tensor too. The largest known one has 9 MB.
pub const INDEX_BYTES_MAX: u64 = HEADER_BYTES_MAX;
/// Files of a model: the largest known ones have some 200, and each is a map of the process.
pub const SHARDS_MAX: usize = 1024;

/// The key of free-form metadata, which is no tensor's name.
const METADATA_KEY: &str = "__metadata__";
const SINGLE_NAME: &str = "model.safetensors";
const INDEX_NAME: &str = "model.safetensors.index.json";

/// One tensor, checked to lie inside its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// Sizes, slowest-varying first, as PyTorch has them: a matrix that maps `a` numbers to `b` has `[b, a]`. Without
    /// any it is one number; with a zero it has none.
    pub shape: Vec<usize>,
    /// How its elements are stored.
    pub dtype: Dtype,
    /// Which of the model's files has it.
    file: usize,
    start: usize,
    bytes: usize,
}

impl TensorInfo {
    /// How many numbers it has.
    #[must_use]
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }
}

/// A model's tensors, in one file or several, whose structure was checked.
pub struct Safetensors {
    files: Vec<FileBytes>,
    tensors: HashMap<Box<str>, TensorInfo>,
}

impl std::fmt::Debug for Safetensors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Safetensors").field("files", &self.files.len()).field("tensors", &self.tensors.len()).finish()
    }
}

impl Safetensors {
    /// Maps and checks the model at `path`: a file, an index (`….index.json`) with the files that it names, or a folder
    /// that has `model.safetensors` or else `model.safetensors.index.json`.
    ///
    /// # Errors
    /// [`SafetensorsError`], where it cannot be opened or is not what it should be.
    pub fn open(path: &Path) -> Result<Self, SafetensorsError> {
        if path.is_dir() {
            let (single, index) = (path.join(SINGLE_NAME), path.join(INDEX_NAME));
            return match (single.exists(), index.exists()) {
                (true, _) => Self::open_file(&single),
                (false, true) => index::open(&index),
                (false, false) => Err(SafetensorsError::NoModel { path: path.to_owned() }),
            };
        }
        let is_index = path.file_name().is_some_and(|name| name.as_encoded_bytes().ends_with(b".index.json"));
        if is_index { index::open(path) } else { Self::open_file(path) }
    }

    fn open_file(path: &Path) -> Result<Self, SafetensorsError> {
        Self::parse(map_file(path)?)
    }

    /// Checks a file that is in memory.
    ///
    /// # Errors
    /// [`SafetensorsError`], where it is not what it should be.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, SafetensorsError> {
        Self::parse(Box::new(bytes))
    }

    fn parse(file: FileBytes) -> Result<Self, SafetensorsError> {
        let tensors = header::read((*file).as_ref())?.into_iter().collect();
        Ok(Self { files: vec![file], tensors })
    }

    /// The names of all tensors, in no order.
    pub fn tensor_names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(AsRef::as_ref)
    }

    /// The tensor of that name.
    ///
    /// # Errors
    /// [`SafetensorsError::NoTensor`].
    pub fn tensor(&self, name: &str) -> Result<&TensorInfo, SafetensorsError> {
        self.tensors.get(name).ok_or_else(|| SafetensorsError::NoTensor { name: name.to_owned() })
    }

    /// The numbers of a tensor as f32, appended to `out`.
    ///
    /// # Errors
    /// [`SafetensorsError::NoTensor`], [`SafetensorsError::Unsupported`], [`SafetensorsError::NotFinite`].
    pub fn read_f32(&self, name: &str, out: &mut Vec<f32>) -> Result<(), SafetensorsError> {
        let stored = self.stored(name)?;
        to_f32::append(stored.bytes, stored.block, out)
            .map_err(|to_f32::NotFinite(index)| SafetensorsError::NotFinite { name: error::quoted(name), index })
    }

    /// The numbers of a tensor as the file stores them.
    ///
    /// # Errors
    /// [`SafetensorsError::NoTensor`], [`SafetensorsError::Unsupported`].
    pub fn stored(&self, name: &str) -> Result<Stored<'_>, SafetensorsError> {
        let info = self.tensor(name)?;
        let Some((block, format)) = info.dtype.block().zip(info.dtype.format()) else {
            return Err(SafetensorsError::Unsupported { name: error::quoted(name), dtype: info.dtype.name() });
        };
        let file = (*self.files[info.file]).as_ref();
        Ok(Stored { format, block, bytes: &file[info.start..info.start + info.bytes] })
    }
}

fn map_file(path: &Path) -> Result<FileBytes, SafetensorsError> {
    mapped::map(path).map_err(|error| match error {
        MapError::Open(source) => SafetensorsError::Open { path: path.to_owned(), source },
        MapError::NotAFile => SafetensorsError::NotAFile { path: path.to_owned() },
    })
}
