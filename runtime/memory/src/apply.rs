//! Batches of writes, and what they come to in the tables.
//!
//! A batch is applied in two commits. The first adds to `versions` what the batch's writes have ended; the second changes `entries`, and
//! with it the tenant's watermark rises. A host that dies between them applies the batch again, perhaps cut otherwise, since the watermark
//! did not rise: what is ended by a write that `versions` has is then not added once more. So each write counts once, whatever happens.
//!
//! Purging also removes the entry's rows; that their bytes leave the files is `maintain`'s.

use crate::{
    error::Fault,
    memtable::Pending,
    rows::Row,
    tables::{Change, Ended, Purging, Tables},
};
use remit_abi::EntryId;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Rows of one batch: a commit costs some 10 ms, which is then little for each.
pub(crate) const BATCH_ROWS_MAX: usize = 4096;

/// Bytes of one batch: it is in memory once more while it is written.
pub(crate) const BATCH_BYTES_MAX: usize = 16 << 20;

/// What a batch comes to, where the tables have not been asked yet.
#[derive(Default)]
struct Plan {
    /// Touched entries that the tables may have, with the first write of the batch that touches them.
    on_disk: BTreeMap<EntryId, u64>,
    /// What each touched entry is after the batch.
    newest: BTreeMap<EntryId, Option<Arc<Row>>>,
    /// Versions of the batch itself that its later writes have ended.
    ended: Vec<(Arc<Row>, u64)>,
    purged: BTreeSet<EntryId>,
}

impl Plan {
    fn of(batch: &[(u64, Pending)]) -> Self {
        let mut plan = Self::default();
        for (number, pending) in batch {
            match pending {
                Pending::Put(row) => {
                    let begins = row.version.version == 1;
                    plan.touch(row.id(), Some(Arc::clone(row)), *number, begins);
                }
                Pending::Forget { entries, purge } => {
                    for entry in &**entries {
                        plan.touch(*entry, None, *number, false);
                        if *purge {
                            plan.ended.retain(|(row, _)| row.id() != *entry);
                            plan.purged.insert(*entry);
                        }
                    }
                }
            }
        }
        plan
    }

    /// All that it has ended, but what `versions` has up to its own watermark. `gone` are entries that the tables have.
    fn ended(&self, gone: &[(EntryId, Box<str>)], watermark: u64) -> Ended {
        let stored = gone.iter().filter(|(id, _)| !self.purged.contains(id));
        let stored = stored.filter_map(|(id, _)| Some((*id, *self.on_disk.get(id)?)));
        Ended {
            rows: self.ended.iter().filter(|(_, until)| *until > watermark).cloned().collect(),
            stored: stored.filter(|(_, until)| *until > watermark).collect(),
        }
    }

    /// Where bytes of what it purges may be, once it is applied.
    fn purging(&self) -> Purging {
        if self.purged.iter().any(|entry| self.on_disk.contains_key(entry)) {
            return Purging::Rows;
        }
        // A batch with its first version may have failed before.
        if self.purged.is_empty() { Purging::No } else { Purging::Files }
    }

    fn touch(&mut self, entry: EntryId, newest: Option<Arc<Row>>, number: u64, begins: bool) {
        match self.newest.insert(entry, newest) {
            Some(Some(before)) => self.ended.push((before, number)),
            Some(None) => {}
            None if begins => {}
            None => {
                self.on_disk.insert(entry, number);
            }
        }
    }
}

/// Applies a batch, which is in order and all above the tables' watermark.
pub(crate) async fn apply(tables: &mut Tables, batch: &[(u64, Pending)]) -> Result<(), Fault> {
    let Some((number, _)) = batch.last() else { return Ok(()) };
    let plan = Plan::of(batch);
    let ids: Vec<_> = plan.on_disk.keys().copied().collect();
    let gone = tables.known(&ids).await?;
    let purged: Vec<_> = plan.purged.iter().copied().collect();
    let ended = plan.ended(&gone, tables.ended);
    tables.purging = tables.purging.max(plan.purging());
    tables.end(ended, &purged, *number).await?;
    let come = plan.newest.into_values().flatten().collect();
    tables.change(Change { gone, come }, *number).await
}
