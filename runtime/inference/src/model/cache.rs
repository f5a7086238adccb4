//! Keys and values of a sequence, in plain memory or on a device.
//!
//! A cache is allocated once, for as many tokens as its sequence can come to, and written in place: with tensors, each
//! new token would copy it. Zeroed memory that was not touched takes no room yet.
//!
//! Layout of a layer's keys, and of its values: `[kv head][position][head width]`, so that what one head reads lies
//! together. A layer with a window keeps all positions too, so that any beginning of a sequence can be copied.
//!
//! On a device a layer's keys and values are memory of its own, which programs write and read in place (see `device`, also
//! for their layout). There room is taken from the beginning.

use super::{Adapter, Architecture, device::LayerMemory, linear::is_memory, split::Split};
use burn::tensor::Device;
use std::sync::Arc;

/// Keys and values of one sequence.
#[derive(Debug)]
pub struct KvCache {
    layers: Vec<LayerRoom>,
    capacity: usize,
    length: usize,
    adapter: Option<Arc<Adapter>>,
}

#[derive(Clone, Debug)]
pub(super) struct LayerCache {
    pub(super) keys: Vec<f32>,
    pub(super) values: Vec<f32>,
}

/// A layer's keys and values, where the layer is computed.
#[derive(Debug)]
enum LayerRoom {
    Memory(LayerCache),
    Device(Box<LayerMemory>, Device),
}

impl LayerRoom {
    fn new(architecture: &Architecture, capacity: usize, device: &Device) -> Self {
        if is_memory(device) {
            let size = architecture.key_width() * capacity;
            // Not cloned: a clone would touch the memory.
            return Self::Memory(LayerCache { keys: vec![0.0; size], values: vec![0.0; size] });
        }
        let Architecture { kv_heads, head_width, .. } = *architecture;
        Self::Device(Box::new(LayerMemory::new(kv_heads, head_width, capacity, device)), device.clone())
    }

    /// Other room that begins with the first tokens of this one.
    fn prefix(&self, architecture: &Architecture, tokens: usize, (from, to): (usize, usize)) -> Self {
        match self {
            Self::Memory(layer) => Self::Memory(layer.prefix(architecture, tokens, (from, to))),
            Self::Device(layer, device) => Self::Device(Box::new(layer.prefix(tokens, to, device)), device.clone()),
        }
    }
}

impl LayerCache {
    fn prefix(&self, architecture: &Architecture, tokens: usize, (from, to): (usize, usize)) -> Self {
        let width = architecture.head_width;
        let copy = |source: &[f32]| {
            let mut target = vec![0.0; architecture.key_width() * to];
            if tokens > 0 {
                let heads = source.chunks_exact(from * width).zip(target.chunks_exact_mut(to * width));
                heads.for_each(|(source, target)| target[..tokens * width].copy_from_slice(&source[..tokens * width]));
            }
            target
        };
        Self { keys: copy(&self.keys), values: copy(&self.values) }
    }
}

/// A cache is of the kind that its decoder's device needs.
const OTHER_DEVICE: &str = "a sequence's cache is made by the decoder that computes it";

impl KvCache {
    /// An empty cache for up to `capacity` tokens, in plain memory. [`Decoder::cache`](super::Decoder::cache) makes one
    /// of the kind that a decoder needs.
    #[must_use]
    pub fn new(architecture: &Architecture, capacity: usize) -> Self {
        Self::on(architecture, capacity, &Split::from(&Device::flex()))
    }

    /// The same where the layers are computed.
    pub(super) fn on(architecture: &Architecture, capacity: usize, split: &Split) -> Self {
        let layers = 0..architecture.layers.len();
        let layers = layers.map(|layer| LayerRoom::new(architecture, capacity, split.of(layer)));
        Self { layers: layers.collect(), capacity, length: 0, adapter: None }
    }

    /// A layer's keys and values in plain memory.
    pub(super) fn memory(&mut self, layer: usize) -> &mut LayerCache {
        match &mut self.layers[layer] {
            LayerRoom::Memory(layer) => layer,
            LayerRoom::Device(..) => panic!("{OTHER_DEVICE}"),
        }
    }

    /// A layer's keys and values on a device.
    pub(super) fn device(&self, layer: usize) -> &LayerMemory {
        match &self.layers[layer] {
            LayerRoom::Device(layer, _) => layer,
            LayerRoom::Memory(_) => panic!("{OTHER_DEVICE}"),
        }
    }

    /// The same for a sequence that is computed with an adapter.
    ///
    /// # Panics
    /// Where the adapter was loaded for another architecture.
    #[must_use]
    pub fn adapted(architecture: &Architecture, capacity: usize, adapter: Arc<Adapter>) -> Self {
        Self::new(architecture, capacity).adapt(architecture, adapter)
    }

    /// The same with an adapter.
    pub(super) fn adapt(self, architecture: &Architecture, adapter: Arc<Adapter>) -> Self {
        assert!(adapter.architecture() == architecture, "an adapter fits models of the architecture it was loaded for");
        Self { adapter: Some(adapter), ..self }
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

    /// A cache of its own for up to `capacity` tokens, that begins with the first `tokens` of this one, and has its
    /// adapter. It is empty where one of the two is for long texts and the other is not, and the model turns their keys
    /// differently.
    #[must_use]
    pub fn prefix(&self, architecture: &Architecture, tokens: usize, capacity: usize) -> Self {
        let tokens = tokens.min(self.length).min(capacity);
        let differs = architecture.ropes.iter().any(|rope| rope.is_long(self.capacity) != rope.is_long(capacity));
        let tokens = if differs { 0 } else { tokens };
        let layers = self.layers.iter().map(|layer| layer.prefix(architecture, tokens, (self.capacity, capacity)));
        let layers = layers.collect();
        Self { layers, capacity, length: tokens, adapter: self.adapter.clone() }
    }

    /// Makes what was written for the next `tokens` count.
    pub(super) fn advance(&mut self, tokens: usize) {
        self.length += tokens;
    }
}
