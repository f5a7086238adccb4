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
//! - Weights of adapters come and go with their bases': whoever reads those calls [`Adapters::place`] and keeps the
//!   [`Placed`] beside them. An adapter that is added while they are away is checked, and read with them.
//! - An adapter that can be read no more (its files are gone, or are others) fails alone: its sequences are told why, and its
//!   base and all other adapters are served. It is tried again whenever the weights come back.
//!
//! Limits: [`Limits::adapters_max`] and [`Limits::adapter_bytes_max`]; and their bytes count with their base's in the
//! [`Residency`](crate::Residency). One that was added stays as long as its engine.

use super::{Limits, Served, compute::Compute, worker::Worker};
use crate::{
    AdapterFile, LoadError,
    adapter_files::AdapterFiles,
    model::{Adapter, Architecture, Home},
    residency::Room,
    template::ChatTemplate,
};
use remit_kernel::ports::{EngineError, ModelCard};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

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

    /// A number of its own, and another one for long texts, whose keys a model may turn differently.
    pub(super) fn number(self, is_long: bool) -> u64 {
        let adapter = self.adapter.map_or(0, |adapter| adapter as u64 + 1);
        (self.base as u64) << 33 | adapter << 1 | u64::from(is_long)
    }
}

/// All adapters of an engine, in the order in which they were added.
pub(super) struct Adapters {
    count_max: usize,
    bytes_max: u64,
    /// The models that they are for, in the order of their ids.
    bases: Vec<Architecture>,
    /// Held while adapters are read.
    place: Mutex<Place>,
    added: RwLock<Vec<Added>>,
    /// What the weights of all models may take; none before there is a thread for them.
    room: OnceLock<Room>,
}

/// Where the models' weights are.
#[derive(Default)]
struct Place {
    /// Of each model's; none while they are away.
    homes: Vec<Home>,
    /// Counts the readings.
    turn: u64,
}

struct Added {
    served: Arc<Served>,
    base: usize,
    file: AdapterFile,
    bytes: u64,
    weights: Weights,
}

/// Where an adapter's weights are.
enum Weights {
    /// Where its base's are not either.
    Away,
    In(Arc<Adapter>),
    /// They could not be read beside its base's, and why.
    Broken(Arc<str>),
}

/// The weights of all adapters, beside their bases'. Dropping it drops them, but for those that a sequence still has.
pub(super) struct Placed {
    adapters: Arc<Adapters>,
    turn: u64,
}

impl Adapters {
    /// None yet, for these models.
    pub(super) fn new(bases: Vec<Architecture>, limits: &Limits) -> Self {
        Self {
            count_max: limits.adapters_max,
            bytes_max: limits.adapter_bytes_max,
            bases,
            place: Mutex::default(),
            added: RwLock::default(),
            room: OnceLock::new(),
        }
    }

    /// Lets all adapters' bytes count in this room from now on.
    pub(super) fn sit(&self, room: Room) {
        // A second one would be another engine's.
        let _ = self.room.set(room);
    }

    /// Reads the weights of all adapters to where those of the models are, and so of those that are added from now on. One that
    /// cannot be read is broken, and no other is.
    pub(super) fn place(self: &Arc<Self>, homes: Vec<Home>) -> Placed {
        let mut place = self.held();
        // Nobody adds one meanwhile, and nobody's look at them waits for a disk.
        let files: Vec<_> = self.added().iter().map(|added| (added.base, added.file.clone())).collect();
        let read = |(base, file): &(usize, AdapterFile)| -> Result<Adapter, LoadError> {
            AdapterFiles::open(file)?.weights(&self.bases[*base], &homes[*base])
        };
        let weights = |of: &(usize, AdapterFile)| match read(of) {
            Ok(weights) => Weights::In(Arc::new(weights)),
            Err(error) => {
                tracing::error!(adapter = &*of.1.name, %error, "an adapter cannot be read any more");
                Weights::Broken(error.to_string().into())
            }
        };
        let read: Vec<Weights> = files.iter().map(weights).collect();
        self.change().iter_mut().zip(read).for_each(|(added, weights)| added.weights = weights);
        *place = Place { homes, turn: place.turn + 1 };
        Placed { adapters: self.clone(), turn: place.turn }
    }

