//! A memory that is a map: everything is compared with everything, and what is on its disk is what a test says.

use parking_lot::Mutex;
use remit_abi::{Comparison, Condition, EntryFilter, EntryId, Label, Probe, Scalar, Scope, Search, TenantId};
use remit_kernel::ports::{
    EntryVersion, MemoryAct, MemoryFigures, MemoryHit, MemoryStore, MemoryWrite, PortFuture, StoreError,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    future::ready,
    sync::atomic::{AtomicBool, Ordering},
};

pub(crate) const WIDTH: usize = 3;

#[derive(Default)]
struct Tenant {
    versions: BTreeMap<EntryId, Vec<EntryVersion>>,
    forgotten: BTreeSet<EntryId>,
    writes: Vec<MemoryWrite>,
}

#[derive(Default)]
pub(crate) struct PlainMemory {
    tenants: Mutex<BTreeMap<TenantId, Tenant>>,
    /// Whether it says that its disk is broken.
    pub(crate) fails: AtomicBool,
}

impl Tenant {
    fn living(&self, stores: &Scope, now_ns: u64) -> Vec<EntryVersion> {
        let newest = self.versions.iter().filter(|(id, _)| !self.forgotten.contains(id));
        let newest = newest.filter_map(|(_, versions)| versions.last());
        let found = newest.filter(|version| {
            stores.contains(&version.store)
                && version.particulars.expires_ns.is_none_or(|expires_ns| expires_ns > now_ns)
        });
        found.cloned().collect()
    }
}

/// The conditions that the tests of the kernel use.
fn holds(condition: &Condition, version: &EntryVersion) -> bool {
    match condition {
        Condition::Tagged(tag) => version.particulars.tags.contains(tag),
        Condition::Untagged(tag) => !version.particulars.tags.contains(tag),
        Condition::WrittenBy(pid) => version.source == Some(*pid),
        Condition::FlowsTo(label) => version.label.flows_to(*label),
        Condition::Field { name, comparison, value } => {
            let found = version.particulars.metadata.iter().find(|field| field.name == *name).map(|field| &field.value);
            match (comparison, found, value) {
                (Comparison::Equal, found, value) => found == Some(value),
                (Comparison::Different, found, value) => found != Some(value),
                (Comparison::Less, Some(Scalar::Integer(found)), Scalar::Integer(value)) => found < value,
                other => panic!("no test of the kernel asks for {other:?}"),
            }
        }
        other => panic!("no test of the kernel asks for {other:?}"),
    }
}

fn meant(EntryFilter(clauses): &EntryFilter, version: &EntryVersion) -> bool {
    clauses.iter().all(|clause| clause.iter().any(|condition| holds(condition, version)))
}

impl PlainMemory {
    /// The writes of a tenant that it was given, in their order.
    pub(crate) fn writes(&self, tenant: TenantId) -> Vec<MemoryWrite> {
        self.tenants.lock().get(&tenant).map(|tenant| tenant.writes.clone()).unwrap_or_default()
    }

    /// The newest versions of all living entries, with their labels.
    pub(crate) fn living(&self, tenant: TenantId) -> Vec<(EntryId, u32, String, Label)> {
        let tenants = self.tenants.lock();
        let Some(tenant) = tenants.get(&tenant) else { return Vec::new() };
        let newest = tenant.versions.iter().filter(|(id, _)| !tenant.forgotten.contains(id));
        let text = |version: &EntryVersion| String::from_utf8_lossy(&version.content.bytes).into_owned();
        newest
            .filter_map(|(id, versions)| versions.last().map(|last| (*id, last.version, text(last), last.label)))
            .collect()
    }

    fn answer<T: Send + 'static>(
        &self,
        tenant: TenantId,
        find: impl FnOnce(&mut Tenant) -> T,
    ) -> PortFuture<'static, Result<T, StoreError>> {
        let answer = match self.fails.load(Ordering::SeqCst) {
            true => Err(StoreError::Io { tenant, reason: "the disk is full".into() }),
            false => Ok(find(self.tenants.lock().entry(tenant).or_default())),
        };
        Box::pin(ready(answer))
    }
}

impl MemoryStore for PlainMemory {
    fn width(&self) -> usize {
        WIDTH
    }

