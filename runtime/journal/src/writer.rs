//! The thread that writes: whatever was appended while a commit was under way is the next one.
//!
//! | a commit that fails with | is |
//! | --- | --- |
//! | a full disk, no memory, a lock | tried again until it goes well |
//! | a fault of the disk | tried again, so often as [`Retry`] says |
//! | anything else | the end: nothing is appended any more, and whoever waits is told |
//!
//! A commit is always tried again as a whole, by the same connection: see `FORMAT.md` for why a failed `fsync` is not believed then.

use crate::{
    Options,
    audit::{Chains, Head, Signer},
    database,
    error::{Damage, Outlook},
    fold::{Fold, Tools},
    folder::Folder,
    queue::{Group, Queue, Work},
    retain::Job,
    seal::Sealer,
};
use remit_abi::TenantId;
use rusqlite::Connection;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

/// Frames in the WAL after which it is put into the database. 4,096: 16 MiB, so that a checkpoint is rare and takes some
/// milliseconds.
pub(crate) const CHECKPOINT_FRAMES: u32 = 4_096;
/// The longest pause between two tries.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// How a write that failed is tried again.
#[derive(Clone, Copy, Debug)]
pub struct Retry {
    /// How often, where the disk is at fault. Eight: about 2.5 s with the pauses between them, in which a path to a disk may come back.
    pub tries: u32,
    /// Before the second try; each later pause is twice as long, up to a second.
    pub pause: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self { tries: 8, pause: Duration::from_millis(10) }
    }
}

pub(crate) struct Writer {
    pub(crate) db: Connection,
    pub(crate) folder: Arc<Folder>,
    pub(crate) signer: Arc<Signer>,
    pub(crate) clock: fn() -> u64,
    queue: Arc<Queue>,
    /// `None` where it has to be read anew.
    pub(crate) fold: Option<Fold>,
    sealer: Box<Sealer>,
    retry: Retry,
    checkpoint_frames: u32,
    /// Frames in the WAL after the last commit.
    frames: Arc<AtomicU32>,
    /// At so many frames the next checkpoint is tried.
    checkpoint_at: u32,
    /// What a commit destroyed is still in the WAL, and nobody was asked to see to it.
    pub(crate) is_to_scrub: bool,
}

impl Writer {
    pub(crate) fn new(
        db: Connection,
        (folder, signer): (Arc<Folder>, Arc<Signer>),
        queue: Arc<Queue>,
        options: &Options<'_>,
    ) -> Self {
        let sealer = Box::new(Sealer::new());
        let Options { retry, checkpoint_frames, clock, .. } = *options;
        let frames = Arc::default();
        Self {
            db,
            folder,
            signer,
            clock,
            queue,
            fold: None,
            sealer,
            retry,
            frames,
            checkpoint_frames,
            checkpoint_at: checkpoint_frames,
            is_to_scrub: false,
        }
    }

    /// Until the queue is closed and empty, or nothing can be written any more.
    pub(crate) fn run(mut self) {
        let queue = Arc::clone(&self.queue);
        let _told = Told(&queue);
        let frames = Arc::clone(&self.frames);
        let counted = self.db.wal_hook(Some(move |_: &mut _, count: i32| {
            frames.store(count.unsigned_abs(), Ordering::Relaxed);
            Ok(())
        }));
        if let Err(error) = counted {
            return queue.fail(failure(&error.into()));
        }
        let mut spare = Vec::new();
        loop {
            match queue.work(spare) {
                Work::Write(group) => {
                    if let Err(damage) = self.write(&group) {
                        return queue.fail(failure(&damage));
                    }
                    if std::mem::take(&mut self.is_to_scrub) {
                        queue.ask(Job::Scrub);
                    }
                    queue.committed(group.last());
                    spare = group.records;
                    if self.frames.load(Ordering::Relaxed) >= self.checkpoint_at {
                        self.checkpoint();
                    }
                }
                Work::Do(job) => {
                    spare = Vec::new();
                    self.work_on(job);
                }
                Work::End => {
                    if let Err(error) = self.sign_all() {
                        self.roll_back();
                        tracing::warn!(%error, "the last lines of audit chains are not signed until the next start");
                    }
                    if let Err(error) = self.empty_wal() {
                        tracing::warn!(%error, "the journal's WAL stays, and is read on the next start");
                    }
                    return;
                }
            }
        }
    }

    /// Writes a group, however often that takes.
    fn write(&mut self, group: &Group) -> Result<(), Damage> {
        let mut pause = self.retry.pause;
        let (mut faults, mut last) = (0, false);
        loop {
            let Err(damage) = self.attempt(group) else { return Ok(()) };
            let outlook = damage.outlook();
            faults += u32::from(outlook == Outlook::MayPass);
            if outlook == Outlook::Stays || faults >= self.retry.tries || last {
                return Err(damage);
            }
            tracing::warn!(%damage, records = group.records.len(), "a commit of the journal failed and is tried again");
            last = self.queue.pause(pause);
            pause = (pause * 2).min(PAUSE_MAX);
            // Of a full disk: what the WAL takes can be used again.
            self.checkpoint();
        }
    }

