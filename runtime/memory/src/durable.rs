//! Commits that a loss of power does not undo.
//!
//! Lance writes files that are never changed, and makes a new state of a table visible by giving its manifest a new name. It leaves to the
//! system when any of that reaches the disk, in which order. Here, before a manifest gets its name, every file that was written since and
//! the folders that list them are on the disk; and before the commit is believed, so is the name.

use lance_io::{
    local::to_local_path,
    object_store::{ObjectStore, WrappingObjectStore},
};
use lance_table::{
    format::{IndexMetadata, Manifest, Transaction},
    io::commit::{CommitError, CommitHandler, ManifestLocation, ManifestNamingScheme, ManifestWriter},
};
use object_store::{Error as ObjectError, ObjectStoreExt, path::Path as StorePath};
use parking_lot::Mutex;
use rustc_hash::FxHashSet;
use std::{
    fmt,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// A moment of a commit, which a test may look at or make fail.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitPoint {
    /// The files are written.
    Written,
    /// They are on the disk, and the manifest has another name yet.
    Synced,
    /// The new state is visible.
    Named,
}

/// What a test does at such a moment, in a table's folder.
#[doc(hidden)]
pub type AtCommit = dyn Fn(CommitPoint, &Path) -> io::Result<()> + Send + Sync;

/// What is done at each such moment: nothing, but in tests.
#[doc(hidden)]
#[derive(Clone, Default)]
pub struct CommitPoints(pub Option<Arc<AtCommit>>);

impl fmt::Debug for CommitPoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CommitPoints").field(&self.0.is_some()).finish()
    }
}

/// What stands between Lance and the files: nothing, but in tests.
#[doc(hidden)]
#[derive(Clone, Debug, Default)]
pub struct StoreWrapper(pub Option<Arc<dyn WrappingObjectStore>>);

impl CommitPoints {
    fn at(&self, point: CommitPoint, folder: &Path) -> Result<(), CommitError> {
        self.0.as_ref().map_or(Ok(()), |act| act(point, folder)).map_err(failed)
    }
}

/// How commits of one table are made.
#[derive(Debug)]
pub(crate) struct DurableCommits {
    points: CommitPoints,
    /// Files of the table that are known to be on the disk.
    synced: Arc<Mutex<FxHashSet<PathBuf>>>,
    staged: AtomicU64,
}

#[async_trait::async_trait]
impl CommitHandler for DurableCommits {
    fn is_version_not_found_definitive(&self) -> bool {
        true
    }

    async fn commit(
        &self,
        manifest: &mut Manifest,
        indices: Option<Vec<IndexMetadata>>,
        base_path: &StorePath,
        object_store: &ObjectStore,
        manifest_writer: ManifestWriter,
        naming_scheme: ManifestNamingScheme,
        transaction: Option<Transaction>,
    ) -> Result<ManifestLocation, CommitError> {
        let path = naming_scheme.manifest_path(base_path, manifest.version);
        let staged = self.staged.fetch_add(1, Ordering::Relaxed);
        let staging = staging(&path, staged)?;
        let written = manifest_writer(object_store, manifest, indices, &staging, transaction).await?;
        let folder = PathBuf::from(to_local_path(base_path));
        self.points.at(CommitPoint::Written, &folder)?;
        self.sync(folder.clone()).await.map_err(failed)?;
        self.points.at(CommitPoint::Synced, &folder)?;
        match object_store.inner.rename_if_not_exists(&staging, &path).await {
            Ok(()) => {}
            Err(ObjectError::AlreadyExists { .. }) => {
                // What is left of it is removed with the files of old versions.
                let _ = object_store.delete(&staging).await;
                return Err(CommitError::CommitConflict);
            }
            Err(error) => return Err(CommitError::OtherError(error.into())),
        }
        if let Err(error) = sync_folder(folder.join("_versions")).await {
            // A state that a loss of power can take away must not be believed: without its name there is none.
            let _ = object_store.delete(&path).await;
            return Err(failed(error));
        }
        self.points.at(CommitPoint::Named, &folder)?;
        let size = Some(written.size as u64);
        Ok(ManifestLocation { version: manifest.version, path, size, naming_scheme, e_tag: None, identity: None })
    }
}

/// Beside the manifest's own name, and never that of another attempt.
fn staging(manifest: &StorePath, attempt: u64) -> Result<StorePath, CommitError> {
    let name = format!("{manifest}-{}-{attempt}", std::process::id());
    StorePath::parse(name).map_err(|error| CommitError::OtherError(object_store::Error::from(error).into()))
}

fn failed(error: io::Error) -> CommitError {
    CommitError::OtherError(error.into())
}

impl DurableCommits {
    pub(crate) fn new(points: CommitPoints) -> Self {
        Self { points, synced: Arc::default(), staged: AtomicU64::new(0) }
    }

    async fn sync(&self, folder: PathBuf) -> io::Result<()> {
        let synced = Arc::clone(&self.synced);
        let walked = tokio::task::spawn_blocking(move || {
            let mut files = FxHashSet::default();
            let mut known = synced.lock();
            walk(&folder, &known, &mut files)?;
            *known = files;
            Ok(())
        });
        walked.await.map_err(io::Error::other)?
    }
}

/// Puts what is new in a folder on the disk, deepest first. A file that goes away meanwhile was no part of what is committed.
fn walk(folder: &Path, known: &FxHashSet<PathBuf>, files: &mut FxHashSet<PathBuf>) -> io::Result<()> {
    let mut changed = false;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            changed |= !known.contains(&path);
            walk(&path, known, files)?;
        } else if !known.contains(&path) {
            match File::open(&path) {
                Ok(file) => file.sync_all()?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            }
            changed = true;
        }
        files.insert(path);
    }
    if changed { File::open(folder)?.sync_all() } else { Ok(()) }
}

async fn sync_folder(folder: PathBuf) -> io::Result<()> {
    tokio::task::spawn_blocking(move || File::open(folder)?.sync_all()).await.map_err(io::Error::other)?
}
