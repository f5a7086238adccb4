//! The engines of a node: one for each model and its adapters, opened when it is first granted.
//!
//! An opened model's card, tokenizer and chat template stay, so that prompts can be counted and priced at any time. All
//! models' weights share a limit in bytes; which of them are in memory is the [`Residency`]'s matter, and who generates does
//! not see it but for the time.

use crate::models::{KnownModel, ModelError, ModelStore, Registry, Swapping, UnknownModel};
use parking_lot::{Mutex, RwLock};
use remit_abi::{OutputFormat, TenantId, Toolset};
use remit_inference::{
    AdapterFile, DeviceChoice, Limits, LoadError, LocalEmbedder, LocalEngine, ModelFigures, ModelFile, Residency,
    residency::{ResidencyView, Rules},
};
use remit_kernel::ports::{
    EmbedOutcome, Engine, EngineError, EngineStream, GenerationJob, ModelCard, PortFuture, PromptText, SnapshotFigures,
    Snapshots,
};
use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};
use thiserror::Error;

#[cfg(test)]
mod tests;

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

/// A model that was opened.
#[derive(Clone)]
enum Opened {
    Answers(Arc<LocalEngine>),
    Embeds(Arc<LocalEmbedder>),
}

impl Opened {
    fn is_stopped(&self) -> bool {
        match self {
            Self::Answers(engine) => engine.stopped(),
            Self::Embeds(embedder) => embedder.stopped(),
        }
        .is_some()
    }
}

/// All opened models.
pub(crate) struct Engines {
    registry: Registry,
    store: ModelStore,
    residency: Arc<Residency>,
    device: DeviceChoice,
    swapping: Swapping,
    /// Where blocks are kept that leave memory; set before any model is opened, or never.
    snapshots: OnceLock<Arc<dyn Snapshots>>,
    /// An adapter is served by its base's engine.
    opened: RwLock<BTreeMap<String, Opened>>,
    /// Held while a model of that name is opened; names of the registry alone.
    opening: Mutex<BTreeMap<String, Arc<Mutex<()>>>>,
}

impl Engines {
    /// No model is opened yet. All models' weights together may have so many bytes of memory where they are computed; a model
    /// that embeds is computed on the CPU.
    pub(crate) fn new(registry: Registry, store: ModelStore, weights_bytes_max: u64, device: DeviceChoice) -> Self {
        Self::with_rules(registry, store, Rules::new(weights_bytes_max), device)
    }

    fn with_rules(registry: Registry, store: ModelStore, rules: Rules, device: DeviceChoice) -> Self {
        let residency = Residency::new(rules);
        Self {
            registry,
            store,
            residency,
            device,
            swapping: Swapping::default(),
            snapshots: OnceLock::new(),
            opened: RwLock::default(),
            opening: Mutex::default(),
        }
    }

    /// What leaves a model's device goes there.
    pub(crate) fn swapping(self, swapping: Swapping) -> Self {
        Self { swapping, ..self }
    }

    /// Models that are opened from now on keep there what leaves their memory.
    pub(crate) fn keep_in(&self, snapshots: Arc<dyn Snapshots>) {
        // Whoever says it twice says the same.
        let _ = self.snapshots.set(snapshots);
    }

    /// Has all models hand over what is worth keeping beyond the host's end. Blocks for a step of each.
    pub(crate) fn keep_snapshots(&self) {
        let opened: Vec<_> = self.opened.read().values().cloned().collect();
        for opened in opened {
            if let Opened::Answers(engine) = opened {
                engine.keep_snapshots();
            }
        }
    }

    /// What is kept, where anything is.
    pub(crate) fn snapshots(&self) -> Option<SnapshotFigures> {
        self.snapshots.get().map(|snapshots| snapshots.figures())
    }

    /// Opens a model unless it is, and before an adapter its base; reads its weights where there is room that nobody else
    /// waits for, else they come with the first request. One that has stopped is opened again. Takes seconds, and blocks
    /// nobody but who opens the same model.
    pub(crate) fn open(&self, name: &str) -> Result<(), EngineLoadError> {
        let known = self.registry.find(name)?;
        match self.registry.base_of(known) {
            Some(base) => self.open_adapter(known, base),
            None => self.open_model(known).map(drop),
        }
    }

    /// What others wait for who open the same model; a base is waited for by who has its adapter, and never otherwise.
    fn one_at_a_time(&self, name: &str) -> Arc<Mutex<()>> {
        self.opening.lock().entry(name.to_owned()).or_default().clone()
    }

    /// A model that is open and has not stopped.
    fn serving(&self, name: &str) -> Option<Opened> {
        self.opened.read().get(name).filter(|opened| !opened.is_stopped()).cloned()
    }

