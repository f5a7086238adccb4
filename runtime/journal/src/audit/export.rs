//! Writes a chain as a file, by a connection of its own: whoever reads processes does not wait for it.
//!
//! It goes from checkpoint to checkpoint: from one's last row backwards to the one before it, at most [`CHECKPOINT_LINES`] rows, and then
//! over these rows forward. No transaction is held while something is written: rows of a chain never change.

use super::{
    chain::{CHECKPOINT_LINES, Head},
    file::{Content, Ended, FILE_VERSION, Header, Item, LineItem, Signed},
    key::{Purpose, Signer, Statement},
    line::{Hash, Line, Salts, beginning, read_lines},
};
use crate::{
    error::{Damage, ExportError},
    logs::RawEntry,
    number::{read, stored},
    read::Reader,
};
use remit_abi::{Pid, TenantId};
use rusqlite::{OptionalExtension, params};
use rustc_hash::FxHashMap;
use std::{collections::VecDeque, io::Write};

/// What an export shows of entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// Their digests and facts: no content of anybody's.
    Digests,
    /// Besides these the entries, with their salts, as far as they and their keys are kept: whoever gets the file can read them.
    Contents,
}

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exported {
    /// Lines of the chain.
    pub lines: u64,
    /// Of these those with their entries.
    pub revealed: u64,
    /// Chunks of entries that are kept and cannot be read: the journal is damaged there.
    pub unreadable: u64,
}

/// Writes a tenant's chain as far as `end`, which is signed.
pub(crate) fn export(
    reader: &Reader,
    signer: &Signer,
    (tenant, end, at_ns): (TenantId, Head, u64),
    detail: Detail,
    out: &mut dyn Write,
) -> Result<Exported, ExportError> {
    let key = signer.public();
    let contents = (detail == Detail::Contents).then(|| Contents { reader, kept: FxHashMap::default(), unreadable: 0 });
    let mut export = Export { tenant, reader, out, contents, exported: Exported::default() };
    export.put(&Item::Chain(Header { version: FILE_VERSION, tenant, key }))?;
    let (mut number, mut place, mut head, mut checkpoints) = (0, 0, beginning(tenant, &key), 0);
    while number < end.number {
        let next = export.checkpoint_after(number).map_err(|damage| failed(tenant, &damage))?;
        for row in export.rows_back_to(next.place, place).map_err(|damage| failed(tenant, &damage))? {
            head = export.row(row, head)?;
        }
        (number, place) = (next.number, next.place);
        checkpoints += 1;
        let (at_ns, signature) = (next.at_ns, next.signature);
        export.put(&Item::Checkpoint(Signed { number, head, at_ns, signature }))?;
    }
    let (number, head) = (end.number, end.hash);
    let purpose = Purpose::End { checkpoints };
    let signature = signer.sign(&Statement { purpose, tenant, number, head, at_ns });
    export.put(&Item::End(Ended { checkpoints, signed: Signed { number, head, at_ns, signature } }))?;
    export.out.flush()?;
    let unreadable = export.contents.map_or(0, |contents| contents.unreadable);
    Ok(Exported { unreadable, ..export.exported })
}

pub(crate) fn failed(tenant: TenantId, damage: &Damage) -> ExportError {
    ExportError::Chain { tenant, why: damage.to_string().into() }
}

struct Export<'a> {
    tenant: TenantId,
    reader: &'a Reader,
    out: &'a mut dyn Write,
    contents: Option<Contents<'a>>,
    exported: Exported,
}

struct Checkpoint {
    number: u64,
    place: i64,
    at_ns: u64,
    signature: [u8; 64],
}

