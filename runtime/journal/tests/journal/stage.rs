//! A journal in a folder of its own.

use crate::model::{Model, Owned, Plain};
use futures::executor::block_on;
use remit_abi::Pid;
use remit_journal::{Options, Retry, SqliteJournal};
use remit_kernel::{
    Finished,
    ports::{Journal, NodeImage, Position},
};
use std::{
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};
use tempfile::TempDir;

/// A clock that shows a new time to each who looks.
pub(crate) fn clock() -> u64 {
    static NOW: AtomicU64 = AtomicU64::new(1_000);
    NOW.fetch_add(1, Ordering::Relaxed)
}

/// Faults are tried again at once.
pub(crate) fn options(vfs: Option<&str>) -> Options<'_> {
    let retry = Retry { tries: 3, pause: Duration::from_micros(50) };
    Options { vfs, clock, retry, ..Options::default() }
}

pub(crate) struct Stage {
    /// `None` between closing and opening.
    journal: Option<SqliteJournal>,
    folder: TempDir,
}

impl Stage {
    pub(crate) fn new() -> Self {
        Self::at(tempfile::tempdir().expect("there is a folder for such things"))
    }

    pub(crate) fn at(folder: TempDir) -> Self {
        let journal = SqliteJournal::open_with(folder.path(), options(None)).expect("it opens");
        Self { journal: Some(journal), folder }
    }

    pub(crate) fn journal(&self) -> &SqliteJournal {
        self.journal.as_ref().expect("it is open")
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn close(&mut self) {
        drop(self.journal.take());
    }

    pub(crate) fn reopen(&mut self) {
        self.close();
        self.journal = Some(SqliteJournal::open_with(self.folder.path(), options(None)).expect("it opens again"));
    }

    pub(crate) fn append(&self, records: &[Owned]) -> Position {
        let append = |record: &Owned| self.journal().append(&[record.record()]).expect("there is room");
        records.iter().map(append).last().unwrap_or_default()
    }

    /// Waits until all is on the disk.
    pub(crate) fn settle(&self) {
        self.journal().node().expect("it can be read");
    }
}

/// Waits for the disk.
pub(crate) fn durable(journal: &SqliteJournal, position: Position) {
    block_on(journal.durable(position)).expect("it is written");
}

/// In order of ids, since only parents are ordered otherwise.
pub(crate) fn sorted(mut node: NodeImage) -> NodeImage {
    node.accounts.sort_by_key(|row| row.account);
    node.grants.sort_by_key(|row| row.grant);
    node.reports.sort_by_key(|row| row.0);
    node.living.sort();
    node
}

/// What processes without a parent came to, in order of their pids.
fn results(journal: &SqliteJournal) -> Vec<(Pid, Finished)> {
    let results = journal.results(None, usize::MAX).expect("they can be read");
    assert!(results.is_sorted_by(|one, two| one.ended_ns >= two.ended_ns), "the latest first");
    for result in &results {
        assert_eq!(journal.results(Some(result.pid), 1).as_deref(), Ok(std::slice::from_ref(result)));
    }
    let mut results: Vec<_> = results.into_iter().map(|result| (result.pid, result.finished)).collect();
    results.sort_by_key(|(pid, _)| *pid);
    results
}

/// A journal says what plain maps say.
pub(crate) fn compare(journal: &SqliteJournal, model: &Model) {
    assert_eq!(results(journal), model.results());
    let node = journal.node().expect("it can be read");
    assert_eq!(Model::sum(&node.accounts), model.tokens, "tokens are conserved");
    for (at, row) in node.accounts.iter().enumerate() {
        let earlier = &node.accounts[..at];
        assert!(row.parent.is_none_or(|parent| earlier.iter().any(|row| row.account == parent)), "{row:?}");
    }
    for (at, row) in node.grants.iter().enumerate() {
        let earlier = &node.grants[..at];
        assert!(row.parent.is_none_or(|parent| earlier.iter().any(|row| row.grant == parent)), "{row:?}");
    }
    assert_eq!(sorted(node), model.node());
    for pid in model.processes.keys() {
        let process = journal.process(*pid).expect("it can be read").map(Plain::from);
        assert_eq!(process, model.process(*pid), "{pid}");
        let history = journal.history(*pid, 1, usize::MAX).expect("it can be read");
        let entries: Vec<_> = history.into_iter().map(|line| line.entry).collect();
        assert_eq!(entries, model.processes[pid].entries, "{pid}");
    }
}
