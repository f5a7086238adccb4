//! The chains as the writer goes on with them: one row a tenant and commit, in the transaction that writes what its lines are about.
//!
//! A row ends early where a checkpoint is due, so that every checkpoint is over whole rows.

use super::{
    key::{Purpose, Signer, Statement},
    line::{Act, Hash, LINES_VERSION, Line, Salts, beginning, digest, said},
};
use crate::{
    error::Damage,
    fold::rows::{Rows, Write},
    number::stored,
};
use remit_abi::{Pid, TenantId};
use rusqlite::{Connection, OptionalExtension, params};

/// Lines from one checkpoint to the next, at most: a signature takes some 30 µs, and what nobody has signed yet could be rewritten by whoever
/// has the disk and not the key.
pub(crate) const CHECKPOINT_LINES: u64 = 1_024;

/// A tenant's chain.
struct Chain {
    /// What came up to this position is in no line.
    after: u64,
    /// Its last row; 0 before the first.
    place: i64,
    /// Of its last line; 0 before the first.
    number: u64,
    /// Of the last line that a checkpoint is over.
    signed: u64,
    head: Hash,
    row: Option<Row>,
}

/// A row that is collected.
struct Row {
    first: u64,
    position: u64,
    at_ns: u64,
    /// Position and time of its last line.
    last: (u64, u64),
    lines: Vec<u8>,
}

/// A row that is whole.
struct Done {
    place: i64,
    tenant: TenantId,
    previous: i64,
    row: Row,
    head: Hash,
}

struct Checkpoint {
    tenant: TenantId,
    number: u64,
    place: i64,
    at_ns: u64,
    signature: [u8; 64],
}

/// An entry that becomes a line.
pub(crate) struct Entry<'a> {
    pub(crate) pid: Pid,
    pub(crate) sequence: u64,
    pub(crate) position: u64,
    pub(crate) at_ns: u64,
    pub(crate) plain: &'a [u8],
    pub(crate) fact: &'a [u8],
}

/// How far a chain goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) number: u64,
    pub(crate) hash: Hash,
}

/// The chains, as far as they are in memory.
pub(crate) struct Chains {
    rows: Rows<TenantId, Chain>,
    done: Vec<Done>,
    checkpoints: Vec<Checkpoint>,
    /// The last row that was ever given out.
    last_place: i64,
}

impl Chains {
    pub(crate) fn new(db: &Connection) -> Result<Self, Damage> {
        let last_place = db.query_row("SELECT ifnull(max(place), 0) FROM audit", [], |row| row.get(0))?;
        Ok(Self { rows: Rows::default(), done: Vec::new(), checkpoints: Vec::new(), last_place })
    }

    /// Adds an entry of a process's log.
    pub(crate) fn entry(
        &mut self,
        db: &Connection,
        signer: &Signer,
        entry: &Entry<'_>,
        salts: &Salts,
    ) -> Result<(), Damage> {
        let Entry { pid, sequence, position, at_ns, plain, fact } = *entry;
        let digest = digest(&salts.of(sequence), plain);
        self.add(db, signer, pid.tenant, Line::entry(pid, sequence, position, at_ns, digest, fact))
    }

    /// Adds an act, after the last record.
    pub(crate) fn act(
        &mut self,
        db: &Connection,
        signer: &Signer,
        (tenant, act): (TenantId, Act),
        at_ns: u64,
    ) -> Result<(), Damage> {
        let position = crate::database::position(db)?;
        self.add(db, signer, tenant, Line::act(position, at_ns, &said(&act)?))
    }

    fn add(&mut self, db: &Connection, signer: &Signer, tenant: TenantId, line: Line<'_>) -> Result<(), Damage> {
        let chain = self.rows.edit(tenant, || load(db, signer, tenant))?;
        let chain = chain.get_or_insert_with(|| Chain::new(beginning(tenant, &signer.public()), 0));
        if let Some(after) = chain.is_to_begin() {
            let began = said(&Act::Began { after })?;
            chain.append(Line::act(after, line.at_ns, &began))?;
        }
        chain.append(line)?;
        if chain.number - chain.signed >= CHECKPOINT_LINES {
            self.done.extend(chain.finish(tenant, &mut self.last_place));
            self.checkpoints.push(chain.sign(tenant, signer, line.at_ns));
        }
        Ok(())
    }

    /// Has a checkpoint over all of a chain; nothing where there is one. `None` where there is no chain.
    pub(crate) fn sign(
        &mut self,
        db: &Connection,
        signer: &Signer,
        tenant: TenantId,
        at_ns: u64,
    ) -> Result<Option<Head>, Damage> {
        let Some(chain) = self.rows.edit(tenant, || load(db, signer, tenant))? else { return Ok(None) };
        if let Some(after) = chain.is_to_begin() {
            let began = said(&Act::Began { after })?;
            chain.append(Line::act(after, at_ns, &began))?;
        }
        if chain.number > chain.signed {
            self.done.extend(chain.finish(tenant, &mut self.last_place));
            self.checkpoints.push(chain.sign(tenant, signer, at_ns));
        }
        Ok(Some(Head { number: chain.number, hash: chain.head }))
    }