    fn accept(&self, tenant: TenantId, write: MemoryWrite) {
        let mut tenants = self.tenants.lock();
        let memory = tenants.entry(tenant).or_default();
        let last = memory.writes.last().map_or(0, |write| write.number);
        assert!(write.number > last, "write {} came after {last}", write.number);
        match write.act.clone() {
            MemoryAct::Put(version) => {
                memory.forgotten.remove(&version.id);
                memory.versions.entry(version.id).or_default().push(*version);
            }
            MemoryAct::Forget { entries, purge } => {
                memory.forgotten.extend(entries.iter().copied());
                if purge {
                    entries.iter().for_each(|id| drop(memory.versions.remove(id)));
                }
            }
        }
        memory.writes.push(write);
    }

    fn room(&self, tenant: TenantId) -> PortFuture<'static, Result<(), StoreError>> {
        self.answer(tenant, |_| ())
    }

    fn flush(&self, tenant: TenantId) -> PortFuture<'static, Result<(), StoreError>> {
        self.answer(tenant, |_| ())
    }

    fn get(
        &self,
        tenant: TenantId,
        stores: Scope,
        id: EntryId,
        now_ns: u64,
    ) -> PortFuture<'static, Result<Option<EntryVersion>, StoreError>> {
        self.answer(tenant, |tenant| tenant.living(&stores, now_ns).into_iter().find(|version| version.id == id))
    }

    fn versions(
        &self,
        tenant: TenantId,
        stores: Scope,
        id: EntryId,
    ) -> PortFuture<'static, Result<Vec<EntryVersion>, StoreError>> {
        self.answer(tenant, |tenant| {
            let versions = tenant.versions.get(&id).cloned().unwrap_or_default();
            versions.into_iter().filter(|version| stores.contains(&version.store)).collect()
        })
    }

    fn search(
        &self,
        tenant: TenantId,
        stores: Scope,
        search: Search,
        now_ns: u64,
    ) -> PortFuture<'static, Result<Vec<MemoryHit>, StoreError>> {
        self.answer(tenant, |tenant| {
            let mut hits = Vec::new();
            for entry in tenant.living(&stores, now_ns).into_iter().filter(|entry| meant(&search.filter, entry)) {
                let text = String::from_utf8_lossy(&entry.content.bytes).into_owned();
                let words = |words: &str| words.split(' ').filter(|word| text.contains(word)).count() as f32;
                let near = |vector: &[f32]| {
                    entry.vector.as_ref().map(|own| own.iter().zip(vector).map(|(a, b)| a * b).sum::<f32>())
                };
                let (relevance, similarity) = match &search.probe {
                    Probe::Words(text) => (Some(words(text)).filter(|count| *count > 0.0), None),
                    Probe::Vector(vector) => (None, near(vector)),
                    Probe::Both { words: text, vector } => {
                        (Some(words(text)).filter(|count| *count > 0.0), near(vector))
                    }
                };
                let score = relevance.unwrap_or(0.0) + similarity.unwrap_or(0.0);
                if relevance.or(similarity).is_some() {
                    hits.push(MemoryHit { entry, score, similarity, relevance });
                }
            }
            hits.sort_by(|a, b| b.score.total_cmp(&a.score));
            hits.truncate(search.count as usize);
            hits
        })
    }

    fn list(
        &self,
        tenant: TenantId,
        stores: Scope,
        filter: EntryFilter,
        after: Option<EntryId>,
        count: usize,
        now_ns: u64,
    ) -> PortFuture<'static, Result<Vec<EntryVersion>, StoreError>> {
        self.answer(tenant, |tenant| {
            let living = tenant.living(&stores, now_ns).into_iter();
            living.filter(|entry| Some(entry.id) > after && meant(&filter, entry)).take(count).collect()
        })
    }

    fn figures(&self, tenant: TenantId) -> PortFuture<'static, Result<MemoryFigures, StoreError>> {
        self.answer(tenant, |_| MemoryFigures::default())
    }

    fn optimize(&self, tenant: TenantId) -> PortFuture<'static, Result<(), StoreError>> {
        self.answer(tenant, |_| ())
    }

    fn erase(&self, tenant: TenantId) -> PortFuture<'static, Result<(), StoreError>> {
        self.tenants.lock().remove(&tenant);
        Box::pin(ready(Ok(())))
    }
}
