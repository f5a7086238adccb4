//! Installed packages: verified bytes under their digests, and a list that says which of them a name and a version mean.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `packages.lock` | the list |
//! | `DIGEST.wasm` | a package: the bytes that were verified |
//! | `DIGEST.wasm.dsse.json` | the envelope that it was verified with |
//! | `DIGEST.wasm.sigstore.json` | the bundles that it was verified with |
//! | `.lock` | held by whoever changes any of it |
//!
//! Principles:
//!
//! - A name is resolved once, when it is installed: from then on it means a digest, and those bytes run or none do. They are
//!   read once, what was read is compared with the digest, and what was compared is what is handed on.
//! - Bytes are complete and on the disk before the list names them.
//! - What is installed under a name has a higher serial than all before it, unless an operator says otherwise.

mod lock;

use crate::{
    Admission, Circumstances, Denied, Evidence, EvidenceError, Installed, PACKAGE_BYTES_MAX, Package, PackageError,
    Trust, disk,
    name::{is_name, quoted},
    package::{Hashed, Installation},
};
use jiff::Timestamp;
use lock::{Entry, Kept, Lock, Newest};
use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    str::FromStr,
};
use thiserror::Error;

pub use semver::Version;

const LOCKFILE: &str = "packages.lock";

/// What is installed cannot be used, or not changed as asked.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The list was changed by somebody else.
    #[error("{path} is not what this program wrote there: {why}; put it back, or move it away and install anew")]
    Lockfile {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A folder, or a component alone.
    #[error("{0} is no packed file, and nothing else is installed: `remit build` makes one of an agent's folder")]
    NotPacked(PathBuf),
    /// The package is refused.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// A package whose bytes are not read as one.
    #[error(transparent)]
    Package(#[from] PackageError),
    /// The same version again.
    #[error(
        "{name}@{version} is installed already, as the file {digest}, and this is another one: a version means one file; uninstall that one first"
    )]
    OtherBytes {
        /// Which package.
        name: String,
        /// Which version.
        version: Version,
        /// What it means.
        digest: String,
    },
    /// Nothing of that name, or no such version.
    #[error("no package {asked} is installed: there are {known}")]
    Unknown {
        /// What was asked for.
        asked: String,
        /// What there is, comma-separated.
        known: String,
    },
    /// Nothing to go back to.
    #[error("{0} meant no other version before: name one that is installed, as NAME@VERSION")]
    NoneBefore(String),
    /// The one that is used.
    #[error(
        "{0} is what its name means now: go to another version with `remit rollback`, or uninstall all of it by its name"
    )]
    Current(String),
    /// The bytes are other ones.
    #[error("{path} has other bytes than were installed, so it does not run: install {name} again")]
    Bytes {
        /// Which file.
        path: PathBuf,
        /// Which package.
        name: String,
    },
    /// The disk's error.
    #[error("{path}: {error}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

impl From<EvidenceError> for StoreError {
    fn from(EvidenceError { path, error }: EvidenceError) -> Self {
        Self::Io { path, error }
    }
}

/// A package by its name, and maybe its version: `clerk` or `clerk@1.2.0`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AgentName {
    /// The name.
    pub name: String,
    /// The version; the one that the name means now without this.
    pub version: Option<Version>,
}

impl std::fmt::Display for AgentName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.version {
            Some(version) => write!(f, "{}@{version}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

impl FromStr for AgentName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, version) = text.split_once('@').map_or((text, None), |(name, version)| (name, Some(version)));
        if !is_name(name) {
            return Err(format!("{} is no package's name: write NAME or NAME@VERSION", quoted(text)));
        }
        let version = version.map(Version::parse).transpose();
        let version = version.map_err(|error| format!("{} names no version: {error}", quoted(text)))?;
        Ok(Self { name: name.to_owned(), version })
    }
}

/// Whether a package may be older than one that was installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Older {
    /// No: its serial is at least that of every package of its name before.
    Refused,
    /// Yes, since an operator says so.
    Taken,
}

/// How a package comes to be installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Whether it may be older than one that was installed.
    pub older: Older,
    /// Where it comes from, for people: a registry's reference with the digest that its tag led to. `None` for a file.
    pub from: Option<String>,
    /// When that is.
    pub now: Timestamp,
}

/// A version that is here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The package's name.
    pub name: String,
    /// Its version.
    pub version: Version,
    /// SHA-256 of its file, in hexadecimal.
    pub digest: String,
    /// Of the statement that it was installed with.
    pub serial: Option<u64>,
    /// When that was.
    pub installed: Timestamp,
    /// Where it came from, where that was no file.
    pub from: Option<String>,
    /// Whether it is what the name means.
    pub is_current: bool,
}

/// Packages in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store(PathBuf);

