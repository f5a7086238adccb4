//! What can go wrong with the files of one tenant, and what of it the port says.

use lance::Error as LanceError;
use remit_abi::TenantId;
use remit_kernel::ports::StoreError;
use std::{error::Error, io, iter};

/// A failure of one tenant's memory, before it is known whose.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// Lance refused, or could not.
    #[error("{0}")]
    Lance(#[from] LanceError),
    /// LanceDB refused, or could not.
    #[error("{0}")]
    Database(Box<str>),
    /// A file's content is not what `FORMAT.md` says.
    #[error("{0}")]
    Content(Box<str>),
    /// Written by a later version of Remit.
    #[error("it has format {found}, and {known} is known")]
    Newer {
        /// What the table says.
        found: u32,
        /// The newest that is known.
        known: u32,
    },
    /// A vector of another width.
    #[error("the vector has {found} numbers, and those of this memory have {expected}")]
    Width {
        /// Of the vector that was given.
        found: usize,
        /// Of the memory.
        expected: usize,
    },
    /// The file system refused.
    #[error("{0}")]
    Files(#[from] io::Error),
}

impl From<lancedb::Error> for Fault {
    fn from(error: lancedb::Error) -> Self {
        use lancedb::Error as Refused;
        match error {
            Refused::Lance { source } => Self::Lance(source),
            Refused::ObjectStore { source } => Self::Lance(source.into()),
            Refused::CreateDir { source, .. } => Self::Files(source),
            Refused::Arrow { source } => source.into(),
            error @ (Refused::TableNotFound { .. }
            | Refused::TableCorrupted { .. }
            | Refused::InvalidInput { .. }
            | Refused::Schema { .. }) => Self::Content(first_line(&error)),
            error => Self::Database(first_line(&error)),
        }
    }
}

impl From<arrow_schema::ArrowError> for Fault {
    fn from(error: arrow_schema::ArrowError) -> Self {
        Self::Content(error.to_string().into())
    }
}

impl From<postcard::Error> for Fault {
    fn from(error: postcard::Error) -> Self {
        Self::Content(format!("a column does not decode: {error}").into())
    }
}

impl Fault {
    /// What the port says of it. Whatever the file system may do better next time is [`StoreError::Io`]; what stays as it is until
    /// somebody mends it is [`StoreError::Damaged`].
    pub(crate) fn of(&self, tenant: TenantId) -> StoreError {
        match self {
            Self::Newer { found, known } => StoreError::Newer { tenant, found: *found, known: *known },
            Self::Width { found, expected } => StoreError::Width { found: *found, expected: *expected },
            Self::Content(reason) => damaged(tenant, reason),
            Self::Database(reason) => StoreError::Io { tenant, reason: reason.clone() },
            Self::Files(error) if is_missing(error) => damaged(tenant, &error.to_string()),
            Self::Files(error) => StoreError::Io { tenant, reason: error.to_string().into() },
            Self::Lance(error) if stays(error) => damaged(tenant, &first_line(error)),
            Self::Lance(error) => StoreError::Io { tenant, reason: first_line(error) },
        }
    }

    /// A task of the store ended without an answer: a library panicked, and only that task is lost.
    pub(crate) fn panicked(tenant: TenantId, error: &tokio::task::JoinError) -> StoreError {
        tracing::error!(%tenant, %error, "a task of a memory's store ended without an answer");
        StoreError::Io { tenant, reason: "the library that searches it gave up; the rest goes on".into() }
    }
}

fn damaged(tenant: TenantId, reason: &str) -> StoreError {
    let reason = format!("{reason}; restore its folder from a copy, or erase it").into();
    StoreError::Damaged { tenant, reason }
}

/// Whether trying again would meet the same: a file that is missing, cut, or says what it cannot say. Lance wraps what the file system said
/// in many ways, so all causes are asked, and the first that is of the file system decides.
fn stays(error: &LanceError) -> bool {
    let first: &(dyn Error + 'static) = error;
    iter::successors(Some(first), |cause| cause_of(*cause)).find_map(of_files).unwrap_or_else(|| is_of_content(error))
}

fn cause_of<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    let Some(io) = error.downcast_ref::<io::Error>() else { return error.source() };
    // Its source would be that of the error in it.
    let inner: &'a (dyn Error + 'static) = io.get_ref()?;
    Some(inner)
}

/// The same of what the file system itself says; `None` where this is not from there.
fn of_files(cause: &(dyn Error + 'static)) -> Option<bool> {
    if let Some(io) = cause.downcast_ref::<io::Error>() {
        // Another error in its clothes says more.
        let wraps = io.get_ref().is_some() && io.kind() == io::ErrorKind::Other;
        return (!wraps).then(|| is_missing(io));
    }
    match cause.downcast_ref() {
        Some(LanceError::NotFound { .. } | LanceError::DatasetNotFound { .. }) => return Some(true),
        // Who shares an error says its causes, and not that itself.
        Some(LanceError::Shared { source, .. }) => return Some(stays(source)),
        _ => {}
    }
    let store = cause.downcast_ref::<object_store::Error>()?;
    matches!(store, object_store::Error::NotFound { .. }).then_some(true)
}

fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof)
}

fn is_of_content(error: &LanceError) -> bool {
    matches!(
        error,
        LanceError::NotFound { .. }
            | LanceError::DatasetNotFound { .. }
            | LanceError::CorruptFile { .. }
            | LanceError::NotSupported { .. }
            | LanceError::Internal { .. }
            | LanceError::Arrow { .. }
            | LanceError::Schema { .. }
            | LanceError::InvalidInput { .. }
            | LanceError::Index { .. }
    )
}

/// Lance's texts end with places in its sources, which help nobody here.
fn first_line(error: &dyn Error) -> Box<str> {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    let cut = line.find(", /").or_else(|| line.find(", location:")).unwrap_or(line.len());
    line[..cut].into()
}
