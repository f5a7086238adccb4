//! Folders that an operator declares, to be read by agents.
//!
//! Principles:
//!
//! - A path is walked part by part, from the declared folder on, each part by its own handle. Nothing is followed: a link in whichever part is
//!   no folder, and at the end no file. So nothing leads out, whoever changes what lies there while it is walked.
//! - What is opened is a file, and is looked at again through its own handle. A pipe or a device that takes the file's place meanwhile is
//!   opened without waiting, and not read.
//! - What is read is all of one revision: where the file's size or times changed from before the read to after it, nothing is told. That is
//!   as fine as the file system's times are.

use cap_fs_ext::{DirExt, FollowSymlinks, OpenOptionsFollowExt, OpenOptionsSyncExt};
use cap_std::{
    ambient_authority,
    fs::{Dir, Metadata, MetadataExt, OpenOptions},
};
use remit_abi::{FileEntry, FileKind, FileRange, FolderListing, GrantKind, Scope, TenantId, limits};
use remit_kernel::ports::{FolderFacts, Folders, FoundFile, PortFuture, ReadError};
use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Read, Seek, SeekFrom},
    path::PathBuf,
    sync::Arc,
};
use tokio::{runtime::Handle, sync::Semaphore};

/// Reads at a time, of all tenants: each takes a thread while the disk works, and a disk that hangs holds so many at most.
const READS_MAX: usize = 32;

/// A folder as it was declared.
#[derive(Clone, Debug)]
pub struct DeclaredFolder {
    pub(crate) facts: Arc<FolderFacts>,
    pub(crate) path: PathBuf,
}

impl DeclaredFolder {
    /// What the kernel knows of it.
    #[must_use]
    pub fn facts(&self) -> &FolderFacts {
        &self.facts
    }

    /// Where it is on this machine: absolute, and without links.
    #[must_use]
    pub fn path(&self) -> &std::path::Path {
        &self.path
    }
}

/// The declared folders of this machine.
pub struct DiskFolders {
    declared: Arc<BTreeMap<Box<str>, DeclaredFolder>>,
    runtime: Handle,
    reads: Arc<Semaphore>,
}

impl DiskFolders {
    /// Folders that are read on a runtime's threads for what blocks.
    #[must_use]
    pub fn new(declared: &crate::Declarations, runtime: Handle) -> Self {
        Self { declared: Arc::new(declared.folders.clone()), runtime, reads: Arc::new(Semaphore::new(READS_MAX)) }
    }

    /// Does something that waits for the disk.
    fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&BTreeMap<Box<str>, DeclaredFolder>) -> Result<T, ReadError> + Send + 'static,
    ) -> PortFuture<'static, Result<T, ReadError>> {
        let (declared, runtime, reads) = (self.declared.clone(), self.runtime.clone(), self.reads.clone());
        Box::pin(async move {
            let stopping = || ReadError::Failed("the host is stopping".into());
            let permit = reads.acquire_owned().await.map_err(|_| stopping())?;
            let done = runtime.spawn_blocking(move || {
                // Whoever asked may be gone: the place is taken for as long as the disk works.
                let _permit = permit;
                work(&declared)
            });
            done.await.map_err(|_| stopping())?
        })
    }
}

impl Folders for DiskFolders {
    fn names(&self, _: TenantId) -> Vec<Box<str>> {
        self.declared.keys().cloned().collect()
    }

    fn facts(&self, _: TenantId, name: &str) -> Option<Arc<FolderFacts>> {
        self.declared.get(name).map(|declared| declared.facts.clone())
    }

