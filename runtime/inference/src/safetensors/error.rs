//! What can be wrong with a safetensors file, or with a model in several of them.

use super::{Dtype, HEADER_BYTES_MAX, INDEX_BYTES_MAX, INDEX_NAME, NAME_BYTES_MAX, SHARDS_MAX, SINGLE_NAME};
use std::{io, path::PathBuf};
use thiserror::Error;

/// Why a safetensors file, or a tensor of it, cannot be used.
#[derive(Debug, Error)]
pub enum SafetensorsError {
    /// The operating system refused.
    #[error("cannot open {}: {source}; check that the file exists and may be read", path.display())]
    Open {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A pipe or a device, or a folder where a file should be.
    #[error("{} is not a file; name the .safetensors file, or the folder that holds the model", path.display())]
    NotAFile {
        /// What it is called.
        path: PathBuf,
    },
    /// A folder without a model.
    #[error(
        "the folder {} has neither {SINGLE_NAME} nor {INDEX_NAME}; download the model again, or name its file",
        path.display()
    )]
    NoModel {
        /// Which folder.
        path: PathBuf,
    },
    /// Something is wrong with one file of several.
    #[error("in the model's file {file}: {source}")]
    Shard {
        /// As the index names it.
        file: String,
        /// What is wrong.
        source: Box<SafetensorsError>,
    },
    /// Another format.
    #[error(
        "the file does not begin with a header's length and a brace, so it is not a safetensors file; choose another, or \
         download it again"
    )]
    NotSafetensors,
    /// The file ends inside its header.
    #[error(
        "the safetensors file's header should have {bytes} bytes and the file has {length}: it is cut short or corrupt; \
         download it again"
    )]
    Truncated {
        /// As the file states it.
        bytes: u64,
        /// Of the file.
        length: u64,
    },
    /// A header above the limit.
    #[error(
        "the safetensors file claims a header of {bytes} bytes and at most {HEADER_BYTES_MAX} are accepted: it is corrupt; \
         download it again"
    )]
    HeaderTooLong {
        /// As the file states it.
        bytes: u64,
    },
    /// A header that does not describe tensors.
    #[error("the safetensors file's header cannot be read: {reason}; download the file again")]
    Header {
        /// What is wrong, and where.
        reason: String,
    },
    /// A name above the limit.
    #[error(
        "a tensor's name has {bytes} bytes and at most {NAME_BYTES_MAX} are accepted; download the model again or choose \
         another"
    )]
    NameTooLong {
        /// Its length.
        bytes: usize,
    },
    /// A name that occurs twice.
    #[error("the tensor {name} is there twice: the file is corrupt; download it again")]
    Duplicate {
        /// Which.
        name: String,
    },
    /// A type that the format does not have.
    #[error("the tensor {name} has the unknown type {dtype}; those that can be read are {}", Dtype::supported())]
    UnknownType {
        /// Which tensor.
        name: String,
        /// As the file states it.
        dtype: String,
    },
    /// A type that is not read as weights.
    #[error(
        "the tensor {name} has the type {dtype}, which cannot be read; choose a model whose weights are {}",
        Dtype::supported()
    )]
    Unsupported {
        /// Which tensor.
        name: String,
        /// Its type.
        dtype: &'static str,
    },
    /// A shape that cannot be.
    #[error("the tensor {name} has an impossible shape: {why}; download the file again")]
    Shape {
        /// Which tensor.
        name: String,
        /// What is wrong.
        why: &'static str,
    },
    /// Data of another size than the shape says.
    #[error(
        "the tensor {name} has {bytes} bytes of data and its shape and type need {needed}: the file is corrupt; download it \
         again"
    )]
    Size {
        /// Which tensor.
        name: String,
        /// As the file states them.
        bytes: u64,
        /// What its shape makes.
        needed: u64,
    },
    /// Data that is not in the file.
    #[error(
        "the data of the tensor {name} should be bytes {begin} to {end} of the file's {length} bytes of data: the file is \
         cut short or corrupt; download it again"
    )]
    Outside {
        /// Which tensor.
        name: String,
        /// As the file states it.
        begin: u64,
        /// As the file states it.
        end: u64,
        /// Of the data.
        length: u64,
    },
    /// Data that belongs to two tensors.
    #[error(
        "the data of the tensor {name} begins at byte {begin}, inside that of another tensor: the file is corrupt; download \
         it again"
    )]
    Overlap {
        /// Which tensor.
        name: String,
        /// As the file states it.
        begin: u64,
    },
    /// Data that belongs to no tensor.
    #[error(
        "bytes {begin} to {end} of the safetensors file's data belong to no tensor: the file is corrupt; download it again"
    )]
    Gap {
        /// From the start of the data.
        begin: u64,
        /// From the start of the data.
        end: u64,
    },
    /// A tensor that a model needs.
    #[error("the model's files have no tensor {name}: it is not complete; download it again or choose another")]
    NoTensor {
        /// Which.
        name: String,
    },
    /// A weight that is not a number.
    #[error("number {index} of the tensor {name} is infinite or not a number: the file is damaged; download it again")]
    NotFinite {
        /// Which tensor.
        name: String,
        /// Its first such element.
        index: usize,
    },
    /// An index above the limit.
    #[error("the model's index has {bytes} bytes and at most {INDEX_BYTES_MAX} are accepted; download the model again")]
    IndexTooLong {
        /// Its length.
        bytes: u64,
    },
    /// An index that names no tensors.
    #[error("the model's index cannot be read: {reason}; download the model again")]
    Index {
        /// What is wrong, and where.
        reason: String,
    },
    /// More files than the limit.
    #[error("the model's index names {count} files and at most {SHARDS_MAX} are accepted; download the model again")]
    TooManyShards {
        /// How many.
        count: usize,
    },
    /// A file name that leads out of the model's folder.
    #[error(
        "the model's index names the file {file}, which is not a plain name that ends with .safetensors: it may only name \
         files beside itself; download the model again or choose another"
    )]
    ShardName {
        /// As the index names it.
        file: String,
    },
    /// A tensor that is not where the index says.
    #[error("the model's index says that {file} has the tensor {name}, and it has not; download the model again")]
    NotInShard {
        /// As the index names it.
        file: String,
        /// Which tensor.
        name: String,
    },
    /// A tensor that is there twice.
    #[error(
        "the tensor {name} is in {first} and in {second}: the model's files do not belong together; download it again"
    )]
    InTwoShards {
        /// Which tensor.
        name: String,
        /// A file that has it.
        first: String,
        /// Another.
        second: String,
    },
}

/// Characters of a file's own text that an error quotes.
const QUOTED_CHARACTERS_MAX: usize = 120;

/// Text of a file, fit for a sentence: short and without control characters.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted: String = text.chars().take(QUOTED_CHARACTERS_MAX).flat_map(char::escape_debug).collect();
    if text.chars().nth(QUOTED_CHARACTERS_MAX).is_some() {
        quoted.push('…');
    }
    quoted
}
