//! A journal that keeps everything, or fails, and that a node can be started anew from.

use parking_lot::Mutex;
use remit_abi::{AccountId, Exit, GrantId, Pid, Reply, Request};
use remit_kernel::{
    MemoryJournal,
    ports::{
        Entry, Holdings, Journal, JournalError, Line, NodeImage, PortFuture, Position, Record, Sleeper, StoredProcess,
        StoredResult,
    },
};
use std::sync::atomic::{AtomicBool, Ordering};

/// An entry that was kept.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Written {
    Created,
    Began,
    Given,
    Intended,
    /// Large requests are kept by their digest alone.
    Told {
        request: Option<Request>,
        reply: Reply,
    },
    Committed(Option<Vec<u8>>),
    Exited(Exit),
    Forked,
}

#[derive(Default)]
pub(crate) struct RecordingJournal {
    pub(crate) memory: MemoryJournal,
    pub(crate) entries: Mutex<Vec<(Pid, Written)>>,
    pub(crate) fails: AtomicBool,
    /// Takes everything and keeps nothing.
    pub(crate) forgets: AtomicBool,
    /// Nothing of it comes to the disk.
    pub(crate) stalls: AtomicBool,
    /// No process can be read.
    pub(crate) is_unreadable: AtomicBool,
}

impl RecordingJournal {
    pub(crate) fn of(memory: MemoryJournal) -> Self {
        Self { memory, ..Self::default() }
    }
}

fn written(entry: &Entry<'_>) -> Written {
    match entry {
        Entry::Created(_) => Written::Created,
        Entry::Began(_) => Written::Began,
        Entry::Given(_) => Written::Given,
        Entry::Intended(_) => Written::Intended,
        Entry::Told(told) => Written::Told { request: told.asked.request(), reply: told.reply.clone().into_owned() },
        Entry::Committed(began) => Written::Committed(began.checkpoint.as_ref().map(|state| state.to_vec())),
        Entry::Forked(_) => Written::Forked,
        Entry::Exited(exit) => Written::Exited(exit.clone().into_owned()),
    }
}

impl Journal for RecordingJournal {
    fn append(&self, records: &[Record<'_>]) -> Result<Position, JournalError> {
        if self.fails.load(Ordering::SeqCst) {
            return Err(JournalError::Refused("the disk is full".into()));
        }
        if self.forgets.load(Ordering::SeqCst) {
            return Ok(Position::default());
        }
        let entries = records.iter().filter_map(|record| Some((record.pid?, written(record.entry.as_ref()?))));
        self.entries.lock().extend(entries);
        self.memory.append(records)
    }

    fn durable(&self, _: Position) -> PortFuture<'_, Result<(), JournalError>> {
        Box::pin(async {
            while self.stalls.load(Ordering::SeqCst) {
                tokio::task::yield_now().await;
            }
            Ok(())
        })
    }

    fn node(&self) -> Result<NodeImage, JournalError> {
        self.memory.node()
    }

    fn awake(&self, sleeper: &mut dyn FnMut(Sleeper)) -> Result<NodeImage, JournalError> {
        self.memory.awake(sleeper)
    }

    fn holdings(&self, accounts: &[AccountId], grants: &[GrantId]) -> Result<Holdings, JournalError> {
        self.memory.holdings(accounts, grants)
    }

    fn process(&self, pid: Pid) -> Result<Option<StoredProcess>, JournalError> {
        match self.is_unreadable.load(Ordering::SeqCst) {
            true => Err(JournalError::Unreadable("its pages are damaged".into())),
            false => self.memory.process(pid),
        }
    }

    fn results(&self, of: Option<Pid>, limit: usize) -> Result<Vec<StoredResult>, JournalError> {
        self.memory.results(of, limit)
    }

    fn history(&self, pid: Pid, from: u64, limit: usize) -> Result<Vec<Line>, JournalError> {
        self.memory.history(pid, from, limit)
    }
}
