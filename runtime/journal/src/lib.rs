//! The kernel's journal on SQLite: one ordered log per node, and what is true after it.
//!
//! | part | does |
//! | --- | --- |
//! | this file | opens; the port |
//! | `queue` | records that wait for the disk, and who waits for them |
//! | `writer` | the thread that commits groups of records; what becomes of a commit that fails |
//! | `fold` | what records do to the tables |
//! | `read` | what is true of the node, by a second connection |
//! | `logs`, `sleepers`, `memory` | processes and histories; processes that have left memory; what is kept of memories: by the same |
//! | `apart` | what is taken out of a line of a log, so that it can be destroyed |
//! | `retain` | forgets what is too old, and tenants; has old copies go of what was purged |
//! | `recall` | what tenants were told, found by its words |
//! | `snapshots` | keys and values of models that have left memory, in sealed files |
//! | `audit` | a hash chain a tenant over the log, its export, and the check of an export |
//! | `seal`, `folder` | keys, and what is sealed under them; the folder's files |
//! | `database` | the database's version and settings; `schema` has its tables, by the version that brought them |
//!
//! Principles:
//!
//! - The files are laid out in `FORMAT.md`, and old ones stay readable.
//! - Appending encodes on the caller's thread and pushes under one short lock. It never waits for the disk.
//! - While a commit is under way the next group collects: one `fsync` for all that came meanwhile, and no delay where nothing came.
//! - A commit writes each row that changed once, and each process's lines as one chunk.
//! - What says something of a tenant's content is sealed under a key of its process, or of an entry of its memory, that under its tenant's, that
//!   under the node's.
//! - A failed `fsync` is never believed.
//!
//! Limits: [`WAITING_BYTES_MAX`].

mod apart;
pub mod audit;
mod database;
mod error;
mod fold;
mod folder;
mod logs;
mod memory;
mod number;
mod queue;
mod read;
mod recall;
mod retain;
mod seal;
mod sleepers;
mod snapshots;
mod writer;

pub use error::{ExportError, ForgetError, OpenError};
pub use queue::WAITING_BYTES_MAX;
pub use recall::{QUESTION_BYTES_MAX, RECALLED_MAX, RecallError, RecallRules, Recalled, Recalling};
pub use snapshots::DiskSnapshots;
pub use writer::Retry;

use audit::{Detail, Exported, PublicKey, Signer};
use database::Opening;
use error::Damage;
use folder::Folder;
use parking_lot::Mutex;
use queue::{Queue, Taken};
use read::Reader;
use recall::Recall;
use remit_abi::{AccountId, GrantId, Pid, TenantId};
use remit_kernel::ports::{
    Holdings, Journal, JournalError, Line, NodeImage, PortFuture, Position, Record, Sleeper, StoredProcess,
    StoredResult,
};
use retain::Job;
use std::{
    fmt,
    io::Write,
    path::Path,
    sync::{
        Arc, OnceLock,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::JoinHandle,
    time::{SystemTime, UNIX_EPOCH},
};
use writer::{CHECKPOINT_FRAMES, Writer};

/// How a journal is opened. The default is what a node uses.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// The name of the SQLite VFS; `None` is the system's files.
    #[doc(hidden)]
    pub vfs: Option<&'a str>,
    /// What the wall clock reads, in nanoseconds since 1970-01-01T00:00:00Z.
    pub clock: fn() -> u64,
    /// How a write that failed is tried again.
    pub retry: Retry,
    /// Frames of 4 KiB in the WAL after which it is put into the database.
    pub checkpoint_frames: u32,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self { vfs: None, clock: wall_ns, retry: Retry::default(), checkpoint_frames: CHECKPOINT_FRAMES }
    }
}

fn wall_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// The durable journal of a node. Dropping it writes what waits.
pub struct SqliteJournal {
    queue: Arc<Queue>,
    folder: Arc<Folder>,
    signer: Arc<Signer>,
    /// The name of the SQLite VFS.
    vfs: Option<Box<str>>,
    /// `None` once it is being dropped.
    reader: Mutex<Option<Reader>>,
    recall: Recall,
    /// Where they were asked for.
    snapshots: OnceLock<Arc<DiskSnapshots>>,
    clock: fn() -> u64,
    writer: Option<JoinHandle<()>>,
}

