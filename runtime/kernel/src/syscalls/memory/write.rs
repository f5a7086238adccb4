//! Writing: new entries, new versions, forgetting.

use super::unavailable;
use crate::{
    control::ControlBlock,
    kernel::Shared,
    memories::HeldEntries,
    ports::{EntryVersion, MemoryAct},
    process::{LabelledText, Process},
};
use remit_abi::{
    EntryFilter, EntryId, Forgetting, Label, MemoryError, MemoryReply, Particulars, Remembered, Rewriting, Scope,
    TenantId, Writing, limits,
};
use std::sync::Arc;

/// Entries that are listed at once, when those are looked for that a filter means.
const LISTED: usize = 256;

pub(super) enum Write {
    Put(Draft),
    Update { entry: EntryId, expected: Option<u32>, draft: Draft },
    Restore { entry: EntryId, version: u32 },
    Forget(Forgetting),
}

/// What a version is to be.
pub(super) struct Draft {
    content: Remembered,
    label: Label,
    particulars: Particulars,
    vector: Option<Arc<[f32]>>,
}

impl Draft {
    fn of(process: &Process, writing: &Writing) -> Result<Self, MemoryError> {
        let LabelledText { bytes, media_type, label } = process.resolve(&writing.content).ok_or(MemoryError::Dead)?;
        let mut particulars = writing.particulars.clone();
        particulars.tags.sort_unstable();
        particulars.tags.dedup();
        particulars.metadata.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Self {
            content: Remembered { bytes, media_type },
            label: label.join(process.label),
            particulars,
            vector: writing.vector.as_deref().map(of_length_one),
        })
    }

    fn into_version(self, place: Place) -> EntryVersion {
        let Place { id, version, store, block, written_ns } = place;
        let Self { content, label, particulars, vector } = self;
        EntryVersion { id, version, store, source: Some(block.pid), written_ns, label, content, particulars, vector }
    }
}

/// Where a version stands, and who writes it when.
struct Place<'a> {
    id: EntryId,
    version: u32,
    store: Box<str>,
    block: &'a ControlBlock,
    written_ns: u64,
}

fn of_length_one(vector: &[f32]) -> Arc<[f32]> {
    let length = vector.iter().map(|number| f64::from(*number).powi(2)).sum::<f64>().sqrt();
    vector.iter().map(|number| (f64::from(*number) / length) as f32).collect()
}

impl Write {
    pub(super) fn put(process: &Process, writing: &Writing) -> Result<Self, MemoryError> {
        Draft::of(process, writing).map(Self::Put)
    }

    pub(super) fn update(process: &Process, rewriting: &Rewriting) -> Result<Self, MemoryError> {
        let draft = Draft::of(process, &rewriting.writing)?;
        Ok(Self::Update { entry: rewriting.entry, expected: rewriting.expected, draft })
    }

    /// Whether something new is written, which is what is paid for.
    pub(super) fn writes(&self) -> bool {
        !matches!(self, Self::Forget(_))
    }

    /// What becomes a vector later: it is paid for now.
    pub(super) fn to_embed(&self) -> Option<&str> {
        match self {
            Self::Put(draft) | Self::Update { draft, .. } if draft.vector.is_none() => draft.content.text(),
            Self::Put(_) | Self::Update { .. } | Self::Restore { .. } | Self::Forget(_) => None,
        }
    }

    pub(super) async fn act(
        self,
        shared: &Arc<Shared>,
        block: &ControlBlock,
        stores: Scope,
        label: Label,
    ) -> Result<MemoryReply, MemoryError> {
        let (store, tenant) = (&shared.ports.memory.store, block.pid.tenant);
        if let Self::Put(Draft { vector: Some(vector), .. })
        | Self::Update { draft: Draft { vector: Some(vector), .. }, .. } = &self
            && vector.len() != store.width()
        {
            let error = crate::ports::StoreError::Width { found: vector.len(), expected: store.width() };
            return Err(unavailable(&error));
        }
        store.room(tenant).await.map_err(|error| unavailable(&error))?;
        match self {
            Self::Put(draft) => {
                let name = stores.entries().first().cloned().ok_or(MemoryError::Dead)?;
                let id = shared.memories.next_entry();
                let place = Place { id, version: 1, store: name, block, written_ns: shared.ports.clock.wall_ns() };
                remember(block, MemoryAct::Put(Box::new(draft.into_version(place))), Vec::new());
                Ok(MemoryReply::Put(id))
            }
            Self::Update { entry, expected, draft } => update(shared, block, stores, entry, expected, draft).await,
            Self::Restore { entry, version } => restore(shared, block, stores, label, (entry, version)).await,
            Self::Forget(forgetting) => forget(shared, block, stores, forgetting).await,
        }
    }
}

