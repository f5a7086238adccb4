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
use remit_kernel::ports::{EngineError, ModelCard};
use std::sync::Arc;
use tokio::sync::oneshot;

/// A model that embeds texts.
#[derive(Debug)]
pub struct LocalEmbedder {
    card: ModelCard,
    encoder: Encoder,
    tokenizer: Tokenizer,
    pool: rayon::ThreadPool,
}

impl LocalEmbedder {
    /// What the models of this kind are called on their cards.
    pub const FAMILY: &str = "bert";

    /// Whether the model of these files is one that embeds.
    ///
    /// # Errors
    /// [`LoadError`], where they cannot be read.
    pub fn serves(model: &ModelFile) -> Result<bool, LoadError> {
        ModelFiles::open(&model.name, &model.path).map(|files| files.is_encoder())
    }

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
        let number = |size: usize| u32::try_from(size).unwrap_or(u32::MAX);
        let card = ModelCard {
            name: model.name.clone(),
            family: Self::FAMILY.into(),
            context_length: number(encoder.architecture().context),
            vocabulary: number(tokenizer.size()),
            digest: model.digest.clone(),
        };
        Ok(Self { card, encoder, tokenizer, pool })
    }

    /// What it serves.
    #[must_use]
    pub fn card(&self) -> &ModelCard {
        &self.card
    }

    /// Numbers of an embedding.
    #[must_use]
    pub fn width(&self) -> usize {
        self.encoder.architecture().width
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
    pub fn embed<T: AsRef<[u32]> + Sync>(&self, texts: &[T]) -> Vec<Result<Vec<f32>, EmbedError>> {
        self.pool.install(|| texts.par_iter().map(|tokens| self.encoder.embed(tokens.as_ref())).collect())
    }

    /// The same without a thread that waits; the first text that has no embedding is the error of all.
    ///
    /// # Errors
    /// [`EngineError::Prompt`] where a text has none, [`EngineError::Stopped`] where computing crashed.
    pub async fn embed_later(self: Arc<Self>, texts: Vec<Arc<[u32]>>) -> Result<Vec<Vec<f32>>, EngineError> {
        let (done, vectors) = oneshot::channel();
        let embedder = self.clone();
        self.pool.spawn(move || {
            let vectors: Result<Vec<_>, EmbedError> = embedder.embed(&texts).into_iter().collect();
            // Nobody waits any more where the call was revoked or its process is gone.
            let _ = done.send(vectors);
        });
        let vectors = vectors.await.map_err(|_| EngineError::Stopped("computing an embedding crashed".into()))?;
        vectors.map_err(|error| EngineError::Prompt(error.to_string().into()))
    }
}
