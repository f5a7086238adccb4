//! Blocks that leave memory and come back: between the batchers, which say what is worth it, and the port that keeps them.
//!
//! | when | what |
//! | --- | --- |
//! | a block has to go for another | it is kept, where reading it takes less time than computing it |
//! | a process has left memory | so are those of its last prompt; they stay at hand as long as there is room |
//! | the weights leave, or the engine ends | so are all, as far as the port takes them at once |
//! | a sequence waits, and what comes next of its tokens is kept | it waits for that, no longer than computing it would take |
//!
//! The thread copies bytes between blocks and memory and does nothing else for this: files are the port's, on its thread. What was read
//! comes block by block, and is written between two steps.
//!
//! A block's name has the model's digest, which for an adapter is that of both, and how the model lays blocks out: nothing is taken for
//! what another model computed, or another build, processor or device.

use super::{
    compute::Compute,
    sequence::Sequence,
    slots::Slots,
    worker::{Bell, Key, Worker},
};
use crate::LoadError;
use remit_abi::TenantId;
use remit_batching::{Chain, Namespace, Place, Prefix, Restorable};
use remit_kernel::ports::{ReadSnapshot, SnapshotName, Snapshots};
use std::{
    collections::{BTreeMap, HashMap},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Weak, mpsc},
    time::{Duration, Instant},
};

/// In which time a block is read, until that is known: one of SmolLM2's, at 400 MB/s.
pub(super) const RESTORE_TIME: Duration = Duration::from_micros(500);
/// Sequences that wait for snapshots at a time. 8: a disk is busy with these, and what they will hold is bounded.
const AWAITED_MAX: usize = 8;
/// A sequence waits for so long at least, so that a short delay of a disk that is quick else does not count. 50 ms: a reader does not
/// notice.
const WAIT_MIN: Duration = Duration::from_millis(50);
/// Namespaces that are known: some megabytes. What another one computed is kept when it comes again.
const NAMESPACES_MAX: usize = 65_536;
/// Processes whose prompts wait to be kept. 1,024: others' are computed again where they have to go before their turn.
const RESTING_MAX: usize = 1_024;

/// Who computed something, and for whom.
#[derive(Clone, Copy)]
struct Origin {
    tenant: TenantId,
    computer: Chain,
}

impl Origin {
    fn name(&self, prefix: &Prefix) -> SnapshotName {
        SnapshotName(prefix.chain.by(&self.computer).bytes())
    }
}

/// A block that was read.
struct Arrived {
    key: Key,
    /// Of the sequence's blocks.
    index: usize,
    is_last: bool,
    read: ReadSnapshot,
}

/// What the thread knows of snapshots.
pub(super) struct Desk {
    store: Option<Arc<dyn Snapshots>>,
    origins: HashMap<Namespace, Origin>,
    /// Sequences that wait for theirs, and until when.
    awaited: BTreeMap<Key, Instant>,
    /// Tenants and programs that have left memory.
    resting: Vec<(TenantId, u64)>,
    arrived: mpsc::Receiver<Arrived>,
    arriving: mpsc::Sender<Arrived>,
}

impl Desk {
    pub(super) fn new(store: Option<Arc<dyn Snapshots>>) -> Self {
        let (arriving, arrived) = mpsc::channel();
        let (origins, awaited, resting) = (HashMap::new(), BTreeMap::new(), Vec::new());
        Self { store, origins, awaited, resting, arrived, arriving }
    }

    /// A process of a tenant has left memory.
    pub(super) fn rest(&mut self, tenant: TenantId, program: u64) {
        if self.store.is_some() && self.resting.len() < RESTING_MAX {
            self.resting.push((tenant, program));
        }
    }

    /// Keeps a block that is about to be written over, or may be.
    pub(super) fn keep<C: Compute>(
        &self,
        base: usize,
        (place, prefix): (Place, Prefix),
        compute: &mut C,
        slots: &Slots,
    ) {
        let Some((store, origin)) = self.store.as_ref().zip(self.origins.get(&prefix.namespace)) else { return };
        let name = origin.name(&prefix);
        if store.wants(origin.tenant, name) {
            let bytes = match place {
                Place::Here(block) => compute.read(base, block.0),
                Place::Out(slot) => slots.read(slot),
            };
            store.keep(origin.tenant, name, bytes);
        }
    }

    /// Asks for what a sequence is to have back.
    fn ask(&mut self, key: Key, origin: Origin, wanted: &Restorable, bell: &Arc<Bell>) {
        let Some(store) = &self.store else { return };
        let names: Vec<SnapshotName> = wanted.prefixes.iter().map(|prefix| origin.name(prefix)).collect();
        let (count, at_hand) = (names.len(), wanted.at_hand);
        let arriving = self.arriving.clone();
        // Whoever reads for long must not keep the thread's queue open.
        let bell: Weak<Bell> = Arc::downgrade(bell);
        let reader = move |read: ReadSnapshot| {
            let is_last = read.index + 1 == count || read.bytes.is_none();
            let arrived = Arrived { key, index: at_hand + read.index, is_last, read };
            let is_wanted = arriving.send(arrived).is_ok();
            if let Some(bell) = bell.upgrade() {
                bell.ring();
            }
            is_wanted
        };
        self.awaited.insert(key, Instant::now() + wanted.compute.max(WAIT_MIN));
        store.read(origin.tenant, names, Box::new(reader));
    }
}