    fn list(
        &self,
        _: TenantId,
        path: Box<str>,
        after: Option<Box<str>>,
        count: usize,
    ) -> PortFuture<'static, Result<FolderListing, ReadError>> {
        self.blocking(move |declared| match Way::of(declared, &path)? {
            Way::All => Ok(listing_of(declared, after.as_deref(), count)),
            Way::To { root, parts } => list(&folder(root, &parts)?, after.as_deref(), count),
        })
    }

    fn describe(&self, _: TenantId, path: Box<str>) -> PortFuture<'static, Result<FileEntry, ReadError>> {
        self.blocking(move |declared| match Way::of(declared, &path)? {
            Way::All => Ok(folder_entry(".")),
            Way::To { root, parts } => match parts.split_last() {
                None => root.dir_metadata().map(|found| entry(&path, &found)).map_err(failed),
                Some((name, above)) => {
                    let found = folder(root, above)?.symlink_metadata(name).map_err(failed)?;
                    Ok(entry(name, &found))
                }
            },
        })
    }

    fn read(&self, _: TenantId, path: Box<str>, range: FileRange) -> PortFuture<'static, Result<FoundFile, ReadError>> {
        self.blocking(move |declared| match Way::of(declared, &path)? {
            Way::All => Err(ReadError::NotAFile),
            Way::To { root, parts } => {
                let (name, above) = parts.split_last().ok_or(ReadError::NotAFile)?;
                read(&folder(root, above)?, name, range)
            }
        })
    }
}

/// Where a path leads.
enum Way<'a> {
    /// To what is declared.
    All,
    /// Below a declared folder.
    To { root: Dir, parts: Vec<&'a str> },
}

impl<'a> Way<'a> {
    fn of(declared: &BTreeMap<Box<str>, DeclaredFolder>, path: &'a str) -> Result<Self, ReadError> {
        // The kernel let it in: there is no `..` in it, and nothing that begins anywhere else.
        let mut parts = path.split('/').filter(|part| !part.is_empty());
        let name = parts.next().ok_or(ReadError::Nothing)?;
        if name == "." {
            return Ok(Self::All);
        }
        let folder = declared.get(name).ok_or(ReadError::Nothing)?;
        let root = Dir::open_ambient_dir(&folder.path, ambient_authority()).map_err(failed)?;
        Ok(Self::To { root, parts: parts.collect() })
    }
}

/// The folder at the end of a way, from one to the next.
fn folder(mut dir: Dir, parts: &[&str]) -> Result<Dir, ReadError> {
    for part in parts {
        if !dir.symlink_metadata(part).map_err(failed)?.is_dir() {
            return Err(ReadError::NotAFolder);
        }
        dir = dir.open_dir_nofollow(part).map_err(failed)?;
    }
    Ok(dir)
}

fn list(dir: &Dir, after: Option<&str>, count: usize) -> Result<FolderListing, ReadError> {
    let anywhere =
        Scope::parse(GrantKind::File, &["."]).map_err(|error| ReadError::Failed(error.to_string().into()))?;
    // As many as are told and one more: a folder of millions takes no more memory than one of hundreds.
    let (mut names, mut unnamed) = (BTreeSet::new(), 0_u64);
    for found in dir.entries().map_err(failed)? {
        let name = found.map_err(failed)?.file_name();
        match name.into_string() {
            Ok(name) if anywhere.contains(&name) => {
                if after.is_none_or(|after| *name > *after) {
                    names.insert(name);
                }
                if names.len() > count.saturating_add(1) {
                    names.pop_last();
                }
            }
            _ => unnamed = unnamed.saturating_add(1),
        }
    }
    let more = names.len() > count;
    // What was removed meanwhile is not there.
    let found = names.iter().take(count).map(|name| Ok(entry(name, &dir.symlink_metadata(name)?)));
    let found = found.filter(|found: &io::Result<_>| !matches!(found, Err(e) if e.kind() == io::ErrorKind::NotFound));
    Ok(FolderListing { entries: found.collect::<io::Result<_>>().map_err(failed)?, more, unnamed })
}

/// What is declared.
fn listing_of(declared: &BTreeMap<Box<str>, DeclaredFolder>, after: Option<&str>, count: usize) -> FolderListing {
    let mut behind = declared.keys().filter(|name| after.is_none_or(|after| ***name > *after));
    let entries = behind.by_ref().take(count).map(|name| folder_entry(name)).collect();
    FolderListing { entries, more: behind.next().is_some(), unnamed: 0 }
}

fn folder_entry(name: &str) -> FileEntry {
    FileEntry { name: name.into(), kind: FileKind::Folder, size: 0, modified_ns: 0, revision: 0 }
}

