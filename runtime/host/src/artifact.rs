//! The cache of compiled components: code that this host made, kept where only this user writes.
//!
//! An entry is native code and is run as it is, so nothing reaches it that this user did not write: the folder is 0700, a
//! file 0600, and owner, mode and kind are checked on the open file. A sum over the content guards against a damaged disk,
//! not against an attacker, who would need this user's rights to get there. What does not check out is compiled again and
//! never deserialised.
//!
//! Name: `SHA-256 of the component`-`digest of the engine`.code. Layout, in bytes:
//!
//! | offset | size | what |
//! | --- | --- | --- |
//! | 0 | 8 | `REMITC\0\x01`: a compiled component, layout 1 |
//! | 8 | 32 | SHA-256 of all that follows |
//! | 40 | – | the artifact, as the engine serialises it |
//!
//! An entry is written under another name, synced and renamed: two processes that compile the same component at once both
//! succeed, and the later one replaces the same content.

use crate::{HostError, LoadError, engine::hexadecimal};
use rustix::{
    fs::{OFlags, open},
    process::geteuid,
};
use sha2::{Digest, Sha256};
use std::{
    fs::{self, DirBuilder, File, Metadata},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
    time::Duration,
};
use tempfile::NamedTempFile;

const MAGIC: &[u8; 8] = b"REMITC\0\x01";
const HEADER_BYTES: usize = MAGIC.len() + 32;

/// One artifact: native code and tables, some 6 times the component.
pub(crate) const ARTIFACT_BYTES_MAX: u64 = 1 << 30;

/// How files under way are named; one that is older than an hour was left behind by a crash.
const UNDER_WAY: &str = ".compiling-";
const UNDER_WAY_AGE_MAX: Duration = Duration::from_secs(3600);

/// SHA-256 of a component, in hexadecimal.
pub(crate) fn digest(component: &[u8]) -> String {
    hexadecimal(&Sha256::digest(component))
}

/// The folder.
#[derive(Debug)]
pub(crate) struct Cache {
    folder: PathBuf,
    engine: String,
}

impl Cache {
    /// Takes a folder for this engine's artifacts, making it where it is not there.
    pub(crate) fn open(folder: PathBuf, engine: String) -> Result<Self, HostError> {
        let refuse = |reason: String| HostError::CacheFolder { path: folder.clone(), reason };
        DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(|error| refuse(error.to_string()))?;
        let metadata = fs::symlink_metadata(&folder).map_err(|error| refuse(error.to_string()))?;
        if !metadata.is_dir() {
            return Err(refuse("it is no folder: remove what is in its place".into()));
        }
        if let Some(reason) = not_ours(&metadata) {
            return Err(refuse(format!("{reason}: set it to mode 0700 and yourself as its owner, or name another")));
        }
        let cache = Self { folder, engine };
        cache.sweep();
        Ok(cache)
    }

    /// The artifact of a component. `None` where there is none that can be trusted.
    pub(crate) fn load(&self, component_digest: &str) -> Option<Vec<u8>> {
        let path = self.path(component_digest);
        match read_entry(&path) {
            Ok(artifact) => artifact,
            Err(reason) => {
                tracing::warn!(path = %path.display(), reason, "a compiled agent is not trusted and made again");
                None
            }
        }
    }

    /// A file to write an artifact to, gone when it is dropped.
    pub(crate) fn begin(&self) -> Result<NamedTempFile, LoadError> {
        tempfile::Builder::new().prefix(UNDER_WAY).tempfile_in(&self.folder).map_err(|source| self.failed(source))
    }

    /// Keeps an artifact under its name.
    pub(crate) fn keep(&self, component_digest: &str, artifact: &[u8]) -> Result<(), LoadError> {
        let mut file = self.begin()?;
        let write = |file: &mut NamedTempFile| {
            file.write_all(MAGIC)?;
            file.write_all(&Sha256::digest(artifact))?;
            file.write_all(artifact)?;
            file.as_file().sync_all()
        };
        write(&mut file).map_err(|source| self.failed(source))?;
        file.persist(self.path(component_digest)).map_err(|error| self.failed(error.error))?;
        File::open(&self.folder).and_then(|folder| folder.sync_all()).map_err(|source| self.failed(source))
    }

    /// Forgets an entry that the engine would not take.
    pub(crate) fn forget(&self, component_digest: &str) {
        let _ = fs::remove_file(self.path(component_digest));
    }

