//! Reading what is kept of memories: writes that their own files may not have yet, and what processes were told of entries.

use crate::{
    apart::Disclosed,
    error::Damage,
    fold::memory::DESTROYED,
    number::{self, stored},
    read::{Reader, decode},
    seal::{Key, Place},
};
use remit_abi::{EntryId, Pid, TenantId};
use remit_kernel::ports::{MemoryWrite, ValueImage};
use rusqlite::{OptionalExtension, params};

impl Reader {
    /// Writes in the order of their numbers.
    pub(crate) fn memory_writes(&self) -> Result<Vec<(TenantId, MemoryWrite)>, Damage> {
        let mut select = self.db.prepare_cached(
            "SELECT memory_writes.number, memory_writes.tenant, payload, entry, memory_keys.key
             FROM memory_writes LEFT JOIN memory_keys ON memory_keys.number = memory_writes.key
             ORDER BY memory_writes.number",
        )?;
        let mut rows = select.query([])?;
        let mut writes = Vec::new();
        while let Some(row) = rows.next()? {
            let (number, tenant) = (number::read(row.get(0)?), TenantId(row.get(1)?));
            let key = match row.get::<_, Option<i64>>(3)? {
                None => self.folder.tenant(tenant)?,
                Some(entry) => self.memory_key((tenant, EntryId(number::read(entry))), &row.get::<_, Vec<u8>>(4)?)?,
            };
            let plain = key.open(Place::memory_write(tenant, number), &row.get::<_, Vec<u8>>(2)?)?;
            writes.push((tenant, decode(&plain)?));
        }
        Ok(writes)
    }

    fn memory_key(&self, (tenant, entry): (TenantId, EntryId), sealed: &[u8]) -> Result<Key, Damage> {
        self.folder.tenant(tenant)?.open_key(Place::memory_key(tenant, entry), sealed)
    }

    /// What a process was told of an entry, by its chunk and its number in that; `None` where it was purged.
    pub(crate) fn disclosed(
        &self,
        pid: Pid,
        (chunk, ordinal): (u64, u64),
        of: EntryId,
        committed: &ValueImage,
    ) -> Result<Option<Disclosed>, Damage> {
        let mut select =
            self.db.prepare_cached("SELECT number, key FROM memory_keys WHERE tenant = ?1 AND entry = ?2")?;
        let key = select.query_row([i64::from(pid.tenant.0), stored(of.0)], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?))
        });
        let (number, sealed) = key.optional()?.ok_or(Damage::Missing)?;
        if sealed == DESTROYED {
            return Ok(None);
        }
        let mut select = self
            .db
            .prepare_cached("SELECT payload FROM remembered WHERE position = ?1 AND ordinal = ?2 AND key = ?3")?;
        let payload = select.query_row(params![stored(chunk), stored(ordinal), number], |row| row.get::<_, Vec<u8>>(0));
        let payload = payload.optional()?.ok_or(Damage::Missing)?;
        let plain =
            self.memory_key((pid.tenant, of), &sealed)?.open(Place::remembered(pid, chunk, ordinal), &payload)?;
        Disclosed::of_plain(&plain, committed).map(Some)
    }
}
