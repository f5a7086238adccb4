//! Where a tenant's memory is kept and searched.
//!
//! A write is a journal record first. The kernel hands it to the store in the same order, and the store has it from then on: whoever looks
//! afterwards finds it, though it reaches the disk much later, with others. What is on the disk is said by a *watermark* for each tenant,
//! the number of the last write that was applied; the journal keeps what is above it, and hands it over again when a host starts anew. So
//! applying is idempotent by the write's number, and the store need not keep anything that it has not applied.
//!
//! | what | whose |
//! | --- | --- |
//! | numbers, labels, grants, prices, versions that are expected | the kernel |
//! | durability of a write | the journal |
//! | vectors of texts | the store, by an [`Embedder`]: they follow from the text, and are computed anew where the model is another |
//! | tables, indexes, compaction, expiry | the store |
//!
//! [`NoMemory`] is the store of a node that has none.

use super::{JournalError, PortFuture, TenantId};
use remit_abi::{EntryFilter, EntryId, Label, Particulars, Pid, Remembered, Scope, Search};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use thiserror::Error;

/// One version of an entry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EntryVersion {
    /// Of which entry.
    pub id: EntryId,
    /// From 1 on.
    pub version: u32,
    /// The store that it lies in: the same in all versions.
    pub store: Box<str>,
    /// Who wrote it; `None` for an operator.
    pub source: Option<Pid>,
    /// When, in nanoseconds since 1970-01-01T00:00:00Z.
    pub written_ns: u64,
    /// What went into it.
    pub label: Label,
    /// What it is.
    pub content: Remembered,
    /// What is written about it.
    pub particulars: Particulars,
    /// Of length one, with [`MemoryStore::width`] numbers, where the writer gave one. Otherwise a text gets one from the [`Embedder`].
    pub vector: Option<Arc<[f32]>>,
}

/// What a write does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum MemoryAct {
    /// An entry has a new version: its first, or one more.
    Put(Box<EntryVersion>),
    /// Entries are found no more.
    Forget {
        /// Which.
        entries: Vec<EntryId>,
        /// Whether all their versions are destroyed too, in every file, once this is applied.
        purge: bool,
    },
}

/// A write of a tenant's memory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MemoryWrite {
    /// Of all writes of the node; those of one tenant ascend.
    pub number: u64,
    /// What it does.
    pub act: MemoryAct,
}

/// What was found.
#[derive(Clone, Debug, PartialEq)]
pub struct MemoryHit {
    /// The entry's newest version.
    pub entry: EntryVersion,
    /// By what hits are ordered, falling; comparable within one search only.
    pub score: f32,
    /// The cosine of the angle between it and the vector that was looked for, where one was and it has one.
    pub similarity: Option<f32>,
    /// Its BM25 score, where words were looked for and it has some of them.
    pub relevance: Option<f32>,
}

/// What a store says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryFigures {
    /// Entries that are found.
    pub entries: u64,
    /// Versions of all that are kept, with these.
    pub versions: u64,
    /// Writes that are not on the disk yet.
    pub pending: u64,
    /// Entries whose vector is not computed yet.
    pub without_vector: u64,
    /// Entries that no index of vectors covers yet: they are compared one by one.
    pub unindexed: u64,
    /// Of all files.
    pub disk_bytes: u64,
}

/// What cannot be done with a memory.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StoreError {
    /// A vector has another width than those of this memory.
    #[error("the vector has {found} numbers, and those of this memory have {expected}")]
    Width {
        /// Of the vector that was given.
        found: usize,
        /// Of the memory.
        expected: usize,
    },
    /// Vectors are asked for, and the node has no model that computes them.
    #[error("this host has no model that embeds: look for words, or give a vector")]
    NoEmbedder,
    /// A text could not be turned into a vector.
    #[error("its vector could not be computed: {0}")]
    Embedding(Box<str>),
    /// The files of this tenant's memory cannot be used. Others' can.
    #[error("the memory of tenant {tenant} cannot be used: {reason}")]
    Damaged {
        /// Whose.
        tenant: TenantId,
        /// Why, and what to do.
        reason: Box<str>,
    },
    /// The files were written by a later version.
    #[error(
        "the memory of tenant {tenant} was written by a later version of Remit ({found}; this one knows {known}): use that, or a later one"
    )]
    Newer {
        /// Whose.
        tenant: TenantId,
        /// What it says.
        found: u32,
        /// The newest that is known.
        known: u32,
    },
    /// Reading or writing failed. What was written stays in the journal, and is applied when it can be.
    #[error("the memory of tenant {tenant} cannot be read or written now: {reason}")]
    Io {
        /// Whose.
        tenant: TenantId,
        /// Why.
        reason: Box<str>,
    },
}

