//! Reading logs: of a process what it goes on from, and lines as far as they are kept.

use crate::{
    apart::Disclosed,
    audit::Salts,
    error::Damage,
    fold::processes::Stored,
    number::{self, stored},
    read::{Reader, Written, body, decode},
    seal::{Key, Place},
};
use remit_abi::Pid;
use remit_kernel::ports::{Beginning, Entry, LetterImage, Line, StoredProcess, version_1};
use rusqlite::OptionalExtension;

/// A chunk without its payload.
pub(crate) struct Header {
    pub(crate) position: u64,
    pub(crate) previous: u64,
    first_sequence: u64,
}

/// An entry as it was encoded.
pub(crate) struct RawEntry {
    /// Its place in the process's log.
    pub(crate) sequence: u64,
    pub(crate) bytes: Vec<u8>,
    /// What it told of memories; `None` where that was purged.
    pub(crate) remembered: Vec<Option<Disclosed>>,
}

/// Salts of a process, and entries of it.
pub(crate) type RawChunk = (Salts, Vec<RawEntry>);

impl Reader {
    /// A process that has not ended and has a log.
    pub(crate) fn process(&self, pid: Pid) -> Result<Option<StoredProcess>, Damage> {
        let Some(row) = Stored::find(&self.db, pid)?.filter(|row| !row.ended) else { return Ok(None) };
        let Some(first) = row.created else { return Ok(None) };
        let key = self.key(pid, &row)?;
        let mut created = None;
        for line in self.chunk(pid, &key, first)? {
            if let Entry::Created(found) = line.entry {
                created = Some(*found);
            }
        }
        let (from, began_sequence) = row.began.unwrap_or((first, 1));
        let mut lines = Vec::new();
        for header in self.chain(row.last, from)?.iter().rev() {
            let chunk = self.chunk(pid, &key, header.position)?;
            lines.extend(chunk.into_iter().filter(|line| line.sequence >= began_sequence));
        }
        if lines.first().is_none_or(|line| line.sequence != began_sequence) {
            return Err(Damage::Missing);
        }
        let began = match lines.remove(0).entry {
            Entry::Began(began) => *began,
            _ => Beginning::default(),
        };
        Ok(Some(StoredProcess {
            pid,
            created: created.ok_or(Damage::Missing)?,
            began,
            lines,
            letters: self.letters(pid, &key, row.row)?,
            holds: row.holds,
            signals: row.signals,
            detached: row.detached,
        }))
    }

    fn letters(&self, pid: Pid, key: &Key, row: i64) -> Result<Vec<(u64, LetterImage)>, Damage> {
        let mut select =
            self.db.prepare_cached("SELECT number, payload FROM letters WHERE process = ?1 ORDER BY number")?;
        let rows = select.query_map([row], |row| Ok((number::read(row.get(0)?), row.get::<_, Vec<u8>>(1)?)))?;
        rows.map(|row| {
            let (number, sealed) = row?;
            Ok((number, decode(&key.open(Place::letter(pid, number), &sealed)?)?))
        })
        .collect()
    }

    /// Lines of a process, as far as they are kept.
    pub(crate) fn history(&self, pid: Pid, from: u64, limit: usize) -> Result<Vec<Line>, Damage> {
        let Some(row) = Stored::find(&self.db, pid)? else { return Ok(Vec::new()) };
        let key = self.key(pid, &row)?;
        let mut chain = self.chain_from_line(row.last, from)?;
        // Of a process that lives its first chunk is kept, whatever was forgotten behind it.
        if let Some(first) = row.created
            && chain.last().is_none_or(|oldest| oldest.position > first && oldest.first_sequence > from)
        {
            chain.extend(self.header(first)?);
        }
        let mut lines = Vec::new();
        for header in chain.iter().rev() {
            let left = limit - lines.len();
            if left == 0 {
                break;
            }
            let chunk = self.chunk(pid, &key, header.position)?;
            lines.extend(chunk.into_iter().filter(|line| line.sequence >= from).take(left));
        }
        Ok(lines)
    }

    pub(crate) fn header(&self, position: u64) -> Result<Option<Header>, Damage> {
        let mut select = self.db.prepare_cached("SELECT previous, first_sequence FROM chunks WHERE position = ?1")?;
        let header = select.query_row([stored(position)], |row| {
            Ok(Header { position, previous: number::read(row.get(0)?), first_sequence: number::read(row.get(1)?) })
        });
        Ok(header.optional()?)
    }

    /// Chunks from the newest back to one that has to be there.
    fn chain(&self, last: u64, to: u64) -> Result<Vec<Header>, Damage> {
        let mut chain = Vec::new();
        let mut next = last;
        while next >= to && next > 0 {
            let header = self.header(next)?.ok_or(Damage::Missing)?;
            next = header.previous.min(next - 1);
            chain.push(header);
        }
        Ok(chain)
    }

