//! Language models: one decoder for all families, which are data.
//!
//! | part | does | knows |
//! | --- | --- | --- |
//! | [`architecture`] | says what a model is: sizes and features | no family, no file |
//! | `families` | one small file for each family: names, hyperparameters, tensors; one table of them | no computing |
//! | `metadata`, `tensors`, `placement` | read hyperparameters and weights of either format | no family |
//! | `decoder`, `feed`, [`attention`], [`linear`], [`rope`] | compute | an [`Architecture`] only |
//! | `cache` | a sequence's keys and values | sizes only |
//!
//! Principles:
//!
//! - Every size comes from the metadata and is checked against every tensor's shape before a number is read; a tensor
//!   that the decoder would not use is refused, since leaving it out would give other numbers.
//! - A feature is a field of [`Architecture`] that the decoder reads, never a branch on a family's name.
//! - A forward pass takes spans of several sequences and knows no requests. Logits are computed for the last position
//!   of a span and only where they are asked for.
//! - The hidden state is a `burn` tensor. Two seams touch plain memory instead, [`linear`] and [`attention`]: tensors go
//!   into both and come out, so that a device of another kind replaces what is inside these two.
//!
//! # Speed and what bounds it
//!
//! Weights are held once, as f32 in the file's own layout (one row for each output): SmolLM2-135M has 538 MB. A decode
//! step reads all of them, so that its limit is the memory's bandwidth over that size. `burn`'s matrix product runs a
//! single row on one core; [`linear`] therefore computes up to [`linear::ROWS_MAX`] rows itself, on all threads, from
//! the same memory. More rows (prefill) go to `burn`, which is bound by arithmetic. `benches/decode.rs` measures both
//! next to the limit, and this crate's README has figures.
//!
//! A row's result does not depend on the other rows of a step as long as there are at most [`linear::ROWS_MAX`] of
//! them: a sequence decodes to the same bits alone and beside others, also through experts. A prefill chunk may round
//! differently from single steps.

pub mod architecture;
pub mod attention;
mod cache;
mod decoder;
mod error;
mod families;
mod feed;
pub mod linear;
mod metadata;
mod placement;
pub mod rope;
mod tensors;
#[cfg(test)]
mod tests;

pub use architecture::Architecture;
pub use cache::KvCache;
pub use decoder::{Decoder, Span};
pub use error::ModelError;
pub use tensors::Tensors;

use crate::gguf::Gguf;

impl Architecture {
    /// Reads and checks what a GGUF file holds, its tensors' shapes too.
    ///
    /// # Errors
    /// [`ModelError`], where the file holds no model that the decoder can compute.
    pub fn from_gguf(file: &Gguf) -> Result<Self, ModelError> {
        families::read_gguf(file).map(|(architecture, _)| architecture)
    }
}
