//! What an operator does with a tenant's memory: the same writes that processes do, by nobody's grant and at nobody's cost.

use crate::{
    kernel::{Kernel, Shared},
    ports::{EntryVersion, JournalError, Memory, MemoryAct, MemoryHit, StoreError},
    syscalls::{check_filter, check_particulars, check_search, vector_of},
};
use remit_abi::{
    EntryFilter, EntryId, GrantKind, Label, MemoryError, Particulars, Probe, Remembered, Scope, Search, TenantId,
    Weighting, limits,
};
use std::collections::BTreeSet;

/// What an operator writes.
#[derive(Clone, Debug, PartialEq)]
pub struct Remembering {
    /// Whose memory.
    pub tenant: TenantId,
    /// In which store: a [name](remit_abi::is_name).
    pub store: Box<str>,
    /// Of which label it is.
    pub label: Label,
    /// What it is.
    pub content: Remembered,
    /// What is written about it.
    pub particulars: Particulars,
}

/// What of an entry a text is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LookingBy {
    /// Its words.
    Words,
    /// What it means.
    Meaning,
    /// Both, their ranks added up; its words alone where the node has no model that embeds.
    Both,
}

/// What an operator looks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Looking {
    /// In whose memory.
    pub tenant: TenantId,
    /// In which stores.
    pub stores: Scope,
    /// With what entries are compared.
    pub text: Box<str>,
    /// How.
    pub by: LookingBy,
    /// Which may be found.
    pub filter: EntryFilter,
    /// How they are ordered.
    pub weighting: Weighting,
    /// How many at most.
    pub count: u32,
}

fn of_store(error: &StoreError) -> MemoryError {
    MemoryError::Unavailable(error.to_string().into())
}

fn of_journal(error: &JournalError) -> MemoryError {
    MemoryError::Unavailable(error.to_string().into())
}

/// Every store.
fn everywhere() -> Result<Scope, MemoryError> {
    Scope::parse(GrantKind::Memory, &["*"]).map_err(|error| MemoryError::Invalid(error.to_string().into()))
}

impl Shared {
    /// Says acts of an operator's to the journal and to the store.
    async fn remember_for(&self, tenant: TenantId, act: MemoryAct) -> Result<(), MemoryError> {
        self.ports.memory.store.room(tenant).await.map_err(|error| of_store(&error))?;
        self.write_memory(tenant, vec![act]).map(drop).map_err(|error| of_journal(&error))
    }
}

impl Kernel {
    /// What the node remembers with, to be looked at.
    #[must_use]
    pub fn memory(&self) -> &Memory {
        &self.shared.ports.memory
    }

    /// Writes a new entry. It is found by whoever looks after this, and on the disk with the next [`Kernel::durable`].
    ///
    /// # Errors
    /// [`MemoryError::Invalid`], [`MemoryError::TooLarge`], [`MemoryError::Unavailable`].
    pub async fn remember(&self, remembering: Remembering) -> Result<EntryId, MemoryError> {
        let Remembering { tenant, store, label, content, mut particulars } = remembering;
        if !remit_abi::is_name(&store) {
            let why = format!("{store:?} is no store: its name has 1 to 256 ASCII letters, digits and -._/:@");
            return Err(MemoryError::Invalid(why.into()));
        }
        if content.bytes.is_empty() {
            return Err(MemoryError::Invalid("there is nothing to remember".into()));
        }
        if content.bytes.len() > limits::MEMORY_BYTES_MAX {
            return Err(MemoryError::TooLarge { limit: limits::MEMORY_BYTES_MAX as u64 });
        }
        check_particulars(&particulars)?;
        particulars.tags.sort_unstable();
        particulars.tags.dedup();
        particulars.metadata.sort_by(|a, b| a.name.cmp(&b.name));
        let shared = &self.shared;
        let (id, written_ns) = (shared.memories.next_entry(), shared.ports.clock.wall_ns());
        let version =
            EntryVersion { id, version: 1, store, source: None, written_ns, label, content, particulars, vector: None };
        shared.remember_for(tenant, MemoryAct::Put(Box::new(version))).await?;
        Ok(id)
    }