    /// Chunks from the newest back to the one with a line, or as far as they are kept.
    fn chain_from_line(&self, last: u64, from: u64) -> Result<Vec<Header>, Damage> {
        let mut chain = Vec::new();
        let mut next = last;
        while next > 0
            && let Some(header) = self.header(next)?
        {
            next = if header.first_sequence <= from { 0 } else { header.previous.min(next - 1) };
            chain.push(header);
        }
        Ok(chain)
    }

    /// The lines of a chunk, with what was told of memories as far as it is kept.
    pub(crate) fn chunk(&self, pid: Pid, key: &Key, position: u64) -> Result<Vec<Line>, Damage> {
        let (mut lines, mut ordinal) = (Vec::new(), 0);
        let add = |sequence, at_ns, mut entry: Entry<'static>, _: &[u8]| {
            for (of, image) in entry.remembered_mut() {
                let Some(committed) = image else { continue };
                let disclosed = self.disclosed(pid, (position, ordinal), of, committed)?;
                *image = disclosed.map(|disclosed| disclosed.read()).transpose()?;
                ordinal += 1;
            }
            lines.push(Line { sequence, at_ns, entry });
            Ok(())
        };
        self.each_line(pid, key, position, add)?.ok_or(Damage::Missing)?;
        Ok(lines)
    }

    /// The lines of a chunk with commitments in the place of what was told of memories. `None` where the chunk is gone.
    pub(crate) fn lines(&self, pid: Pid, key: &Key, position: u64) -> Result<Option<Vec<Line>>, Damage> {
        let mut lines = Vec::new();
        let add = |sequence, at_ns, entry: Entry<'static>, _: &[u8]| {
            lines.push(Line { sequence, at_ns, entry });
            Ok(())
        };
        Ok(self.each_line(pid, key, position, add)?.map(|()| lines))
    }

    /// The lines of a chunk as they were encoded, with the salts of their digests. `None` where no chunk of the process begins at this position,
    /// or nothing of the process is left.
    pub(crate) fn raw_chunk(&self, pid: Pid, position: u64) -> Result<Option<RawChunk>, Damage> {
        let Some(row) = Stored::find(&self.db, pid)? else { return Ok(None) };
        let mut select = self.db.prepare_cached("SELECT 1 FROM chunks WHERE position = ?1 AND process = ?2")?;
        if !select.exists([stored(position), row.row])? {
            return Ok(None);
        }
        let key = self.key(pid, &row)?;
        let (mut entries, mut ordinal) = (Vec::new(), 0);
        let add = |sequence, _, entry: Entry<'static>, bytes: &[u8]| {
            let mut remembered = Vec::new();
            for (of, committed) in entry.remembered().filter_map(|(of, image)| Some((of, image?))) {
                remembered.push(self.disclosed(pid, (position, ordinal), of, committed)?);
                ordinal += 1;
            }
            entries.push(RawEntry { sequence, bytes: bytes.to_owned(), remembered });
            Ok(())
        };
        Ok(self.each_line(pid, &key, position, add)?.map(|()| (key.salts(), entries)))
    }

    /// Tells each line of a chunk: its place in the process's log, its time, its entry, and that as it was encoded. `None` where the chunk is
    /// gone.
    fn each_line(
        &self,
        pid: Pid,
        key: &Key,
        position: u64,
        mut tell: impl FnMut(u64, u64, Entry<'static>, &[u8]) -> Result<(), Damage>,
    ) -> Result<Option<()>, Damage> {
        let mut select = self
            .db
            .prepare_cached("SELECT previous, first_sequence, at_ns, payload FROM chunks WHERE position = ?1")?;
        let chunk = select.query_row([stored(position)], |row| {
            Ok(([row.get(0)?, row.get(1)?, row.get(2)?].map(number::read), row.get::<_, Vec<u8>>(3)?))
        });
        let Some(([previous, first_sequence, at_ns], sealed)) = chunk.optional()? else { return Ok(None) };
        let plain = key.open(Place::chunk(pid, position, previous, first_sequence, at_ns), &sealed)?;
        let (written, mut rest) = body(&plain)?;
        let (mut sequence, mut at_ns) = (first_sequence, at_ns);
        while !rest.is_empty() {
            let (since, bytes) = postcard::take_from_bytes::<i64>(rest)?;
            let (entry, after) = match written {
                Written::Now => postcard::take_from_bytes::<Entry<'static>>(bytes)?,
                Written::Before => {
                    let (entry, after) = postcard::take_from_bytes::<version_1::Entry<'static>>(bytes)?;
                    (entry.into(), after)
                }
            };
            at_ns = at_ns.wrapping_add_signed(since);
            tell(sequence, at_ns, entry, &bytes[..bytes.len() - after.len()])?;
            (sequence, rest) = (sequence + 1, after);
        }
        Ok(Some(()))
    }
}
