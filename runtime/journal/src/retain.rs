//! Forgetting: history that is too old, and all of a tenant. And signing, which somebody asks for.
//!
//! All is done by the thread that writes; forgetting in slices, with commits of records in between. What a slice deletes is a line in the
//! chains of those who lose it, in the same transaction.

use crate::{
    audit::{Act, Chains, Head},
    database,
    error::{Damage, ForgetError},
    number::stored,
    writer::Writer,
};
use remit_abi::TenantId;
use rusqlite::{ErrorCode, OptionalExtension, params};
use std::{collections::BTreeMap, sync::mpsc::SyncSender, time::Duration};

/// Positions that one slice looks at, and chunks that it deletes at most: some milliseconds.
const SLICE: u64 = 1_000;

/// How long a commit may have to wait until nobody reads what was purged. Then that is tried again after it. Readers read for milliseconds.
const SCRUB_WAIT: Duration = Duration::from_millis(20);

/// What the writer is asked to do between two groups.
pub(crate) enum Job {
    Before {
        wall_ns: u64,
        from: u64,
        deleted: u64,
        done: SyncSender<Result<u64, ForgetError>>,
    },
    Tenant {
        tenant: TenantId,
        done: SyncSender<Result<(), ForgetError>>,
    },
    Sign {
        tenant: TenantId,
        done: SyncSender<Result<Option<Head>, Damage>>,
    },
    /// An act of somebody's who may go on when it is on the disk.
    WriteDown {
        tenant: TenantId,
        act: Act,
        done: SyncSender<Result<(), Damage>>,
    },
    /// Of what a commit destroyed old pages have copies in the WAL.
    Scrub,
}

/// Whether there is more to be done.
#[derive(PartialEq, Eq)]
enum Slice {
    More,
    Last,
}

impl Writer {
    pub(crate) fn work_on(&mut self, job: Job) {
        match job {
            Job::Before { wall_ns, from, deleted, done } => match self.forget_slice(wall_ns, from) {
                Ok((more, Slice::More)) => {
                    self.ask_again(Job::Before { wall_ns, from: from + SLICE, deleted: deleted + more, done });
                }
                // Whoever asked may have gone meanwhile.
                Ok((more, Slice::Last)) => drop(done.send(Ok(deleted + more))),
                Err(error) => {
                    self.roll_back();
                    drop(done.send(Err(error.into())));
                }
            },
            Job::Sign { tenant, done } => {
                let outcome = self.sign(tenant).inspect_err(|_| self.roll_back());
                drop(done.send(outcome));
            }
            Job::WriteDown { tenant, act, done } => {
                let outcome = self.write_down_apart(tenant, act).inspect_err(|_| self.roll_back());
                drop(done.send(outcome));
            }
            Job::Scrub => self.scrub(),
            Job::Tenant { tenant, done } => match self.forget_tenant_slice(tenant) {
                Ok(Slice::More) => self.ask_again(Job::Tenant { tenant, done }),
                Ok(Slice::Last) => {
                    let outcome = self.destroy(tenant).inspect_err(|_| self.roll_back());
                    drop(done.send(outcome));
                }
                Err(error) => {
                    self.roll_back();
                    drop(done.send(Err(error)));
                }
            },
        }
    }

    /// Makes the WAL's file empty, at once or as soon as nobody reads an old state of the database.
    fn scrub(&mut self) {
        match self.empty_wal_within(SCRUB_WAIT) {
            Ok(()) => {}
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => self.ask_again(Job::Scrub),
            Err(error) => {
                tracing::warn!(%error, "what was purged stays in the journal's WAL until after the next commit");
                self.is_to_scrub = true;
            }
        }
    }

