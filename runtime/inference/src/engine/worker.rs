//! The engine's thread.
//!
//! A round: take what has come in, end what nobody wants, admit in order of arrival, plan, and compute each step.
//! Between steps the state is whole, and a panic inside one ends the engine with a reason that everybody is told.

use super::{
    Limits, Shared,
    adapters::{ModelId, Placed},
    prefix::PrefixStore,
    schedule::{self, Load, Status, Step},
    sequence::Sequence,
};
use crate::{
    model::{Decoder, KvCache, Span},
    sampler::Scratch,
};
use remit_kernel::ports::EngineFinish;
use std::{
    any::Any,
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, atomic::Ordering, mpsc},
};

/// Something that computes tokens of sequences. Tests script one that fails.
pub(super) trait Compute {
    /// Keys and values of one sequence.
    type Cache;

    /// Room for so many tokens.
    fn cache(&self, model: ModelId, room: usize) -> Self::Cache;

    /// The first tokens of another sequence, with room for so many.
    fn prefix(&self, model: ModelId, of: &Self::Cache, tokens: usize, room: usize) -> Self::Cache;

    /// How many tokens it holds.
    fn length(cache: &Self::Cache) -> usize;

    /// As [`Decoder::forward`], for sequences of one base.
    fn forward(&self, base: usize, spans: &mut [Work<'_, Self::Cache>]) -> Vec<f32>;
}

/// As [`Span`].
pub(super) struct Work<'a, C> {
    pub(super) tokens: &'a [u32],
    pub(super) cache: &'a mut C,
    pub(super) wants_logits: bool,
}

/// The models, their adapters, and the threads that compute them.
pub(super) struct Models {
    pub(super) decoders: Vec<Decoder>,
    pub(super) adapters: Placed,
    pub(super) pool: rayon::ThreadPool,
}

impl Compute for Models {
    type Cache = KvCache;

    fn cache(&self, model: ModelId, room: usize) -> KvCache {
        let decoder = &self.decoders[model.base];
        match model.adapter {
            Some(adapter) => decoder.adapted_cache(room, self.adapters.weights(adapter)),
            None => decoder.cache(room),
        }
    }

    fn prefix(&self, model: ModelId, of: &KvCache, tokens: usize, room: usize) -> KvCache {
        of.prefix(self.decoders[model.base].architecture(), tokens, room)
    }

    fn length(cache: &KvCache) -> usize {
        cache.length()
    }

    fn forward(&self, base: usize, spans: &mut [Work<'_, KvCache>]) -> Vec<f32> {
        let mut spans: Vec<Span<'_>> = spans
            .iter_mut()
            .map(|work| Span { tokens: work.tokens, cache: work.cache, wants_logits: work.wants_logits })
            .collect();
        // On a thread of the pool, so that its tasks need no wake-up of this one.
        self.pool.install(|| self.decoders[base].forward(&mut spans))
    }
}

struct Active<C> {
    id: u64,
    sequence: Sequence,
    cache: C,
    room: usize,
    finish: Option<EngineFinish>,
}

pub(super) struct Worker<C: Compute> {
    compute: C,
    limits: Limits,
    shared: Arc<Shared>,
    waiting: VecDeque<Sequence>,
    active: Vec<Active<C::Cache>>,
    retained: PrefixStore<C::Cache>,
    next_id: u64,
    /// The sequence that had the last chunk.
    last_chunk: u64,
    scratch: Scratch,
}

/// What a panic said.
pub(super) fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "it gave no reason".to_owned())
}

impl<C: Compute> Worker<C> {
    pub(super) fn new(compute: C, limits: Limits, shared: Arc<Shared>) -> Self {
        Self {
            compute,
            limits,
            shared,
            waiting: VecDeque::new(),
            active: Vec::new(),
            retained: PrefixStore::new(),
            next_id: 1,
            last_chunk: 0,
            scratch: Scratch::default(),
        }
    }

    /// Serves until the engine is dropped.
    pub(super) fn run(mut self, incoming: &mpsc::Receiver<Sequence>) {
        let why = match catch_unwind(AssertUnwindSafe(|| self.serve(incoming))) {
            Ok(()) => "it was shut down".to_owned(),
            Err(panic) => format!("computing failed: {}", panic_text(&*panic)),
        };
        // From here on nobody is handed over any more, except those who looked before: they are told below.
        let why = self.shared.stopped.get_or_init(|| why.into());
        self.active.iter_mut().for_each(|active| active.sequence.fail(why));
        self.waiting.iter_mut().for_each(|sequence| sequence.fail(why));
        self.active.clear();
        self.waiting.clear();
        for mut sequence in incoming {
            sequence.fail(why);
        }
    }

