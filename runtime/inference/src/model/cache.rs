//! Keys and values of a sequence in plain memory.
//!
//! A cache is allocated once, for as many tokens as its sequence can come to, and written in place: with tensors, each
//! new token would copy it. Zeroed memory that was not touched takes no room yet.
//!
//! Layout of a layer's keys, and of its values: `[kv head][position][head width]`, so that what one head reads lies
//! together. A layer with a window keeps all positions too, so that any beginning of a sequence can be copied.

use super::{Adapter, Architecture};
use std::sync::Arc;

/// Keys and values of one sequence.
#[derive(Debug)]
pub struct KvCache {
    pub(super) layers: Vec<LayerCache>,
    capacity: usize,
    length: usize,
    adapter: Option<Arc<Adapter>>,
}

#[derive(Clone, Debug)]
pub(super) struct LayerCache {
    pub(super) keys: Vec<f32>,
    pub(super) values: Vec<f32>,
}

impl KvCache {
    /// An empty cache for up to `capacity` tokens.
    #[must_use]
    pub fn new(architecture: &Architecture, capacity: usize) -> Self {
        let size = architecture.key_width() * capacity;
        // Not cloned: a clone would touch the memory.
        let layers = architecture.layers.iter().map(|_| LayerCache { keys: vec![0.0; size], values: vec![0.0; size] });
        Self { layers: layers.collect(), capacity, length: 0, adapter: None }
    }

    /// The same for a sequence that is computed with an adapter.
    ///
    /// # Panics
    /// Where the adapter was loaded for another architecture.
    #[must_use]
    pub fn adapted(architecture: &Architecture, capacity: usize, adapter: Arc<Adapter>) -> Self {
        assert!(adapter.architecture() == architecture, "an adapter fits models of the architecture it was loaded for");
        Self { adapter: Some(adapter), ..Self::new(architecture, capacity) }
    }

    /// With what the sequence is computed.
    #[must_use]
    pub fn adapter(&self) -> Option<&Arc<Adapter>> {
        self.adapter.as_ref()
    }

    /// How many tokens it holds.
    #[must_use]
    pub fn length(&self) -> usize {
        self.length
    }

    /// How many tokens it can hold.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// A cache of its own for up to `capacity` tokens, that begins with the first `tokens` of this one, and has
    /// its adapter. It is empty where
    /// one of the two is for long texts and the other is not, and the model turns their keys differently.
    #[must_use]
    pub fn prefix(&self, architecture: &Architecture, tokens: usize, capacity: usize) -> Self {
        let tokens = tokens.min(self.length).min(capacity);
        let mut copy = Self { adapter: self.adapter.clone(), ..Self::new(architecture, capacity) };
        let differs = architecture.ropes.iter().any(|rope| rope.is_long(self.capacity) != rope.is_long(capacity));
        let width = architecture.head_width;
        let (from, to, used) = (self.capacity * width, capacity * width, tokens * width);
        if used == 0 || differs {
            return copy;
        }
        copy.length = tokens;
        for (source, target) in self.layers.iter().zip(&mut copy.layers) {
            for (source, target) in [(&source.keys, &mut target.keys), (&source.values, &mut target.values)] {
                for (source, target) in source.chunks_exact(from).zip(target.chunks_exact_mut(to)) {
                    target[..used].copy_from_slice(&source[..used]);
                }
            }
        }
        copy
    }

    /// Makes what was written for the next `tokens` count.
    pub(super) fn advance(&mut self, tokens: usize) {
        self.length += tokens;
    }
}
