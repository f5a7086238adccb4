//! Why there is nothing of a file.

use super::Denial;
use crate::bindings::remit::kernel::files;
use std::{error::Error, fmt};

/// Why there is nothing of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FileError {
    /// The process has no right to it.
    Denied(Denial),
    /// Nothing lies there.
    NoSuchFile,
    /// It is no folder, or a part of its path is none.
    NotAFolder,
    /// It is no file.
    NotAFile,
    /// It was written to meanwhile, or is not the revision that was expected.
    Changed,
    /// More than is read at once.
    TooLarge {
        /// In bytes.
        limit: u64,
    },
    /// Something that cannot be done as it is asked for; says what.
    Invalid(String),
    /// The process holds too many values to take it.
    NoRoom,
    /// It cannot be read now; why.
    Unavailable(String),
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Denied(denial) => return denial.fmt(f),
            Self::NoSuchFile => {
                "nothing lies at this path: it was removed, never was, or its folder is not declared on this host"
            }
            Self::NotAFolder => "this path, or a part of it, is no folder: links are not followed",
            Self::NotAFile => "this is no file that can be read: it is a folder, a link, a device, a pipe or a socket",
            Self::Changed => "the file was written to meanwhile: read it again from its beginning",
            Self::TooLarge { limit } => {
                return write!(f, "{limit} bytes of a file are read at once at most: read it in parts");
            }
            Self::Invalid(why) => return write!(f, "files cannot be read like this: {why}"),
            Self::NoRoom => "this process holds too much to take what was read: drop some values, or ask for less",
            Self::Unavailable(why) => return write!(f, "the file cannot be read now: {why}"),
        })
    }
}

impl Error for FileError {}

impl From<Denial> for FileError {
    fn from(denial: Denial) -> Self {
        Self::Denied(denial)
    }
}

impl From<files::FileError> for FileError {
    fn from(error: files::FileError) -> Self {
        match error {
            files::FileError::Denied(denial) => Self::Denied(denial.into()),
            files::FileError::NoSuchFile => Self::NoSuchFile,
            files::FileError::NotAFolder => Self::NotAFolder,
            files::FileError::NotAFile => Self::NotAFile,
            files::FileError::Changed => Self::Changed,
            files::FileError::TooLarge(limit) => Self::TooLarge { limit },
            files::FileError::Invalid(why) => Self::Invalid(why),
            files::FileError::NoRoom => Self::NoRoom,
            files::FileError::Unavailable(why) => Self::Unavailable(why),
        }
    }
}
