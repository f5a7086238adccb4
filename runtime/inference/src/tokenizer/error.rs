//! Why a tokenizer cannot be built.

use crate::gguf::GgufError;
use std::{io, path::PathBuf};
use thiserror::Error;

/// Why a tokenizer cannot be built.
#[derive(Debug, Error)]
pub enum TokenizerError {
    /// Its metadata are missing or of the wrong type.
    #[error("the tokenizer cannot be built: {0}")]
    File(#[from] GgufError),
    /// A model that is not in the table.
    #[error("the tokenizer's model is {name}, and supported are {known}; choose another model file")]
    Kind {
        /// As the file names it.
        name: String,
        /// Those in the table.
        known: String,
    },
    /// A splitter that is not in the table.
    #[error("the pre-tokenizer is {name}, and supported are {known}; choose another model file")]
    PreTokenizer {
        /// As the file names it.
        name: String,
        /// Those in the table.
        known: String,
    },
    /// A pattern of the table that does not compile.
    #[error("the pattern of the pre-tokenizer {name} is broken: {why}; this is a defect of Remit, report it")]
    Pattern {
        /// Whose pattern.
        name: String,
        /// What is wrong.
        why: String,
    },
    /// Arrays that do not fit together, ids that do not exist.
    #[error("the tokenizer's metadata are damaged: {0}; download the file again")]
    Damaged(String),
    /// A file of a model's folder that cannot be read.
    #[error("{path} cannot be read: {source}; check the folder and its permissions")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file of a model's folder that is larger than any known one.
    #[error("{path} has more than {limit} bytes; it is no tokenizer's file, choose another model")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Bytes at most.
        limit: u64,
    },
    /// A file of a model's folder whose contents do not make sense.
    #[error("{path}: {why}; download the file again, or choose another model")]
    Json {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}
