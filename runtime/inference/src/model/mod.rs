//! Language models: one decoder for all families, which are data; and an encoder for embeddings.
//!
//! | part | does | knows |
//! | --- | --- | --- |
//! | [`architecture`] | says what a model is: sizes and features | no family, no file |
//! | `families` | one small file for each family: names, hyperparameters, tensors; one table of them | no computing |
//! | `metadata`, `tensors`, `placement` | read hyperparameters and weights of either format | no family |
//! | `decoder`, `feed`, [`attention`], [`linear`], [`rope`] | compute | an [`Architecture`] only |
//! | [`NativeDecoder`] | the same pass on the CPU with packed weights | an [`Architecture`] only |
//! | [`encoder`] | computes the embedding of a text: another architecture, from the same parts | its own sizes |
//! | [`adapter`] | LoRA: small changes to weights, for one sequence | the decoder's slots |
//! | [`Pool`] | all sequences' keys and values, in blocks | sizes only |
//! | `split` | which layers are computed where | numbers only |
//! | `router` | which experts a row goes through | numbers only |
//! | `rows` | where tokens lie in a step's tensors; to what sizes a device pads them | numbers only |
//! | `device` | programs for GPUs: packed weights, and what lies between their products | tensors and sizes only |
//!
//! Principles:
//!
//! - A GGUF file and a `config.json` with safetensors beside it become the same, by [`Decoder::load`] and
//!   [`Decoder::from_json`].
//! - Every size comes from the metadata and is checked against every tensor's shape before a number is read; a tensor
//!   that the decoder would not use is refused, since leaving it out would give other numbers.
//! - A feature is a field of [`Architecture`] that the decoder reads, never a branch on a family's name.
//! - A forward pass takes spans of several sequences and knows no requests, and not whose the blocks are that a span
//!   names. Logits are computed for as many of a span's last tokens as are asked for.
//! - There are two ways through a model. `native` computes on the CPU, in plain memory, with the kernels of [`remit_compute`]. [`Decoder`]
//!   computes with `burn` tensors: on a GPU through programs of our own, and on `burn`'s CPU backend as the *plain path*, in f32
//!   and with no trick, against which the other two are tested. Two seams of it touch plain memory, [`linear`] and [`attention`].
//!
//! # Speed and what bounds it
//!
//! A decode step of few sequences reads all weights once, so that its limit is the memory's bandwidth over their size; with more rows
//! arithmetic bounds it, and attention where contexts are long. `benches/inference.rs` measures both next to the limit and to
//! llama.cpp, and this crate's README has figures.

pub mod adapter;
pub mod architecture;
pub mod attention;
mod decoder;
mod device;
pub mod encoder;
mod error;
mod families;
mod feed;
#[cfg(test)]
mod golden;
pub mod linear;
mod metadata;
mod native;
#[cfg(test)]
mod paging;
mod placement;
mod pool;
pub mod rope;
mod router;
mod rows;
mod split;
mod tensors;
#[cfg(test)]
mod tests;

pub use crate::to_f32::Stored;
pub use adapter::{Adapter, AdapterError, Home};
pub use architecture::Architecture;
pub use decoder::{Decoder, Span};
pub use device::WeightForm;
pub use encoder::Encoder;
pub use error::ModelError;
pub use native::{NativeDecoder, NativeMemory};
pub use pool::{BLOCK_TOKENS, Pool, PoolError};
pub(crate) use split::DeviceBytes;
pub use split::Split;
pub use tensors::Tensors;

use crate::gguf::Gguf;
use serde_json::{Map, Value};
use std::{fs::File, io::Read, path::Path};

/// Bytes of a `config.json`: the largest known ones have some 100,000, most of them lists of rotary divisors and of layers.
pub const CONFIG_BYTES_MAX: u64 = 1 << 20;

impl Architecture {
    /// Whether sequences that may come to so many tokens have the same keys for the same tokens. A model that turns long
    /// texts differently does so from the first token on.
    #[must_use]
    pub fn turns_alike(&self, room: usize, other_room: usize) -> bool {
        self.ropes.iter().all(|rope| rope.is_long(room) == rope.is_long(other_room))
    }

    /// Reads and checks what a GGUF file holds, its tensors' shapes too.
    ///
    /// # Errors
    /// [`ModelError`], where the file holds no model that the decoder can compute.
    pub fn from_gguf(file: &Gguf) -> Result<Self, ModelError> {
        families::read_gguf(file).map(|(architecture, _)| architecture)
    }

    /// Reads and checks what a `config.json` says, and the shapes of the tensors beside it.
    ///
    /// # Errors
    /// [`ModelError`], where they are no model that the decoder can compute.
    pub fn from_json(config: &Map<String, Value>, tensors: &dyn Tensors) -> Result<Self, ModelError> {
        families::read_json(config, tensors).map(|(architecture, _)| architecture)
    }
}

/// Reads a `config.json`.
///
/// # Errors
/// [`ModelError::Config`], where it cannot be opened, has more than [`CONFIG_BYTES_MAX`] bytes, or is no JSON object.
pub fn read_config(path: &Path) -> Result<Map<String, Value>, ModelError> {
    let failed = |why: String| ModelError::Config { path: path.to_owned(), why };
    let mut text = String::new();
    let file = File::open(path).map_err(|error| failed(error.to_string()))?;
    let read = file.take(CONFIG_BYTES_MAX + 1).read_to_string(&mut text);
    read.map_err(|error| failed(error.to_string()))?;
    if text.len() as u64 > CONFIG_BYTES_MAX {
        return Err(failed(format!("it has more than {CONFIG_BYTES_MAX} bytes")));
    }
    serde_json::from_str(&text).map_err(|error| failed(error.to_string()))
}