    pub(crate) fn failed(&self, source: io::Error) -> LoadError {
        LoadError::Cache { path: self.folder.clone(), source }
    }

    fn path(&self, component_digest: &str) -> PathBuf {
        self.folder.join(format!("{component_digest}-{}.code", self.engine))
    }

    /// Removes what a crash left behind. Failing to is no failure: it is tried again next time.
    fn sweep(&self) {
        let Ok(entries) = fs::read_dir(&self.folder) else { return };
        for entry in entries.flatten() {
            let old = || entry.metadata().ok()?.modified().ok()?.elapsed().ok();
            if entry.file_name().to_string_lossy().starts_with(UNDER_WAY)
                && old().is_some_and(|age| age > UNDER_WAY_AGE_MAX)
            {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

/// What is in an entry; nothing where there is no entry; a reason where it is not to be trusted.
fn read_entry(path: &Path) -> Result<Option<Vec<u8>>, &'static str> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = match open(path, flags, rustix::fs::Mode::empty()) {
        Ok(file) => File::from(file),
        Err(rustix::io::Errno::NOENT) => return Ok(None),
        Err(rustix::io::Errno::LOOP) => return Err("it is a link"),
        Err(_) => return Err("it cannot be opened"),
    };
    let metadata = file.metadata().map_err(|_| "it cannot be read")?;
    if !metadata.is_file() {
        return Err("it is no plain file");
    }
    if let Some(reason) = not_ours(&metadata) {
        return Err(reason);
    }
    if metadata.len() > ARTIFACT_BYTES_MAX + HEADER_BYTES as u64 {
        return Err("it is too large");
    }
    let mut header = [0; HEADER_BYTES];
    let mut artifact = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0));
    let read = (&file).read_exact(&mut header).and_then(|()| file.take(ARTIFACT_BYTES_MAX).read_to_end(&mut artifact));
    read.map_err(|_| "it ends too early")?;
    let (magic, sum) = header.split_at(MAGIC.len());
    if magic != MAGIC {
        return Err("it is of another layout");
    }
    if sum != Sha256::digest(&artifact).as_slice() {
        return Err("its sum is wrong");
    }
    Ok(Some(artifact))
}

/// Why a file or folder is not this user's alone, if it is not.
fn not_ours(metadata: &Metadata) -> Option<&'static str> {
    if metadata.uid() != geteuid().as_raw() {
        Some("it belongs to somebody else")
    } else if metadata.mode() & 0o077 != 0 {
        Some("others may read or write it")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn check(spoil: impl FnOnce(&Path), kept: bool) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let cache = Cache::open(folder.path().join("code"), "engine".into()).expect("a fresh folder");
        assert_eq!(cache.load("component"), None);
        cache.keep("component", b"native code").expect("there is room");
        spoil(&cache.path("component"));
        assert_eq!(cache.load("component"), kept.then(|| b"native code".to_vec()));
        cache.keep("component", b"native code").expect("a spoilt entry is replaced");
        assert_eq!(cache.load("component"), Some(b"native code".to_vec()));
        let names = fs::read_dir(folder.path().join("code")).expect("it is there").count();
        assert_eq!(names, 1, "nothing half-written is left");
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is ours");
    }

    #[test]
    fn an_entry_is_taken_only_whole_and_ours() {
        check(|_| {}, true);
        check(|path| fs::write(path, b"").expect("it is ours"), false);
        check(
            |path| fs::write(path, b"REMITC\0\x01 something else, of enough bytes for a header").expect("it is ours"),
            false,
        );
        check(
            |path| {
                let mut bytes = fs::read(path).expect("it is there");
                *bytes.last_mut().expect("it is not empty") ^= 1;
                fs::write(path, bytes).expect("it is ours");
            },
            false,
        );
        check(|path| set_mode(path, 0o640), false);
        check(
            |path| {
                let other = path.with_extension("moved");
                fs::rename(path, &other).expect("it is ours");
                let target = path.parent().and_then(Path::parent).expect("it has a parent").join("target");
                fs::rename(&other, &target).expect("it is ours");
                symlink(target, path).expect("links work here");
            },
            false,
        );
    }

    #[test]
    fn a_folder_that_others_can_write_is_refused() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        set_mode(folder.path(), 0o770);
        let error = Cache::open(folder.path().into(), "engine".into()).expect_err("its mode is wrong");
        assert!(error.to_string().contains("0700"), "{error}");
    }
}
