//! The data folder: where fetched and installed things live between runs, shared by all checkouts of a user.
//!
//! Principles: whoever changes it holds its lock; a thing is built in a folder beside its place and renamed into it when
//! it is complete; so what stands in its place is whole, whatever was interrupted.

use anyhow::{Context as _, Result, bail};
use std::{
    fs::{self, File, TryLockError},
    io::Write as _,
    path::{Path, PathBuf},
};

/// `$REMIT_HOME`, else `remit` in the platform's folder for data: the same that `remit` itself takes.
pub(crate) struct DataFolder {
    root: PathBuf,
}

/// Held while something is changed; released when dropped, or when the process ends in any way.
#[must_use = "the lock is released when it is dropped"]
pub(crate) struct SetUpLock {
    _file: File,
}

impl DataFolder {
    /// Finds the folder; it need not exist.
    ///
    /// # Errors
    ///
    /// The platform knows no home folder and `REMIT_HOME` is not set.
    pub(crate) fn find() -> Result<Self> {
        let root = match std::env::var_os("REMIT_HOME").filter(|value| !value.is_empty()) {
            Some(home) => PathBuf::from(home),
            None => match directories::BaseDirs::new() {
                Some(folders) => folders.data_dir().join("remit"),
                None => {
                    bail!("no data folder: this user has no home folder; set REMIT_HOME to a folder for Remit's data")
                }
            },
        };
        let root = std::path::absolute(&root).with_context(|| {
            format!("the data folder {} is no usable path; set REMIT_HOME to another", root.display())
        })?;
        Ok(DataFolder { root })
    }

    /// A folder of a test's own.
    #[cfg(test)]
    pub(crate) fn at(root: PathBuf) -> Self {
        DataFolder { root }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn join(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.root.join(relative)
    }

    /// Waits until no other set-up changes the folder.
    ///
    /// # Errors
    ///
    /// The folder cannot be made or written.
    pub(crate) fn lock(&self) -> Result<SetUpLock> {
        lock(&self.join("setup.lock"))
    }
}

/// Takes a lock file, and says so when another process holds it.
///
/// # Errors
///
/// The lock file cannot be made or locked.
pub(crate) fn lock(path: &Path) -> Result<SetUpLock> {
    make_folder(path.parent().unwrap_or(Path::new(".")))?;
    let file = File::options().create(true).truncate(false).write(true).open(path).with_context(|| {
        format!("cannot open the lock {}: make its folder writable, or set REMIT_HOME", path.display())
    })?;
    match file.try_lock() {
        Ok(()) => return Ok(SetUpLock { _file: file }),
        Err(TryLockError::WouldBlock) => eprintln!("waiting for another set-up, which holds {}", path.display()),
        Err(TryLockError::Error(error)) => {
            return Err(error)
                .with_context(|| format!("cannot lock {}: is it on a file system without locks?", path.display()));
        }
    }
    file.lock().with_context(|| format!("cannot lock {}", path.display()))?;
    Ok(SetUpLock { _file: file })
}

/// Makes a folder and those above it.
///
/// # Errors
///
/// It cannot be made.
pub(crate) fn make_folder(path: &Path) -> Result<()> {
    fs::create_dir_all(path)
        .with_context(|| format!("cannot make the folder {}: is the disk full or read-only?", path.display()))
}

/// Removes a folder that may not exist.
///
/// # Errors
///
/// It is there and cannot be removed.
pub(crate) fn remove_folder(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove the folder {}: remove it by hand", path.display()))
        }
        _ => Ok(()),
    }
}

/// Writes a file whole or not at all, and leaves it alone when it holds these bytes already. True: it was written.
///
/// # Errors
///
/// The disk is full, or the folder cannot be written.
pub(crate) fn write_file(path: &Path, bytes: &[u8]) -> Result<bool> {
    if fs::read(path).is_ok_and(|present| present == bytes) {
        return Ok(false);
    }
    let partial = beside(path, &format!("partial-{}", std::process::id()));
    let written = File::create(&partial).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    let written = written.and_then(|()| fs::rename(&partial, path));
    if written.is_err() {
        // The partial file is of no use; that it may not be removable is the smaller problem.
        let _ = fs::remove_file(&partial);
    }
    written.with_context(|| format!("cannot write {}: is the disk full or read-only?", path.display()))?;
    Ok(true)
}

/// Puts a complete folder into its place, instead of the one that may be there. The caller holds the folder's lock.
///
/// # Errors
///
/// A folder cannot be renamed or removed.
pub(crate) fn replace_folder(complete: &Path, place: &Path) -> Result<()> {
    let old = beside(place, "old");
    remove_folder(&old)?;
    if place.exists() {
        fs::rename(place, &old).with_context(|| format!("cannot move {} away", place.display()))?;
    }
    fs::rename(complete, place)
        .with_context(|| format!("cannot move {} to {}", complete.display(), place.display()))?;
    remove_folder(&old)
}

/// A path in the same folder, for what is on its way into `path` (or out of it).
pub(crate) fn beside(path: &Path, role: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{role}"));
    path.with_file_name(name)
}

#[cfg(test)]
mod unit_tests {
    use super::{lock, replace_folder, write_file};
    use std::fs;

    #[test]
    fn a_folder_is_replaced_whole() {
        let scratch = tempfile::tempdir().expect("a scratch folder");
        let place = scratch.path().join("place");
        for content in ["first", "second"] {
            let complete = scratch.path().join("complete");
            fs::create_dir(&complete).expect("a folder");
            fs::write(complete.join(content), content).expect("a file");
            replace_folder(&complete, &place).expect("it is replaced");
        }
        let names: Vec<_> =
            fs::read_dir(scratch.path()).expect("readable").flatten().map(|entry| entry.file_name()).collect();
        assert_eq!(names, ["place"]);
        assert!(place.join("second").is_file() && !place.join("first").exists());
    }

    #[test]
    fn a_file_is_written_once() {
        let scratch = tempfile::tempdir().expect("a scratch folder");
        let file = scratch.path().join("file");
        assert!(write_file(&file, b"one").expect("writable"));
        assert!(!write_file(&file, b"one").expect("writable"));
        assert!(write_file(&file, b"two").expect("writable"));
        assert_eq!(fs::read(&file).expect("readable"), b"two");
        assert_eq!(fs::read_dir(scratch.path()).expect("readable").count(), 1);
    }

    #[test]
    fn a_lock_is_exclusive() {
        let scratch = tempfile::tempdir().expect("a scratch folder");
        let path = scratch.path().join("deeper/setup.lock");
        let held = lock(&path).expect("free");
        assert!(fs::File::open(&path).expect("it exists").try_lock().is_err());
        drop(held);
        assert!(fs::File::open(&path).expect("it exists").try_lock().is_ok());
    }
}
