//! A store in a folder of its own, and short ways to write and to look.

use bytes::Bytes;
use futures::executor::block_on;
use parking_lot::Mutex;
use remit_abi::{
    EntryFilter, EntryId, GrantKind, Label, Particulars, Probe, Remembered, Scope, Search, TenantId, Weighting,
};
use remit_kernel::ports::{
    Embedder, EntryVersion, JournalError, MemoryAct, MemoryHit, MemoryJournal, MemoryStore, MemoryWrite, PortFuture,
    StoreError,
};
use remit_memory::{LanceMemory, Options};
use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::sync::{Semaphore, watch};

pub(crate) const WIDTH: usize = 16;
pub(crate) const ONE: TenantId = TenantId(1);
pub(crate) const TWO: TenantId = TenantId(2);

/// A journal in which is durable what a test says, and what the store has told it to be applied.
pub(crate) struct Told {
    pub(crate) applied: Mutex<BTreeMap<TenantId, u64>>,
    pub(crate) durable: watch::Sender<Durable>,
}

/// What a journal makes of that which it was told.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durable {
    Yes,
    NotYet,
    Never,
}

impl Default for Told {
    fn default() -> Self {
        Self { applied: Mutex::default(), durable: watch::Sender::new(Durable::Yes) }
    }
}

impl MemoryJournal for Told {
    fn durable(&self) -> PortFuture<'static, Result<(), JournalError>> {
        let mut durable = self.durable.subscribe();
        Box::pin(async move {
            let now = durable.wait_for(|now| *now != Durable::NotYet).await.map(|now| *now);
            match now {
                Ok(Durable::Yes) => Ok(()),
                _ => Err(JournalError::Refused("the disk is full".into())),
            }
        })
    }

    fn applied(&self, tenant: TenantId, number: u64) {
        let mut told = self.applied.lock();
        let before = told.entry(tenant).or_default();
        assert!(*before <= number, "the watermark of tenant {tenant} fell from {before} to {number}");
        *before = number;
    }
}

/// A model that is a hash: equal words make equal vectors.
pub(crate) struct Hashed {
    pub(crate) digest: &'static str,
    pub(crate) broken: AtomicBool,
    /// Whoever has its one permit holds the model up.
    pub(crate) gate: Arc<Semaphore>,
}

impl Hashed {
    pub(crate) fn new(digest: &'static str) -> Arc<Self> {
        Arc::new(Self { digest, broken: AtomicBool::new(false), gate: Arc::new(Semaphore::new(1)) })
    }
}

/// The vector of a text: the sum of one direction for each of its words.
pub(crate) fn hashed(text: &str, width: usize) -> Vec<f32> {
    let mut vector = vec![0.0_f32; width];
    for word in text.split_whitespace() {
        let mut state = word
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |state, byte| (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        for number in &mut vector {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *number += ((state >> 40) as f32) / ((1_u64 << 24) as f32) - 0.5;
        }
    }
    unit(vector)
}

pub(crate) fn unit(vector: Vec<f32>) -> Vec<f32> {
    let length = vector.iter().map(|number| number * number).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
    vector.into_iter().map(|number| number / length).collect()
}

impl Embedder for Hashed {
    fn digest(&self) -> Arc<str> {
        self.digest.into()
    }

    fn width(&self) -> usize {
        WIDTH
    }

    fn embed(&self, texts: Vec<Arc<str>>) -> PortFuture<'static, Result<Vec<Vec<f32>>, StoreError>> {
        let (broken, gate) = (self.broken.load(Ordering::Relaxed), Arc::clone(&self.gate));
        Box::pin(async move {
            let _passes = gate.acquire_owned().await;
            if broken {
                return Err(StoreError::Embedding("the model is away".into()));
            }
            Ok(texts.iter().map(|text| hashed(text, WIDTH)).collect())
        })
    }
}

pub(crate) struct Memory {
    pub(crate) store: LanceMemory,
    pub(crate) told: Arc<Told>,
}

/// The clock stands still, so that nothing expires but where a test says when it is.
pub(crate) fn options() -> Options {
    Options { apply_after: Duration::from_millis(20), clock: || 0, ..Options::default() }
}

/// Applies nothing by itself.
pub(crate) fn lazy() -> Options {
    Options { apply_after: Duration::from_secs(3600), ..options() }
}

impl Memory {
    pub(crate) fn open(folder: &Path) -> Self {
        Self::open_with(folder, None, options())
    }

