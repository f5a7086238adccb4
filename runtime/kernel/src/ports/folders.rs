//! Folders that an operator declared, as the kernel has them read.
//!
//! Links are not followed, in no part of a path: what lies at a path lies there, and a right that was narrowed to a part of a folder opens
//! that part alone, whatever lies in it.

use super::PortFuture;
use bytes::Bytes;
use remit_abi::{FileEntry, FileRange, FolderListing, Integrity, TenantId};
use std::sync::Arc;
use thiserror::Error;

/// A folder as its operator declared it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FolderFacts {
    /// Whether what stands in it is trusted.
    pub integrity: Integrity,
    /// The names of the tags that what stands in it has.
    pub tags: Vec<Box<str>>,
}

/// What was read of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundFile {
    /// At most [`FILE_BYTES_MAX`](remit_abi::limits::FILE_BYTES_MAX).
    pub bytes: Bytes,
    /// RFC 6838, by its name and what stands in it.
    pub media_type: Arc<str>,
    /// Of the whole file, in bytes.
    pub size: u64,
    /// Of the file that it was read from.
    pub revision: u64,
}

/// Why nothing was read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ReadError {
    /// Nothing lies there.
    #[error("nothing lies there")]
    Nothing,
    /// It, or a part of its path, is no folder, or is a link.
    #[error("it is no folder")]
    NotAFolder,
    /// It is no file, or is a link.
    #[error("it is no file")]
    NotAFile,
    /// It was written to meanwhile, or is another revision.
    #[error("it was written to")]
    Changed,
    /// It is larger than what is read at once.
    #[error("it is too large")]
    TooLarge,
    /// The machine does not give it; why, in a sentence without anything of what stands in it.
    #[error("{0}")]
    Failed(Box<str>),
}

/// Reads files below declared folders. Nothing of what it does changes a file.
///
/// Paths are as [`Scope`](remit_abi::Scope) has them: their first part is a folder's name, and `.` alone has no part at all: what is
/// declared lies in it.
pub trait Folders: Send + Sync + 'static {
    /// The names of all that are declared, in their order. Answers at once.
    fn names(&self, tenant: TenantId) -> Vec<Box<str>>;

    /// What is declared under a name; `None` where nothing is. Answers at once.
    fn facts(&self, tenant: TenantId, name: &str) -> Option<Arc<FolderFacts>>;

    /// What lies in a folder, by names, from the first behind `after`; at most `count`.
    fn list(
        &self,
        tenant: TenantId,
        path: Box<str>,
        after: Option<Box<str>>,
        count: usize,
    ) -> PortFuture<'static, Result<FolderListing, ReadError>>;

    /// What lies at a path.
    fn describe(&self, tenant: TenantId, path: Box<str>) -> PortFuture<'static, Result<FileEntry, ReadError>>;

    /// What stands in a file. It is all of one revision.
    fn read(
        &self,
        tenant: TenantId,
        path: Box<str>,
        range: FileRange,
    ) -> PortFuture<'static, Result<FoundFile, ReadError>>;
}

/// No folders at all.
pub struct NoFolders;

fn nothing<T: Send + 'static>() -> PortFuture<'static, Result<T, ReadError>> {
    Box::pin(std::future::ready(Err(ReadError::Nothing)))
}

impl Folders for NoFolders {
    fn names(&self, _: TenantId) -> Vec<Box<str>> {
        Vec::new()
    }

    fn facts(&self, _: TenantId, _: &str) -> Option<Arc<FolderFacts>> {
        None
    }

    fn list(
        &self,
        _: TenantId,
        _: Box<str>,
        _: Option<Box<str>>,
        _: usize,
    ) -> PortFuture<'static, Result<FolderListing, ReadError>> {
        nothing()
    }

    fn describe(&self, _: TenantId, _: Box<str>) -> PortFuture<'static, Result<FileEntry, ReadError>> {
        nothing()
    }

    fn read(&self, _: TenantId, _: Box<str>, _: FileRange) -> PortFuture<'static, Result<FoundFile, ReadError>> {
        nothing()
    }
}
