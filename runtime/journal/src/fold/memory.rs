//! Memories: writes that their own files may not have yet, what processes were told of entries, and the keys of both.
//!
//! Each entry of a memory has a key of its own, and all that is kept of its content is sealed under it. To purge an entry is to write zeros
//! over its key. Rows of `memory_keys` are only ever added at the end and written over in their places, so that no page has an old copy of one
//! (`FORMAT.md`, "Erasing"); the row itself stays, and says that nothing of this entry is to be kept any more, whenever it comes.

use super::{
    Tools, plaintext,
    rows::{Rows, Write},
};
use crate::{
    apart::Apart,
    error::Damage,
    number::stored,
    seal::{Key, Place, SEALED_KEY_BYTES},
};
use remit_abi::{EntryId, Pid, TenantId};
use remit_kernel::ports::{MemoryAct, MemoryWrite};
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::{BTreeMap, BTreeSet};

/// What is in the place of a key that was destroyed.
pub(crate) const DESTROYED: [u8; SEALED_KEY_BYTES] = [0; SEALED_KEY_BYTES];

/// A row of `memory_keys`.
struct EntryKey {
    row: i64,
    /// `None` where it was destroyed.
    key: Option<Key>,
    /// Where it is new.
    sealed: Option<Vec<u8>>,
}

/// A row of `memory_writes`.
struct Pending {
    tenant: TenantId,
    /// The row of its entry's key; `None` of what has no content.
    key: Option<i64>,
    payload: Vec<u8>,
}

/// A row of `remembered`.
struct Told {
    chunk: u64,
    ordinal: u64,
    key: i64,
    payload: Vec<u8>,
}

pub(crate) struct Memory {
    keys: Rows<(TenantId, EntryId), EntryKey>,
    /// The last row of a key that was ever given out.
    last_key: i64,
    writes: BTreeMap<u64, Pending>,
    told: Vec<Told>,
    /// The memories' own files have these.
    applied: Vec<(TenantId, u64)>,
    /// The rows of keys that this commit destroys.
    purged: BTreeSet<i64>,
}

impl Memory {
    pub(crate) fn new(db: &Connection) -> Result<Self, Damage> {
        let last_key = db.query_row("SELECT ifnull(max(number), 0) FROM memory_keys", [], |row| row.get(0))?;
        Ok(Self {
            keys: Rows::default(),
            last_key,
            writes: BTreeMap::new(),
            told: Vec::new(),
            applied: Vec::new(),
            purged: BTreeSet::new(),
        })
    }

    /// An entry's row, and its key where that is not destroyed.
    fn key(&mut self, tools: &mut Tools<'_>, of: (TenantId, EntryId)) -> Result<(i64, Option<Key>), Damage> {
        if self.keys.look(of, || load(tools, of))?.is_none() {
            let under = tools.folder.tenant_or_new(of.0, tools.sealer)?;
            let (key, sealed) = tools.sealer.new_key(&under, Place::memory_key(of.0, of.1))?;
            self.last_key += 1;
            let new = EntryKey { row: self.last_key, key: Some(key), sealed: Some(sealed) };
            *self.keys.edit(of, || Ok::<_, Damage>(None))? = Some(new);
        }
        let found = self.keys.look(of, || load(tools, of))?.ok_or(Damage::Missing)?;
        Ok((found.row, found.key.clone()))
    }

    /// Nothing of an entry is kept any more.
    fn purge(&mut self, tools: &Tools<'_>, of: (TenantId, EntryId)) -> Result<(), Damage> {
        let last_key = &mut self.last_key;
        let row = self.keys.edit(of, || load(tools, of))?;
        let destroyed = row.get_or_insert_with(|| {
            *last_key += 1;
            EntryKey { row: *last_key, key: None, sealed: None }
        });
        if destroyed.key.take().is_some() {
            destroyed.sealed = None;
            self.purged.insert(destroyed.row);
        }
        Ok(())
    }

    /// A memory was written.
    pub(crate) fn write(&mut self, tools: &mut Tools<'_>, tenant: TenantId, write: &MemoryWrite) -> Result<(), Damage> {
        let (row, key) = match &write.act {
            MemoryAct::Put(version) => match self.key(tools, (tenant, version.id))? {
                (row, Some(key)) => (Some(row), key),
                (_, None) => return Ok(()),
            },
            MemoryAct::Forget { entries, purge } => {
                for entry in entries.iter().filter(|_| *purge) {
                    self.purge(tools, (tenant, *entry))?;
                }
                (None, tools.folder.tenant_or_new(tenant, tools.sealer)?)
            }
        };
        let payload = tools.seal(&key, Place::memory_write(tenant, write.number), &plaintext(write)?)?;
        self.writes.insert(write.number, Pending { tenant, key: row, payload });
        Ok(())
    }

