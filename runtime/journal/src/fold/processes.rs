//! Processes and their logs: the lines of a commit are collected into one chunk a process. Whatever is written down of a process that
//! sleeps ends its sleep.

use super::{
    Tools,
    rows::{Rows, Write},
    sleepers::{Kinds, Sleep},
};
use crate::{
    audit::Salts,
    error::Damage,
    number::{pid as pid_of, stored},
    queue::{Kind, TakenLine},
    seal::{Key, Place},
};
use remit_abi::Pid;
use remit_kernel::ports::Sleeper;
use rusqlite::{Connection, OptionalExtension, Row, params};

/// The first byte of a sealed plaintext: by which version it was written.
pub(crate) const PLAIN_VERSION: u8 = 2;
/// The one before, whose ledgers had no citations: all but chunks and reports are the same.
pub(crate) const PLAIN_VERSION_1: u8 = 1;
/// The columns that [`Stored::read`] reads, in its order, of `processes LEFT JOIN logs USING (process)`.
pub(crate) const COLUMNS: &str = "process, key, parent_tenant, parent_number, created, began, began_sequence, last, lines, holds, signals, detached, ended";

/// A row of `processes`, without its pid.
#[derive(Clone)]
pub(crate) struct Stored {
    pub(crate) row: i64,
    /// Sealed.
    pub(crate) key: Vec<u8>,
    pub(crate) parent: Option<Pid>,
    /// The chunk with its `Created`.
    pub(crate) created: Option<u64>,
    /// The chunk with its last `Began`, and that line's place.
    pub(crate) began: Option<(u64, u64)>,
    /// Its last chunk; 0 before the first.
    pub(crate) last: u64,
    pub(crate) lines: u64,
    pub(crate) holds: u8,
    pub(crate) signals: u8,
    pub(crate) detached: bool,
    pub(crate) ended: bool,
    /// Whether it has left memory, and nothing was written down of it since.
    pub(crate) asleep: bool,
}

/// `processes.ended`.
const ALIVE: u8 = 0;
const ENDED: u8 = 1;
const ASLEEP: u8 = 2;

impl Stored {
    /// As it is stored.
    const fn state(&self) -> u8 {
        match (self.ended, self.asleep) {
            (true, _) => ENDED,
            (false, true) => ASLEEP,
            (false, false) => ALIVE,
        }
    }

    /// From [`COLUMNS`], which begin at `first`.
    pub(crate) fn read(row: &Row<'_>, first: usize) -> rusqlite::Result<Self> {
        let number =
            |column: usize| row.get::<_, Option<i64>>(first + column).map(|number| number.map(i64::cast_unsigned));
        let parent = row.get::<_, Option<u32>>(first + 2)?.zip(row.get::<_, Option<i64>>(first + 3)?);
        let state: u8 = row.get(first + 12)?;
        Ok(Self {
            row: row.get(first)?,
            key: row.get(first + 1)?,
            parent: parent.map(|(tenant, number)| pid_of(tenant, number)),
            created: number(4)?,
            began: number(5)?.zip(number(6)?),
            last: number(7)?.unwrap_or_default(),
            lines: number(8)?.unwrap_or_default(),
            holds: row.get(first + 9)?,
            signals: row.get(first + 10)?,
            detached: row.get(first + 11)?,
            ended: state == ENDED,
            asleep: state == ASLEEP,
        })
    }

    /// The row of a process.
    pub(crate) fn find(db: &Connection, pid: Pid) -> Result<Option<Self>, Damage> {
        let mut select = db.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM processes LEFT JOIN logs USING (process) WHERE tenant = ?1 AND number = ?2"
        ))?;
        Ok(select
            .query_row(params![pid.tenant.0, stored(crate::number::process(pid))], |row| Self::read(row, 0))
            .optional()?)
    }
}

/// A process that the writer has in memory.
pub(crate) struct Process {
    pub(crate) stored: Stored,
    pub(crate) key: Key,
    pub(crate) salts: Salts,
    /// Its chunk in this commit.
    chunk: Option<usize>,
    /// More is different than its last chunk and its count of lines.
    facts: bool,
    sleep: Sleep,
}

impl Process {
    /// Something is written down of it: it sleeps no more.
    fn wake(&mut self) {
        if self.stored.asleep {
            (self.stored.asleep, self.facts, self.sleep) = (false, true, Sleep::Ends);
        }
    }
}

/// A chunk that is collected.
struct Chunk {
    pid: Pid,
    process: i64,
    position: u64,
    previous: u64,
    first_sequence: u64,
    at_ns: u64,
    /// When its last line was appended.
    last_ns: u64,
    plain: Vec<u8>,
    /// How much lies apart from it.
    apart: u64,
}

