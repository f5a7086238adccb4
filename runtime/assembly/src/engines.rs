//! The engines of a node: one for each model, loaded when it is first granted.

use crate::models::{ModelError, ModelStore, Registry, UnknownModel};
use parking_lot::RwLock;
use remit_inference::{Limits, LoadError, LocalEngine, ModelFile};
use remit_kernel::ports::{Engine, EngineError, EngineStream, GenerationJob, ModelCard, PromptText};
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

/// All loaded models.
pub(crate) struct Engines {
    registry: Registry,
    store: ModelStore,
    loaded: RwLock<BTreeMap<String, Arc<LocalEngine>>>,
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
        let engine = LocalEngine::load(&[file], Limits::default())?;
        loaded.insert(name.to_owned(), Arc::new(engine));
        Ok(())
    }

    fn of(&self, model: &str) -> Result<Arc<LocalEngine>, EngineError> {
        let loaded = self.loaded.read();
        loaded.get(model).cloned().ok_or_else(|| EngineError::UnknownModel {
            name: model.into(),
            known: loaded.keys().map(String::as_str).collect::<Vec<_>>().join(", ").into(),
        })
    }
}

impl Engine for Engines {
    fn card(&self, model: &str) -> Result<ModelCard, EngineError> {
        self.of(model)?.card(model)
    }

    fn tokenize(&self, model: &str, prompt: &PromptText) -> Result<Arc<[u32]>, EngineError> {
        self.of(model)?.tokenize(model, prompt)
    }

    fn generate(&self, job: GenerationJob) -> Result<EngineStream, EngineError> {
        self.of(&job.model)?.generate(job)
    }
}
