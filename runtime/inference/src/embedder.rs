//! Texts as vectors: an encoder, its tokenizer, and the threads that compute.
//!
//! A batch's texts are computed side by side, one to a thread, each to the same bits as alone: a text of a sentence is too
//! small for several threads to share, and texts of different lengths would pad each other.

use crate::{
    LoadError, ModelFile,
    files::ModelFiles,
    model::{Encoder, encoder::EmbedError},
    tokenizer::Tokenizer,
};
use burn::tensor::Device;
use rayon::prelude::*;

/// A model that embeds texts.
#[derive(Debug)]
pub struct LocalEmbedder {
    encoder: Encoder,
    tokenizer: Tokenizer,
    pool: rayon::ThreadPool,
}

impl LocalEmbedder {
    /// Opens a model's files and reads its weights; it computes on so many threads.
    ///
    /// # Errors
    /// [`LoadError`].
    pub fn load(model: &ModelFile, threads: usize) -> Result<Self, LoadError> {
        let files = ModelFiles::open(&model.name, &model.path)?;
        let (tokenizer, encoder) = (files.tokenizer()?, files.encoder(&Device::flex())?);
        let rows = encoder.architecture().vocabulary;
        if rows < tokenizer.size() {
            return Err(LoadError::Vocabulary { name: model.name.to_string(), tokens: tokenizer.size(), rows });
        }
        let pool =
            rayon::ThreadPoolBuilder::new().num_threads(threads).thread_name(|index| format!("embedder-{index}"));
        let pool = pool.build().map_err(|error| LoadError::Thread(error.to_string()))?;
        Ok(Self { encoder, tokenizer, pool })
    }

    /// Numbers of an embedding.
    #[must_use]
    pub fn width(&self) -> usize {
        self.encoder.architecture().width
    }

    /// Tokens that a text may have, those at its beginning and end included.
    #[must_use]
    pub fn context(&self) -> usize {
        self.encoder.architecture().context
    }

    /// The tokens of a text, exactly as it is embedded.
    #[must_use]
    pub fn tokenize(&self, text: &str) -> Vec<u32> {
        self.tokenizer.encode_prompt(text)
    }

    /// The embeddings of these texts, given by their tokens: [`LocalEmbedder::width`] numbers each, of length one, so that a
    /// scalar product is a cosine. A text that has none does not keep the others from theirs.
    ///
    /// Errors of a text: [`EmbedError`].
    #[must_use]
    pub fn embed(&self, texts: &[Vec<u32>]) -> Vec<Result<Vec<f32>, EmbedError>> {
        self.pool.install(|| texts.par_iter().map(|tokens| self.encoder.embed(tokens)).collect())
    }
}