/// It goes to the journal and to the store with the reply; until then nobody else writes the entries that are held.
fn remember(block: &ControlBlock, act: MemoryAct, held: HeldEntries) {
    let process = &mut *block.process.lock();
    process.due.remembers.push(act);
    process.due.held_entries.extend(held);
}

async fn update(
    shared: &Arc<Shared>,
    block: &ControlBlock,
    stores: Scope,
    entry: EntryId,
    expected: Option<u32>,
    draft: Draft,
) -> Result<MemoryReply, MemoryError> {
    let (tenant, written_ns) = (block.pid.tenant, shared.ports.clock.wall_ns());
    let held = shared.memories.hold(tenant, &[entry]).await;
    let newest = shared.ports.memory.store.get(tenant, stores, entry, written_ns).await;
    let newest = newest.map_err(|error| unavailable(&error))?.ok_or(MemoryError::NoSuchEntry(entry))?;
    if expected.is_some_and(|expected| expected != newest.version) {
        return Err(MemoryError::Conflict { newest: newest.version });
    }
    let version = newest.version.saturating_add(1);
    let place = Place { id: entry, version, store: newest.store, block, written_ns };
    remember(block, MemoryAct::Put(Box::new(draft.into_version(place))), held);
    Ok(MemoryReply::Updated(version))
}

/// The older version's label stays: it is the same content.
async fn restore(
    shared: &Arc<Shared>,
    block: &ControlBlock,
    stores: Scope,
    label: Label,
    (entry, wanted): (EntryId, u32),
) -> Result<MemoryReply, MemoryError> {
    let tenant = block.pid.tenant;
    let held = shared.memories.hold(tenant, &[entry]).await;
    let versions = shared.ports.memory.store.versions(tenant, stores, entry).await;
    let versions = versions.map_err(|error| unavailable(&error))?;
    let restored = EntryVersion::restored(versions, entry, wanted)?.written_at(shared.ports.clock.wall_ns());
    let version = restored.version;
    let restored = EntryVersion { source: Some(block.pid), label: restored.label.join(label), ..restored };
    remember(block, MemoryAct::Put(Box::new(restored)), held);
    Ok(MemoryReply::Updated(version))
}

async fn forget(
    shared: &Arc<Shared>,
    block: &ControlBlock,
    stores: Scope,
    forgetting: Forgetting,
) -> Result<MemoryReply, MemoryError> {
    let tenant = block.pid.tenant;
    let Forgetting { entries: named, filter, purge, .. } = forgetting;
    let entries = match named {
        Some(named) => named,
        None => listed(shared, tenant, &stores, &filter).await?,
    };
    let held = shared.memories.hold(tenant, &entries).await;
    // Those that are in other stores are nothing of its.
    let entries = known(shared, tenant, &stores, entries, purge).await?;
    let count = entries.len() as u64;
    if count > 0 {
        remember(block, MemoryAct::Forget { entries, purge }, held);
    }
    Ok(MemoryReply::Forgotten(count))
}

/// All that a filter means; as many as are forgotten at once.
async fn listed(
    shared: &Arc<Shared>,
    tenant: TenantId,
    stores: &Scope,
    filter: &EntryFilter,
) -> Result<Vec<EntryId>, MemoryError> {
    let now_ns = shared.ports.clock.wall_ns();
    let mut entries: Vec<EntryId> = Vec::new();
    while entries.len() < limits::MEMORY_FORGET_MAX {
        let (after, count) = (entries.last().copied(), LISTED.min(limits::MEMORY_FORGET_MAX - entries.len()));
        let listed = shared.ports.memory.store.list(tenant, stores.clone(), filter.clone(), after, count, now_ns).await;
        let listed = listed.map_err(|error| unavailable(&error))?;
        let is_last = listed.len() < count;
        entries.extend(listed.iter().map(|version| version.id));
        if is_last {
            break;
        }
    }
    Ok(entries)
}

/// Those of some entries that are in the stores; where their versions are to be destroyed also such as are forgotten already.
async fn known(
    shared: &Arc<Shared>,
    tenant: TenantId,
    stores: &Scope,
    entries: Vec<EntryId>,
    purge: bool,
) -> Result<Vec<EntryId>, MemoryError> {
    let (store, now_ns) = (&shared.ports.memory.store, shared.ports.clock.wall_ns());
    let mut known = Vec::with_capacity(entries.len());
    for entry in entries {
        let is_known = match purge {
            true => store.versions(tenant, stores.clone(), entry).await.map(|versions| !versions.is_empty()),
            false => store.get(tenant, stores.clone(), entry, now_ns).await.map(|found| found.is_some()),
        };
        if is_known.map_err(|error| unavailable(&error))? && !known.contains(&entry) {
            known.push(entry);
        }
    }
    Ok(known)
}
