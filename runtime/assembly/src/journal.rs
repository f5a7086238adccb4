//! The data folder's journal as the kernel's port: what blocks is done on tokio's threads for that.

use remit_abi::{AccountId, GrantId, Pid};
use remit_journal::SqliteJournal;
use remit_kernel::ports::{
    Holdings, Journal, JournalError, Line, NodeImage, PortFuture, Position, Record, Roused, Sleeper, StoredProcess,
    StoredResult,
};
use std::sync::Arc;
use tokio::runtime::Handle;

/// A journal on the disk.
pub(crate) struct FolderJournal {
    journal: Arc<SqliteJournal>,
    runtime: Handle,
}

impl FolderJournal {
    pub(crate) const fn new(journal: Arc<SqliteJournal>, runtime: Handle) -> Self {
        Self { journal, runtime }
    }
}

impl Journal for FolderJournal {
    fn append(&self, records: &[Record<'_>]) -> Result<Position, JournalError> {
        self.journal.append(records)
    }

    fn durable(&self, position: Position) -> PortFuture<'_, Result<(), JournalError>> {
        self.journal.durable(position)
    }

    fn node(&self) -> Result<NodeImage, JournalError> {
        self.journal.node()
    }

    fn awake(&self, sleeper: &mut dyn FnMut(Sleeper)) -> Result<NodeImage, JournalError> {
        self.journal.awake(sleeper)
    }

    fn holdings(&self, accounts: &[AccountId], grants: &[GrantId]) -> Result<Holdings, JournalError> {
        self.journal.holdings(accounts, grants)
    }

    fn rouse_later(&self, sleeper: Arc<Sleeper>) -> PortFuture<'_, Result<Option<Roused>, JournalError>> {
        let journal = self.journal.clone();
        let reading = self.runtime.spawn_blocking(move || journal.rouse(&sleeper));
        Box::pin(async move {
            let ended = |error| Err(JournalError::Unreadable(format!("reading ended early: {error}").into()));
            reading.await.unwrap_or_else(ended)
        })
    }

    fn process(&self, pid: Pid) -> Result<Option<StoredProcess>, JournalError> {
        self.journal.process(pid)
    }

    fn wake(&self, pid: Pid) -> PortFuture<'_, Result<Option<StoredProcess>, JournalError>> {
        let journal = self.journal.clone();
        let reading = self.runtime.spawn_blocking(move || journal.process(pid));
        Box::pin(async move {
            let ended = |error| Err(JournalError::Unreadable(format!("reading ended early: {error}").into()));
            reading.await.unwrap_or_else(ended)
        })
    }

    fn results(&self, of: Option<Pid>, limit: usize) -> Result<Vec<StoredResult>, JournalError> {
        self.journal.results(of, limit)
    }

    fn history(&self, pid: Pid, from: u64, limit: usize) -> Result<Vec<Line>, JournalError> {
        self.journal.history(pid, from, limit)
    }
}