impl Export<'_> {
    fn put(&mut self, item: &Item) -> Result<(), ExportError> {
        serde_json::to_writer(&mut *self.out, item).map_err(std::io::Error::from)?;
        Ok(self.out.write_all(b"\n")?)
    }

    fn checkpoint_after(&self, number: u64) -> Result<Checkpoint, Damage> {
        let mut select = self.reader.db.prepare_cached(
            "SELECT number, place, at_ns, signature FROM checkpoints WHERE tenant = ?1 AND number > ?2
             ORDER BY number LIMIT 1",
        )?;
        let checkpoint = select.query_row(params![self.tenant.0, stored(number)], |row| {
            let (number, at_ns) = (read(row.get(0)?), read(row.get(2)?));
            Ok(Checkpoint { number, place: row.get(1)?, at_ns, signature: row.get(3)? })
        });
        checkpoint.optional()?.ok_or(Damage::Missing)
    }

    /// The places of rows, the oldest first: from after one to another.
    fn rows_back_to(&self, last: i64, before: i64) -> Result<Vec<i64>, Damage> {
        let mut select =
            self.reader.db.prepare_cached("SELECT previous FROM audit WHERE place = ?1 AND tenant = ?2")?;
        let mut places = Vec::new();
        let mut next = last;
        while next != before {
            if places.len() as u64 >= CHECKPOINT_LINES {
                return Err(Damage::Missing);
            }
            places.push(next);
            next =
                select.query_row(params![next, self.tenant.0], |row| row.get(0)).optional()?.ok_or(Damage::Missing)?;
        }
        places.reverse();
        Ok(places)
    }

    /// Writes the lines of a row. The last one's link is the one that was stored, so that a row that was changed shows at its end.
    fn row(&mut self, place: i64, mut head: Hash) -> Result<Hash, ExportError> {
        let tenant = self.tenant;
        let failed = |damage: Damage| failed(tenant, &damage);
        let mut select = (self.reader.db)
            .prepare_cached("SELECT first, position, at_ns, head, lines FROM audit WHERE place = ?1")
            .map_err(|error| failed(error.into()))?;
        let row = select.query_row([place], |row| {
            let [first, position, at_ns] = [row.get(0)?, row.get(1)?, row.get(2)?].map(read);
            Ok((first, (position, at_ns), row.get::<_, Hash>(3)?, row.get::<_, Vec<u8>>(4)?))
        });
        let (first, before, stored_head, row) = row.map_err(|error| failed(error.into()))?;
        drop(select);
        let lines = read_lines(&row, first, before).map_err(failed)?;
        for (at, line) in lines.iter().enumerate() {
            head = if at + 1 == lines.len() { stored_head } else { line.link(&head) };
            let content = match &mut self.contents {
                Some(contents) => contents.of(line, tenant).map_err(failed)?,
                None => None,
            };
            self.exported.lines += 1;
            self.exported.revealed += u64::from(content.is_some());
            let item = LineItem::new(line, tenant, head, content).map_err(failed)?;
            self.put(&Item::Line(Box::new(item)))?;
        }
        Ok(head)
    }
}

/// The entries behind lines.
struct Contents<'a> {
    reader: &'a Reader,
    /// Of each process the chunk that its last line was in, from the line after that on: a chunk's lines follow each other in the chain.
    kept: FxHashMap<Pid, Kept>,
    unreadable: u64,
}

struct Kept {
    salts: Salts,
    entries: VecDeque<RawEntry>,
}

impl Contents<'_> {
    /// The entry of a line; `None` of an act, and where the entry or its key is gone.
    fn of(&mut self, line: &Line<'_>, tenant: TenantId) -> Result<Option<Content>, Damage> {
        let Some(pid) = line.pid(tenant) else { return Ok(None) };
        if !self.kept.contains_key(&pid) {
            match self.reader.raw_chunk(pid, line.position) {
                Ok(Some((salts, entries))) => drop(self.kept.insert(pid, Kept { salts, entries: entries.into() })),
                Ok(None) => return Ok(None),
                Err(Damage::Database(error)) => return Err(error.into()),
                Err(_) => {
                    self.unreadable += 1;
                    return Ok(None);
                }
            }
        }
        let Some(kept) = self.kept.get_mut(&pid) else { return Ok(None) };
        let entry = kept.entries.pop_front().filter(|entry| entry.sequence == line.sequence);
        let content = entry.map(|RawEntry { sequence, bytes, remembered }| {
            let salt = kept.salts.of(sequence);
            Content { salt, entry: bytes, remembered }
        });
        if kept.entries.is_empty() || content.is_none() {
            self.kept.remove(&pid);
        }
        Ok(content)
    }
}
