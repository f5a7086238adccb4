//! What can be wrong with a GGUF file.

use super::{ARRAY_DEPTH_MAX, TensorType};
use std::{io, path::PathBuf};
use thiserror::Error;

/// Why a GGUF file, or a value of it, cannot be used.
#[derive(Debug, Error)]
pub enum GgufError {
    /// The operating system refused.
    #[error("cannot open {}: {source}; check that the file exists and may be read", path.display())]
    Open {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A folder, a pipe or a device.
    #[error("{} is not a file; name the .gguf file itself", path.display())]
    NotAFile {
        /// What it is called.
        path: PathBuf,
    },
    /// Another format.
    #[error("the file does not begin with GGUF, so it is not a GGUF model; choose a .gguf file, or download it again")]
    NotGguf,
    /// A version that this reader does not know.
    #[error(
        "the file is GGUF version {version} and versions 2 and 3 are supported; convert it with a current converter"
    )]
    Version {
        /// As the file states it.
        version: u32,
    },
    /// Made for another byte order.
    #[error("the GGUF file is big-endian and only little-endian files are supported; convert it")]
    BigEndian,
    /// The file ends inside something.
    #[error(
        "the GGUF file ends within {what} (at byte {offset} of {length}): it is cut short or corrupt; download it again"
    )]
    Truncated {
        /// Inside what.
        what: &'static str,
        /// Where that begins.
        offset: u64,
        /// Of the file.
        length: u64,
    },
    /// A count above the limit.
    #[error("the GGUF file claims {count} {what} and at most {limit} are accepted: it is corrupt; download it again")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// As the file states it.
        count: u64,
        /// What is accepted.
        limit: u64,
    },
    /// A string above the limit.
    #[error(
        "{what} at byte {offset} of the GGUF file has {bytes} bytes and at most {limit} are accepted; download it again"
    )]
    TooLong {
        /// Which string.
        what: &'static str,
        /// Where.
        offset: u64,
        /// Its length.
        bytes: u64,
        /// What is accepted.
        limit: u64,
    },
    /// A string that is none.
    #[error("{what} at byte {offset} of the GGUF file is not UTF-8: the file is corrupt; download it again")]
    NotUtf8 {
        /// Which string.
        what: &'static str,
        /// Where.
        offset: u64,
    },
    /// A name that occurs twice.
    #[error("the GGUF file has the {what} {name} twice: it is corrupt; download it again")]
    Duplicate {
        /// Of what.
        what: &'static str,
        /// Which.
        name: String,
    },
    /// A value type that the format does not have.
    #[error("the metadata key {key} has the unknown value type {id}: the GGUF file is corrupt; download it again")]
    UnknownValueType {
        /// Whose value.
        key: String,
        /// As the file states it.
        id: u32,
    },
    /// Arrays in arrays in arrays.
    #[error(
        "the metadata key {key} nests arrays more than {ARRAY_DEPTH_MAX} deep: the GGUF file is corrupt; download it again"
    )]
    TooDeep {
        /// Whose value.
        key: String,
    },
    /// An alignment that cannot be.
    #[error("the GGUF file's alignment is {alignment} and must be a power of two up to 1 MiB; download it again")]
    Alignment {
        /// As the file states it.
        alignment: u64,
    },
    /// A shape that cannot be.
    #[error("the tensor {name} of the GGUF file has an impossible shape: {why}; download it again")]
    Shape {
        /// Which tensor.
        name: String,
        /// What is wrong.
        why: &'static str,
    },
    /// A tensor type that the format does not have.
    #[error("the tensor {name} has the unknown type {id}; supported are {}", TensorType::supported())]
    UnknownType {
        /// Which tensor.
        name: String,
        /// As the file states it.
        id: u32,
    },
    /// A tensor type that this version cannot read.
    #[error(
        "the tensor {name} has the type {kind}, which is not supported yet; choose a file that has only {}",
        TensorType::supported()
    )]
    Unsupported {
        /// Which tensor.
        name: String,
        /// Its type.
        kind: &'static str,
    },
    /// Data that is not in the file.
    #[error(
        "the tensor {name} should have {bytes} bytes at offset {offset}, which is not inside the {length} bytes of the GGUF \
         file or not a multiple of {alignment}: the file is cut short or corrupt; download it again"
    )]
    Outside {
        /// Which tensor.
        name: String,
        /// From the start of the data.
        offset: u64,
        /// Its size.
        bytes: u64,
        /// Of the file.
        length: u64,
        /// Of the data.
        alignment: u64,
    },
    /// A tensor that a model needs.
    #[error("the GGUF file has no tensor {name}: it is not complete; download it again or choose another")]
    NoTensor {
        /// Which.
        name: String,
    },
    /// A weight that is not a number.
    #[error(
        "number {index} of the tensor {name} is infinite or not a number: the GGUF file is damaged; download it again"
    )]
    NotFinite {
        /// Which tensor.
        name: String,
        /// Its first such element.
        index: usize,
    },
    /// Metadata that a model needs.
    #[error("the GGUF file has no metadata key {key}: convert it with a current converter, or choose another")]
    NoKey {
        /// Which.
        key: String,
    },
    /// Metadata of another type.
    #[error("the metadata key {key} is {found} and should be {wanted}; convert the file with a current converter")]
    WrongType {
        /// Which.
        key: String,
        /// What it is.
        found: String,
        /// What it should be.
        wanted: &'static str,
    },
}