    /// Looks for the likest entries in all stores of a scope.
    ///
    /// # Errors
    /// [`MemoryError::Invalid`], [`MemoryError::Unavailable`].
    pub async fn search_memory(&self, looking: Looking) -> Result<Vec<MemoryHit>, MemoryError> {
        let Looking { tenant, stores, text, by, filter, weighting, count } = looking;
        check_search(&text, &filter, weighting, count)?;
        let shared = &self.shared;
        let by_words = by == LookingBy::Both && shared.ports.memory.model.is_none();
        let probe = match by {
            LookingBy::Words => Probe::Words(text),
            LookingBy::Both if by_words => Probe::Words(text),
            LookingBy::Meaning => Probe::Vector(vector_of(shared, &text).await?),
            LookingBy::Both => Probe::Both { vector: vector_of(shared, &text).await?, words: text },
        };
        let (search, now_ns) = (Search { probe, filter, weighting, count }, shared.ports.clock.wall_ns());
        let found = shared.ports.memory.store.search(tenant, stores, search, now_ns).await;
        found.map_err(|error| of_store(&error))
    }

    /// The entries of some stores that a filter means, in the order of their ids, after this one; so many at most.
    ///
    /// # Errors
    /// [`MemoryError::Invalid`], [`MemoryError::Unavailable`].
    pub async fn list_memory(
        &self,
        tenant: TenantId,
        stores: Scope,
        filter: EntryFilter,
        after: Option<EntryId>,
        count: usize,
    ) -> Result<Vec<EntryVersion>, MemoryError> {
        check_filter(&filter)?;
        let ports = &self.shared.ports;
        let listed = ports.memory.store.list(tenant, stores, filter, after, count, ports.clock.wall_ns()).await;
        listed.map_err(|error| of_store(&error))
    }

    /// Forgets entries, and destroys all their versions where it is a purge; how many there were.
    ///
    /// # Errors
    /// [`MemoryError::Unavailable`].
    pub async fn forget_entries(&self, tenant: TenantId, entries: &[EntryId], purge: bool) -> Result<u64, MemoryError> {
        let (shared, stores) = (&self.shared, everywhere()?);
        let held = shared.memories.hold(tenant, entries).await;
        let mut known = Vec::new();
        for entry in entries.iter().collect::<BTreeSet<_>>() {
            let versions = shared.ports.memory.store.versions(tenant, stores.clone(), *entry).await;
            if !versions.map_err(|error| of_store(&error))?.is_empty() {
                known.push(*entry);
            }
        }
        let count = known.len() as u64;
        if count > 0 {
            shared.remember_for(tenant, MemoryAct::Forget { entries: known, purge }).await?;
        }
        drop(held);
        Ok(count)
    }

    /// Makes a new version that is as an older one was; its number.
    ///
    /// # Errors
    /// [`MemoryError::NoSuchEntry`], [`MemoryError::NoSuchVersion`], [`MemoryError::Unavailable`].
    pub async fn restore_entry(&self, tenant: TenantId, entry: EntryId, wanted: u32) -> Result<u32, MemoryError> {
        let shared = &self.shared;
        let held = shared.memories.hold(tenant, &[entry]).await;
        let versions = shared.ports.memory.store.versions(tenant, everywhere()?, entry).await;
        let restored = EntryVersion::restored(versions.map_err(|error| of_store(&error))?, entry, wanted)?;
        let written_ns = shared.ports.clock.wall_ns();
        let restored = EntryVersion { source: None, ..restored.written_at(written_ns) };
        let version = restored.version;
        shared.remember_for(tenant, MemoryAct::Put(Box::new(restored))).await?;
        drop(held);
        Ok(version)
    }
}

impl EntryVersion {
    /// What an older one of all versions of an entry, the oldest first, becomes when it is restored.
    pub(crate) fn restored(versions: Vec<Self>, entry: EntryId, wanted: u32) -> Result<Self, MemoryError> {
        let newest = versions.last().ok_or(MemoryError::NoSuchEntry(entry))?.version;
        let older = versions.into_iter().find(|version| version.version == wanted);
        let older = older.ok_or(MemoryError::NoSuchVersion { version: wanted })?;
        Ok(Self { version: newest.saturating_add(1), ..older })
    }

    /// The same, written now: what has expired would be gone at once.
    pub(crate) fn written_at(mut self, written_ns: u64) -> Self {
        self.written_ns = written_ns;
        self.particulars.expires_ns = self.particulars.expires_ns.filter(|expires_ns| *expires_ns > written_ns);
        self
    }
}