impl<C: Compute, M: FnMut() -> Result<C, LoadError>> Worker<C, M> {
    /// Does what there is to do between two steps. May panic, where the device does.
    pub(super) fn tend_snapshots(&mut self) {
        if self.desk.store.is_none() {
            return;
        }
        while let Ok(arrived) = self.desk.arrived.try_recv() {
            self.take_snapshot(arrived);
        }
        self.give_up_overdue();
        self.keep_resting();
        self.ask_for_snapshots();
    }

    /// A block that was read enters its place.
    fn take_snapshot(&mut self, Arrived { key, index, is_last, read }: Arrived) {
        let mut goes_on = false;
        if let Some(bytes) = read.bytes {
            self.batchers[key.0].restored(read.took);
            goes_on = self.desk.awaited.contains_key(&key) && self.enter_snapshot(key, index, &bytes);
        }
        if is_last || !goes_on {
            self.stop_waiting(key);
        }
    }

    /// Whether it did.
    fn enter_snapshot(&mut self, (base, id): Key, index: usize, bytes: &[u8]) -> bool {
        let now = self.begin.elapsed();
        if self.compute.as_ref().is_none_or(|compute| compute.block_bytes(base) != bytes.len()) {
            return false;
        }
        let Some((moves, block)) = self.batchers[base].restore(id, index, now) else { return false };
        self.make_moves(base, &moves);
        if let Some(compute) = &mut self.compute {
            compute.write(base, block.0, bytes);
        }
        true
    }

    /// A sequence waits no more for its snapshots, and goes on with those that it has.
    fn stop_waiting(&mut self, key: Key) {
        if self.desk.awaited.remove(&key).is_none() {
            return;
        }
        let Some(sequence) = self.sequences.get(&key) else { return };
        // Those wait for something else besides.
        if !sequence.is_stalled() && (sequence.is_begun() || !self.is_holding) {
            self.batchers[key.0].resume(key.1, self.begin.elapsed());
        }
    }

    fn give_up_overdue(&mut self) {
        let now = Instant::now();
        let is_over =
            |(key, until): (&Key, &Instant)| (*until <= now || !self.sequences.contains_key(key)).then_some(*key);
        let over: Vec<Key> = self.desk.awaited.iter().filter_map(is_over).collect();
        over.into_iter().for_each(|key| self.stop_waiting(key));
    }

    fn keep_resting(&mut self) {
        let Some(compute) = &mut self.compute else { return };
        for (tenant, program) in std::mem::take(&mut self.desk.resting) {
            for (base, (batcher, slots)) in self.batchers.iter().zip(&self.slots).enumerate() {
                let blocks = batcher.resting(u64::from(tenant.0), program);
                blocks.into_iter().for_each(|block| self.desk.keep(base, block, compute, slots));
            }
        }
    }

    /// Looks once for each sequence whether it is to have anything back.
    fn ask_for_snapshots(&mut self) {
        let Some((compute, store)) = self.compute.as_ref().zip(self.desk.store.clone()) else { return };
        let now = self.begin.elapsed();
        for (key, sequence) in &mut self.sequences {
            if self.desk.awaited.len() >= AWAITED_MAX {
                return;
            }
            if sequence.is_stalled() || (self.is_holding && !sequence.is_begun()) || !sequence.looks_for_snapshots() {
                continue;
            }
            let (base, id) = *key;
            if self.desk.origins.len() >= NAMESPACES_MAX {
                self.desk.origins.clear();
            }
            let origin = *self.desk.origins.entry(sequence.namespace()).or_insert_with(|| Origin {
                tenant: sequence.tenant(),
                computer: sequence.computer(&compute.layout(base)),
            });
            let is_kept = |prefix: &Prefix| store.holds(origin.tenant, origin.name(prefix));
            if let Some(wanted) = self.batchers[base].restorable(id, is_kept) {
                self.batchers[base].pause(id, now);
                self.desk.ask(*key, origin, &wanted, &self.bell);
            }
        }
    }

    /// Keeps what is at hand, since all of it is about to go. A device that is broken keeps nothing.
    pub(super) fn keep_leaving(&mut self) {
        let Some(compute) = self.compute.as_mut().filter(|_| self.desk.store.is_some()) else { return };
        let (batchers, slots, desk) = (&self.batchers, &self.slots, &self.desk);
        let keep = || {
            for (base, (batcher, slots)) in batchers.iter().zip(slots).enumerate() {
                batcher.leaving().into_iter().for_each(|block| desk.keep(base, block, compute, slots));
            }
        };
        if catch_unwind(AssertUnwindSafe(keep)).is_err() {
            tracing::warn!(models = %self.shared.names, "keys and values could not be read from the device; they are computed again");
        }
    }

    /// All blocks are gone, and may be laid out otherwise when they come back.
    pub(super) fn forget_snapshots(&mut self) {
        for key in self.desk.awaited.keys().copied().collect::<Vec<_>>() {
            self.stop_waiting(key);
        }
        self.desk.origins.clear();
        self.sequences.values_mut().for_each(Sequence::look_again);
    }
}
