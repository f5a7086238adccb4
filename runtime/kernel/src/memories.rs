//! Writing to memories: in one order for each tenant, in the journal before the store has it.
//!
//! A store takes it that the writes of a tenant come in the order of their numbers, since its watermark is one number. So a number is drawn,
//! the write is appended to the journal, and the store is told, all under one lock. The lock is held for as long as that takes: some
//! microseconds, and no wait. The store puts nothing on its disk before the journal has it on its own.
//!
//! Whoever writes a version in the place of another holds the entry from before it looks which one is the newest until the store has the new
//! one: of two who expect the same version one is told that there is another.

use crate::{
    due::Due,
    kernel::{Kernel, Shared},
    ports::{Change, JournalError, MemoryAct, MemoryJournal, MemoryWrite, NodeImage, PortFuture, Position},
};
use parking_lot::{Mutex, MutexGuard};
use remit_abi::{EntryId, TenantId};
use std::{
    collections::BTreeSet,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::sync::OwnedMutexGuard;

/// Locks that entries share: more than processors that write at a time.
const LOCKS: usize = 256;

/// What the kernel knows of memories.
#[derive(Debug)]
pub(crate) struct Memories {
    /// The number of the next write.
    next_write: Mutex<u64>,
    next_entry: AtomicU64,
    entries: Vec<Arc<tokio::sync::Mutex<()>>>,
}

/// An entry, or several, that nobody else writes meanwhile.
pub(crate) type HeldEntries = Vec<OwnedMutexGuard<()>>;

impl Default for Memories {
    /// People begin to count at 1.
    fn default() -> Self {
        Self {
            next_write: Mutex::new(1),
            next_entry: AtomicU64::new(1),
            entries: (0..LOCKS).map(|_| Arc::default()).collect(),
        }
    }
}

impl Memories {
    /// The id of a new entry.
    pub(crate) fn next_entry(&self) -> EntryId {
        EntryId(self.next_entry.fetch_add(1, Ordering::Relaxed))
    }

    /// Gives out nothing below these.
    pub(crate) fn skip_to(&self, write: u64, entry: u64) {
        let mut next = self.next_write.lock();
        *next = (*next).max(write);
        self.next_entry.fetch_max(entry, Ordering::Relaxed);
    }

    /// Waits until nobody else writes any of these entries.
    pub(crate) async fn hold(&self, tenant: TenantId, entries: &[EntryId]) -> HeldEntries {
        let place = |entry: &EntryId| (entry.0 ^ u64::from(tenant.0) << 32) as usize % LOCKS;
        // Everybody takes them in the same order.
        let places: BTreeSet<usize> = entries.iter().map(place).collect();
        let mut held = Vec::with_capacity(places.len());
        for place in places {
            held.push(self.entries[place].clone().lock_owned().await);
        }
        held
    }
}

/// Writes on their way to the journal and to the store, in their order.
pub(crate) struct InOrder<'a> {
    next_write: MutexGuard<'a, u64>,
    writes: Vec<MemoryWrite>,
    tenant: TenantId,
}

impl Shared {
    /// Numbers what a process is about to remember, and says it to the journal; `None` where it remembers nothing.
    pub(crate) fn number_writes(&self, tenant: TenantId, due: &mut Due) -> Option<InOrder<'_>> {
        if due.remembers.is_empty() {
            return None;
        }
        let mut next_write = self.memories.next_write.lock();
        let mut number = |act: MemoryAct| {
            let write = MemoryWrite { number: *next_write, act };
            *next_write += 1;
            write
        };
        let writes: Vec<_> = std::mem::take(&mut due.remembers).into_iter().map(&mut number).collect();
        for write in &writes {
            due.change(|| Change::Remembered { tenant, write: Box::new(write.clone()) });
        }
        Some(InOrder { next_write, writes, tenant })
    }

    /// Hands writes to the store that are in the journal.
    pub(crate) fn remember(
        &self,
        in_order: InOrder<'_>,
        written: Result<Position, JournalError>,
    ) -> Result<Position, JournalError> {
        let InOrder { next_write, writes, tenant } = in_order;
        if written.is_ok() {
            writes.into_iter().for_each(|write| self.ports.memory.store.accept(tenant, write));
        }
        drop(next_write);
        written
    }

    /// Writes of nobody's own act: an operator's.
    pub(crate) fn write_memory(&self, tenant: TenantId, acts: Vec<MemoryAct>) -> Result<Position, JournalError> {
        let mut due = Due { keeps_changes: self.ports.journal.keeps(), remembers: acts, ..Due::default() };
        let Some(in_order) = self.number_writes(tenant, &mut due) else { return Ok(Position::default()) };
        let written = self.append(None, None, &mut due);
        self.remember(in_order, written)
    }

    /// What the journal has and the store may not have yet.
    pub(crate) fn restore_memory(&self, node: &mut NodeImage) {
        self.memories.skip_to(node.next.memory_write, node.next.memory_entry);
        for (tenant, write) in std::mem::take(&mut node.memory) {
            self.ports.memory.store.accept(tenant, write);
        }
    }
}

/// The node's journal, as the store sees it.
struct JournalOfNode(Weak<Shared>);

impl MemoryJournal for JournalOfNode {
    fn durable(&self) -> PortFuture<'static, Result<(), JournalError>> {
        let shared = self.0.upgrade();
        Box::pin(async move {
            match shared {
                Some(shared) => shared.durable().await,
                None => Err(JournalError::Refused("the node has ended".into())),
            }
        })
    }

    fn applied(&self, tenant: TenantId, number: u64) {
        if let Some(shared) = self.0.upgrade() {
            shared.change(None, [Change::RememberedUpTo { tenant, number }]);
        }
    }
}

impl Kernel {
    /// The journal, as the store is to see it.
    #[must_use]
    pub fn memory_journal(&self) -> Arc<dyn MemoryJournal> {
        Arc::new(JournalOfNode(Arc::downgrade(&self.shared)))
    }
}
