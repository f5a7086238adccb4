//! Files of folders that an operator declared, to be read. A right to them is a grant of kind `file`.
//!
//! ```no_run
//! use remit::{Failure, files::Folders};
//!
//! fn first_lines() -> Result<Vec<String>, Failure> {
//!     let documents = Folders::take("documents")?;
//!     let mut lines = Vec::new();
//!     for root in documents.roots()? {
//!         for path in documents.walk(&root)? {
//!             // Reading taints: what is only passed on stays a value.
//!             let text = documents.read(&path)?.content.text()?;
//!             lines.extend(text.lines().next().map(str::to_owned));
//!         }
//!     }
//!     Ok(lines)
//! }
//! ```
//!
//! A path begins with a folder's name and leads below it; what a grant opens are paths. No link is followed. A file has a revision, which is
//! another one whenever it was written to: who reads a large one in parts gets all of them of the same one, or an error.

use crate::{
    Denial, FileError, Value,
    bindings::remit::kernel::files,
    capability::{Grant, list},
};

pub use files::{Entry, Kind};

/// Entries that are asked for at once: as many as are told.
const LISTED: u32 = 256;

/// Bytes of one part: as many as are read at once.
const PART_BYTES: u32 = 1 << 20;

/// Files that one walk finds at most: more than a process has a use for at a time.
const WALKED_MAX: usize = 65_536;

/// Folders, or parts of them, of one grant.
#[derive(Debug)]
pub struct Folders {
    grant: Grant,
    label: String,
}

/// A part of a file.
#[derive(Debug)]
pub struct Part {
    /// What stands there, unread.
    pub content: Value,
    /// Of the whole file, in bytes.
    pub size: u64,
    /// Of the file that it was read from.
    pub revision: u64,
}

impl Folders {
    /// The folders of the grant under a label of the manifest.
    ///
    /// # Errors
    /// [`Denial`] where no such grant was given.
    pub fn take(label: &str) -> Result<Self, Denial> {
        Ok(Self { grant: Grant::take(label)?, label: label.to_owned() })
    }

    /// The paths that its grant opens, with all that lies below them.
    ///
    /// # Errors
    /// [`Denial`] where the process has the grant no more.
    pub fn roots(&self) -> Result<Vec<String>, Denial> {
        let info = list().into_iter().find(|info| info.label == self.label);
        info.map(|info| info.scope).ok_or_else(|| Denial::NotGranted(self.label.clone()))
    }

    /// All that lies in a folder, by names; what has a name that no path can have is left out. This process's label rises to the
    /// folder's.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn list(&self, path: &str) -> Result<Vec<Entry>, FileError> {
        let mut all: Vec<Entry> = Vec::new();
        loop {
            let after = all.last().map(|entry| entry.name.clone());
            let files::Listing { entries, more, .. } = files::list(&self.grant.0, path, after.as_deref(), LISTED)?;
            let is_last = !more || entries.is_empty();
            all.extend(entries);
            if is_last || all.len() > WALKED_MAX {
                return Ok(all);
            }
        }
    }

    /// The paths of all files below a path, which may be a file itself; 65,536 at most. This process's label rises as by
    /// [`list`](Self::list).
    ///
    /// # Errors
    /// [`FileError`].
    pub fn walk(&self, path: &str) -> Result<Vec<String>, FileError> {
        let (mut found, mut folders) = (Vec::new(), Vec::new());
        match self.describe(path)?.kind {
            Kind::File => found.push(path.to_owned()),
            Kind::Folder => folders.push(path.to_owned()),
            Kind::Other => {}
        }
        while let Some(folder) = folders.pop() {
            for entry in self.list(&folder)? {
                let path = if folder == "." { entry.name } else { format!("{folder}/{}", entry.name) };
                match entry.kind {
                    Kind::File => found.push(path),
                    Kind::Folder => folders.push(path),
                    Kind::Other => {}
                }
            }
            if found.len() > WALKED_MAX {
                break;
            }
        }
        found.truncate(WALKED_MAX);
        found.sort_unstable();
        Ok(found)
    }

    /// What lies at a path. This process's label rises to the folder's.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn describe(&self, path: &str) -> Result<Entry, FileError> {
        Ok(files::describe(&self.grant.0, path)?)
    }

    /// A whole file of 1 MiB at most, as it was at one moment.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn read(&self, path: &str) -> Result<Part, FileError> {
        Ok(part(files::read(&self.grant.0, path)?))
    }

    /// 1 MiB at most of a file of any size; with an expected revision, only of that one.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn read_part(&self, path: &str, offset: u64, length: u32, expected: Option<u64>) -> Result<Part, FileError> {
        Ok(part(files::read_part(&self.grant.0, path, offset, length, expected)?))
    }

    /// A file of any size in parts of 1 MiB, all of one revision.
    pub fn parts<'a>(&'a self, path: &'a str) -> Parts<'a> {
        Parts { folders: self, path, next: Some((0, None)) }
    }
}

fn part(part: files::Part) -> Part {
    let files::Part { content, size, revision } = part;
    Part { content: Value::new(content), size, revision }
}

/// The parts of a file, one behind the other. It ends with the file, or with an error.
#[derive(Debug)]
pub struct Parts<'a> {
    folders: &'a Folders,
    path: &'a str,
    /// Where the next one begins, and of which revision it has to be.
    next: Option<(u64, Option<u64>)>,
}

impl Iterator for Parts<'_> {
    type Item = Result<Part, FileError>;

    fn next(&mut self) -> Option<Self::Item> {
        let (offset, expected) = self.next.take()?;
        let read = self.folders.read_part(self.path, offset, PART_BYTES, expected);
        if let Ok(Part { size, revision, .. }) = &read {
            let end = offset.saturating_add(PART_BYTES.into());
            self.next = (end < *size).then_some((end, Some(*revision)));
        }
        Some(read)
    }
}