    pub(crate) fn flush(&mut self, db: &Connection) -> Result<(), Damage> {
        let Self { rows, done, checkpoints, last_place } = self;
        let mut put = db.prepare_cached(
            "INSERT INTO chains(tenant, after, place, number, signed) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT(tenant) DO UPDATE SET place = ?3, number = ?4, signed = ?5",
        )?;
        rows.writes(|tenant, write| {
            let (Write::Insert(chain) | Write::Update(chain)) = write else { return Ok(()) };
            done.extend(chain.finish(tenant, last_place));
            let [after, number, signed] = [chain.after, chain.number, chain.signed].map(stored);
            put.execute(params![tenant.0, after, chain.place, number, signed]).map(drop)
        })?;
        let mut insert = db.prepare_cached(
            "INSERT INTO audit(place, tenant, previous, first, position, at_ns, head, lines)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?;
        for Done { place, tenant, previous, row, head } in done.iter() {
            let [first, position, at_ns] = [row.first, row.position, row.at_ns].map(stored);
            insert.execute(params![place, tenant.0, previous, first, position, at_ns, head, row.lines])?;
        }
        let mut insert = db.prepare_cached(
            "INSERT INTO checkpoints(tenant, number, place, at_ns, signature) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?;
        for Checkpoint { tenant, number, place, at_ns, signature } in checkpoints.iter() {
            insert.execute(params![tenant.0, stored(*number), place, stored(*at_ns), signature])?;
        }
        Ok(())
    }

    pub(crate) fn settle(&mut self) {
        self.done.clear();
        self.checkpoints.clear();
        self.rows.settle(|_| {});
    }
}

impl Chain {
    fn new(head: Hash, after: u64) -> Self {
        Self { after, place: 0, number: 0, signed: 0, head, row: None }
    }

    /// What its first line has to say was before it, where it has no line and something was.
    fn is_to_begin(&self) -> Option<u64> {
        (self.number == 0 && self.after > 0).then_some(self.after)
    }

    fn append(&mut self, line: Line<'_>) -> Result<(), Damage> {
        self.number += 1;
        let line = Line { number: self.number, ..line };
        self.head = line.link(&self.head);
        let row = self.row.get_or_insert_with(|| Row {
            first: line.number,
            position: line.position,
            at_ns: line.at_ns,
            last: (line.position, line.at_ns),
            lines: vec![LINES_VERSION],
        });
        line.write(row.last, &mut row.lines)?;
        row.last = (line.position, line.at_ns);
        Ok(())
    }

    /// The row that was collected, with a place of its own.
    fn finish(&mut self, tenant: TenantId, last_place: &mut i64) -> Option<Done> {
        let row = self.row.take()?;
        *last_place += 1;
        let previous = std::mem::replace(&mut self.place, *last_place);
        Some(Done { place: self.place, tenant, previous, row, head: self.head })
    }

    /// A checkpoint over all lines, which are in whole rows.
    fn sign(&mut self, tenant: TenantId, signer: &Signer, at_ns: u64) -> Checkpoint {
        self.signed = self.number;
        let (number, head) = (self.number, self.head);
        let statement = Statement { purpose: Purpose::Checkpoint, tenant, number, head, at_ns };
        Checkpoint { tenant, number, place: self.place, at_ns, signature: signer.sign(&statement) }
    }
}

fn load(db: &Connection, signer: &Signer, tenant: TenantId) -> Result<Option<Chain>, Damage> {
    let mut select = db.prepare_cached(
        "SELECT after, chains.place, number, signed, head FROM chains LEFT JOIN audit ON audit.place = chains.place
         WHERE chains.tenant = ?1",
    )?;
    let chain = select.query_row([tenant.0], |row| {
        let number = |column| row.get::<_, i64>(column).map(i64::cast_unsigned);
        let (after, place, head) = (number(0)?, row.get(1)?, row.get::<_, Option<Hash>>(4)?);
        Ok((Chain { after, place, number: number(2)?, signed: number(3)?, head: [0; 32], row: None }, head))
    });
    let Some((chain, head)) = chain.optional()? else { return Ok(None) };
    let head = match (chain.number, head) {
        (0, _) => beginning(tenant, &signer.public()),
        (_, Some(head)) => head,
        (_, None) => return Err(Damage::Missing),
    };
    Ok(Some(Chain { head, ..chain }))
}
