//! The journal that forgets: what a process was told, kept while it lives.
//!
//! It is the ephemeral mode: in order and complete while the process runs, gone when the node ends.

use crate::ports::{Entry, Journal, JournalError, PortFuture};
use parking_lot::Mutex;
use remit_abi::Pid;
use std::collections::{HashMap, VecDeque};

/// Entries kept for one process. Beyond it the oldest go, and a replay from the start is no longer possible; an agent
/// that commits checkpoints never gets there.
const ENTRIES_PER_PROCESS_MAX: usize = 100_000;

/// One process's entries.
#[derive(Debug, Default)]
struct Log {
    entries: VecDeque<Entry>,
    dropped: u64,
}

/// A journal in memory.
#[derive(Debug, Default)]
pub struct MemoryJournal {
    logs: Mutex<HashMap<Pid, Log>>,
}

impl MemoryJournal {
    /// What a live process was told since its last checkpoint, that entry first; `None` where the beginning was dropped,
    /// or the process is unknown.
    #[must_use]
    pub fn entries(&self, pid: Pid) -> Option<Vec<Entry>> {
        let logs = self.logs.lock();
        let log = logs.get(&pid)?;
        (log.dropped == 0).then(|| log.entries.iter().cloned().collect())
    }
}

impl Journal for MemoryJournal {
    fn append(&self, pid: Pid, entry: Entry) -> Result<(), JournalError> {
        let mut logs = self.logs.lock();
        if matches!(entry, Entry::Exit(_)) {
            logs.remove(&pid);
            return Ok(());
        }
        let log = logs.entry(pid).or_default();
        if matches!(entry, Entry::Checkpoint(_)) {
            *log = Log::default();
        }
        if log.entries.len() == ENTRIES_PER_PROCESS_MAX {
            log.entries.pop_front();
            log.dropped += 1;
        }
        log.entries.push_back(entry);
        Ok(())
    }

    fn flush(&self, _: Pid) -> PortFuture<'_, Result<(), JournalError>> {
        Box::pin(std::future::ready(Ok(())))
    }
}
