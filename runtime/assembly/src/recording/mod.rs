//! The recording of a process: its whole log with the component that it ran. It is run again, compared, forked, and kept as a file that
//! another machine reads.
//!
//! What a process was told is in it in plain: its input, what models wrote, what others sent it. Whoever may read it may read all that.

mod compare;
mod file;
mod fork;
mod rerun;
mod spans;

pub use compare::{Comparison, Difference, compare};
pub use file::FileError;
pub use fork::{ForkTerms, ForkingError};
pub use remit_kernel::ports::{Asked, Note};
pub use rerun::{RerunError, rerun};
pub use spans::{Span, Spans, spans};

use crate::{components, home::Home, node::Node};
use bytes::Bytes;
use remit_abi::Pid;
use remit_journal::{OpenError, SqliteJournal};
use remit_kernel::{History, HistoryError, ports::Journal};
use std::{fs, io, path::PathBuf, sync::Arc};
use thiserror::Error;

/// A process's whole log, and the component that it ran.
#[derive(Clone, Debug, PartialEq)]
pub struct Recording {
    /// The version of the host that it was taken from.
    pub host: String,
    /// The log.
    pub history: History,
    /// The component.
    pub component: Bytes,
}

/// A recording that cannot be taken.
#[derive(Debug, Error)]
pub enum RecordingError {
    /// The log.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// The journal cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// No process of this data folder ever outlived its host.
    #[error("{0} has no journal: no process of it was ever kept")]
    NoJournal(PathBuf),
    /// The component is gone.
    #[error("the component that the process ran cannot be read from {path}: {error}")]
    Component {
        /// Where it was kept.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

impl Recording {
    /// That of a process of a data folder on which no host runs. Blocks.
    ///
    /// # Errors
    /// [`RecordingError`].
    pub fn of_folder(home: &Home, pid: Pid) -> Result<Self, RecordingError> {
        let folder = home.journal();
        if !folder.exists() {
            return Err(RecordingError::NoJournal(home.folder().to_owned()));
        }
        let journal: Arc<dyn Journal> = Arc::new(SqliteJournal::open(&folder)?);
        Self::with_component(home, History::read(&*journal, pid)?)
    }

    fn with_component(home: &Home, history: History) -> Result<Self, RecordingError> {
        let path = components::path(home, &history.created.digest);
        let component = fs::read(&path).map_err(|error| RecordingError::Component { path, error })?;
        Ok(Self { host: env!("CARGO_PKG_VERSION").to_owned(), history, component: component.into() })
    }
}

impl Node {
    /// The recording of a process, also of one that has ended, as far as its log is kept. Blocks.
    ///
    /// # Errors
    /// [`RecordingError`].
    pub fn recording(&self, pid: Pid) -> Result<Recording, RecordingError> {
        Recording::with_component(&self.home, self.kernel.history(pid)?)
    }
}
