//! LoRA adapters of an engine's models: each a model of its own by name, computed with its base's weights.
//!
//! | of an adapter | is |
//! | --- | --- |
//! | small matrices | its own, beside the base's, which are there once |
//! | family, context, vocabulary, tokenizer | the base's |
//! | chat template | its own where its folder has one, else the base's |
//! | digest | made of its files' and its base's, by whoever knows the files |
//!
//! Principles:
//!
//! - An adapter is added while its base generates. Its files are read and checked on the caller's thread; the engine's
//!   thread learns of it by the first sequence that asks for it, and never waits.
//! - Its number is never given again, so that what was kept of its sequences is never taken for another's.
//! - Sequences of a base and of its adapters are rows of the same steps. So each gives the same bits as alone.
//! - Where the models are read again, so are the adapters: [`Adapters::place`] belongs to it.
//!
//! Limits: [`Limits::adapters_max`] and [`Limits::adapter_bytes_max`]. One that is loaded stays as long as its engine.

use super::{Limits, Served};
use crate::{
    AdapterFile, LoadError,
    adapter_files::AdapterFiles,
    model::{Adapter, Architecture, Decoder},
    template::ChatTemplate,
};
use burn::tensor::Device;
use remit_kernel::ports::ModelCard;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

/// What computes a sequence: one of an engine's models, alone or with an adapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ModelId {
    /// Index of the model whose weights these are; sequences that agree in it share steps.
    pub(super) base: usize,
    /// Number of the adapter.
    pub(super) adapter: Option<usize>,
}

impl ModelId {
    /// A model without an adapter.
    pub(super) const fn base(base: usize) -> Self {
        Self { base, adapter: None }
    }
}

/// All adapters of an engine, in the order in which they were added.
pub(super) struct Adapters {
    count_max: usize,
    bytes_max: u64,
    /// Held while adapters are read, so that nobody reads for models that are being read again.
    bases: Mutex<Vec<Base>>,
    loaded: RwLock<Vec<Loaded>>,
}

/// What an adapter is read for.
struct Base {
    architecture: Architecture,
    device: Device,
}

struct Loaded {
    served: Arc<Served>,
    base: usize,
    file: AdapterFile,
    bytes: u64,
    weights: Arc<Adapter>,
}

impl Adapters {
    /// None yet, for models that [`place`](Self::place) will name.
    pub(super) fn within(limits: &Limits) -> Self {
        Self {
            count_max: limits.adapters_max,
            bytes_max: limits.adapter_bytes_max,
            bases: Mutex::default(),
            loaded: RwLock::default(),
        }
    }

    /// Takes these models as bases, in the order of their ids, and reads the weights of all adapters for them. Belongs to
    /// every reading of the models: at first there are no adapters.
    pub(super) fn place(&self, decoders: &[Decoder], device: &Device) -> Result<(), LoadError> {
        let mut bases = self.bases();
        let base = |decoder: &Decoder| Base { architecture: decoder.architecture().clone(), device: device.clone() };
        *bases = decoders.iter().map(base).collect();
        // Nobody adds one meanwhile, and nobody else's look at them waits for a disk.
        let files: Vec<_> = self.loaded().iter().map(|loaded| (loaded.base, loaded.file.clone())).collect();
        let read = files.iter().map(|(base, file)| {
            let weights = AdapterFiles::open(file)?.weights(&bases[*base].architecture, device)?;
            Ok(Arc::new(weights))
        });
        let read = read.collect::<Result<Vec<_>, LoadError>>()?;
        let mut loaded = self.loaded.write().unwrap_or_else(PoisonError::into_inner);
        loaded.iter_mut().zip(read).for_each(|(loaded, weights)| loaded.weights = weights);
        Ok(())
    }

    /// Reads an adapter of the model with this index, and serves it from now on.
    pub(super) fn add(&self, file: &AdapterFile, base: usize, of: &Served) -> Result<ModelCard, LoadError> {
        let bases = self.bases();
        let name = || file.name.to_string();
        if self.find(&file.name).is_some() {
            return Err(LoadError::Duplicate { name: name() });
        }
        let files = AdapterFiles::open(file)?;
        let bytes = files.bytes()?;
        self.admit(&file.name, bytes)?;
        files.check_tokenizer(&of.tokenizer)?;
        let template = match files.chat_template()? {
            Some(source) => {
                let template = ChatTemplate::new(&source, of.tokenizer.begin_text(), of.tokenizer.end_text());
                Some(Arc::new(template.map_err(|source| LoadError::Template { name: name(), source })?))
            }
            None => of.template.clone(),
        };
        let Base { architecture, device } = &bases[base];
        let weights = Arc::new(files.weights(architecture, device)?);
        let card = ModelCard { name: file.name.clone(), digest: file.digest.clone(), ..of.card.clone() };
        let served = Arc::new(Served { card: card.clone(), tokenizer: of.tokenizer.clone(), template });
        let loaded = Loaded { served, base, file: file.clone(), bytes, weights };
        self.loaded.write().unwrap_or_else(PoisonError::into_inner).push(loaded);
        Ok(card)
    }

    /// Whether there is room for one more, of so many bytes.
    fn admit(&self, name: &str, bytes: u64) -> Result<(), LoadError> {
        let (count, most) = (self.loaded().len(), self.bytes_max);
        let left = most.saturating_sub(self.bytes());
        if count >= self.count_max {
            Err(LoadError::AdapterCount { name: name.to_owned(), most: self.count_max })
        } else if bytes > left {
            Err(LoadError::AdapterBytes { name: name.to_owned(), bytes, most, left })
        } else {
            Ok(())
        }
    }

    /// Bytes that all of them take.
    pub(super) fn bytes(&self) -> u64 {
        self.loaded().iter().map(|loaded| loaded.bytes).sum()
    }

    /// The adapter of a name.
    pub(super) fn find(&self, name: &str) -> Option<(ModelId, Arc<Served>)> {
        let loaded = self.loaded();
        let place = loaded.iter().position(|loaded| &*loaded.served.card.name == name)?;
        let id = ModelId { base: loaded[place].base, adapter: Some(place) };
        Some((id, loaded[place].served.clone()))
    }

    /// All names.
    pub(super) fn names(&self) -> Vec<Arc<str>> {
        self.loaded().iter().map(|loaded| loaded.served.card.name.clone()).collect()
    }

    /// The weights of an adapter, for a new sequence.
    pub(super) fn weights(&self, adapter: usize) -> Arc<Adapter> {
        self.loaded()[adapter].weights.clone()
    }

    fn bases(&self) -> MutexGuard<'_, Vec<Base>> {
        self.bases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn loaded(&self) -> RwLockReadGuard<'_, Vec<Loaded>> {
        self.loaded.read().unwrap_or_else(PoisonError::into_inner)
    }
}
