//! Why a model cannot be computed.

use crate::{gguf::GgufError, safetensors::SafetensorsError};
use remit_compute::weights::PackError;
use std::path::PathBuf;
use thiserror::Error;

/// Why a model cannot be computed.
#[derive(Debug, Error)]
pub enum ModelError {
    /// Metadata or a tensor of a GGUF file is missing, or of a type that cannot be read.
    #[error(transparent)]
    File(#[from] GgufError),
    /// A tensor of a safetensors file is missing, or of a type that cannot be read.
    #[error(transparent)]
    Safetensors(#[from] SafetensorsError),
    /// A `config.json` that is none.
    #[error("the configuration {} cannot be read: {why}; download the model again", path.display())]
    Config {
        /// Which file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// A family that has no file in `families`.
    #[error("its architecture is {name}, and supported are {}; choose another model", supported.join(", "))]
    Architecture {
        /// As the file names it.
        name: String,
        /// The names that are known.
        supported: Vec<&'static str>,
    },
    /// Weights that cannot be laid out for the CPU.
    #[error("its tensor {name} cannot be computed with: {source}; download the file again")]
    Pack {
        /// Which tensor.
        name: String,
        /// Why.
        source: PackError,
    },
    /// A variant of the architecture that would give other numbers.
    #[error("it uses {what}, which is not supported yet; choose another model")]
    Variant {
        /// Which.
        what: String,
    },
    /// Hyperparameters that contradict each other.
    #[error("its metadata contradict each other: {why}; download the file again")]
    Metadata {
        /// How.
        why: String,
    },
    /// A hyperparameter that a model needs.
    #[error("its metadata have no {key}; download the file again, or convert it with a current converter")]
    NoKey {
        /// As the metadata would call it.
        key: String,
    },
    /// A tensor of another shape than the metadata imply.
    #[error("its tensor {name} has the shape {found:?} and should have {wanted:?}; download the file again")]
    Shape {
        /// Which tensor.
        name: String,
        /// As the file states it, slowest-varying size first.
        found: Vec<usize>,
        /// As the metadata imply.
        wanted: Vec<usize>,
    },
}

impl ModelError {
    /// Metadata that contradict each other, and how.
    pub(super) fn metadata(why: impl Into<String>) -> Self {
        Self::Metadata { why: why.into() }
    }

    /// What would give other numbers.
    pub(super) fn variant(what: impl Into<String>) -> Self {
        Self::Variant { what: what.into() }
    }
}
