//! The SDK of this version: in the binary, and in a project's folder.
//!
//! It lies there as in the repository, so that the source names the interfaces by the same path: `sdk/guest-sdk/rust` and `sdk/wit`, in a
//! workspace of its own.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

mod packed {
    include!(concat!(env!("OUT_DIR"), "/files.rs"));
}

/// The version of the SDK in this binary, which is the binary's.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The folder of a project that it lies in.
pub(crate) const FOLDER: &str = "sdk";

/// The file in there that names its version.
const VERSION_FILE: &str = "VERSION";

/// The manifest of the workspace that it is.
const WORKSPACE: &str = include_str!(concat!(env!("OUT_DIR"), "/workspace.toml"));

/// What it stands on, locked.
const LOCK: &str = include_str!(concat!(env!("OUT_DIR"), "/sdk.lock"));

/// All of its files, by their paths in its folder; the last one names its version.
fn files() -> impl Iterator<Item = (&'static str, &'static str)> {
    packed::FILES.iter().copied().chain([("Cargo.toml", WORKSPACE), (VERSION_FILE, VERSION)])
}

/// Writes it into a folder that has none. The version comes last: where it stands, all of it does.
pub(crate) fn write(folder: &Path) -> Result<(), (PathBuf, io::Error)> {
    for (name, text) in files() {
        let path = folder.join(name);
        let parent = path.parent().unwrap_or(folder);
        fs::create_dir_all(parent).and_then(|()| fs::write(&path, text)).map_err(|error| (path, error))?;
    }
    Ok(())
}

/// The version of the one in a folder; `None` where there is none, or half of one.
pub(crate) fn version_in(folder: &Path) -> Option<String> {
    Some(fs::read_to_string(folder.join(VERSION_FILE)).ok()?.trim().to_owned())
}

/// The lock of a package of this name that depends on the SDK alone: the versions that this repository's agents are built with.
/// Cargo leaves out of it what the features of the SDK do not need, when it is first asked.
pub(crate) fn lock_for(name: &str) -> String {
    format!("{LOCK}[[package]]\nname = \"{name}\"\nversion = \"0.1.0\"\ndependencies = [\n \"remit-sdk\",\n]\n")
}