impl fmt::Debug for SqliteJournal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteJournal").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl SqliteJournal {
    /// Opens the journal in a folder; makes both where there is none. Reads no history: it takes as long for a million processes as for one.
    ///
    /// # Errors
    /// [`OpenError`]; nothing was changed then that was there before.
    pub fn open(folder: &Path) -> Result<Self, OpenError> {
        Self::open_with(folder, Options::default())
    }

    /// The same, not with the defaults.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open_with(folder: &Path, options: Options<'_>) -> Result<Self, OpenError> {
        let folder = Arc::new(Folder::open(folder)?);
        let path = folder.database();
        let opening = Opening::of(&path, options.vfs)?;
        let signer = Arc::new(Signer::open(&folder, opening.has_chains())?);
        let db = opening.finish()?;
        let synced = folder.sync();
        synced.map_err(|source| OpenError::Folder { path: path.clone(), source })?;
        let reader = Reader { db: database::open_reader(&path, options.vfs)?, folder: Arc::clone(&folder) };
        let queue = Arc::new(Queue::new(database::position(&db)?));
        let keys = (Arc::clone(&folder), Arc::clone(&signer));
        let writer = Writer::new(db, keys, Arc::clone(&queue), &options);
        let writer = writer::start(writer).map_err(|error| OpenError::System(error.to_string().into()))?;
        let (reader, vfs) = (Mutex::new(Some(reader)), options.vfs.map(Into::into));
        let recall = Recall::default();
        let snapshots = OnceLock::new();
        Ok(Self { queue, folder, signer, vfs, reader, recall, snapshots, clock: options.clock, writer: Some(writer) })
    }

    /// Commits so far, which is also how often the disk was waited for by `fsync`, checkpoints apart.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.queue.commits()
    }

    /// Forgets history that is older than a time on the wall clock: chunks of ended processes, and of runs before a living
    /// process's last. What is true after the log stays as it is. Blocks until it is done, which may be minutes; records are appended and
    /// committed meanwhile. How many chunks.
    ///
    /// # Errors
    /// [`ForgetError`].
    pub fn forget_before(&self, wall_ns: u64) -> Result<u64, ForgetError> {
        let forget = || self.ask(|done| Job::Before { wall_ns, from: 0, deleted: 0, done });
        self.recall.emptied(&self.folder, None, forget)?
    }

    /// Erases a tenant: all that its processes were told, what waits for them, its grants and its tags, and the key that each copy of
    /// these would need. Amounts of accounts stay. Blocks until it is done.
    ///
    /// # Errors
    /// [`ForgetError::Living`] where a process of the tenant has not ended; others.
    pub fn forget_tenant(&self, tenant: TenantId) -> Result<(), ForgetError> {
        let forget = || self.ask(|done| Job::Tenant { tenant, done });
        self.recall.emptied(&self.folder, Some(tenant), forget)??;
        if let Some(snapshots) = self.snapshots.get() {
            snapshots.erase(tenant);
        }
        Ok(())
    }

    /// Where models' keys and values that leave memory are kept: in a folder of files with so many bytes at most, sealed under keys that
    /// follow from their tenants'. From then on they are erased with these. Who asks again gets the same, whatever they ask for.
    ///
    /// # Errors
    /// [`OpenError::System`], where there is no thread for it.
    pub fn snapshots(&self, folder: &Path, bytes_max: u64) -> Result<Arc<DiskSnapshots>, OpenError> {
        if let Some(snapshots) = self.snapshots.get() {
            return Ok(Arc::clone(snapshots));
        }
        let opened = DiskSnapshots::open(&self.folder, folder, bytes_max);
        let opened = opened.map_err(|error| OpenError::System(error.to_string().into()))?;
        Ok(Arc::clone(self.snapshots.get_or_init(|| Arc::new(opened))))
    }

    /// Waits until the snapshots that were given so far are on the disk, or will not be; nothing where there are none.
    pub fn settle_snapshots(&self) {
        if let Some(snapshots) = self.snapshots.get() {
            snapshots.settle();
        }
    }

    /// The public half of the key that audit chains are signed with.
    #[must_use]
    pub fn audit_key(&self) -> PublicKey {
        self.signer.public()
    }

    /// Writes a tenant's audit chain, as far as it goes now, as a file that [`audit::verify`] checks. Blocks until it is done; records are
    /// appended, committed and read meanwhile, and what is in memory of it is one checkpoint's lines at most.
    ///
    /// # Errors
    /// [`ExportError`]; what was written until then is no whole export.
    pub fn export_audit(&self, tenant: TenantId, detail: Detail, out: &mut dyn Write) -> Result<Exported, ExportError> {
        let failed = |damage: Damage| audit::failed(tenant, &damage);
        self.queue.settle()?;
        let (done, answer) = sync_channel(1);
        self.queue.ask(Job::Sign { tenant, done });
        let ended = |_| JournalError::Refused("its thread has ended".into());
        let end = answer.recv().map_err(ended)?.map_err(failed)?.ok_or(ExportError::Empty(tenant))?;
        let db = database::open_reader(&self.folder.database(), self.vfs.as_deref());
        let reader = Reader { db: db.map_err(|error| failed(error.into()))?, folder: Arc::clone(&self.folder) };
        audit::export(&reader, &self.signer, (tenant, end, (self.clock)()), detail, out)
    }

    fn ask<T>(&self, job: impl FnOnce(SyncSender<Result<T, ForgetError>>) -> Job) -> Result<T, ForgetError> {
        self.queue.settle()?;
        let (done, answer): (_, Receiver<_>) = sync_channel(1);
        self.queue.ask(job(done));
        answer.recv().unwrap_or_else(|_| Err(JournalError::Refused("its thread has ended".into()).into()))
    }

    /// Reads one state, in which all is that was appended before.
    fn read<T>(
        &self,
        what: impl fmt::Display,
        read: impl FnOnce(&Reader) -> Result<T, Damage>,
    ) -> Result<T, JournalError> {
        self.queue.settle()?;
        let reader = self.reader.lock();
        let outcome = reader.as_ref().ok_or(Damage::Missing).and_then(|reader| {
            let state = reader.db.unchecked_transaction()?;
            let value = read(reader)?;
            state.commit()?;
            Ok(value)
        });
        outcome.map_err(|damage| damage.of(what))
    }
}

