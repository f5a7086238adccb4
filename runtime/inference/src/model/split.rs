//! Which layers of a model are computed where: all on one device, or the first ones on the CPU and the others on a GPU that
//! has no room for all.
//!
//! The CPU comes first, so that the GPU has the output, whose matrix is the largest one; tokens are looked up in memory
//! either way. A step hands its hidden state over once.

use super::{ModelError, placement::Placement};
use burn::tensor::Device;

/// A model's layers on devices.
#[derive(Clone, Debug)]
pub struct Split {
    /// Of the last layers, and of the output.
    device: Device,
    /// Layers that the CPU computes.
    host_layers: usize,
    host: Device,
}

impl Split {
    /// The first `host_layers` on the CPU, all others and the output on a device.
    #[must_use]
    pub fn new(device: &Device, host_layers: usize) -> Self {
        Self { device: device.clone(), host_layers, host: Device::flex() }
    }

    /// Where a layer is computed.
    pub(super) fn of(&self, layer: usize) -> &Device {
        if layer < self.host_layers { &self.host } else { &self.device }
    }

    /// Where the output is computed.
    pub(super) fn last(&self) -> &Device {
        &self.device
    }

    /// The layers of each device, in order; never none.
    pub(super) fn stages(&self, layers: usize) -> Vec<(Device, std::ops::Range<usize>)> {
        let host = self.host_layers.min(layers);
        let last = (self.device.clone(), host..layers);
        match host {
            0 => vec![last],
            _ => vec![(self.host.clone(), 0..host), last],
        }
    }
}

impl From<&Device> for Split {
    /// All layers on it.
    fn from(device: &Device) -> Self {
        Self::new(device, 0)
    }
}

/// Bytes that a model takes on a device, were all of it there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DeviceBytes {
    /// What goes with the last layer: the output, and room to compute in.
    pub(crate) outside: u64,
    /// Of each layer, with its share of keys and values.
    pub(crate) layers: Vec<u64>,
}

impl DeviceBytes {
    /// Of a model's weights, with keys and values of so many tokens.
    pub(super) fn of(placement: &Placement<'_>, tokens: usize) -> Result<Self, ModelError> {
        let (output, layers, largest) = placement.device_bytes()?;
        let kept = [2, placement.architecture.key_width(), tokens, size_of::<f32>()];
        let kept = kept.iter().fold(1u64, |all, size| all.saturating_mul(*size as u64));
        let layers = layers.into_iter().map(|layer| layer.saturating_add(kept)).collect();
        // A product of many rows takes its matrix as f32, and as much again is for rows.
        Ok(Self { outside: output.saturating_add(largest.saturating_mul(2)), layers })
    }

    /// How many of the first layers have to stay on the CPU, so that the others fit into so many bytes; none where not even
    /// one fits.
    pub(crate) fn host_layers(&self, bytes: u64) -> Option<usize> {
        let mut left = bytes.checked_sub(self.outside)?;
        let fit = self.layers.iter().rev().take_while(|layer| match left.checked_sub(**layer) {
            Some(rest) => {
                left = rest;
                true
            }
            None => false,
        });
        let fit = fit.count();
        (fit > 0).then(|| self.layers.len() - fit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_layers_go_to_the_device() {
        let model = DeviceBytes { outside: 100, layers: vec![10, 20, 30] };
        for (bytes, expect) in [
            (0, None),
            (100, None),
            (129, None),
            (130, Some(2)),
            (149, Some(2)),
            (150, Some(1)),
            (159, Some(1)),
            (160, Some(0)),
            (u64::MAX, Some(0)),
        ] {
            assert_eq!(model.host_layers(bytes), expect, "{bytes}");
        }
    }

    #[test]
    fn stages_have_all_layers() {
        let gpu = Device::flex();
        let ranges = |host| Split::new(&gpu, host).stages(3).into_iter().map(|(_, layers)| layers).collect::<Vec<_>>();
        assert_eq!(ranges(0), [std::ops::Range { start: 0, end: 3 }]);
        assert_eq!(ranges(2), [0..2, 2..3]);
        assert_eq!(ranges(9), [0..3, 3..3]);
    }
}