/// Where a line was put.
pub(crate) struct Placed<'a> {
    /// Its place in the process's log.
    pub(crate) sequence: u64,
    /// Of the process's digests.
    pub(crate) salts: &'a Salts,
    pub(crate) chunk: u64,
    /// So much lies apart from the chunk's lines before it.
    pub(crate) apart: u64,
}

pub(crate) struct Processes {
    rows: Rows<Pid, Process>,
    chunks: Vec<Chunk>,
    /// The next row that was ever given out.
    last_row: i64,
    kinds: Kinds,
}

impl Processes {
    pub(crate) fn new(db: &Connection) -> Result<Self, Damage> {
        let last_row = db.query_row("SELECT ifnull(max(process), 0) FROM processes", [], |row| row.get(0))?;
        Ok(Self { rows: Rows::default(), chunks: Vec::new(), last_row, kinds: Kinds::default() })
    }

    /// A process that has a row.
    pub(crate) fn find(&mut self, tools: &mut Tools<'_>, pid: Pid) -> Result<Option<&mut Process>, Damage> {
        self.rows.look(pid, || load(tools, pid))
    }

    /// Something but its log is different.
    pub(crate) fn change(
        &mut self,
        tools: &mut Tools<'_>,
        pid: Pid,
        change: impl FnOnce(&mut Stored),
    ) -> Result<(), Damage> {
        if self.find(tools, pid)?.is_some()
            && let Some(process) = self.rows.edit(pid, || load(tools, pid))?
        {
            process.wake();
            change(&mut process.stored);
            process.facts = true;
        }
        Ok(())
    }

    /// A message is written down for a process.
    pub(crate) fn wake(&mut self, tools: &mut Tools<'_>, pid: Pid) -> Result<(), Damage> {
        match self.find(tools, pid)?.is_some_and(|process| process.stored.asleep) {
            true => self.change(tools, pid, |_| {}),
            false => Ok(()),
        }
    }

    /// A process has left memory. Not where it is held or signalled, or has ended: then it would have something to do.
    pub(crate) fn sleep(&mut self, tools: &mut Tools<'_>, sleeper: &Sleeper) -> Result<(), Damage> {
        let (pid, mut sleeps) = (sleeper.pid, false);
        self.change(tools, pid, |process| {
            sleeps = process.holds == 0 && process.signals == 0 && !process.ended && process.created.is_some();
            process.asleep = sleeps;
        })?;
        if sleeps && let Some(process) = self.rows.edit(pid, || load(tools, pid))? {
            process.sleep = Sleep::Begins(Box::new(sleeper.clone()));
        }
        Ok(())
    }

    /// A process, with a row from here on.
    pub(crate) fn find_or_new(&mut self, tools: &mut Tools<'_>, pid: Pid) -> Result<&mut Process, Damage> {
        let last_row = &mut self.last_row;
        if self.rows.look(pid, || load(tools, pid))?.is_some() {
            return self.rows.look(pid, || load(tools, pid))?.ok_or(Damage::Missing);
        }
        let under = tools.folder.tenant_or_new(pid.tenant, tools.sealer)?;
        let (key, sealed) = tools.sealer.new_key(&under, Place::process_key(pid))?;
        *last_row += 1;
        let stored = Stored {
            row: *last_row,
            key: sealed,
            parent: None,
            created: None,
            began: None,
            last: 0,
            lines: 0,
            holds: 0,
            signals: 0,
            detached: false,
            ended: false,
            asleep: false,
        };
        let row = self.rows.edit(pid, || Ok::<_, Damage>(None))?;
        Ok(row.insert(Process { stored, salts: key.salts(), key, chunk: None, facts: true, sleep: Sleep::AsBefore }))
    }

    /// The process's key, where its row is in memory.
    pub(crate) fn key(&self, pid: Pid) -> Option<&Key> {
        self.rows.at_hand(pid).map(|process| &process.key)
    }

