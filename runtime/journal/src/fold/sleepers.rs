//! Processes that have left memory: a narrow row each, which is there until the next thing is written down of the process.

use super::{Tools, plaintext};
use crate::{
    error::Damage,
    number::{self, stored},
    seal::Place,
};
use remit_kernel::ports::{Sleeper, SleeperKind};
use rusqlite::{Connection, OptionalExtension, params};
use rustc_hash::FxHashMap;

/// Kinds that are kept in memory: packages of a node, in all their versions.
const KINDS_MAX: usize = 1_024;

/// What a commit does to a process's row.
#[derive(Default)]
pub(super) enum Sleep {
    /// Nothing.
    #[default]
    AsBefore,
    /// It sleeps from here on.
    Begins(Box<Sleeper>),
    /// It sleeps no more.
    Ends,
}

/// What many processes that sleep have in common, by what it says.
#[derive(Default)]
pub(super) struct Kinds(FxHashMap<Vec<u8>, i64>);

impl Kinds {
    /// The number of a kind, which has a row from here on.
    fn number(&mut self, db: &Connection, kind: &SleeperKind) -> Result<i64, Damage> {
        let facts = plaintext(kind)?;
        if let Some(known) = self.0.get(&facts) {
            return Ok(*known);
        }
        let mut find = db.prepare_cached("SELECT kind FROM kinds WHERE facts = ?1")?;
        let number = match find.query_row([&facts], |row| row.get(0)).optional()? {
            Some(found) => found,
            None => {
                db.prepare_cached("INSERT INTO kinds(facts) VALUES (?1)")?.execute([&facts])?;
                db.last_insert_rowid()
            }
        };
        if self.0.len() >= KINDS_MAX {
            self.0.clear();
        }
        self.0.insert(facts, number);
        Ok(number)
    }

    /// Writes what a commit does to a process's row.
    pub(super) fn write(&mut self, tools: &mut Tools<'_>, process: i64, sleep: &Sleep) -> Result<(), Damage> {
        match sleep {
            Sleep::AsBefore => Ok(()),
            Sleep::Begins(sleeper) => self.put(tools, process, sleeper),
            Sleep::Ends => {
                tools.db.prepare_cached("DELETE FROM sleepers WHERE process = ?1")?.execute([process])?;
                Ok(())
            }
        }
    }

    fn put(&mut self, tools: &mut Tools<'_>, process: i64, sleeper: &Sleeper) -> Result<(), Damage> {
        let tenant = sleeper.pid.tenant;
        let name = match &sleeper.name {
            None => None,
            Some(name) => {
                let key = tools.folder.tenant_or_new(tenant, tools.sealer)?;
                Some(tools.seal(&key, Place::sleeper(sleeper.pid), &plaintext(name)?)?)
            }
        };
        let grants: Vec<u64> = sleeper.grants.iter().map(|grant| number::grant(*grant)).collect();
        let put = "INSERT OR REPLACE INTO sleepers(process, tenant, number, kind, account, payer, grants, funds,
                                                   remaining, started_ns, zero_ns, wakes_ns, name)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";
        let kind = self.number(tools.db, &sleeper.kind)?;
        tools.db.prepare_cached(put)?.execute(params![
            process,
            tenant.0,
            stored(number::process(sleeper.pid)),
            kind,
            stored(number::account(sleeper.account)),
            sleeper.payer.map(|payer| stored(number::account(payer))),
            postcard::to_allocvec(&grants)?,
            stored(sleeper.funds.micro()),
            stored(sleeper.remaining.micro()),
            stored(sleeper.started_ns),
            sleeper.zero_ns,
            sleeper.wakes_ns.map(stored),
            name
        ])?;
        Ok(())
    }
}