    /// Chunks of ended processes, and of runs that are over, which are older than a time.
    fn forget_slice(&mut self, wall_ns: u64, from: u64) -> Result<(u64, Slice), Damage> {
        self.begin_apart()?;
        let mut delete = self.db.prepare_cached(
            "DELETE FROM chunks WHERE position > ?1 AND position <= ?2 AND at_ns < ?3 AND NOT EXISTS (
                 SELECT 1 FROM processes
                 WHERE processes.process = chunks.process AND ended <> 1
                   AND (began IS NULL OR chunks.position >= began OR chunks.position = created))
             RETURNING ifnull((SELECT tenant FROM processes WHERE processes.process = chunks.process), -1)",
        )?;
        let before_ns = wall_ns.min(i64::MAX as u64);
        let mut delete_apart = self.db.prepare_cached(
            "DELETE FROM remembered WHERE position > ?1 AND position <= ?2
               AND NOT EXISTS (SELECT 1 FROM chunks WHERE chunks.position = remembered.position)",
        )?;
        let mut losses = BTreeMap::<_, u64>::new();
        for tenant in delete.query_map([from, from + SLICE, before_ns].map(stored), |row| row.get::<_, i64>(0))? {
            *losses.entry(tenant?).or_default() += 1;
        }
        delete_apart.execute([from, from + SLICE].map(stored))?;
        let deleted = losses.values().sum();
        // A chunk whose process has no row is nobody's.
        let of_tenants = losses.into_iter().filter_map(|(tenant, chunks)| Some((u32::try_from(tenant).ok()?, chunks)));
        let acts = of_tenants.map(|(tenant, chunks)| (TenantId(tenant), Act::Forgot { before_ns, chunks }));
        self.write_down(acts)?;
        let slice = match database::position(&self.db)? > from + SLICE {
            true => Slice::More,
            false => {
                self.forget_processes()?;
                Slice::Last
            }
        };
        self.db.execute_batch("COMMIT")?;
        Ok((deleted, slice))
    }

    /// Adds an act to its tenant's chain, in a transaction of its own.
    fn write_down_apart(&mut self, tenant: TenantId, act: Act) -> Result<(), Damage> {
        self.begin_apart()?;
        self.write_down([(tenant, act)])?;
        Ok(self.db.execute_batch("COMMIT")?)
    }

    /// Adds acts to their tenants' chains, in the transaction that was begun.
    fn write_down(&self, acts: impl IntoIterator<Item = (TenantId, Act)>) -> Result<(), Damage> {
        let (mut chains, at_ns) = (Chains::new(&self.db)?, (self.clock)());
        acts.into_iter().try_for_each(|act| chains.act(&self.db, &self.signer, act, at_ns))?;
        chains.flush(&self.db)
    }

    /// Rows of ended processes of which nothing is left. What a process without a parent came to is forgotten with the last of its
    /// history.
    fn forget_processes(&self) -> Result<(), rusqlite::Error> {
        self.db.execute(
            "DELETE FROM reports WHERE process IN (SELECT process FROM processes WHERE ended = 1 AND parent_number IS NULL)
               AND NOT EXISTS (SELECT 1 FROM logs JOIN chunks ON position = last WHERE logs.process = reports.process)",
            [],
        )?;
        let mut delete = self.db.prepare_cached(
            "DELETE FROM processes WHERE ended = 1
               AND NOT EXISTS (SELECT 1 FROM logs JOIN chunks ON position = last WHERE logs.process = processes.process)
               AND NOT EXISTS (SELECT 1 FROM reports WHERE reports.process = processes.process)
               AND (tenant, number) NOT IN (SELECT caller_tenant, caller FROM calls)
             RETURNING process",
        )?;
        let mut delete_log = self.db.prepare_cached("DELETE FROM logs WHERE process = ?1")?;
        let gone = delete.query_map([], |row| row.get::<_, i64>(0))?.collect::<Result<Vec<_>, _>>()?;
        gone.into_iter().try_for_each(|process| delete_log.execute([process]).map(drop))
    }

    /// Chunks of some of a tenant's processes, from the newest to the oldest; then the rest of the tenant.
    fn forget_tenant_slice(&mut self, tenant: TenantId) -> Result<Slice, ForgetError> {
        let living: i64 = self.db.query_row(
            "SELECT count(*) FROM processes WHERE tenant = ?1 AND ended <> 1 AND created IS NOT NULL",
            [tenant.0],
            |row| row.get(0),
        )?;
        if living > 0 {
            return Err(ForgetError::Living { tenant, living: living.unsigned_abs() });
        }
        self.begin_apart()?;
        let (mut left, mut chunks, mut processes) = (SLICE, 0, 0);
        while left > 0 {
            let next = "SELECT process, ifnull(last, 0), ifnull(created, 0)
                        FROM processes LEFT JOIN logs USING (process) WHERE tenant = ?1 LIMIT 1";
            let next = self
                .db
                .prepare_cached(next)?
                .query_row([tenant.0], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?)));
            let Some((process, last, created)) = next.optional()? else { break };
            let end = self.forget_chain(last, &mut left, &mut chunks)?;
            if end != 0 {
                self.db.execute("UPDATE logs SET last = ?2 WHERE process = ?1", [process, end])?;
                break;
            }
            chunks += self.db.execute("DELETE FROM chunks WHERE position = ?1", [created])? as u64;
            self.db.execute("DELETE FROM remembered WHERE position = ?1", [created])?;
            processes += 1;
            for table in ["letters", "reports", "logs", "processes"] {
                self.db.execute(&format!("DELETE FROM {table} WHERE process = ?1"), [process])?;
            }
            left = left.saturating_sub(1);
        }
        if left > 0 {
            self.db.execute("DELETE FROM calls WHERE caller_tenant = ?1 OR receiver_tenant = ?1", [tenant.0])?;
            self.db.execute("DELETE FROM grants WHERE tenant = ?1", [tenant.0])?;
            for table in [
                "tags",
                "questions",
                "approvals",
                "notices",
                "tool_calls",
                "deployments",
                "memory_writes",
                "memory_keys",
            ] {
                self.db.execute(&format!("DELETE FROM {table} WHERE tenant = ?1"), [tenant.0])?;
            }
        }
        if chunks + processes > 0 {
            self.write_down([(tenant, Act::Erasing { processes, chunks })])?;
        }
        self.db.execute_batch("COMMIT")?;
        Ok(if left > 0 { Slice::Last } else { Slice::More })
    }

    /// Deletes a chain from its newest chunk on. Where it goes on; 0 at its end.
    fn forget_chain(&self, last: i64, left: &mut u64, chunks: &mut u64) -> Result<i64, rusqlite::Error> {
        let mut delete = self.db.prepare_cached("DELETE FROM chunks WHERE position = ?1 RETURNING previous")?;
        let mut delete_apart = self.db.prepare_cached("DELETE FROM remembered WHERE position = ?1")?;
        let mut next = last;
        while next != 0 && *left > 0 {
            let previous = delete.query_row(params![next], |row| row.get(0)).optional()?;
            *chunks += u64::from(previous.is_some());
            delete_apart.execute([next])?;
            next = previous.unwrap_or(0);
            *left -= 1;
        }
        Ok(next)
    }

    /// Nothing of a tenant's is in a table any more: neither shall it be in the WAL, nor be opened wherever it was copied to. That it is so
    /// is written down when it is.
    fn destroy(&mut self, tenant: TenantId) -> Result<(), ForgetError> {
        self.folder.destroy(tenant)?;
        self.begin_apart()?;
        let known: bool =
            self.db.query_row("SELECT count(*) FROM chains WHERE tenant = ?1", [tenant.0], |row| row.get(0))?;
        if known {
            self.write_down([(tenant, Act::Erased)])?;
        }
        self.db.execute_batch("COMMIT")?;
        // Zeros are written over what is deleted, and not over the copies that a page's gap keeps when cells move to another page: all
        // pages are written anew.
        self.db.execute_batch("VACUUM")?;
        Ok(self.empty_wal()?)
    }
}