    pub(crate) fn open_with(folder: &Path, embedder: Option<Arc<dyn Embedder>>, options: Options) -> Self {
        let told = Arc::new(Told::default());
        let journal: Arc<dyn MemoryJournal> = told.clone();
        let store = LanceMemory::open(folder, WIDTH, embedder, journal, options).unwrap();
        Self { store, told }
    }

    pub(crate) fn put(&self, tenant: TenantId, number: u64, version: EntryVersion) {
        self.store.accept(tenant, put(number, version));
    }

    pub(crate) fn forget(&self, tenant: TenantId, number: u64, ids: &[u64], purge: bool) {
        self.store.accept(tenant, forget(number, ids, purge));
    }

    pub(crate) fn flush(&self, tenant: TenantId) {
        block_on(self.store.flush(tenant)).unwrap();
    }

    pub(crate) fn get(&self, tenant: TenantId, id: u64) -> Option<EntryVersion> {
        block_on(self.store.get(tenant, every_store(), EntryId(id), 0)).unwrap()
    }

    pub(crate) fn versions(&self, tenant: TenantId, id: u64) -> Vec<EntryVersion> {
        block_on(self.store.versions(tenant, every_store(), EntryId(id))).unwrap()
    }

    pub(crate) fn list(&self, tenant: TenantId) -> Vec<EntryVersion> {
        self.list_by(tenant, EntryFilter::default())
    }

    pub(crate) fn list_by(&self, tenant: TenantId, filter: EntryFilter) -> Vec<EntryVersion> {
        block_on(self.store.list(tenant, every_store(), filter, None, usize::MAX, 0)).unwrap()
    }

    pub(crate) fn search(&self, tenant: TenantId, probe: Probe, count: u32) -> Vec<MemoryHit> {
        let search = Search { probe, filter: EntryFilter::default(), weighting: Weighting::default(), count };
        block_on(self.store.search(tenant, every_store(), search, 0)).unwrap()
    }

    pub(crate) fn words(&self, tenant: TenantId, words: &str) -> Vec<u64> {
        ids(&self.search(tenant, Probe::Words(words.into()), 10))
    }

    pub(crate) fn nearest(&self, tenant: TenantId, text: &str) -> Vec<u64> {
        ids(&self.search(tenant, Probe::Vector(hashed(text, WIDTH).into()), 3))
    }

    pub(crate) fn told(&self, tenant: TenantId) -> u64 {
        self.told.applied.lock().get(&tenant).copied().unwrap_or_default()
    }

    /// Checks the same while rows are in memory, when they are in the tables, and in a store that was opened anew.
    pub(crate) fn in_every_state(self, folder: &Path, tenant: TenantId, check: impl Fn(&Self)) {
        check(&self);
        self.flush(tenant);
        check(&self);
        block_on(self.store.optimize(tenant)).unwrap();
        check(&self);
        drop(self);
        check(&Self::open(folder));
    }
}

pub(crate) fn every_store() -> Scope {
    Scope::parse(GrantKind::Memory, &["*"]).unwrap()
}

pub(crate) fn ids(hits: &[MemoryHit]) -> Vec<u64> {
    hits.iter().map(|hit| hit.entry.id.0).collect()
}

pub(crate) fn put(number: u64, version: EntryVersion) -> MemoryWrite {
    MemoryWrite { number, act: MemoryAct::Put(Box::new(version)) }
}

pub(crate) fn forget(number: u64, ids: &[u64], purge: bool) -> MemoryWrite {
    let entries = ids.iter().map(|id| EntryId(*id)).collect();
    MemoryWrite { number, act: MemoryAct::Forget { entries, purge } }
}

/// A version with a text, whose vector is the writer's own.
pub(crate) fn text(id: u64, version: u32, text: &str) -> EntryVersion {
    EntryVersion { vector: Some(hashed(text, WIDTH).into()), ..unembedded(id, version, text) }
}

/// The same without a vector.
pub(crate) fn unembedded(id: u64, version: u32, text: &str) -> EntryVersion {
    EntryVersion {
        id: EntryId(id),
        version,
        store: "notes".into(),
        source: None,
        written_ns: 1_000_000_000 * id,
        label: Label::TRUSTED,
        content: Remembered { bytes: Bytes::copy_from_slice(text.as_bytes()), media_type: "text/plain".into() },
        particulars: Particulars { importance: 0.5, ..Particulars::default() },
        vector: None,
    }
}
