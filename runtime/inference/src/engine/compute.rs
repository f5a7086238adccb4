//! What the engine's thread computes with: a seam, so that tests can script a model that fails.

use super::adapters::{ModelId, Placed};
use crate::{
    device::OpenDevice,
    model::{Adapter, BLOCK_TOKENS, Decoder, Pool, Span},
};
use burn::tensor::Device;
use std::sync::Arc;

/// Something that computes tokens of sequences. Any of its functions may panic: then all of it, and every cache, is
/// thrown away.
pub(super) trait Compute {
    /// Keys and values of one sequence.
    type Cache;

    /// Room for so many tokens.
    fn cache(&self, model: ModelId, room: usize) -> Self::Cache;

    /// The first tokens of another sequence of the same model, with room for so many; `base` is that model's.
    fn prefix(&self, base: usize, of: &Self::Cache, tokens: usize, room: usize) -> Self::Cache;

    /// How many tokens it holds.
    fn length(cache: &Self::Cache) -> usize;

    /// As [`Decoder::forward`], for sequences of one base.
    fn forward(&self, base: usize, spans: &mut [Work<'_, Self::Cache>]) -> Vec<f32>;

    /// The same, but of those who ask for logits the likeliest one of the first `tokens`, so that logits stay where they
    /// are; nothing, and nothing was computed, where they are at hand anyway.
    fn forward_greedy(&self, _base: usize, _spans: &mut [Work<'_, Self::Cache>], _tokens: usize) -> Option<Vec<u32>> {
        None
    }

    /// Whether [`Compute::forward`] may return before all is computed: a step that asks for no logits on a device.
    fn is_deferred(&self) -> bool;

    /// Waits until all steps so far are computed.
    fn settle(&self);

    /// Loses the device, where it can be lost: whatever is computed from now on fails.
    fn lose(&self) -> bool;

    /// Computes one token of each model, so as to see whether anything can be computed.
    fn probe(&self);
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
    pub(super) device: OpenDevice,
    pub(super) pool: rayon::ThreadPool,
}

/// A sequence's keys and values, in a pool of its own.
pub(super) struct KvCache {
    pool: Pool,
    table: Vec<u32>,
    known: usize,
    room: usize,
    adapter: Option<Arc<Adapter>>,
}

impl KvCache {
    pub(super) fn new(decoder: &Decoder, room: usize, adapter: Option<Arc<Adapter>>) -> Self {
        let blocks = room.div_ceil(BLOCK_TOKENS);
        let table = (0..blocks as u32).collect();
        Self { pool: decoder.pool(blocks), table, known: 0, room, adapter }
    }

    fn prefix(&self, decoder: &Decoder, tokens: usize, room: usize) -> Self {
        let mut copy = Self::new(decoder, room, self.adapter.clone());
        if decoder.architecture().turns_alike(self.room, room) {
            copy.known = tokens.min(self.known).min(room);
            for block in &copy.table[..copy.known.div_ceil(BLOCK_TOKENS)] {
                copy.pool.write(*block, &self.pool.read(*block));
            }
        }
        copy
    }

    pub(super) fn length(&self) -> usize {
        self.known
    }

    #[cfg(test)]
    pub(super) fn adapter(&self) -> Option<&Arc<Adapter>> {
        self.adapter.as_ref()
    }

    /// Computes tokens behind those that it has.
    fn compute<T>(&mut self, tokens: &[u32], logits: usize, compute: impl FnOnce(&mut Pool, &[Span<'_>]) -> T) -> T {
        let Self { pool, table, known, room, adapter } = self;
        let span = Span { tokens, table, known: *known, room: *room, adapter: adapter.as_ref(), logits };
        let computed = compute(pool, &[span]);
        *known += tokens.len();
        computed
    }

    pub(super) fn forward(&mut self, decoder: &Decoder, tokens: &[u32], logits: usize) -> Vec<f32> {
        self.compute(tokens, logits, |pool, spans| decoder.forward(pool, spans))
    }
}

impl Compute for Models {
    type Cache = KvCache;

    fn cache(&self, model: ModelId, room: usize) -> KvCache {
        let adapter = model.adapter.map(|adapter| self.adapters.weights(adapter));
        KvCache::new(&self.decoders[model.base], room, adapter)
    }

    fn prefix(&self, base: usize, of: &KvCache, tokens: usize, room: usize) -> KvCache {
        of.prefix(&self.decoders[base], tokens, room)
    }

    fn length(cache: &KvCache) -> usize {
        cache.length()
    }

    fn forward(&self, base: usize, spans: &mut [Work<'_, KvCache>]) -> Vec<f32> {
        let decoder = &self.decoders[base];
        let each = |work: &mut Work<'_, KvCache>| work.cache.forward(decoder, work.tokens, work.wants_logits.into());
        // On a thread of the pool, so that its tasks need no wake-up of this one.
        self.pool.install(|| spans.iter_mut().flat_map(each).collect())
    }

    fn forward_greedy(&self, base: usize, spans: &mut [Work<'_, KvCache>], tokens: usize) -> Option<Vec<u32>> {
        if !self.is_deferred() {
            return None;
        }
        let decoder = &self.decoders[base];
        let each = |work: &mut Work<'_, KvCache>| {
            let greedy = |pool: &mut Pool, spans: &[Span<'_>]| decoder.forward_greedy(pool, spans, tokens);
            work.cache.compute(work.tokens, work.wants_logits.into(), greedy)
        };
        Some(self.pool.install(|| spans.iter_mut().flat_map(each).collect()))
    }

    fn is_deferred(&self) -> bool {
        *self.device.tensors() != Device::flex()
    }

    fn settle(&self) {
        if let Err(error) = self.device.tensors().sync() {
            panic!("the device does not answer: {error}");
        }
    }

    fn lose(&self) -> bool {
        self.device.lose()
    }

    fn probe(&self) {
        for base in 0..self.decoders.len() {
            let mut cache = self.cache(ModelId::base(base), 1);
            drop(self.forward(base, &mut [Work { tokens: &[0], cache: &mut cache, wants_logits: true }]));
        }
    }
}