/// Reading blocks until what was appended before is on the disk, and then for as long as SQLite reads: not for an executor's
/// threads.
impl Journal for SqliteJournal {
    fn append(&self, records: &[Record<'_>]) -> Result<Position, JournalError> {
        let at_ns = (self.clock)();
        let taken = records.iter().map(|record| Taken::new(record, at_ns));
        self.queue.push(taken.collect::<Result<_, _>>()?)
    }

    fn durable(&self, position: Position) -> PortFuture<'_, Result<(), JournalError>> {
        Box::pin(self.queue.durable(position))
    }

    fn node(&self) -> Result<NodeImage, JournalError> {
        self.read("the node's tables", Reader::node)
    }

    fn awake(&self, sleeper: &mut dyn FnMut(Sleeper)) -> Result<NodeImage, JournalError> {
        self.read("the node's tables", |reader| reader.awake(sleeper))
    }

    fn holdings(&self, accounts: &[AccountId], grants: &[GrantId]) -> Result<Holdings, JournalError> {
        self.read("accounts and grants", |reader| reader.holdings(accounts, grants))
    }

    fn process(&self, pid: Pid) -> Result<Option<StoredProcess>, JournalError> {
        self.read(format_args!("process {pid}"), |reader| reader.process(pid))
    }

    fn results(&self, of: Option<Pid>, limit: usize) -> Result<Vec<StoredResult>, JournalError> {
        self.read("what has ended", |reader| reader.results(of, limit))
    }

    fn history(&self, pid: Pid, from: u64, limit: usize) -> Result<Vec<Line>, JournalError> {
        self.read(format_args!("process {pid}"), |reader| reader.history(pid, from, limit))
    }
}

impl Drop for SqliteJournal {
    fn drop(&mut self) {
        // The connection that is closed last removes the WAL, and one that only reads cannot.
        self.reader.lock().take();
        self.queue.close();
        if let Some(Err(_)) = self.writer.take().map(JoinHandle::join) {
            tracing::error!("the journal's thread panicked: what it had not confirmed is lost");
        }
    }
}