fn entry(name: &str, found: &Metadata) -> FileEntry {
    let kind = match found {
        found if found.is_file() => FileKind::File,
        found if found.is_dir() => FileKind::Folder,
        _ => FileKind::Other,
    };
    let size = if kind == FileKind::File { found.len() } else { 0 };
    FileEntry { name: name.into(), kind, size, modified_ns: modified_ns(found), revision: revision(found) }
}

/// A moment before 1970 is none.
fn modified_ns(found: &Metadata) -> u64 {
    let ns = i128::from(found.mtime()) * 1_000_000_000 + i128::from(found.mtime_nsec());
    u64::try_from(ns).unwrap_or(if ns < 0 { 0 } else { u64::MAX })
}

/// Which file it is, and when it was changed in whichever way (FNV-1a over that). Nobody is to make something of it but compare.
fn revision(found: &Metadata) -> u64 {
    let changed = [found.mtime(), found.mtime_nsec(), found.ctime(), found.ctime_nsec()].map(i64::cast_unsigned);
    let which = [found.dev(), found.ino(), found.len()];
    let bytes = which.into_iter().chain(changed).flat_map(u64::to_le_bytes);
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

fn read(dir: &Dir, name: &str, range: FileRange) -> Result<FoundFile, ReadError> {
    if !dir.symlink_metadata(name).map_err(failed)?.is_file() {
        return Err(ReadError::NotAFile);
    }
    let mut options = OpenOptions::new();
    options.read(true).follow(FollowSymlinks::No).nonblock(true);
    let mut file = dir.open_with(name, &options).map_err(failed)?;
    let found = file.metadata().map_err(failed)?;
    if !found.is_file() {
        return Err(ReadError::NotAFile);
    }
    let (size, was) = (found.len(), revision(&found));
    let most = limits::FILE_BYTES_MAX as u64;
    let (offset, length) = match range {
        FileRange::Whole if size > most => return Err(ReadError::TooLarge),
        // A byte more than there should be: one that grows shows.
        FileRange::Whole => (0, size + 1),
        FileRange::Part { expected: Some(expected), .. } if expected != was => return Err(ReadError::Changed),
        FileRange::Part { offset, length, .. } => (offset.min(size), u64::from(length).min(most)),
    };
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(offset)).map_err(failed)?;
    (&mut file).take(length).read_to_end(&mut bytes).map_err(failed)?;
    let is_whole = range != FileRange::Whole || bytes.len() as u64 == size;
    if !is_whole || revision(&file.metadata().map_err(failed)?) != was {
        return Err(ReadError::Changed);
    }
    // A part may begin within a character.
    let begins = bytes.iter().take(3).take_while(|byte| offset > 0 && *byte & 0xc0 == 0x80).count();
    let media_type = media_type(name, &bytes[begins..]).into();
    Ok(FoundFile { bytes: bytes.into(), media_type, size, revision: was })
}

/// By its name, where what stands in it is text at all; it may end within a character.
fn media_type(name: &str, bytes: &[u8]) -> &'static str {
    let is_text = match std::str::from_utf8(bytes) {
        Ok(text) => !text.contains('\0'),
        Err(error) => error.error_len().is_none() && !bytes.contains(&0),
    };
    if !is_text {
        return "application/octet-stream";
    }
    let extension = name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
    match extension.as_deref() {
        Some("md" | "markdown") => "text/markdown",
        Some("html" | "htm") => "text/html",
        Some("csv") => "text/csv",
        Some("json") => "application/json",
        _ => "text/plain",
    }
}

/// What the machine says, without the path on it.
#[expect(clippy::needless_pass_by_value, reason = "it is what an error is mapped by")]
fn failed(error: io::Error) -> ReadError {
    match error.kind() {
        io::ErrorKind::NotFound => ReadError::Nothing,
        io::ErrorKind::NotADirectory => ReadError::NotAFolder,
        io::ErrorKind::PermissionDenied => ReadError::Failed("the host's user may not read it".into()),
        kind => ReadError::Failed(kind.to_string().into()),
    }
}