    fn open_adapter(&self, known: &KnownModel, base: &KnownModel) -> Result<(), EngineLoadError> {
        let one_at_a_time = self.one_at_a_time(&known.name);
        let _opening = one_at_a_time.lock();
        if self.serving(&known.name).is_some() {
            return Ok(());
        }
        let (stored, of_base) = (self.store.find(known)?, self.store.find(base)?);
        let Opened::Answers(engine) = self.open_model(base)? else {
            return Err(EngineLoadError::Base { name: known.name.clone(), base: base.name.clone() });
        };
        engine.add_adapter(&AdapterFile {
            name: known.name.as_str().into(),
            base: base.name.as_str().into(),
            digest: stored.digest_on(&of_base).into(),
            path: stored.path,
        })?;
        self.opened.write().insert(known.name.clone(), Opened::Answers(engine));
        Ok(())
    }

    fn open_model(&self, known: &KnownModel) -> Result<Opened, EngineLoadError> {
        let name = known.name.as_str();
        let one_at_a_time = self.one_at_a_time(name);
        let _opening = one_at_a_time.lock();
        if let Some(opened) = self.serving(name) {
            return Ok(opened);
        }
        // What has stopped leaves first, so that it holds no room.
        let stopped = self.opened.write().remove(name);
        drop(stopped);
        let stored = self.store.find(known)?;
        let file = ModelFile { name: name.into(), path: stored.path, digest: stored.sha256.into() };
        let snapshots = self.snapshots.get().cloned();
        let limits = self.swapping.within(Limits { device: self.device, snapshots, ..Limits::default() });
        let model = match LocalEmbedder::serves(&file)? {
            true => {
                let embedder = LocalEmbedder::open(&file, limits.threads, &self.residency)?;
                embedder.warm()?;
                Opened::Embeds(Arc::new(embedder))
            }
            false => {
                let engine = LocalEngine::open(&[file], limits, &self.residency)?;
                engine.warm()?;
                Opened::Answers(Arc::new(engine))
            }
        };
        self.opened.write().insert(name.to_owned(), model.clone());
        Ok(model)
    }

    /// SHA-256 of a model's weights, in hexadecimal, where its files are here.
    pub(crate) fn stored_digest(&self, name: &str) -> Option<Arc<str>> {
        let stored = self.store.find(self.registry.find(name).ok()?).ok()?;
        Some(stored.sha256.into())
    }

    /// Which models' weights are in memory.
    pub(crate) fn residency(&self) -> ResidencyView {
        self.residency.view()
    }

    /// What each model that answers did and does; an adapter's generations count as its base's.
    pub(crate) fn figures(&self) -> Vec<ModelFigures> {
        let opened = self.opened.read();
        let of_model = |(name, opened): (&String, &Opened)| match opened {
            // An adapter has its base's engine.
            Opened::Answers(engine) => engine.figures().into_iter().find(|figures| *figures.model == **name),
            Opened::Embeds(_) => None,
        };
        opened.iter().filter_map(of_model).collect()
    }

    fn of(&self, model: &str) -> Result<Opened, EngineError> {
        let opened = self.opened.read();
        opened.get(model).cloned().ok_or_else(|| EngineError::UnknownModel {
            name: model.into(),
            known: opened.keys().map(String::as_str).collect::<Vec<_>>().join(", ").into(),
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
            Opened::Answers(engine) => engine.card(model),
            Opened::Embeds(embedder) => Ok(embedder.card().clone()),
        }
    }

    fn tokenize(&self, model: &str, prompt: &PromptText) -> Result<Arc<[u32]>, EngineError> {
        match (self.of(model)?, prompt) {
            (Opened::Answers(engine), _) => engine.tokenize(model, prompt),
            (Opened::Embeds(embedder), PromptText::Text(text)) => Ok(embedder.tokenize(text).into()),
            (Opened::Embeds(_), PromptText::Chat(_)) => Err(only_embeds(model)),
        }
    }

    fn accepts(
        &self,
        tenant: TenantId,
        model: &str,
        format: &OutputFormat,
        tools: Option<&Toolset>,
    ) -> Result<(), EngineError> {
        match self.of(model)? {
            Opened::Answers(engine) => engine.accepts(tenant, model, format, tools),
            Opened::Embeds(_) => Err(only_embeds(model)),
        }
    }

    fn embed(&self, model: &str, texts: Vec<Arc<[u32]>>) -> Result<PortFuture<'static, EmbedOutcome>, EngineError> {
        match self.of(model)? {
            Opened::Answers(engine) => engine.embed(model, texts),
            Opened::Embeds(embedder) => Ok(Box::pin(embedder.embed_later(texts))),
        }
    }

    fn generate(&self, job: GenerationJob) -> Result<EngineStream, EngineError> {
        match self.of(&job.model)? {
            Opened::Answers(engine) => engine.generate(job),
            Opened::Embeds(_) => Err(only_embeds(&job.model)),
        }
    }

    fn rests(&self, tenant: TenantId, program: u64) {
        for opened in self.opened.read().values() {
            if let Opened::Answers(engine) = opened {
                engine.rests(tenant, program);
            }
        }
    }
}
