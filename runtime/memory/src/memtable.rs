//! What a tenant has written and its tables have not: in the order of the writes, and by entry.
//!
//! Whoever looks for something sees these first. They leave when they are in the tables, by the same lock under which the tables' new
//! state becomes visible, so that no look sees a write twice or not at all.

use crate::{
    apply::{BATCH_BYTES_MAX, BATCH_ROWS_MAX},
    rows::Row,
};
use remit_abi::EntryId;
use remit_kernel::ports::{MemoryAct, MemoryWrite};
use rustc_hash::FxHashSet;
use std::{collections::BTreeMap, sync::Arc, time::Instant};

/// Pending rows of one tenant above which whoever writes waits: a search compares each of them.
pub(crate) const PENDING_ROWS_MAX: usize = 50_000;

/// Pending bytes of one tenant above which whoever writes waits: a hundred tenants at once still fit into a machine.
pub(crate) const PENDING_BYTES_MAX: usize = 64 << 20;

/// A write that is not in the tables.
#[derive(Clone, Debug)]
pub(crate) enum Pending {
    Put(Arc<Row>),
    Forget { entries: Arc<[EntryId]>, purge: bool },
}

/// All such writes of one tenant.
#[derive(Debug, Default)]
pub(crate) struct Memtable {
    writes: BTreeMap<u64, Pending>,
    /// The numbers of the writes of each entry, ascending.
    of: BTreeMap<EntryId, Vec<u64>>,
    bytes: usize,
    /// When the oldest came.
    since: Option<Instant>,
    view: Option<Arc<View>>,
}

/// What a look sees of them.
#[derive(Debug, Default)]
pub(crate) struct View {
    /// The newest versions, by ascending id.
    pub(crate) rows: Vec<Arc<Row>>,
    /// Entries of which the tables may have a version that is not the newest any more.
    pub(crate) hidden: Arc<FxHashSet<EntryId>>,
}

impl Memtable {
    /// The row that is new by it, where it is one.
    pub(crate) fn accept(&mut self, write: MemoryWrite) -> Option<Arc<Row>> {
        let MemoryWrite { number, act } = write;
        if self.writes.contains_key(&number) {
            return None;
        }
        self.view = None;
        self.since.get_or_insert_with(Instant::now);
        match act {
            MemoryAct::Put(version) => {
                let row = Arc::new(Row::new(*version, number));
                self.of.entry(row.id()).or_default().push(number);
                self.bytes += row.bytes();
                self.writes.insert(number, Pending::Put(Arc::clone(&row)));
                Some(row)
            }
            MemoryAct::Forget { entries, purge } => {
                for entry in &entries {
                    self.of.entry(*entry).or_default().push(number);
                }
                self.bytes += entries.len() * size_of::<EntryId>();
                self.writes.insert(number, Pending::Forget { entries: entries.into(), purge });
                None
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.writes.len()
    }

    /// Whether there is room for more.
    pub(crate) fn has_room(&self) -> bool {
        self.writes.len() < PENDING_ROWS_MAX && self.bytes < PENDING_BYTES_MAX
    }

    /// Whether there is a whole batch, or no room for more.
    pub(crate) fn is_full(&self) -> bool {
        !self.has_room() || self.writes.len() >= BATCH_ROWS_MAX || self.bytes >= BATCH_BYTES_MAX
    }

    /// When the oldest came.
    pub(crate) fn since(&self) -> Option<Instant> {
        self.since
    }

    /// The number of the first.
    pub(crate) fn first(&self) -> Option<u64> {
        self.writes.first_key_value().map(|(number, _)| *number)
    }

    /// The oldest of them, in order, within limits of rows and bytes; at least one where there is one.
    pub(crate) fn oldest(&self, rows_max: usize, bytes_max: usize) -> Vec<(u64, Pending)> {
        let mut bytes = 0;
        let within = |(place, (_, pending)): &(usize, (&u64, &Pending))| {
            bytes += if let Pending::Put(row) = pending { row.bytes() } else { 0 };
            *place == 0 || (*place < rows_max && bytes <= bytes_max)
        };
        let writes = self.writes.iter().enumerate().take_while(within);
        writes.map(|(_, (number, pending))| (*number, pending.clone())).collect()
    }

    /// All puts.
    pub(crate) fn rows(&self) -> impl Iterator<Item = &Arc<Row>> {
        self.writes.values().filter_map(|pending| match pending {
            Pending::Put(row) => Some(row),
            Pending::Forget { .. } => None,
        })
    }

    /// All writes up to this number are in the tables.
    pub(crate) fn applied(&mut self, number: u64) {
        let kept = self.writes.split_off(&number.saturating_add(1));
        let gone = std::mem::replace(&mut self.writes, kept);
        if gone.is_empty() {
            return;
        }
        self.view = None;
        self.since = (!self.writes.is_empty()).then(Instant::now);
        for pending in gone.values() {
            match pending {
                Pending::Put(row) => {
                    self.bytes -= row.bytes();
                    self.unlist(row.id(), number);
                }
                Pending::Forget { entries, .. } => {
                    self.bytes -= entries.len() * size_of::<EntryId>();
                    for entry in &**entries {
                        self.unlist(*entry, number);
                    }
                }
            }
        }
    }

    fn unlist(&mut self, entry: EntryId, number: u64) {
        if let Some(numbers) = self.of.get_mut(&entry) {
            numbers.retain(|of| *of > number);
            if numbers.is_empty() {
                self.of.remove(&entry);
            }
        }
    }

    /// The writes of one entry, in order.
    pub(crate) fn of(&self, entry: EntryId) -> Vec<Pending> {
        let numbers = self.of.get(&entry).map(Vec::as_slice).unwrap_or_default();
        numbers.iter().filter_map(|number| self.writes.get(number).cloned()).collect()
    }

    /// What a look sees now.
    pub(crate) fn view(&mut self) -> Arc<View> {
        let (of, writes) = (&self.of, &self.writes);
        let view = self.view.get_or_insert_with(|| Arc::new(View::new(of, writes)));
        Arc::clone(view)
    }
}

impl View {
    fn new(of: &BTreeMap<EntryId, Vec<u64>>, writes: &BTreeMap<u64, Pending>) -> Self {
        let mut rows = Vec::with_capacity(of.len());
        let mut hidden = FxHashSet::default();
        for (entry, numbers) in of {
            let begun_here = numbers.first().and_then(|number| writes.get(number));
            if !matches!(begun_here, Some(Pending::Put(row)) if row.version.version == 1) {
                hidden.insert(*entry);
            }
            if let Some(Pending::Put(row)) = numbers.last().and_then(|number| writes.get(number)) {
                rows.push(Arc::clone(row));
            }
        }
        Self { rows, hidden: Arc::new(hidden) }
    }
}
