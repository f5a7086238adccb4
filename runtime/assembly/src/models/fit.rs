//! What this machine could do with a model.

use super::{KnownModel, Stored};
use remit_inference::{AdapterFile, LoadError, LocalEmbedder, ModelFile, Requirements, read_bandwidth};
use sysinfo::{MemoryRefreshKind, System};

/// Bytes that the machine's memory is measured with: far more than its caches hold, on most machines.
const LOOK_BYTES: usize = 1 << 28;

/// Of the machine's memory, what all models' weights may have where the operator does not say: three quarters. The rest is
/// for conversations, guests and everything else.
const WEIGHTS_PART: (u64, u64) = (3, 4);

/// Bytes of memory that all models' weights may have together where the operator does not say: three quarters of the
/// machine's memory, or of what this process may have of it.
#[must_use]
pub fn weights_bytes_max() -> u64 {
    let mut system = System::new();
    system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
    let machine = system.total_memory();
    let own = system.cgroup_limits().map_or(machine, |limits| limits.total_memory.min(machine));
    own / WEIGHTS_PART.1 * WEIGHTS_PART.0
}

/// The family of the model in these files, as its model card says it.
///
/// # Errors
/// [`LoadError`], where it is no model that can be served.
pub fn family(name: &str, stored: &Stored) -> Result<String, LoadError> {
    let file = ModelFile { name: name.into(), path: stored.path.clone(), digest: stored.sha256.as_str().into() };
    match LocalEmbedder::serves(&file)? {
        true => Ok(LocalEmbedder::FAMILY.to_owned()),
        false => Ok(Requirements::of(name, &stored.path)?.family.to_owned()),
    }
}

/// What this machine has for models.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Machine {
    /// Bytes of memory that all models' weights may have together, where the operator does not say.
    pub weights_bytes_max: u64,
    /// Bytes of memory that nobody uses.
    pub free_bytes: u64,
    /// Bytes a second that its threads read together.
    pub bandwidth: f64,
}

impl Machine {
    /// Looks. Takes a quarter of a second.
    #[must_use]
    pub fn look() -> Self {
        let mut system = System::new();
        system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
        let (free_bytes, bandwidth) = (system.available_memory(), read_bandwidth(LOOK_BYTES));
        Self { weights_bytes_max: weights_bytes_max(), free_bytes, bandwidth }
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
        let needs = Requirements::of(name, &stored.path)?;
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