impl Store {
    /// The packages of a folder, which need not be there yet.
    #[must_use]
    pub const fn at(folder: PathBuf) -> Self {
        Self(folder)
    }

    /// The file that changes with every change of what is installed.
    #[must_use]
    pub fn lockfile(&self) -> PathBuf {
        self.0.join(LOCKFILE)
    }

    /// Installs a package that was opened from a packed file: its name means it from now on.
    ///
    /// # Errors
    /// [`StoreError`]; nothing is installed then.
    pub fn install(
        &self,
        package: &Package,
        trust: &Trust,
        arrival: &Arrival,
    ) -> Result<(Listed, Admission), StoreError> {
        let Arrival { older, from, now } = arrival.clone();
        if !package.is_packed() {
            return Err(StoreError::NotPacked(package.component.clone()));
        }
        let _alone = self.lock()?;
        let mut lock = Lock::read(&self.lockfile())?;
        let (name, version) = (package.manifest.name.clone(), package.manifest.version.clone());
        let entry = lock.packages.entry(name.clone()).or_default();
        let installed = match older {
            Older::Refused => entry.newest(),
            Older::Taken => None,
        };
        let admission = trust.admit_for_install(package, &Circumstances { now, installed })?;
        let digest = package.digest();
        match entry.versions.get(&version.to_string()) {
            Some(kept) if kept.digest != digest => {
                let digest = kept.digest.clone();
                return Err(StoreError::OtherBytes { name, version, digest });
            }
            _ => {}
        }
        self.keep(package)?;
        let kept =
            Kept { digest: digest.clone(), serial: admission.serial, installed: now.to_string(), from: from.clone() };
        entry.take(&version, kept);
        lock.write(&self.lockfile())?;
        let listed = Listed { name, version, digest, serial: admission.serial, installed: now, from, is_current: true };
        Ok((listed, admission))
    }

    /// Every version of every package, by name and version.
    ///
    /// # Errors
    /// [`StoreError::Lockfile`], [`StoreError::Io`].
    pub fn list(&self) -> Result<Vec<Listed>, StoreError> {
        let lock = Lock::read(&self.lockfile())?;
        Ok(lock.packages.iter().flat_map(|(name, entry)| entry.list(name)).collect())
    }

    /// The newest package of a name that was installed, also if it is not here any more.
    ///
    /// # Errors
    /// [`StoreError::Lockfile`], [`StoreError::Io`].
    pub fn newest(&self, name: &str) -> Result<Option<Installed>, StoreError> {
        Ok(Lock::read(&self.lockfile())?.packages.get(name).and_then(Entry::newest))
    }