/// Turns texts into vectors. It is the kernel's engine, seen by a store.
pub trait Embedder: Send + Sync + 'static {
    /// SHA-256 of the model's weights, in hexadecimal: vectors of different models are not compared.
    fn digest(&self) -> Arc<str>;

    /// How many numbers a vector has.
    fn width(&self) -> usize;

    /// Vectors of length one, in the order of the texts; of a text that is longer than the model's context, of its beginning.
    fn embed(&self, texts: Vec<Arc<str>>) -> PortFuture<'static, Result<Vec<Vec<f32>>, StoreError>>;
}

/// The journal, as a store sees it.
pub trait MemoryJournal: Send + Sync + 'static {
    /// Waits until every write that was accepted so far survives a crash in the journal. To be awaited before any of them is put on the
    /// disk: a host that dies in between would remember what nobody has said, under numbers that are given out again.
    fn durable(&self) -> PortFuture<'static, Result<(), JournalError>>;

    /// All writes of the tenant up to this number are on the disk, for good, so that the journal need not keep them. Never falls.
    fn applied(&self, tenant: TenantId, number: u64);
}

/// Keeps and searches the memory of all tenants. What one of them does, and what its files are, concerns no other.
pub trait MemoryStore: Send + Sync + 'static {
    /// How many numbers a vector has, in every memory of the node.
    fn width(&self) -> usize;

    /// Takes a write, which is in the journal. Whatever begins to look after this has it. Never waits; a write at or below the tenant's
    /// watermark does nothing. After a new start versions do not come again of an entry that was purged meanwhile, and to forget an entry
    /// that is not there is nothing.
    fn accept(&self, tenant: TenantId, write: MemoryWrite);

    /// Waits until the tenant has fewer pending writes than the store holds in memory: whoever writes waits here before.
    ///
    /// # Errors
    /// As [`flush`](Self::flush): then nothing more can be written now.
    fn room(&self, tenant: TenantId) -> PortFuture<'static, Result<(), StoreError>>;

    /// Starts to apply what is pending, and returns when all that was accepted before is on the disk.
    ///
    /// # Errors
    /// [`StoreError::Io`], [`StoreError::Damaged`], [`StoreError::Newer`].
    fn flush(&self, tenant: TenantId) -> PortFuture<'static, Result<(), StoreError>>;

    /// The newest version of an entry in these stores; `None` where there is none, it is forgotten, or it has expired by `now_ns`.
    ///
    /// # Errors
    /// As [`flush`](Self::flush).
    fn get(
        &self,
        tenant: TenantId,
        stores: Scope,
        id: EntryId,
        now_ns: u64,
    ) -> PortFuture<'static, Result<Option<EntryVersion>, StoreError>>;

    /// All versions of an entry that are kept, the oldest first. Of one that is forgotten and not purged as well: that is how it is
    /// restored.
    ///
    /// # Errors
    /// As [`flush`](Self::flush).
    fn versions(
        &self,
        tenant: TenantId,
        stores: Scope,
        id: EntryId,
    ) -> PortFuture<'static, Result<Vec<EntryVersion>, StoreError>>;

    /// Looks for the likest entries in all of these stores, whatever their age.
    ///
    /// # Errors
    /// As [`flush`](Self::flush), and [`StoreError::Width`].
    fn search(
        &self,
        tenant: TenantId,
        stores: Scope,
        search: Search,
        now_ns: u64,
    ) -> PortFuture<'static, Result<Vec<MemoryHit>, StoreError>>;

    /// Entries that a filter means, by ascending id, from the first behind `after`; at most `count`.
    ///
    /// # Errors
    /// As [`flush`](Self::flush).
    fn list(
        &self,
        tenant: TenantId,
        stores: Scope,
        filter: EntryFilter,
        after: Option<EntryId>,
        count: usize,
        now_ns: u64,
    ) -> PortFuture<'static, Result<Vec<EntryVersion>, StoreError>>;

    /// What the tenant's memory comes to.
    ///
    /// # Errors
    /// As [`flush`](Self::flush).
    fn figures(&self, tenant: TenantId) -> PortFuture<'static, Result<MemoryFigures, StoreError>>;

    /// Indexes and compacts now, instead of when it is worth it.
    ///
    /// # Errors
    /// As [`flush`](Self::flush).
    fn optimize(&self, tenant: TenantId) -> PortFuture<'static, Result<(), StoreError>>;

    /// Destroys all that the tenant has, in every file.
    ///
    /// # Errors
    /// As [`flush`](Self::flush).
    fn erase(&self, tenant: TenantId) -> PortFuture<'static, Result<(), StoreError>>;
}

