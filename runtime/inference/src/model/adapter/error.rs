//! Why an adapter cannot be used.

use crate::{model::ModelError, safetensors::SafetensorsError};
use std::path::PathBuf;
use thiserror::Error;

/// Why an adapter cannot be used with a base.
#[derive(Debug, Error)]
pub enum AdapterError {
    /// Its configuration or a tensor cannot be read.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A single file, for example one that llama.cpp made.
    #[error(
        "{} is no folder; an adapter is the folder that `peft` writes, with adapter_config.json and \
         adapter_model.safetensors",
        path.display()
    )]
    NotAFolder {
        /// What was given.
        path: PathBuf,
    },
    /// Weights that only Python reads, by running what is in them.
    #[error("{} is a pickle, which is not read; save the adapter as safetensors (`save_pretrained` does so)", path.display())]
    Pickle {
        /// The file.
        path: PathBuf,
    },
    /// Another method than LoRA.
    #[error("its peft_type is {kind}, and only LORA is supported; choose another adapter")]
    Kind {
        /// As the configuration names it.
        kind: String,
    },
    /// A feature that would give other numbers.
    #[error(
        "its adapter_config.json asks for {what}, which is not supported; train it without, or merge it into its base and \
         serve the result as a model"
    )]
    Feature {
        /// Which.
        what: String,
    },
    /// An initialisation that took something away from the base's weights.
    #[error(
        "it was initialised by {method}, which changes the base's weights; convert it to a plain LoRA when saving it (`peft`: \
         path_initial_model_for_weight_conversion)"
    )]
    Initialisation {
        /// Which one.
        method: String,
    },
    /// A tensor for a matrix that the base does not have, or that cannot be adapted.
    #[error(
        "its tensor {name} belongs to no matrix of attention or of a dense feed-forward in the base's {layers} layers; use it \
         with the base that it was trained on, or train it on these matrices alone"
    )]
    Tensor {
        /// Which one.
        name: String,
        /// Of the base.
        layers: usize,
    },
    /// A tensor of another shape than the base's matrix and the rank imply.
    #[error(
        "its tensor {name} has the shape {found:?} and should have {wanted:?}; use it with the base that it was trained on"
    )]
    Shape {
        /// Which one.
        name: String,
        /// As the file states it, slowest-varying size first.
        found: Vec<usize>,
        /// As the base and the rank imply.
        wanted: Vec<usize>,
    },
    /// No tensor at all.
    #[error("it has no tensors, so that it would change nothing; save it again")]
    Empty,
    /// A tokenizer of its own.
    #[error(
        "its tokenizer.json and its base's differ in token {token}, and an adapter is served with its base's tokenizer; \
         remove the file where it was saved by mistake, or merge the adapter into its base and serve the result as a model"
    )]
    Tokenizer {
        /// The first that differs.
        token: u32,
    },
}

impl From<SafetensorsError> for AdapterError {
    fn from(error: SafetensorsError) -> Self {
        Self::Model(error.into())
    }
}