    /// The memory's own files have all writes of a tenant up to a number.
    pub(crate) fn applied(&mut self, tenant: TenantId, number: u64) {
        self.writes.retain(|write, pending| pending.tenant != tenant || *write > number);
        self.applied.push((tenant, number));
    }

    /// A process was told what an entry holds, in a chunk of its log and as one of these there.
    pub(crate) fn tell(
        &mut self,
        tools: &mut Tools<'_>,
        pid: Pid,
        (chunk, ordinal): (u64, u64),
        apart: &Apart,
    ) -> Result<(), Damage> {
        let (row, Some(key)) = self.key(tools, (pid.tenant, apart.of))? else { return Ok(()) };
        let payload = tools.seal(&key, Place::remembered(pid, chunk, ordinal), &apart.plain)?;
        self.told.push(Told { chunk, ordinal, key: row, payload });
        Ok(())
    }

    /// Whether this commit destroys something.
    pub(crate) fn purges(&self) -> bool {
        !self.purged.is_empty()
    }

    pub(crate) fn flush(&mut self, tools: &Tools<'_>) -> Result<(), Damage> {
        let db = tools.db;
        for (tenant, number) in &self.applied {
            let delete = "DELETE FROM memory_writes WHERE number <= ?2 AND tenant = ?1";
            db.prepare_cached(delete)?.execute(params![tenant.0, stored(*number)])?;
        }
        for key in &self.purged {
            db.prepare_cached("DELETE FROM memory_writes WHERE key = ?1")?.execute([key])?;
            db.prepare_cached("DELETE FROM remembered WHERE key = ?1")?.execute([key])?;
        }
        let is_kept = |key: Option<i64>| key.is_none_or(|key| !self.purged.contains(&key));
        let put = "INSERT OR REPLACE INTO memory_writes(number, tenant, key, payload) VALUES (?1, ?2, ?3, ?4)";
        for (number, Pending { tenant, key, payload }) in self.writes.iter().filter(|(_, write)| is_kept(write.key)) {
            db.prepare_cached(put)?.execute(params![stored(*number), tenant.0, key, payload])?;
        }
        let insert = "INSERT INTO remembered(position, ordinal, key, payload) VALUES (?1, ?2, ?3, ?4)";
        for Told { chunk, ordinal, key, payload } in self.told.iter().filter(|told| is_kept(Some(told.key))) {
            db.prepare_cached(insert)?.execute(params![stored(*chunk), stored(*ordinal), key, payload])?;
        }
        self.flush_keys(db)
    }

    fn flush_keys(&mut self, db: &Connection) -> Result<(), Damage> {
        let insert = "INSERT INTO memory_keys(number, tenant, entry, key) VALUES (?1, ?2, ?3, ?4)";
        let destroy = "UPDATE memory_keys SET key = ?2 WHERE number = ?1";
        self.keys.writes(|(tenant, entry), write| {
            match write {
                Write::Insert(new) => {
                    let key = new.sealed.as_deref().unwrap_or(&DESTROYED);
                    db.prepare_cached(insert)?.execute(params![new.row, tenant.0, stored(entry.0), key])?;
                }
                // Nothing else ever changes in a row.
                Write::Update(known) if known.key.is_none() => {
                    db.prepare_cached(destroy)?.execute(params![known.row, DESTROYED])?;
                }
                Write::Update(_) | Write::Delete => {}
            }
            Ok(())
        })
    }

    pub(crate) fn settle(&mut self) {
        self.writes.clear();
        self.told.clear();
        self.applied.clear();
        self.purged.clear();
        self.keys.settle(|key| key.sealed = None);
    }
}

fn load(tools: &Tools<'_>, (tenant, entry): (TenantId, EntryId)) -> Result<Option<EntryKey>, Damage> {
    let mut select = tools.db.prepare_cached("SELECT number, key FROM memory_keys WHERE tenant = ?1 AND entry = ?2")?;
    let found = select.query_row([i64::from(tenant.0), stored(entry.0)], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?))
    });
    let Some((row, sealed)) = found.optional()? else { return Ok(None) };
    let key = match sealed == DESTROYED {
        true => None,
        false => Some(tools.folder.tenant(tenant)?.open_key(Place::memory_key(tenant, entry), &sealed)?),
    };
    Ok(Some(EntryKey { row, key, sealed: None }))
}