    fn attempt(&mut self, group: &Group) -> Result<(), Damage> {
        let outcome = self.commit(group);
        if outcome.is_err() {
            self.fold = None;
            self.roll_back();
        }
        outcome
    }

    fn commit(&mut self, group: &Group) -> Result<(), Damage> {
        self.db.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        let fold = match &mut self.fold {
            Some(fold) => fold,
            None => self.fold.insert(Fold::new(&self.db)?),
        };
        let mut tools = Tools { db: &self.db, folder: &self.folder, signer: &self.signer, sealer: &mut self.sealer };
        fold.write(&mut tools, group)?;
        self.db.prepare_cached("COMMIT")?.execute([])?;
        self.is_to_scrub |= fold.purges();
        fold.settle();
        Ok(())
    }

    /// Signs a tenant's chain as far as it goes; `None` where it has none.
    pub(crate) fn sign(&mut self, tenant: TenantId) -> Result<Option<Head>, Damage> {
        self.begin_apart()?;
        let (mut chains, at_ns) = (Chains::new(&self.db)?, (self.clock)());
        let head = chains.sign(&self.db, &self.signer, tenant, at_ns)?;
        chains.flush(&self.db)?;
        self.db.execute_batch("COMMIT")?;
        Ok(head)
    }

    /// Signs each chain that has lines that are not.
    fn sign_all(&mut self) -> Result<(), Damage> {
        self.begin_apart()?;
        let (mut chains, at_ns) = (Chains::new(&self.db)?, (self.clock)());
        let mut select = self.db.prepare("SELECT tenant FROM chains WHERE number > signed ORDER BY tenant")?;
        for tenant in select.query_map([], |row| row.get(0))? {
            chains.sign(&self.db, &self.signer, TenantId(tenant?), at_ns)?;
        }
        chains.flush(&self.db)?;
        Ok(self.db.execute_batch("COMMIT")?)
    }

    /// Begins a transaction that is not of records: what is in memory of the tables may be different after it.
    pub(crate) fn begin_apart(&mut self) -> Result<(), rusqlite::Error> {
        self.fold = None;
        self.db.execute_batch("BEGIN IMMEDIATE")
    }

    pub(crate) fn roll_back(&self) {
        if !self.db.is_autocommit()
            && let Err(error) = self.db.execute_batch("ROLLBACK")
        {
            tracing::warn!(%error, "a commit of the journal could not be rolled back");
        }
    }

    /// Puts what the WAL holds into the database, as far as no reader needs it.
    fn checkpoint(&mut self) {
        let outcome = self
            .db
            .query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| Ok((row.get::<_, i64>(1)?, row.get::<_, i64>(2)?)));
        match outcome {
            Ok((frames, done)) if frames == done => self.checkpoint_at = self.checkpoint_frames,
            Ok(_) => self.checkpoint_at = self.frames.load(Ordering::Relaxed) + self.checkpoint_frames,
            Err(error) => tracing::warn!(%error, "a checkpoint of the journal failed and is tried again"),
        }
    }

    /// Puts all of the WAL into the database and makes its file empty.
    pub(crate) fn empty_wal(&mut self) -> Result<(), rusqlite::Error> {
        database::empty_wal(&self.db)?;
        self.checkpoint_at = self.checkpoint_frames;
        self.frames.store(0, Ordering::Relaxed);
        Ok(())
    }

    /// The same, where no reader has to be waited for longer than that.
    pub(crate) fn empty_wal_within(&mut self, wait: Duration) -> Result<(), rusqlite::Error> {
        self.db.busy_timeout(wait)?;
        let outcome = self.empty_wal();
        self.db.busy_timeout(database::BUSY)?;
        outcome
    }

    pub(crate) fn ask_again(&self, job: Job) {
        self.queue.ask(job);
    }
}

fn failure(damage: &Damage) -> Box<str> {
    format!("writing it failed for good: {damage}; look after the disk and start the node again").into()
}

/// Whoever waits is told, also where the thread panics.
struct Told<'a>(&'a Queue);

impl Drop for Told<'_> {
    fn drop(&mut self) {
        self.0.fail("its thread has ended".into());
    }
}

/// Starts the thread.
pub(crate) fn start(writer: Writer) -> std::io::Result<std::thread::JoinHandle<()>> {
    std::thread::Builder::new().name("journal".to_owned()).spawn(move || writer.run())
}
