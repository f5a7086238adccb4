//! Model files: known names, what is on this machine, and getting the rest.
//!
//! Principles:
//!
//! - A file counts as here only under its final name, and gets that name only when its SHA-256 is right and it is on disk.
//! - No host name is written anywhere: the machine's own clients know where packages and models come from.

mod digest;
mod error;
mod fetch;
mod fit;
mod registry;
mod store;
mod swapping;

pub use digest::describe;
pub use error::{ModelError, PullNewError};
pub use fetch::{has_hub_client, has_package_client};
pub use fit::{Fit, Machine, adapter_bytes, family, weights_bytes_max};
pub use registry::{
    ADAPTER_FILES_READ, Adding, HubRepository, KnownFile, KnownModel, PythonPackage, Registry, RegistryError, Source,
    UnknownModel,
};
pub use remit_inference::residency::{Demand, ModelView, Place, ResidencyView};
pub use remit_inference::{
    BLOCK_TOKENS, DeviceChoice, DeviceError, DeviceView, Ends, Histogram, Measures, ModelFigures, Totals,
};
pub use remit_kernel::ports::SnapshotFigures;
pub use store::{ModelStore, NewModel, PullProgress, Stored};
pub use swapping::Swapping;
