//! The llama family as one decoder.
//!
//! Sources: Touvron et al. 2023, "LLaMA" (the architecture); Zhang and Sennrich 2019 (RMSNorm); Su et al. 2021,
//! "RoFormer" (rotary embedding); Shazeer 2020, "GLU Variants Improve Transformer" (SwiGLU); Ainslie et al. 2023,
//! "GQA"; llama.cpp's `llama-arch.cpp` and `llama-model.cpp` (names in the file). A GGUF file of this family stores the
//! rows of the query and key matrices so that the pairs which the rotary embedding turns are neighbours.
//!
//! Principles:
//!
//! - Every size comes from the metadata and is checked against every tensor's shape; a tensor that the decoder would
//!   not use is refused, since leaving it out would give other numbers.
//! - A forward pass takes spans of several sequences and knows no requests. Logits are computed for the last position
//!   of a span and only where they are asked for.
//! - The hidden state is a `burn` tensor. Two seams touch plain memory instead: [`linear`] and [`attention`]; a device
//!   of another kind replaces these two.
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
//! them: a sequence decodes to the same bits alone and beside others. A prefill chunk may round differently from single
//! steps.

pub mod attention;
mod config;
mod decoder;
pub mod linear;
#[cfg(test)]
mod tests;

pub use attention::KvCache;
pub use config::{Config, ModelError};
pub use decoder::{Decoder, Span};
