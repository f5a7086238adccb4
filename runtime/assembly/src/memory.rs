//! What agents of a node remember: the store in the data folder, and the model by which texts become vectors.
//!
//! Writes are journal records, so that a node without a journal has no memory. The model is [`EMBEDDING_MODEL`] where its file is here when
//! the node starts; otherwise texts are found by their words alone. It is opened for the first process that may use a memory.

use crate::{
    engines::{EngineLoadError, Engines},
    home::Home,
};
use remit_abi::TenantId;
use remit_kernel::ports::{
    Embedder, Engine, EngineError, JournalError, Memory, MemoryJournal, PortFuture, PromptText, StoreError,
};
use remit_memory::{LanceMemory, Options};
use std::sync::{Arc, OnceLock};

pub(crate) use remit_memory::OpenError as MemoryOpenError;

/// By which texts become vectors.
pub const EMBEDDING_MODEL: &str = "minilm";

/// How many numbers its vectors have, and those of every memory.
const WIDTH: usize = 384;

/// A memory, and the journal as it sees it.
pub(crate) struct Opened {
    pub(crate) memory: Memory,
    pub(crate) journal: Arc<LateJournal>,
}

/// Opens the memories of the data folder. Reads no tenant's files.
///
/// # Errors
/// [`MemoryOpenError`].
pub(crate) fn open(
    home: &Home,
    engine: &Arc<dyn Engine>,
    engines: Option<&Arc<Engines>>,
) -> Result<Opened, MemoryOpenError> {
    let digest = match engines {
        Some(engines) => engines.stored_digest(EMBEDDING_MODEL),
        None => engine.card(EMBEDDING_MODEL).ok().map(|card| card.digest),
    };
    let embedder = digest.map(|digest| EngineEmbedder { engine: engine.clone(), engines: engines.cloned(), digest });
    let model = embedder.is_some().then(|| EMBEDDING_MODEL.into());
    let embedder = embedder.map(|embedder| Arc::new(embedder) as Arc<dyn Embedder>);
    let journal = Arc::new(LateJournal::default());
    let store = LanceMemory::open(&home.memory(), WIDTH, embedder, journal.clone(), Options::default())?;
    Ok(Opened { memory: Memory { store: Arc::new(store), model }, journal })
}

/// The kernel's, from when on there is one: the store is there before it, and has nothing to put on the disk by then.
#[derive(Default)]
pub(crate) struct LateJournal(OnceLock<Arc<dyn MemoryJournal>>);

impl LateJournal {
    pub(crate) fn is(&self, journal: Arc<dyn MemoryJournal>) {
        // A node has one kernel.
        let _first = self.0.set(journal);
    }
}

impl MemoryJournal for LateJournal {
    fn durable(&self) -> PortFuture<'static, Result<(), JournalError>> {
        match self.0.get() {
            Some(journal) => journal.durable(),
            None => Box::pin(std::future::ready(Ok(()))),
        }
    }

    fn applied(&self, tenant: TenantId, number: u64) {
        if let Some(journal) = self.0.get() {
            journal.applied(tenant, number);
        }
    }
}

/// The node's engine, as a store sees it.
struct EngineEmbedder {
    engine: Arc<dyn Engine>,
    /// `None` where the caller brought an engine of their own, which has its models.
    engines: Option<Arc<Engines>>,
    digest: Arc<str>,
}

impl Embedder for EngineEmbedder {
    fn digest(&self) -> Arc<str> {
        self.digest.clone()
    }

    fn width(&self) -> usize {
        WIDTH
    }

    fn embed(&self, texts: Vec<Arc<str>>) -> PortFuture<'static, Result<Vec<Vec<f32>>, StoreError>> {
        let (engine, engines) = (self.engine.clone(), self.engines.clone());
        Box::pin(async move {
            let begun = tokio::task::spawn_blocking(move || {
                if let Some(engines) = engines {
                    engines.open(EMBEDDING_MODEL).map_err(|error: EngineLoadError| of_embedding(&error))?;
                }
                let tokens = texts.iter().map(|text| tokens(&*engine, text)).collect::<Result<_, _>>();
                tokens.and_then(|tokens| engine.embed(EMBEDDING_MODEL, tokens)).map_err(|error| of_embedding(&error))
            });
            let vectors = begun.await.map_err(|error| of_embedding(&error))??;
            vectors.await.map_err(|error| of_embedding(&error))
        })
    }
}

/// The tokens of a text, as many as the model takes.
fn tokens(engine: &dyn Engine, text: &str) -> Result<Arc<[u32]>, EngineError> {
    let capacity = engine.card(EMBEDDING_MODEL)?.context_length as usize;
    let tokens = engine.tokenize(EMBEDDING_MODEL, &PromptText::Text(text.to_owned()))?;
    Ok(if tokens.len() > capacity { tokens[..capacity].into() } else { tokens })
}

fn of_embedding(error: &dyn std::fmt::Display) -> StoreError {
    StoreError::Embedding(error.to_string().into())
}
