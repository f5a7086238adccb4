//! What processes came to that an operator started, and that ended while nobody looked. It is kept until it is dropped, or forgotten with
//! all of the process's history.

use crate::{
    kernel::Kernel,
    ports::{Change, JournalError, StoredResult},
};
use remit_abi::Pid;

impl Kernel {
    /// The latest of them, latest first; at most so many. Blocks while they are read.
    ///
    /// # Errors
    /// [`JournalError::Unreadable`].
    pub fn results(&self, limit: usize) -> Result<Vec<StoredResult>, JournalError> {
        self.shared.ports.journal.results(None, limit)
    }

    /// That of one process; `None` where it lives, keeps no journal, has a parent, or its result was dropped. Blocks while it is read.
    ///
    /// # Errors
    /// [`JournalError::Unreadable`].
    pub fn result(&self, pid: Pid) -> Result<Option<StoredResult>, JournalError> {
        Ok(self.shared.ports.journal.results(Some(pid), 1)?.pop())
    }

    /// Drops what a process came to; its log stays. Whether there was anything. Blocks.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn drop_result(&self, pid: Pid) -> Result<bool, JournalError> {
        let is_there = self.result(pid)?.is_some();
        if is_there {
            self.shared.try_change(None, [Change::ReportGone { pid }])?;
        }
        Ok(is_there)
    }
}
