//! Folders that are a map from paths to texts, and count how often they were asked.

use parking_lot::Mutex;
use remit_abi::{FileEntry, FileKind, FileRange, FolderListing, Integrity, TenantId, limits};
use remit_kernel::ports::{FolderFacts, Folders, FoundFile, PortFuture, ReadError};
use std::{
    collections::BTreeMap,
    future::ready,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

/// `handbook` is a stranger's, `law` has the tag `secret`.
pub(crate) struct PlainFolders {
    /// With the revision of each.
    pub(crate) files: Mutex<BTreeMap<String, (String, u64)>>,
    pub(crate) asked: AtomicUsize,
    /// What it answers in the place of all else.
    pub(crate) fails: Mutex<Option<ReadError>>,
}

impl Default for PlainFolders {
    fn default() -> Self {
        let file = |path: &str, text: &str| (path.to_owned(), (text.to_owned(), 1));
        let files = [
            file("handbook/attic.txt", "The attic has no light."),
            file("handbook/cellar.txt", "The cellar has one."),
            file("handbook/old/attic.txt", "It had a lamp."),
            file("law/paragraph.txt", "It is forbidden."),
        ];
        Self { files: Mutex::new(files.into()), asked: AtomicUsize::new(0), fails: Mutex::default() }
    }
}

impl PlainFolders {
    pub(crate) fn write(&self, path: &str, text: &str) {
        let mut files = self.files.lock();
        let revision = files.get(path).map_or(1, |(_, revision)| revision + 1);
        files.insert(path.to_owned(), (text.to_owned(), revision));
    }

    fn answer<T: Send + 'static>(
        &self,
        find: impl FnOnce(&BTreeMap<String, (String, u64)>) -> Result<T, ReadError>,
    ) -> PortFuture<'static, Result<T, ReadError>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let failure = self.fails.lock().clone();
        Box::pin(ready(failure.map_or_else(|| find(&self.files.lock()), Err)))
    }
}

fn entry(name: &str, file: Option<&(String, u64)>) -> FileEntry {
    let (kind, size, revision) = match file {
        Some((text, revision)) => (FileKind::File, text.len() as u64, *revision),
        None => (FileKind::Folder, 0, 0),
    };
    FileEntry { name: name.into(), kind, size, modified_ns: 0, revision }
}

impl Folders for PlainFolders {
    fn names(&self, _: TenantId) -> Vec<Box<str>> {
        vec!["handbook".into(), "law".into()]
    }

    fn facts(&self, _: TenantId, name: &str) -> Option<Arc<FolderFacts>> {
        let facts = match name {
            "handbook" => FolderFacts { integrity: Integrity::Untrusted, tags: Vec::new() },
            "law" => FolderFacts { integrity: Integrity::Trusted, tags: vec!["secret".into()] },
            _ => return None,
        };
        Some(Arc::new(facts))
    }

    fn list(
        &self,
        _: TenantId,
        path: Box<str>,
        after: Option<Box<str>>,
        count: usize,
    ) -> PortFuture<'static, Result<FolderListing, ReadError>> {
        self.answer(|files| {
            let mut found = BTreeMap::new();
            for (file, content) in files {
                let Some(below) = file.strip_prefix(&*path).and_then(|rest| rest.strip_prefix('/')) else { continue };
                match below.split_once('/') {
                    Some((folder, _)) => found.insert(folder.to_owned(), entry(folder, None)),
                    None => found.insert(below.to_owned(), entry(below, Some(content))),
                };
            }
            if found.is_empty() {
                return Err(ReadError::Nothing);
            }
            let mut behind = found.into_iter().filter(|(name, _)| after.as_ref().is_none_or(|after| **name > **after));
            let entries = behind.by_ref().take(count).map(|(_, entry)| entry).collect();
            Ok(FolderListing { entries, more: behind.next().is_some(), unnamed: 0 })
        })
    }

    fn describe(&self, _: TenantId, path: Box<str>) -> PortFuture<'static, Result<FileEntry, ReadError>> {
        self.answer(|files| {
            let name = path.rsplit('/').next().unwrap_or_default();
            files.get(&*path).map(|file| entry(name, Some(file))).ok_or(ReadError::Nothing)
        })
    }

    fn read(&self, _: TenantId, path: Box<str>, range: FileRange) -> PortFuture<'static, Result<FoundFile, ReadError>> {
        self.answer(|files| {
            let (text, revision) = files.get(&*path).ok_or(ReadError::Nothing)?;
            let bytes = match range {
                FileRange::Whole if text.len() > limits::FILE_BYTES_MAX => return Err(ReadError::TooLarge),
                FileRange::Whole => text.as_bytes(),
                FileRange::Part { expected: Some(expected), .. } if expected != *revision => {
                    return Err(ReadError::Changed);
                }
                FileRange::Part { offset, length, .. } => {
                    let begin = text.len().min(offset as usize);
                    &text.as_bytes()[begin..text.len().min(begin + length as usize)]
                }
            };
            let bytes = bytes::Bytes::copy_from_slice(bytes);
            let (media_type, size) = ("text/plain".into(), text.len() as u64);
            Ok(FoundFile { bytes, media_type, size, revision: *revision })
        })
    }
}
