//! Packages: what an agent is made of, and what it asks for.
//!
//! A package is a component and its manifest `remit.toml`. The manifest says what the agent *wants*; what it gets is the
//! operator's decision. Reading one runs nothing and opens nothing besides the manifest.

mod manifest;
mod package;

pub use manifest::{Budget, Manifest, ManifestError, ModelWant, Wants};
pub use package::{Package, PackageError};
