//! Why a model could not be loaded.

use crate::{
    device::DeviceError,
    model::{AdapterError, ModelError, PoolError},
    template::TemplateError,
    tokenizer::TokenizerError,
};
use thiserror::Error;

/// Why an engine did not start. Each names the model as the registry does.
#[derive(Debug, Error)]
pub enum LoadError {
    /// Its tokenizer cannot be built.
    #[error("model {name}: {source}")]
    Tokenizer {
        /// The registry's name.
        name: String,
        /// What is wrong.
        source: TokenizerError,
    },
    /// Its chat template cannot be compiled.
    #[error("model {name}: {source}")]
    Template {
        /// The registry's name.
        name: String,
        /// What is wrong.
        source: TemplateError,
    },
    /// Its files cannot be read, are not of a family that is served, or do not fit together.
    #[error("model {name}: {source}")]
    Model {
        /// The registry's name.
        name: String,
        /// What is wrong.
        source: ModelError,
    },
    /// There cannot be so many blocks for its keys and values.
    #[error("model {name}: {source}")]
    Blocks {
        /// The registry's name.
        name: String,
        /// What is wrong.
        source: PoolError,
    },
    /// Two models have one name.
    #[error("two models are called {name}; give each a name of its own")]
    Duplicate {
        /// That name.
        name: String,
    },
    /// The tokenizer has tokens for which there are no weights.
    #[error(
        "model {name}: its tokenizer has {tokens} tokens and its weights {rows}; the file is damaged, download it again"
    )]
    Vocabulary {
        /// The registry's name.
        name: String,
        /// Of the tokenizer.
        tokens: usize,
        /// Of the output matrix.
        rows: usize,
    },
    /// It can never be in memory.
    #[error(
        "model {name}: its weights take {} MB, and all models together may have {} MB of memory; raise that limit, or \
         choose a smaller model", bytes.div_ceil(1_000_000), most / 1_000_000
    )]
    TooLarge {
        /// The registry's name.
        name: String,
        /// Bytes of its weights, in memory.
        bytes: u64,
        /// Bytes of all models' weights, at most.
        most: u64,
    },
    /// An adapter's files cannot be read, or do not fit its base.
    #[error("model {name}, an adapter of {base}: {source}")]
    Adapter {
        /// The registry's name.
        name: String,
        /// That of its base.
        base: String,
        /// What is wrong.
        source: Box<AdapterError>,
    },
    /// An adapter for which there is no room beside its base.
    #[error(
        "model {name}: it takes {bytes} bytes beside its base, and of the memory for all models' weights {left} are left; add it \
         while less is in memory, or raise that limit"
    )]
    AdapterRoom {
        /// The registry's name.
        name: String,
        /// What it takes.
        bytes: u64,
        /// What others leave, and its base.
        left: u64,
    },
    /// An adapter of a model that is not served here.
    #[error("model {name}: its base {base} is no model of this engine, which has {known}; load the base first")]
    NoBase {
        /// The registry's name.
        name: String,
        /// That of its base.
        base: String,
        /// What there is, comma-separated.
        known: String,
    },
    /// As many adapters as are possible.
    #[error(
        "model {name}: {most} adapters are loaded in its base's engine, and more are not possible; restart the host to begin \
         anew"
    )]
    AdapterCount {
        /// The registry's name.
        name: String,
        /// How many are possible.
        most: usize,
    },
    /// More weights of adapters than there may be.
    #[error(
        "model {name}: it takes {bytes} bytes, and of {most} for all adapters of its base's engine {left} are left; restart \
         the host to begin anew, or choose an adapter with a smaller rank"
    )]
    AdapterBytes {
        /// The registry's name.
        name: String,
        /// What it takes.
        bytes: u64,
        /// What all may take.
        most: u64,
        /// What others leave of it.
        left: u64,
    },
    /// There is no device of the kind that was chosen.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The operating system gave no thread.
    #[error("the engine's threads cannot be started: {0}; raise the limit on threads")]
    Thread(String),
    /// The weights are in memory, and nothing can be computed with them.
    #[error("a first token could not be computed: {0}; look at the device and its driver, or choose the CPU")]
    Probe(String),
    /// The engine's thread ended while it loaded.
    #[error(
        "the engine's thread ended while it loaded: {0}; this is a defect of Remit, report it with the file's name"
    )]
    Crashed(String),
}
