//! The engines of a node: one for each model, loaded when it is first granted.

use crate::models::{ModelError, ModelStore, Registry, UnknownModel};
use parking_lot::RwLock;
use remit_inference::{Limits, LoadError, LocalEmbedder, LocalEngine, ModelFile};
use remit_kernel::ports::{
    EmbedOutcome, Engine, EngineError, EngineStream, GenerationJob, ModelCard, PortFuture, PromptText,
};
use std::{collections::BTreeMap, sync::Arc};
use thiserror::Error;

/// A model that cannot be served.
#[derive(Debug, Error)]
pub enum EngineLoadError {
    /// Nobody knows the name.
    #[error(transparent)]
    Unknown(#[from] UnknownModel),
    /// It is not here.
    #[error(transparent)]
    Store(#[from] ModelError),
    /// Its file cannot be served.
    #[error(transparent)]
    Load(#[from] LoadError),
}

/// A model that is loaded.
#[derive(Clone)]
enum Loaded {
    Answers(Arc<LocalEngine>),
    Embeds(Arc<LocalEmbedder>),
}

/// All loaded models.
pub(crate) struct Engines {
    registry: Registry,
    store: ModelStore,
    loaded: RwLock<BTreeMap<String, Loaded>>,
}

impl Engines {
    pub(crate) fn new(registry: Registry, store: ModelStore) -> Self {
        Self { registry, store, loaded: RwLock::default() }
    }

    /// Loads a model unless it is loaded. Takes seconds, and blocks.
    pub(crate) fn load(&self, name: &str) -> Result<(), EngineLoadError> {
        let mut loaded = self.loaded.write();
        if loaded.contains_key(name) {
            return Ok(());
        }
        let stored = self.store.find(self.registry.find(name)?)?;
        let file = ModelFile { name: name.into(), path: stored.path, digest: stored.sha256.into() };
        let limits = Limits::default();
        let model = match LocalEmbedder::serves(&file)? {
            true => Loaded::Embeds(Arc::new(LocalEmbedder::load(&file, limits.threads)?)),
            false => Loaded::Answers(Arc::new(LocalEngine::load(&[file], limits)?)),
        };
        loaded.insert(name.to_owned(), model);
        Ok(())
    }

    fn of(&self, model: &str) -> Result<Loaded, EngineError> {
        let loaded = self.loaded.read();
        loaded.get(model).cloned().ok_or_else(|| EngineError::UnknownModel {
            name: model.into(),
            known: loaded.keys().map(String::as_str).collect::<Vec<_>>().join(", ").into(),
        })
    }
}

/// What a model that embeds is not asked.
fn only_embeds(model: &str) -> EngineError {
    EngineError::Prompt(format!("the model {model} embeds, and does not answer").into())
}

impl Engine for Engines {
    fn card(&self, model: &str) -> Result<ModelCard, EngineError> {
        match self.of(model)? {
            Loaded::Answers(engine) => engine.card(model),
            Loaded::Embeds(embedder) => Ok(embedder.card().clone()),
        }
    }

    fn tokenize(&self, model: &str, prompt: &PromptText) -> Result<Arc<[u32]>, EngineError> {
        match (self.of(model)?, prompt) {
            (Loaded::Answers(engine), _) => engine.tokenize(model, prompt),
            (Loaded::Embeds(embedder), PromptText::Text(text)) => Ok(embedder.tokenize(text).into()),
            (Loaded::Embeds(_), PromptText::Chat(_)) => Err(only_embeds(model)),
        }
    }

    fn embed(&self, model: &str, texts: Vec<Arc<[u32]>>) -> Result<PortFuture<'static, EmbedOutcome>, EngineError> {
        match self.of(model)? {
            Loaded::Answers(engine) => engine.embed(model, texts),
            Loaded::Embeds(embedder) => Ok(Box::pin(embedder.embed_later(texts))),
        }
    }

    fn generate(&self, job: GenerationJob) -> Result<EngineStream, EngineError> {
        match self.of(&job.model)? {
            Loaded::Answers(engine) => engine.generate(job),
            Loaded::Embeds(_) => Err(only_embeds(&job.model)),
        }
    }
}
