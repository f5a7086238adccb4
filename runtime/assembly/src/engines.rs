//! The engines of a node: one for each model and its adapters, loaded when they are first granted.

use crate::models::{KnownModel, ModelError, ModelStore, Registry, UnknownModel};
use parking_lot::{Mutex, RwLock};
use remit_inference::{AdapterFile, Limits, LoadError, LocalEmbedder, LocalEngine, ModelFile};
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
    /// Its base is no model that answers.
    #[error("the model {name} is an adapter of {base}, which embeds and takes none: name another base")]
    Base {
        /// Which model.
        name: String,
        /// What it changes.
        base: String,
    },
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
    /// Held while a model is read, so that none is read twice; those that are loaded answer meanwhile.
    loading: Mutex<()>,
    /// An adapter is served by its base's engine.
    loaded: RwLock<BTreeMap<String, Loaded>>,
}

impl Engines {
    pub(crate) fn new(registry: Registry, store: ModelStore) -> Self {
        Self { registry, store, loading: Mutex::default(), loaded: RwLock::default() }
    }

    /// Loads a model unless it is loaded, and before an adapter its base. Takes seconds, and blocks.
    pub(crate) fn load(&self, name: &str) -> Result<(), EngineLoadError> {
        let _one_at_a_time = self.loading.lock();
        let known = self.registry.find(name)?;
        match self.registry.base_of(known) {
            Some(base) => self.load_adapter(known, base),
            None => self.load_model(known).map(drop),
        }
    }

    fn load_model(&self, known: &KnownModel) -> Result<Loaded, EngineLoadError> {
        if let Some(loaded) = self.loaded.read().get(&known.name) {
            return Ok(loaded.clone());
        }
        let stored = self.store.find(known)?;
        let file = ModelFile { name: known.name.as_str().into(), path: stored.path, digest: stored.sha256.into() };
        let limits = Limits::default();
        let model = match LocalEmbedder::serves(&file)? {
            true => Loaded::Embeds(Arc::new(LocalEmbedder::load(&file, limits.threads)?)),
            false => Loaded::Answers(Arc::new(LocalEngine::load(&[file], limits)?)),
        };
        self.loaded.write().insert(known.name.clone(), model.clone());
        Ok(model)
    }

    fn load_adapter(&self, known: &KnownModel, base: &KnownModel) -> Result<(), EngineLoadError> {
        if self.loaded.read().contains_key(&known.name) {
            return Ok(());
        }
        let (stored, of_base) = (self.store.find(known)?, self.store.find(base)?);
        let Loaded::Answers(engine) = self.load_model(base)? else {
            return Err(EngineLoadError::Base { name: known.name.clone(), base: base.name.clone() });
        };
        engine.add_adapter(&AdapterFile {
            name: known.name.as_str().into(),
            base: base.name.as_str().into(),
            digest: stored.digest_on(&of_base).into(),
            path: stored.path,
        })?;
        self.loaded.write().insert(known.name.clone(), Loaded::Answers(engine));
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
