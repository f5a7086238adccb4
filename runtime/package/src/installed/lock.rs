//! The list of installed packages: which bytes each name and version means.
//!
//! ```toml
//! format = 1
//!
//! [packages.clerk]
//! current = "1.2.0"
//! before = "1.1.0"
//! newest = { serial = 7, digest = "…" }
//!
//! [packages.clerk.versions."1.2.0"]
//! digest = "…"
//! serial = 7
//! installed = "2026-11-21T12:00:00Z"
//! from = "registry.example.com/team/clerk@sha256:…"
//! ```
//!
//! `newest` is the highest serial that was ever installed under the name. It stays when the package goes, so that an older one,
//! with known holes, is not taken for a new one.

use super::StoreError;
use crate::{disk, name::is_name, signing::parse_sha256};
use jiff::Timestamp;
use semver::Version;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, path::Path};

/// What this version writes, and reads.
const FORMAT: u32 = 1;

/// Some 300 bytes for each of tens of thousands of packages.
const LOCK_BYTES_MAX: u64 = 16 << 20;

/// Every name that was ever installed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Lock {
    format: u32,
    #[serde(default)]
    pub(super) packages: BTreeMap<String, Entry>,
}

/// What one name means.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    /// The version that the name means where none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) current: Option<String>,
    /// The version that it meant before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) before: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) newest: Option<Newest>,
    #[serde(default)]
    pub(super) versions: BTreeMap<String, Kept>,
}

/// The package with the highest serial that was installed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Newest {
    pub(super) serial: u64,
    pub(super) digest: String,
}

/// A version that is here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Kept {
    /// SHA-256 of its file, in hexadecimal.
    pub(super) digest: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) serial: Option<u64>,
    pub(super) installed: String,
    /// Where it came from, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) from: Option<String>,
}

impl Default for Lock {
    fn default() -> Self {
        Self { format: FORMAT, packages: BTreeMap::new() }
    }
}

impl Lock {
    /// Reads the list; nothing is installed where there is none.
    pub(super) fn read(path: &Path) -> Result<Self, StoreError> {
        let failed = |error| StoreError::Io { path: path.to_owned(), error };
        let Some(bytes) = disk::read_if_there(path, LOCK_BYTES_MAX).map_err(failed)? else {
            return Ok(Self::default());
        };
        let wrong = |why: String| StoreError::Lockfile { path: path.to_owned(), why };
        let text = str::from_utf8(&bytes).map_err(|_| wrong("it is not UTF-8 text".to_owned()))?;
        let lock: Self = toml::from_str(text).map_err(|error| wrong(error.message().to_owned()))?;
        lock.check().map_err(wrong)?;
        Ok(lock)
    }

    pub(super) fn write(&self, path: &Path) -> Result<(), StoreError> {
        let failed = |error| StoreError::Io { path: path.to_owned(), error };
        let text = toml::to_string_pretty(self).map_err(|error| failed(std::io::Error::other(error)))?;
        disk::replace(path, text.as_bytes()).map_err(failed)
    }

    /// Whether any name means these bytes.
    pub(super) fn needs(&self, digest: &str) -> bool {
        self.packages.values().flat_map(|entry| entry.versions.values()).any(|kept| kept.digest == digest)
    }

    fn check(&self) -> Result<(), String> {
        if self.format != FORMAT {
            return Err(format!("its format is {}, and this version knows {FORMAT}", self.format));
        }
        self.packages.iter().try_for_each(|(name, entry)| match is_name(name) {
            true => entry.check().map_err(|why| format!("{name}: {why}")),
            false => Err(format!("{name:?} is no name")),
        })
    }
}

impl Entry {
    fn check(&self) -> Result<(), String> {
        for (version, kept) in &self.versions {
            Version::parse(version).map_err(|error| format!("{version:?} is no version: {error}"))?;
            check_digest(&kept.digest)?;
            kept.moment()?;
        }
        self.newest.as_ref().map_or(Ok(()), |newest| check_digest(&newest.digest))?;
        match self.current.iter().chain(&self.before).find(|version| !self.versions.contains_key(*version)) {
            Some(version) => Err(format!("the version {version} is not here")),
            None => Ok(()),
        }
    }
}

impl Kept {
    /// When it was installed.
    pub(super) fn moment(&self) -> Result<Timestamp, String> {
        self.installed.parse().map_err(|_| format!("{:?} is no time", self.installed))
    }
}

fn check_digest(digest: &str) -> Result<(), String> {
    parse_sha256(digest).map(drop).ok_or_else(|| format!("{digest:?} is no SHA-256"))
}
