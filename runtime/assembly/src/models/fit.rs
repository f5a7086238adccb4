//! What this machine could do with a model.

use super::{KnownModel, Stored};
use remit_inference::{
    AdapterFile, DeviceChoice, DeviceError, DeviceView, LoadError, LocalEmbedder, ModelFile, Requirements,
    read_bandwidth,
};
use sysinfo::{MemoryRefreshKind, System};

/// Bytes that the machine's memory is measured with: far more than its caches hold, on most machines.
const LOOK_BYTES: usize = 1 << 28;

/// Of the memory where models are computed, what all models' weights may have where the operator does not say: three
/// quarters. The rest is for conversations, guests and everything else.
const WEIGHTS_PART: (u64, u64) = (3, 4);

/// Bytes of memory that all models' weights may have together where the operator does not say: three quarters of the
/// device's own memory, where that is known; else of the machine's, or of what this process may have of it.
#[must_use]
pub fn weights_bytes_max(device: &DeviceView) -> u64 {
    let part = |bytes: u64| bytes / WEIGHTS_PART.1 * WEIGHTS_PART.0;
    if let Some(bytes) = device.memory_bytes {
        return part(bytes);
    }
    let mut system = System::new();
    system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
    let machine = system.total_memory();
    let own = system.cgroup_limits().map_or(machine, |limits| limits.total_memory.min(machine));
    part(own)
}

/// The family of the model in these files, as its model card says it.
///
/// # Errors
/// [`LoadError`], where it is no model that can be served.
pub fn family(name: &str, stored: &Stored) -> Result<String, LoadError> {
    let file = ModelFile { name: name.into(), path: stored.path.clone(), digest: stored.sha256.as_str().into() };
    match LocalEmbedder::serves(&file)? {
        true => Ok(LocalEmbedder::FAMILY.to_owned()),
        false => Ok(Requirements::of(name, &stored.path, false)?.family.to_owned()),
    }
}

/// What this machine has for models.
#[derive(Clone, Debug, PartialEq)]
pub struct Machine {
    /// Where they are computed.
    pub device: DeviceView,
    /// Bytes of memory that all models' weights may have together, where the operator does not say.
    pub weights_bytes_max: u64,
    /// Bytes of memory there that nobody uses; all of a GPU's own, where that is known.
    pub free_bytes: u64,
    /// Bytes a second that are read there.
    pub bandwidth: f64,
}

impl Machine {
    /// Looks, with models computed on this device. Takes a quarter of a second, and some more for a GPU.
    ///
    /// # Errors
    /// [`DeviceError`], where there is no such device.
    pub fn look(device: DeviceChoice) -> Result<Self, DeviceError> {
        let device = device.settle();
        let view = device.look()?;
        let mut system = System::new();
        system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
        let free_bytes = view.memory_bytes.unwrap_or_else(|| system.available_memory());
        let bandwidth = match view.is_gpu {
            true => device.open()?.read_bandwidth(LOOK_BYTES),
            false => read_bandwidth(LOOK_BYTES),
        };
        Ok(Self { weights_bytes_max: weights_bytes_max(&view), device: view, free_bytes, bandwidth })
    }
}

/// How a model fits a machine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fit {
    /// Bytes that its weights take, loaded.
    pub weights_bytes: u64,
    /// The longest conversation that there is room for beside them, in tokens; none where they do not fit.
    pub context: Option<u32>,
    /// The most tokens a second that one conversation can get: a step reads all weights.
    pub tokens_per_second: f64,
}

impl Fit {
    /// How the model in these files fits; nothing for one that embeds, which holds no conversations.
    ///
    /// # Errors
    /// [`LoadError`], where it is no model that can be served.
    pub fn of(name: &str, stored: &Stored, machine: &Machine) -> Result<Option<Self>, LoadError> {
        let file = ModelFile { name: name.into(), path: stored.path.clone(), digest: stored.sha256.as_str().into() };
        if LocalEmbedder::serves(&file)? {
            return Ok(None);
        }
        let needs = Requirements::of(name, &stored.path, machine.device.is_gpu)?;
        Ok(Some(Self {
            weights_bytes: needs.weights_bytes,
            context: needs.context_within(machine.free_bytes),
            tokens_per_second: machine.bandwidth / needs.step_bytes.max(1) as f64,
        }))
    }
}

/// Bytes that an adapter takes beside its base, loaded.
///
/// # Errors
/// [`LoadError`], where the two do not fit, or one of them is none that can be served.
pub fn adapter_bytes(
    (adapter, stored): (&KnownModel, &Stored),
    (base, of_base): (&KnownModel, &Stored),
) -> Result<u64, LoadError> {
    let adapter = AdapterFile {
        name: adapter.name.as_str().into(),
        base: base.name.as_str().into(),
        path: stored.path.clone(),
        digest: stored.digest_on(of_base).into(),
    };
    remit_inference::adapter_bytes(&adapter, &of_base.path)
}