    /// Reads the package that a name means, and compares it with its digest; `None` where nothing of that name is installed.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open(&self, asked: &AgentName) -> Result<Option<Package>, StoreError> {
        let lock = Lock::read(&self.lockfile())?;
        let Some(entry) = lock.packages.get(&asked.name).filter(|entry| !entry.versions.is_empty()) else {
            return match asked.version {
                Some(_) => Err(unknown(&lock, asked)),
                None => Ok(None),
            };
        };
        let version = asked.version.as_ref().map(ToString::to_string).or_else(|| entry.current.clone());
        let kept = version.and_then(|version| entry.versions.get(&version)).ok_or_else(|| unknown(&lock, asked))?;
        self.read(asked, kept).map(Some)
    }

    /// Removes one version, or all of a name. How old a package of that name may be is not forgotten.
    ///
    /// # Errors
    /// [`StoreError`]; nothing is removed then.
    pub fn uninstall(&self, asked: &AgentName) -> Result<Vec<Listed>, StoreError> {
        let _alone = self.lock()?;
        let mut lock = Lock::read(&self.lockfile())?;
        let unknown = unknown(&lock, asked);
        let Some(entry) = lock.packages.get_mut(&asked.name) else { return Err(unknown) };
        let mut gone = entry.list(&asked.name);
        gone.retain(|listed| asked.version.as_ref().is_none_or(|version| listed.version == *version));
        let [first, ..] = gone.as_slice() else { return Err(unknown) };
        if first.is_current && gone.len() < entry.versions.len() {
            return Err(StoreError::Current(asked.to_string()));
        }
        gone.iter().for_each(|listed| entry.drop_version(&listed.version.to_string()));
        lock.write(&self.lockfile())?;
        for listed in gone.iter().filter(|listed| !lock.needs(&listed.digest)) {
            let path = self.path(&listed.digest);
            // The list does not name them any more: what stays takes room, and does no harm.
            let _ = Evidence::default().write(&path);
            let _ = fs::remove_file(&path);
        }
        Ok(gone)
    }

    /// Has a name mean the version that it meant before, or another one that is here. It is looked at as if it were started
    /// now.
    ///
    /// # Errors
    /// [`StoreError`]; the name means what it meant then.
    pub fn rollback(&self, asked: &AgentName, trust: &Trust, now: Timestamp) -> Result<Listed, StoreError> {
        let _alone = self.lock()?;
        let mut lock = Lock::read(&self.lockfile())?;
        let unknown = unknown(&lock, asked);
        let Some(entry) = lock.packages.get_mut(&asked.name).filter(|entry| !entry.versions.is_empty()) else {
            return Err(unknown);
        };
        let version = asked.version.as_ref().map(ToString::to_string).or_else(|| entry.before.clone());
        let version = version.ok_or_else(|| StoreError::NoneBefore(asked.name.clone()))?;
        let Some(kept) = entry.versions.get(&version) else { return Err(unknown) };
        let package = self.read(asked, kept)?;
        trust.admit(&package, &package.circumstances(now, None))?;
        entry.turn_to(version);
        let listed = entry.list(&asked.name).into_iter().find(|listed| listed.is_current);
        lock.write(&self.lockfile())?;
        listed.ok_or(unknown)
    }

    fn read(&self, asked: &AgentName, kept: &Kept) -> Result<Package, StoreError> {
        let path = self.path(&kept.digest);
        let failed = |path: &Path, error| StoreError::Io { path: path.to_owned(), error };
        let bytes = disk::read(&path, PACKAGE_BYTES_MAX).map_err(|error| failed(&path, error))?;
        let bytes = Hashed::new(bytes);
        if hex::encode(bytes.digest()) != kept.digest {
            return Err(StoreError::Bytes { path, name: asked.to_string() });
        }
        let evidence = Evidence::read(&path)?;
        Ok(Package::of_installed(&path, bytes, evidence, Installation { serial: kept.serial })?)
    }

    /// Writes a package's bytes and what speaks for it, which may be newer than what was here.
    fn keep(&self, package: &Package) -> Result<(), StoreError> {
        let path = self.path(&package.digest());
        disk::replace(&path, package.bytes()).map_err(|error| StoreError::Io { path: path.clone(), error })?;
        Ok(package.evidence().write(&path)?)
    }

    /// A digest is hexadecimal, so that it names no other file.
    fn path(&self, digest: &str) -> PathBuf {
        self.0.join(format!("{digest}.wasm"))
    }

    /// Nobody else changes anything until this is dropped, which is soon.
    fn lock(&self) -> Result<File, StoreError> {
        let path = self.0.join(".lock");
        let failed = |error| StoreError::Io { path: path.clone(), error };
        fs::create_dir_all(&self.0).map_err(failed)?;
        let file = File::create(&path).map_err(failed)?;
        file.lock().map_err(failed)?;
        Ok(file)
    }
}

fn unknown(lock: &Lock, asked: &AgentName) -> StoreError {
    let of_name = lock.packages.get(&asked.name).map(|entry| entry.list(&asked.name)).unwrap_or_default();
    let known: Vec<_> = match of_name.as_slice() {
        [] => {
            lock.packages.iter().filter(|(_, entry)| !entry.versions.is_empty()).map(|(name, _)| name.clone()).collect()
        }
        versions => versions.iter().map(|listed| format!("{}@{}", listed.name, listed.version)).collect(),
    };
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    StoreError::Unknown { asked: asked.to_string(), known }
}

impl Entry {
    fn newest(&self) -> Option<Installed> {
        let Newest { serial, digest } = self.newest.clone()?;
        Some(Installed { serial, digest })
    }

    fn list(&self, name: &str) -> Vec<Listed> {
        let listed = |(version, kept): (&String, &Kept)| {
            Some(Listed {
                name: name.to_owned(),
                version: Version::parse(version).ok()?,
                digest: kept.digest.clone(),
                serial: kept.serial,
                installed: kept.moment().ok()?,
                from: kept.from.clone(),
                is_current: self.current.as_ref() == Some(version),
            })
        };
        let mut list: Vec<_> = self.versions.iter().filter_map(listed).collect();
        list.sort_by(|one, other| one.version.cmp(&other.version));
        list
    }

    fn take(&mut self, version: &Version, kept: Kept) {
        let newest = self.newest.as_ref().map(|newest| newest.serial);
        if let Some(serial) = kept.serial.filter(|serial| newest.is_none_or(|newest| newest <= *serial)) {
            self.newest = Some(Newest { serial, digest: kept.digest.clone() });
        }
        self.versions.insert(version.to_string(), kept);
        self.turn_to(version.to_string());
    }

    fn turn_to(&mut self, version: String) {
        if self.current.as_ref() != Some(&version) {
            self.before = self.current.replace(version);
        }
    }

    fn drop_version(&mut self, version: &str) {
        self.versions.remove(version);
        for named in [&mut self.current, &mut self.before] {
            if named.as_deref() == Some(version) {
                *named = None;
            }
        }
    }
}
