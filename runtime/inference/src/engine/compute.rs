//! What the engine's thread computes with: a seam, so that tests can script a model that fails.

use super::adapters::{ModelId, Placed};
use crate::{
    device::OpenDevice,
    model::{Decoder, KvCache, Span},
};
use burn::tensor::Device;

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

fn to_spans<'a>(work: &'a mut [Work<'_, KvCache>]) -> Vec<Span<'a>> {
    let span = |work: &'a mut Work<'_, KvCache>| Span {
        tokens: work.tokens,
        cache: work.cache,
        wants_logits: work.wants_logits,
    };
    work.iter_mut().map(span).collect()
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

    fn prefix(&self, base: usize, of: &KvCache, tokens: usize, room: usize) -> KvCache {
        of.prefix(self.decoders[base].architecture(), tokens, room)
    }

    fn length(cache: &KvCache) -> usize {
        cache.length()
    }

    fn forward(&self, base: usize, spans: &mut [Work<'_, KvCache>]) -> Vec<f32> {
        let mut spans = to_spans(spans);
        // On a thread of the pool, so that its tasks need no wake-up of this one.
        self.pool.install(|| self.decoders[base].forward(&mut spans))
    }

    fn forward_greedy(&self, base: usize, spans: &mut [Work<'_, KvCache>], tokens: usize) -> Option<Vec<u32>> {
        if !self.is_deferred() {
            return None;
        }
        let mut spans = to_spans(spans);
        Some(self.pool.install(|| self.decoders[base].forward_greedy(&mut spans, tokens)))
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
