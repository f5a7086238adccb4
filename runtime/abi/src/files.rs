//! Files of folders that an operator declared, which agents read and never change.
//!
//! A file is named by a path as [`Scope`](crate::Scope) has it: its first part is the name of a declared folder, the rest leads below that.
//! The scope of a grant is such paths, so that a right to a folder can be narrowed to what lies below a part of it.

use crate::{Denial, GrantId, ValueId};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// What lies under a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum FileKind {
    /// A file with bytes of its own.
    File,
    /// A folder.
    Folder,
    /// A link, a device, a pipe or a socket: it is named, and nothing of it is read.
    Other,
}

/// What is known of what lies in a folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Without its folder.
    pub name: Box<str>,
    /// What it is.
    pub kind: FileKind,
    /// In bytes; 0 of what is no file.
    pub size: u64,
    /// When it was written to last, in nanoseconds since 1970-01-01T00:00:00Z, as the file system has it.
    pub modified_ns: u64,
    /// Another one whenever a file was written to or another one is in its place. It opens nothing.
    pub revision: u64,
}

/// A part of a folder's entries.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FolderListing {
    /// By their names, byte by byte.
    pub entries: Box<[FileEntry]>,
    /// Whether more come behind the last one.
    pub more: bool,
    /// How many have names that no path can have.
    pub unnamed: u64,
}

/// What is to be read of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FileRange {
    /// All of it, as it was at one moment.
    Whole,
    /// A part.
    Part {
        /// Where it begins, in bytes.
        offset: u64,
        /// How long it is at most, in bytes.
        length: u32,
        /// The revision that it has to be of; `None` for whichever there is.
        expected: Option<u64>,
    },
}

/// A folder to be listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FolderAsked {
    /// Of kind file.
    pub grant: GrantId,
    /// Of the folder.
    pub path: Box<str>,
    /// From the first name behind this one.
    pub after: Option<Box<str>>,
    /// How many at most.
    pub count: u32,
}

/// A file to be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileAsked {
    /// Of kind file.
    pub grant: GrantId,
    /// Of the file.
    pub path: Box<str>,
    /// What of it.
    pub range: FileRange,
}

/// Requests of `files`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FileRequest {
    /// What lies in a folder.
    List(Box<FolderAsked>),
    /// What lies at a path.
    Describe {
        /// Of kind file.
        grant: GrantId,
        /// Which.
        path: Box<str>,
    },
    /// What stands in a file, unread.
    Read(Box<FileAsked>),
}

impl FileRequest {
    /// The grant that it is asked under.
    #[must_use]
    pub fn grant(&self) -> GrantId {
        match self {
            Self::List(asked) => asked.grant,
            Self::Describe { grant, .. } => *grant,
            Self::Read(asked) => asked.grant,
        }
    }

    /// The same, to be changed.
    pub fn grant_mut(&mut self) -> &mut GrantId {
        match self {
            Self::List(asked) => &mut asked.grant,
            Self::Describe { grant, .. } => grant,
            Self::Read(asked) => &mut asked.grant,
        }
    }

    /// The path that it names.
    #[must_use]
    pub fn path(&self) -> &str {
        match self {
            Self::List(asked) => &asked.path,
            Self::Describe { path, .. } => path,
            Self::Read(asked) => &asked.path,
        }
    }
}

/// Answers of `files`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FileReply {
    /// What lies in a folder.
    Listed(FolderListing),
    /// What lies at a path.
    Described(FileEntry),
    /// What stands in a file.
    Read {
        /// Unread.
        content: ValueId,
        /// Of the whole file, in bytes.
        size: u64,
        /// Of the file that it was read from.
        revision: u64,
    },
}

/// Errors of `files`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Error)]
pub enum FileError {
    /// The process has no right to it.
    #[error(transparent)]
    Denied(#[from] Denial),
    /// Nothing lies there.
    #[error("nothing lies at this path: it was removed, never was, or its folder is not declared on this host")]
    NoSuchFile,
    /// It is no folder, or a part of its path is none.
    #[error("this path, or a part of it, is no folder: links are not followed")]
    NotAFolder,
    /// It is no file.
    #[error("this is no file that can be read: it is a folder, a link, a device, a pipe or a socket")]
    NotAFile,
    /// It was written to.
    #[error("the file was written to meanwhile: read it again from its beginning")]
    Changed,
    /// More than is read at once.
    #[error("{limit} bytes of a file are read at once at most: read it in parts")]
    TooLarge {
        /// In bytes.
        limit: u64,
    },
    /// Something that is asked for cannot be; says what.
    #[error("files cannot be read like this: {0}")]
    Invalid(Box<str>),
    /// The process's tables are full.
    #[error("this process holds too much to take what was read: drop some values, or ask for less")]
    NoRoom,
    /// It cannot be read now; why.
    #[error("the file cannot be read now: {0}")]
    Unavailable(Box<str>),
    /// A handle that names nothing (any more).
    #[error("no such grant: it was let go, or never was")]
    Dead,
}
