//! Inference inside the host: a model's files go in, streamed text comes out, through the port
//! [`Engine`](remit_kernel::ports::Engine).
//!
//! Path of a token: [`template`] renders the conversation, [`tokenizer`] makes tokens of it (both on the caller's
//! thread), [`engine`] schedules the sequence on its one thread, [`model`] computes logits, [`sampler`] draws a token,
//! the tokenizer's [`Utf8Stream`](tokenizer::Utf8Stream) turns it into whole characters and [`stop`] looks for the end.
//!
//! Principles:
//!
//! - A model file is untrusted input, and so is its template: every number in it is checked before it is used, and an
//!   error is one sentence that says what failed, why, and what to do.
//! - Text from a conversation never becomes a control token (see [`tokenizer`]).
//! - What decides (schedule, sampler, stop) is pure and plain; what computes ([`model`]) knows no requests.
//! - This crate opens no sockets, serves no protocol and knows no database; its device is `burn`'s.
//!
//! Limits: the families in the README's table, on the CPU or on one GPU ([`device`]). The [`model`] module says what bounds their
//! speed.

mod adapter_files;
pub mod device;
mod embedder;
pub mod engine;
mod error;
mod files;
pub mod gguf;
mod heap;
mod mapped;
pub mod model;
mod requirements;
pub mod residency;
pub mod safetensors;
pub mod sampler;
pub mod stop;
pub mod template;
mod to_f32;
pub mod tokenizer;

pub use adapter_files::AdapterFile;
pub use device::{DeviceChoice, DeviceError, DeviceView, OpenDevice};
pub use embedder::LocalEmbedder;
pub use engine::{
    BLOCK_TOKENS, Ends, GENERATIONS, Histogram, Limits, LocalEngine, Measures, ModelFigures, ModelFile, PolicyChoice,
    Totals,
};
pub use error::LoadError;
pub use requirements::{Requirements, adapter_bytes, read_bandwidth};
pub use residency::Residency;