    /// Adds a line to a process's log.
    pub(crate) fn line(
        &mut self,
        tools: &mut Tools<'_>,
        pid: Pid,
        position: u64,
        at_ns: u64,
        line: &TakenLine,
    ) -> Result<Placed<'_>, Damage> {
        self.find_or_new(tools, pid)?;
        let Some(process) = self.rows.edit(pid, || load(tools, pid))? else { return Err(Damage::Missing) };
        process.wake();
        let row = &mut process.stored;
        row.lines += 1;
        let chunk = *process.chunk.get_or_insert_with(|| {
            let previous = std::mem::replace(&mut row.last, position);
            self.chunks.push(Chunk {
                pid,
                process: row.row,
                position,
                previous,
                first_sequence: row.lines,
                at_ns,
                last_ns: at_ns,
                plain: vec![PLAIN_VERSION],
                apart: 0,
            });
            self.chunks.len() - 1
        });
        match line.kind {
            Kind::Created { parent, .. } => (row.created, row.parent, process.facts) = (Some(row.last), parent, true),
            Kind::Began => (row.began, process.facts) = (Some((row.last, row.lines)), true),
            Kind::Other => {}
        }
        let chunk = &mut self.chunks[chunk];
        let since = at_ns.wrapping_sub(chunk.last_ns).cast_signed();
        chunk.last_ns = at_ns;
        chunk.plain.extend_from_slice(postcard::to_slice(&since, &mut [0; 10])?);
        chunk.plain.extend_from_slice(&line.bytes);
        let apart = chunk.apart;
        chunk.apart += line.apart.len() as u64;
        Ok(Placed { sequence: row.lines, salts: &process.salts, chunk: chunk.position, apart })
    }

    pub(crate) fn flush(&mut self, tools: &mut Tools<'_>) -> Result<(), Damage> {
        self.flush_rows(tools)?;
        let mut insert = tools.db.prepare_cached(
            "INSERT INTO chunks(position, process, previous, first_sequence, at_ns, payload) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?;
        for chunk in &self.chunks {
            let key = self.key(chunk.pid).ok_or(Damage::Missing)?;
            let place = Place::chunk(chunk.pid, chunk.position, chunk.previous, chunk.first_sequence, chunk.at_ns);
            let payload = tools.seal(key, place, &chunk.plain)?;
            let [position, previous, sequence, at_ns] =
                [chunk.position, chunk.previous, chunk.first_sequence, chunk.at_ns].map(stored);
            insert.execute(params![position, chunk.process, previous, sequence, at_ns, payload])?;
        }
        Ok(())
    }

    fn flush_rows(&mut self, tools: &mut Tools<'_>) -> Result<(), Damage> {
        let (db, kinds) = (tools.db, &mut self.kinds);
        let mut insert = db.prepare_cached(
            "INSERT INTO processes(process, key, parent_tenant, parent_number, created, began, began_sequence, holds,
                                   signals, detached, ended, tenant, number)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
        )?;
        // A narrow table of its own: a commit of many processes changes few of its pages, and no index.
        let mut log = db.prepare_cached(
            "INSERT INTO logs(process, last, lines) VALUES (?1, ?2, ?3)
             ON CONFLICT(process) DO UPDATE SET last = ?2, lines = ?3",
        )?;
        let mut facts = db.prepare_cached(
            "UPDATE processes SET parent_tenant = ?2, parent_number = ?3, created = ?4, began = ?5, began_sequence = ?6,
             holds = ?7, signals = ?8, detached = ?9, ended = ?10 WHERE process = ?1",
        )?;
        self.rows.writes(|pid, write| {
            let (process, new) = match write {
                Write::Insert(process) => (process, true),
                Write::Update(process) => (process, false),
                Write::Delete => return Ok(()),
            };
            let row = &process.stored;
            let parent = row.parent.map(|parent| (parent.tenant.0, stored(crate::number::process(parent))));
            let (parent_tenant, parent_number) = (parent.map(|parent| parent.0), parent.map(|parent| parent.1));
            let began = row.began.map(|(chunk, sequence)| (stored(chunk), stored(sequence)));
            let (began, began_sequence) = (began.map(|began| began.0), began.map(|began| began.1));
            let created = row.created.map(stored);
            if new {
                insert.execute(params![
                    row.row,
                    row.key,
                    parent_tenant,
                    parent_number,
                    created,
                    began,
                    began_sequence,
                    row.holds,
                    row.signals,
                    row.detached,
                    row.state(),
                    pid.tenant.0,
                    stored(crate::number::process(pid))
                ])?;
            }
            if process.chunk.is_some() {
                log.execute([row.row, stored(row.last), stored(row.lines)])?;
            }
            if process.facts && !new {
                facts.execute(params![
                    row.row,
                    parent_tenant,
                    parent_number,
                    created,
                    began,
                    began_sequence,
                    row.holds,
                    row.signals,
                    row.detached,
                    row.state()
                ])?;
            }
            kinds.write(tools, row.row, &process.sleep)
        })
    }

    pub(crate) fn settle(&mut self) {
        self.chunks.clear();
        self.rows.settle(|process| (process.chunk, process.facts, process.sleep) = (None, false, Sleep::AsBefore));
    }
}

fn load(tools: &Tools<'_>, pid: Pid) -> Result<Option<Process>, Damage> {
    let Some(stored) = Stored::find(tools.db, pid)? else { return Ok(None) };
    let key = tools.folder.tenant(pid.tenant)?.open_key(Place::process_key(pid), &stored.key)?;
    Ok(Some(Process { stored, salts: key.salts(), key, chunk: None, facts: false, sleep: Sleep::AsBefore }))
}