    fn serve(&mut self, incoming: &mpsc::Receiver<Sequence>) {
        loop {
            if self.active.is_empty() && self.waiting.is_empty() {
                match incoming.recv() {
                    Ok(sequence) => self.waiting.push_back(sequence),
                    Err(mpsc::RecvError) => return,
                }
            }
            self.waiting.extend(incoming.try_iter());
            if self.shared.closing.load(Ordering::Acquire) {
                return;
            }
            self.drop_unwanted();
            self.admit();
            for step in schedule::plan(&self.statuses(), self.last_chunk, &self.limits) {
                self.compute(&step);
            }
            self.retire();
        }
    }

    fn statuses(&self) -> Vec<Status> {
        let status = |active: &Active<C::Cache>| {
            let done = C::length(&active.cache);
            let pending = active.sequence.tokens().len() - done;
            Status { id: active.id, base: active.sequence.model().base, done, pending }
        };
        self.active.iter().map(status).collect()
    }

    /// Ends what was cancelled, or whose reader is gone, waiting or active.
    fn drop_unwanted(&mut self) {
        self.waiting.retain_mut(|sequence| {
            let unwanted = sequence.is_unwanted();
            if unwanted {
                self.shared.queued.fetch_sub(1, Ordering::AcqRel);
                sequence.end(EngineFinish::Cancelled);
            }
            !unwanted
        });
        for active in self.active.iter_mut().filter(|active| active.sequence.is_unwanted()) {
            active.finish = Some(EngineFinish::Cancelled);
        }
        self.retire();
    }

    fn kv_tokens(&self) -> usize {
        self.active.iter().map(|active| active.room).sum()
    }

    fn admit(&mut self) {
        while let Some(next) = self.waiting.front() {
            let room = next.room();
            let load = Load { active: self.active.len(), kv_tokens: self.kv_tokens() };
            if !schedule::admits(load, room, &self.limits) {
                return;
            }
            let Some(sequence) = self.waiting.pop_front() else { return };
            self.shared.queued.fetch_sub(1, Ordering::AcqRel);
            let model = sequence.model();
            let cache = match self.retained.find(sequence.key(), sequence.tokens()) {
                Some((state, tokens)) => {
                    // Not all of them where the model cannot go on from that state.
                    let cache = self.compute.prefix(model, state, tokens, room);
                    sequence.count_cached(C::length(&cache));
                    cache
                }
                None => self.compute.cache(model, room),
            };
            self.active.push(Active { id: self.next_id, sequence, cache, room, finish: None });
            self.next_id += 1;
            self.shrink();
        }
    }

    /// Leaves to finished sequences what active ones do not need.
    fn shrink(&mut self) {
        let free = self.limits.kv_tokens_max.saturating_sub(self.kv_tokens());
        self.retained.shrink(self.limits.retained_sequences_max, free);
    }

    fn compute(&mut self, step: &Step) {
        let mut work = Vec::new();
        let mut drawing = Vec::new();
        let mut counts = Vec::new();
        for (place, active) in self.active.iter_mut().enumerate() {
            let Some((_, tokens)) = step.spans.iter().find(|(span_place, _)| *span_place == place) else { continue };
            let begin = C::length(&active.cache);
            let known = active.sequence.tokens();
            let wants_logits = begin + tokens == known.len();
            if wants_logits {
                drawing.push(place);
            }
            if known.len() - begin > 1 {
                self.last_chunk = active.id;
            }
            counts.push((place, begin, *tokens));
            work.push(Work { tokens: &known[begin..begin + tokens], cache: &mut active.cache, wants_logits });
        }
        let logits = self.compute.forward(step.base, &mut work);
        for (place, begin, tokens) in counts {
            self.active[place].sequence.count_computed(begin, tokens);
        }
        let vocabulary = logits.len() / drawing.len().max(1);
        for (place, logits) in drawing.into_iter().zip(logits.chunks_exact(vocabulary.max(1))) {
            let active = &mut self.active[place];
            active.finish = active.sequence.advance(logits, &mut self.scratch);
        }
    }

    /// Ends what came to its end, and keeps its keys and values.
    fn retire(&mut self) {
        let mut place = 0;
        while place < self.active.len() {
            let Some(finish) = self.active[place].finish else {
                place += 1;
                continue;
            };
            self.active[place].sequence.end(finish);
            let Active { sequence, cache, room, .. } = self.active.remove(place);
            let key = sequence.key();
            let mut tokens = sequence.into_tokens();
            tokens.truncate(C::length(&cache));
            self.retained.keep(key, tokens, cache, room);
            self.shrink();
        }
    }
}
