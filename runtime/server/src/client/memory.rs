//! Requests about what agents remember, and about what they were told.

use super::{Client, ClientError, Lines};
use crate::protocol::{
    Consolidate, Entries, ForgetEntries, ForgottenEntries, Hits, ListEntries, MemoryStats, PutDone, PutEntry,
    RecallRequest, RecalledTexts, RestoreEntry, Restored, RunLine, SearchEntries,
};
use hyper::Method;
use remit_abi::EntryId;

impl Client {
    /// What agents remember comes to.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn memory_stats(&self) -> Result<MemoryStats, ClientError> {
        self.ask(Method::GET, "memory", &()).await
    }

    /// Entries by their ids.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn list_entries(&self, request: &ListEntries) -> Result<Entries, ClientError> {
        self.ask(Method::POST, "memory/list", request).await
    }

    /// The likest entries.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn search_entries(&self, request: &SearchEntries) -> Result<Hits, ClientError> {
        self.ask(Method::POST, "memory/search", request).await
    }

    /// All versions of an entry, the oldest first.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn entry(&self, entry: EntryId) -> Result<Entries, ClientError> {
        self.ask(Method::GET, &format!("memory/entries/{entry}"), &()).await
    }

    /// Writes a new entry.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn put_entry(&self, request: &PutEntry) -> Result<PutDone, ClientError> {
        self.ask(Method::POST, "memory/entries", request).await
    }

    /// Forgets entries. A purge takes as long as it takes.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn forget_entries(&self, request: &ForgetEntries) -> Result<ForgottenEntries, ClientError> {
        self.reply(Method::POST, "memory/forget", request).await
    }

    /// Makes a new version of an entry that is as an older one was.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn restore_entry(&self, entry: EntryId, request: RestoreEntry) -> Result<Restored, ClientError> {
        self.ask(Method::POST, &format!("memory/entries/{entry}/restore"), &request).await
    }

    /// Has stores put in order. Who drops the lines before the last one ends it.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn consolidate(&self, request: &Consolidate) -> Result<Lines<RunLine>, ClientError> {
        self.lines(Method::POST, "memory/consolidate", request).await
    }

    /// What processes were told, found by its words. It takes as long as it takes.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn recall(&self, request: &RecallRequest) -> Result<RecalledTexts, ClientError> {
        self.reply(Method::POST, "recall", request).await
    }

    /// Has the memory's tables compacted and indexed now. It takes as long as it takes.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn optimize_memory(&self) -> Result<(), ClientError> {
        self.reply(Method::POST, "memory/optimize", &()).await
    }
}