    /// Reads an adapter of the model with this index, and serves it from now on.
    pub(super) fn add(&self, file: &AdapterFile, base: usize, of: &Served) -> Result<(), LoadError> {
        let place = self.held();
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
        files.check(&self.bases[base])?;
        self.grow(&file.name, bytes)?;
        let weights = match place.homes.get(base).map(|home| files.weights(&self.bases[base], home)) {
            None => Weights::Away,
            Some(Ok(weights)) => Weights::In(Arc::new(weights)),
            Some(Err(error)) => {
                self.room.get().into_iter().for_each(|room| room.shrink(bytes));
                return Err(error);
            }
        };
        let card = ModelCard { name: file.name.clone(), digest: file.digest.clone(), ..of.card.clone() };
        let (tokenizer, formats) = (of.tokenizer.clone(), of.formats.clone());
        let served = Arc::new(Served { card, tokenizer, template, formats, blocks: of.blocks });
        self.change().push(Added { served, base, file: file.clone(), bytes, weights });
        Ok(())
    }

    /// Whether there is room for one more, of so many bytes.
    fn admit(&self, name: &str, bytes: u64) -> Result<(), LoadError> {
        let (count, most) = (self.added().len(), self.bytes_max);
        let left = most.saturating_sub(self.bytes());
        if count >= self.count_max {
            Err(LoadError::AdapterCount { name: name.to_owned(), most: self.count_max })
        } else if bytes > left {
            Err(LoadError::AdapterBytes { name: name.to_owned(), bytes, most, left })
        } else {
            Ok(())
        }
    }

    /// Takes room for so many bytes more beside the models' weights.
    fn grow(&self, name: &str, bytes: u64) -> Result<(), LoadError> {
        let grown = self.room.get().map_or(Ok(()), |room| room.grow(bytes));
        grown.map_err(|left| LoadError::AdapterRoom { name: name.to_owned(), bytes, left })
    }

    /// Whether a model turns the keys of sequences of so many tokens as those of long texts.
    pub(super) fn is_long(&self, model: ModelId, tokens: usize) -> bool {
        self.bases.get(model.base).is_some_and(|architecture| !architecture.turns_alike(0, tokens))
    }

    /// Bytes that all of them take.
    pub(super) fn bytes(&self) -> u64 {
        self.added().iter().map(|added| added.bytes).sum()
    }

    /// The adapter of a name.
    pub(super) fn find(&self, name: &str) -> Option<(ModelId, Arc<Served>)> {
        let all = self.added();
        let number = all.iter().position(|added| &*added.served.card.name == name)?;
        Some((ModelId { base: all[number].base, adapter: Some(number) }, all[number].served.clone()))
    }

    /// All names.
    pub(super) fn names(&self) -> Vec<Arc<str>> {
        self.added().iter().map(|added| added.served.card.name.clone()).collect()
    }

    fn held(&self) -> MutexGuard<'_, Place> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn added(&self) -> RwLockReadGuard<'_, Vec<Added>> {
        self.added.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self) -> RwLockWriteGuard<'_, Vec<Added>> {
        self.added.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Placed {
    /// The weights of an adapter that is not [`broken`](Self::broken).
    pub(super) fn weights(&self, adapter: usize) -> Arc<Adapter> {
        match &self.adapters.added()[adapter].weights {
            Weights::In(weights) => weights.clone(),
            Weights::Away | Weights::Broken(_) => unreachable!("a sequence has an adapter that can be read"),
        }
    }

    /// Why an adapter cannot be computed with, where that is so.
    pub(super) fn broken(&self, adapter: usize) -> Option<Arc<str>> {
        match &self.adapters.added()[adapter].weights {
            Weights::Broken(why) => Some(why.clone()),
            Weights::Away | Weights::In(_) => None,
        }
    }
}

impl Drop for Placed {
    fn drop(&mut self) {
        let mut place = self.adapters.held();
        // Unless they were read again before.
        if place.turn == self.turn {
            place.homes.clear();
            self.adapters.change().iter_mut().for_each(|added| added.weights = Weights::Away);
        }
    }
}

impl<C: Compute, M: FnMut() -> Result<C, LoadError>> Worker<C, M> {
    /// Ends those whose adapters cannot be read any more.
    pub(super) fn give_up_broken(&mut self) {
        let Some(compute) = &self.compute else { return };
        let broken = self.sequences.iter().filter_map(|(key, sequence)| {
            let why = compute.broken(sequence.model().adapter?)?;
            Some((*key, why))
        });
        for (key, why) in broken.collect::<Vec<_>>() {
            let why = format!("{why}; put its files back, or restart the host");
            self.end(key, Err(EngineError::Failed(why.into())));
        }
    }
}