/// What a node remembers with.
#[derive(Clone)]
pub struct Memory {
    /// Keeps and searches it.
    pub store: Arc<dyn MemoryStore>,
    /// The engine's model by which texts become vectors; `None` where the node has none.
    pub model: Option<Arc<str>>,
}

impl Memory {
    /// None.
    #[must_use]
    pub fn none() -> Self {
        Self { store: Arc::new(NoMemory), model: None }
    }
}

/// No memory: nothing is found, and nothing can be written.
pub struct NoMemory;

impl NoMemory {
    fn answer<T: Send + 'static>(tenant: TenantId) -> PortFuture<'static, Result<T, StoreError>> {
        let reason = "this host keeps none: its operator starts it with one".into();
        Box::pin(std::future::ready(Err(StoreError::Io { tenant, reason })))
    }
}

impl MemoryStore for NoMemory {
    fn width(&self) -> usize {
        0
    }

    fn accept(&self, _: TenantId, _: MemoryWrite) {}

    fn room(&self, tenant: TenantId) -> PortFuture<'static, Result<(), StoreError>> {
        Self::answer(tenant)
    }

    fn flush(&self, _: TenantId) -> PortFuture<'static, Result<(), StoreError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn get(
        &self,
        tenant: TenantId,
        _: Scope,
        _: EntryId,
        _: u64,
    ) -> PortFuture<'static, Result<Option<EntryVersion>, StoreError>> {
        Self::answer(tenant)
    }

    fn versions(
        &self,
        tenant: TenantId,
        _: Scope,
        _: EntryId,
    ) -> PortFuture<'static, Result<Vec<EntryVersion>, StoreError>> {
        Self::answer(tenant)
    }

    fn search(
        &self,
        tenant: TenantId,
        _: Scope,
        _: Search,
        _: u64,
    ) -> PortFuture<'static, Result<Vec<MemoryHit>, StoreError>> {
        Self::answer(tenant)
    }

    fn list(
        &self,
        tenant: TenantId,
        _: Scope,
        _: EntryFilter,
        _: Option<EntryId>,
        _: usize,
        _: u64,
    ) -> PortFuture<'static, Result<Vec<EntryVersion>, StoreError>> {
        Self::answer(tenant)
    }

    fn figures(&self, tenant: TenantId) -> PortFuture<'static, Result<MemoryFigures, StoreError>> {
        Self::answer(tenant)
    }

    fn optimize(&self, tenant: TenantId) -> PortFuture<'static, Result<(), StoreError>> {
        Self::answer(tenant)
    }

    fn erase(&self, _: TenantId) -> PortFuture<'static, Result<(), StoreError>> {
        Box::pin(std::future::ready(Ok(())))
    }
}
