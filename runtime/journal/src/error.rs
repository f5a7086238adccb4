//! What can be wrong with a journal.

use crate::seal::NoEntropy;
use remit_abi::TenantId;
use remit_kernel::ports::JournalError;
use rusqlite::ErrorCode;
use std::{io, path::PathBuf};
use thiserror::Error;

/// A journal that cannot be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The folder or a file in it cannot be made or read.
    #[error("{} cannot be used: {source}", path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Somebody has it open.
    #[error("the journal in {} is open already: one process may use it at a time", .0.display())]
    InUse(PathBuf),
    /// A key of the host's is not there, but what was sealed or signed with it is.
    #[error("{} is missing, and without it the journal beside it cannot go on: put it back from a backup", .0.display())]
    KeyMissing(PathBuf),
    /// A key of the host's has another length than a key.
    #[error("{} is no key: it has to have 32 bytes; put it back from a backup", .0.display())]
    KeyDamaged(PathBuf),
    /// Others may read a key of the host's.
    #[error("{} can be read by others (mode {mode:o}): set its mode to 600", path.display())]
    KeyExposed {
        /// The key's file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// It is a database of something else.
    #[error("{} is no journal of Remit: it was made by another application", .0.display())]
    Foreign(PathBuf),
    /// It was written by a newer version.
    #[error("the journal is of version {found}, and this build reads versions up to {known}: use a newer build")]
    Newer {
        /// Of the file.
        found: i64,
        /// Of this build.
        known: i64,
    },
    /// SQLite does not open it.
    #[error("the journal cannot be opened: {0}; restore its folder from a backup if this stays")]
    Database(#[from] rusqlite::Error),
    /// The system gives no randomness or no thread.
    #[error("the system refuses what a journal needs: {0}")]
    System(Box<str>),
}

/// A tenant, or a time, that is not forgotten.
#[derive(Debug, Error)]
pub enum ForgetError {
    /// The tenant has processes that have not ended.
    #[error("tenant {tenant} has {living} processes that have not ended: end them first")]
    Living {
        /// Which.
        tenant: TenantId,
        /// How many.
        living: u64,
    },
    /// The key's file, or an index of what was told, cannot be destroyed.
    #[error("a file of what is to be forgotten cannot be destroyed: {0}")]
    Key(#[from] io::Error),
    /// The database refuses; what was begun is done on the next call.
    #[error("the journal does not forget: {0}; try again")]
    Database(#[from] rusqlite::Error),
    /// That it was forgotten cannot be written down; what was begun is done on the next call.
    #[error("the tenant's audit chain does not go on: {0}; restore the journal's folder from a backup if this stays")]
    Chain(Box<str>),
    /// The journal has failed before.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

impl From<Damage> for ForgetError {
    fn from(damage: Damage) -> Self {
        match damage {
            Damage::Database(error) => Self::Database(error),
            other => Self::Chain(other.to_string().into()),
        }
    }
}

/// An export of an audit chain that was not made.
#[derive(Debug, Error)]
pub enum ExportError {
    /// There is nothing to export.
    #[error("tenant {0} has no audit chain: nothing of it was ever written down")]
    Empty(TenantId),
    /// Where it goes to refuses it.
    #[error("the export cannot be written: {0}")]
    Output(#[from] io::Error),
    /// The chain cannot be read, or not signed.
    #[error(
        "the audit chain of tenant {tenant} cannot be exported: {why}; restore the journal's folder from a backup if this stays"
    )]
    Chain {
        /// Whose.
        tenant: TenantId,
        /// Why.
        why: Box<str>,
    },
    /// The journal has failed before.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// What is wrong with something that was read or is being written.
#[derive(Debug, Error)]
pub(crate) enum Damage {
    #[error("{0}")]
    Database(#[from] rusqlite::Error),
    #[error("what is sealed there was changed, or belongs to another place or key")]
    Seal,
    #[error("its entries are in a form that this build does not know")]
    Form(#[from] postcard::Error),
    #[error("the tenant's key is missing: it was erased, or not put back with the rest")]
    Key,
    #[error("a part of its log is missing")]
    Missing,
    #[error("{0}")]
    File(#[from] io::Error),
    #[error("the system has no randomness")]
    Entropy,
}

impl From<NoEntropy> for Damage {
    fn from(_: NoEntropy) -> Self {
        Self::Entropy
    }
}

/// What a failed write is likely to do the next time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outlook {
    /// It waits for something that comes: space, memory, a lock.
    Passes,
    /// It may be a passing fault of the disk.
    MayPass,
    /// It is the same again.
    Stays,
}

impl Damage {
    pub(crate) fn outlook(&self) -> Outlook {
        match self {
            Self::Database(rusqlite::Error::SqliteFailure(failure, _)) => match failure.code {
                ErrorCode::DiskFull | ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::OutOfMemory => {
                    Outlook::Passes
                }
                ErrorCode::SystemIoFailure | ErrorCode::CannotOpen | ErrorCode::FileLockingProtocolFailed => {
                    Outlook::MayPass
                }
                _ => Outlook::Stays,
            },
            Self::File(error) if error.kind() == io::ErrorKind::StorageFull => Outlook::Passes,
            Self::File(_) | Self::Entropy => Outlook::MayPass,
            _ => Outlook::Stays,
        }
    }

    /// What a reader is told.
    pub(crate) fn of(self, what: impl std::fmt::Display) -> JournalError {
        JournalError::Unreadable(
            format!("{what}: {self}; restore the journal's folder from a backup, or go on without it").into(),
        )
    }
}
