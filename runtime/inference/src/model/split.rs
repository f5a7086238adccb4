//! Which layers of a model are computed where: all on one device, or the first ones on the CPU and the others on a GPU that
//! has no room for all.
//!
//! The CPU comes first, so that the GPU has the output, whose matrix is the largest one; tokens are looked up in memory
//! either way. The CPU's layers are computed natively (see `native`): weights as packed as their file has them, rows and paged keys and
//! values in plain memory. A step hands its hidden state over once.

use super::{
    ModelError, Tensors,
    architecture::Feed,
    families,
    placement::{Placement, Slot},
};
use crate::gguf::Gguf;
use burn::tensor::Device;
use remit_compute::Team;
use serde_json::{Map, Value};
use std::sync::Arc;

/// A model's layers on devices.
#[derive(Clone, Debug)]
pub struct Split {
    /// Of the last layers, and of the output.
    device: Device,
    host: Option<Host>,
}

/// The layers that the CPU computes, natively.
#[derive(Clone, Debug)]
pub(super) struct Host {
    /// The first so many; at least one.
    pub(super) layers: usize,
    pub(super) team: Arc<Team>,
}

impl Split {
    /// The first `host_layers` on the CPU, by these threads, all others and the output on a device.
    #[must_use]
    pub fn new(device: &Device, host_layers: usize, team: &Arc<Team>) -> Self {
        let host = Host { layers: host_layers, team: team.clone() };
        Self { device: device.clone(), host: (host_layers > 0).then_some(host) }
    }

    /// What the CPU computes.
    pub(super) fn host(&self) -> Option<&Host> {
        self.host.as_ref()
    }

    /// How many of a model's layers those are.
    pub(super) fn host_layers(&self, layers: usize) -> usize {
        self.host.as_ref().map_or(0, |host| host.layers.min(layers))
    }

    /// Where all others are computed, and the output.
    pub(super) fn device(&self) -> &Device {
        &self.device
    }
}

impl From<&Device> for Split {
    /// All layers on it.
    fn from(device: &Device) -> Self {
        Self { device: device.clone(), host: None }
    }
}

/// Bytes that a model takes on a device, were all of it there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DeviceBytes {
    /// Of the matrix that tokens are looked up in, where that is not the output's.
    pub(crate) embedding: u64,
    pub(crate) output: u64,
    /// Of each layer.
    pub(crate) layers: Vec<u64>,
    /// Of those of the layers, what experts have that a token does not go through.
    pub(crate) idle: u64,
    /// Of a layer's keys and values, for each token.
    pub(crate) token: u64,
    /// What products of many rows take while they are computed.
    pub(crate) working: u64,
}

impl DeviceBytes {
    /// What a GGUF file's model takes where it is computed natively, or on a device.
    ///
    /// # Errors
    /// [`ModelError`], where it is no model that can be computed.
    pub(crate) fn of_gguf(file: &Gguf, is_native: bool) -> Result<Self, ModelError> {
        let (architecture, layout) = families::read_gguf(file)?;
        Self::of(&Placement { architecture: &architecture, layout, tensors: file }, is_native)
    }

    /// The same of one that a `config.json` describes.
    ///
    /// # Errors
    /// As [`of_gguf`](Self::of_gguf).
    pub(crate) fn of_json(
        config: &Map<String, Value>,
        tensors: &dyn Tensors,
        is_native: bool,
    ) -> Result<Self, ModelError> {
        let (architecture, layout) = families::read_json(config, tensors)?;
        Self::of(&Placement { architecture: &architecture, layout, tensors }, is_native)
    }

    /// The same of weights at a place.
    fn of(placement: &Placement<'_>, is_native: bool) -> Result<Self, ModelError> {
        let architecture = placement.architecture;
        let slots = placement.layer_slots();
        let bytes = |slot, layer| match is_native {
            true => placement.native_bytes(slot, layer),
            false => placement.device_bytes(slot, layer),
        };
        let of_layer = |layer| slots.iter().map(|slot| bytes(*slot, layer)).sum();
        let layers = (0..architecture.layers.len()).map(of_layer).collect::<Result<Vec<u64>, ModelError>>()?;
        let embedding = bytes(Slot::Embedding, 0)?;
        let (embedding, output) = match architecture.tied_output {
            true => (0, embedding),
            false => (embedding, bytes(Slot::Output, 0)?),
        };
        let mut idle = 0;
        if let Feed::Experts { count, used, .. } = architecture.feed {
            for slot in [Slot::ExpertGates, Slot::ExpertUps, Slot::ExpertDowns] {
                let unused = bytes(slot, 0)? / count.max(1) as u64 * count.saturating_sub(used) as u64;
                idle += unused * layers.len() as u64;
            }
        }
        let number = size_of::<f32>() as u64;
        Ok(Self {
            embedding,
            output,
            layers,
            idle,
            // Natively in 16 bits.
            token: 2 * architecture.key_width() as u64 * if is_native { 2 } else { number },
            // A matrix as f32, and as much again for rows.
            working: placement.largest_matrix()?.saturating_mul(2 * number),
        })
    }

    /// Of all weights.
    pub(crate) fn weights(&self) -> u64 {
        self.layers.iter().fold(self.embedding.saturating_add(self.output), |sum, layer| sum.saturating_add(*layer))
    }

    /// How many of the first layers have to stay on the CPU, so that the others fit into so many bytes with keys and values
    /// of so many tokens; none where not even one fits.
    pub(crate) fn host_layers(&self, bytes: u64, tokens: usize) -> Option<usize> {
        (0..self.layers.len()).find(|host| self.on_device(*host, tokens) <= bytes)
    }

    /// Bytes that a model takes on a device whose first `host` layers are the CPU's; nothing where all are.
    pub(crate) fn on_device(&self, host: usize, tokens: usize) -> u64 {
        let kept = self.token.saturating_mul(tokens as u64);
        let layers = &self.layers[host.min(self.layers.len())..];
        if layers.is_empty() {
            return 0;
        }
        // With layers on the CPU, tokens are looked up there.
        let embedding = if host == 0 { self.embedding } else { 0 };
        let outside = [embedding, self.output, self.working].into_iter().fold(0, u64::saturating_add);
        layers.iter().fold(outside, |sum, layer| sum.saturating_add(*layer).saturating_add(kept))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_layers_go_to_the_device() {
        let model = DeviceBytes { embedding: 10, output: 50, layers: vec![6, 16, 26], idle: 0, token: 2, working: 40 };
        assert_eq!(model.weights(), 108);
        for (bytes, expect) in [
            (0, None),
            (119, None),
            (120, Some(2)),
            (139, Some(2)),
            (140, Some(1)),
            (159, Some(1)),
            (160, Some(0)),
            (u64::MAX, Some(0)),
        ] {
            assert_eq!(model.host_layers(bytes, 2), expect, "{bytes}");
        }
        assert_eq!([0, 1, 2, 3, 4].map(|host| model.on_device(host, 2)), [160, 140, 120, 0, 0]);
    }
}
