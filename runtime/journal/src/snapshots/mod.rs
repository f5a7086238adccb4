//! Keys and values of models that have left memory, in a folder of sealed files: the port [`Snapshots`].
//!
//! | part | does |
//! | --- | --- |
//! | this file | what waits for the disk, and the thread that does it |
//! | `files` | a block as a file: named, sealed, whole or not at all |
//! | `index` | which files there are, and which of them goes first |
//!
//! Principles:
//!
//! - *Nobody waits.* Blocks to write wait in memory, [`WAITING_BYTES_MAX`] of them at most; more are not kept. Who reads is answered
//!   on the thread, before anything is written that waits.
//! - *Nothing fails.* A full disk, a damaged file, a tenant without a key: the block is not there, and is computed again. Each is counted.
//! - *A tenant's are his.* Files are named by digests under a key that follows from the tenant's, and sealed under another one. With the
//!   tenant's key all of them are noise, wherever a copy is left; the files themselves are removed then, or at the next start.
//! - *Bounded.* What was used least recently makes room.
//!
//! It is here since what it writes is sealed with keys that this crate alone has.

mod files;
mod index;

use crate::{audit::Hash, error::Damage, folder::Folder, seal::Sealer};
use files::{Files, Unread};
use index::{FileId, Index};
use parking_lot::{Condvar, Mutex, MutexGuard};
use remit_abi::TenantId;
use remit_kernel::ports::{ReadSnapshot, SnapshotFigures, SnapshotName, SnapshotReader, Snapshots};
use rustc_hash::{FxHashMap, FxHashSet};
use std::{collections::VecDeque, fmt, io, path::Path, sync::Arc, thread::JoinHandle, time::Instant};

/// Bytes of blocks that wait for the disk. 128 MiB: a tenth of a second of a quick one, and some thousand tokens of a model of 7 billion
/// weights.
pub(crate) const WAITING_BYTES_MAX: usize = 128 << 20;
/// What a file has besides the block, at most.
const FILE_BYTES_ADDED: u64 = 64;
/// Calls that wait to be read. 64: as many as an engine computes side by side.
const READS_MAX: usize = 64;

/// Snapshots in a folder. Dropping it writes what waits.
pub struct DiskSnapshots {
    shared: Arc<Shared>,
    /// `None` only while it is dropped.
    thread: Option<JoinHandle<()>>,
}

impl fmt::Debug for DiskSnapshots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DiskSnapshots").field("figures", &self.figures()).finish_non_exhaustive()
    }
}

struct Shared {
    files: Files,
    bytes_max: u64,
    state: Mutex<State>,
    /// There is something to do.
    rang: Condvar,
    /// A block is on the disk, or will not be.
    wrote: Condvar,
    /// Under which files of tenants are named: what follows from their keys.
    naming: Mutex<FxHashMap<TenantId, Hash>>,
}

#[derive(Default)]
struct State {
    index: Index,
    writes: VecDeque<Write>,
    /// Of these.
    writes_bytes: usize,
    /// Also the one that is being written.
    pending: FxHashSet<FileId>,
    reads: VecDeque<Read>,
    figures: SnapshotFigures,
    closing: bool,
}

struct Write {
    id: FileId,
    bytes: Vec<u8>,
}

struct Read {
    tenant: TenantId,
    names: Vec<SnapshotName>,
    reader: SnapshotReader,
}

enum Job {
    Read(Read),
    Write(Write),
}

impl DiskSnapshots {
    /// In a folder, which is made with the first file, with so many bytes at most. Which files are there is found out on its thread.
    ///
    /// # Errors
    /// Where the system gives no thread.
    pub(crate) fn open(keys: &Arc<Folder>, folder: &Path, bytes_max: u64) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            files: Files::new(Arc::clone(keys), folder),
            bytes_max,
            state: Mutex::default(),
            rang: Condvar::new(),
            wrote: Condvar::new(),
            naming: Mutex::default(),
        });
        let serve = {
            let shared = Arc::clone(&shared);
            move || shared.serve()
        };
        let thread = std::thread::Builder::new().name("kv-snapshots".to_owned()).spawn(serve)?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Waits until all that was given so far is on the disk, or will not be.
    pub(crate) fn settle(&self) {
        let mut state = self.shared.state.lock();
        while !state.pending.is_empty() {
            self.shared.wrote.wait(&mut state);
        }
    }

    /// A tenant's key is destroyed: its files go.
    pub(crate) fn erase(&self, tenant: TenantId) {
        self.shared.naming.lock().remove(&tenant);
        let mut state = self.shared.state.lock();
        let State { index, writes, writes_bytes, pending, .. } = &mut *state;
        writes.retain(|write| write.id.tenant != tenant);
        *writes_bytes = writes.iter().map(|write| write.bytes.len()).sum();
        pending.retain(|id| id.tenant != tenant);
        index.remove_tenant(tenant);
        drop(state);
        self.shared.wrote.notify_all();
        self.shared.files.remove_tenant(tenant);
    }
}

impl Snapshots for DiskSnapshots {
    fn holds(&self, tenant: TenantId, name: SnapshotName) -> bool {
        let id = self.shared.id(tenant, name);
        id.is_ok_and(|id| self.shared.state.lock().index.contains(&id))
    }

    fn wants(&self, tenant: TenantId, name: SnapshotName) -> bool {
        let id = self.shared.id(tenant, name);
        let state = &mut *self.shared.state.lock();
        match id {
            Ok(id) if state.index.contains(&id) || state.pending.contains(&id) => false,
            Ok(_) if state.writes_bytes < WAITING_BYTES_MAX => true,
            _ => {
                state.figures.refused += 1;
                false
            }
        }
    }

    fn keep(&self, tenant: TenantId, name: SnapshotName, bytes: Vec<u8>) {
        let id = self.shared.id(tenant, name);
        let state = &mut *self.shared.state.lock();
        match id {
            Ok(id) if state.writes_bytes < WAITING_BYTES_MAX => {
                if !state.index.contains(&id) && state.pending.insert(id) {
                    state.writes_bytes += bytes.len();
                    state.writes.push_back(Write { id, bytes });
                    self.shared.rang.notify_one();
                }
            }
            _ => state.figures.refused += 1,
        }
    }

    fn read(&self, tenant: TenantId, names: Vec<SnapshotName>, reader: SnapshotReader) {
        let state = &mut *self.shared.state.lock();
        if state.reads.len() < READS_MAX {
            state.reads.push_back(Read { tenant, names, reader });
            self.shared.rang.notify_one();
        }
    }

    fn figures(&self) -> SnapshotFigures {
        let state = self.shared.state.lock();
        let (blocks, bytes) = (state.index.len() as u64, state.index.bytes());
        SnapshotFigures { blocks, bytes, bytes_max: self.shared.bytes_max, ..state.figures }
    }
}

impl Drop for DiskSnapshots {
    fn drop(&mut self) {
        self.shared.state.lock().closing = true;
        self.shared.rang.notify_all();
        if let Some(Err(_)) = self.thread.take().map(JoinHandle::join) {
            tracing::error!("the thread that keeps keys and values panicked; they are computed again");
        }
    }
}

impl Shared {
    fn id(&self, tenant: TenantId, name: SnapshotName) -> Result<FileId, Damage> {
        let known = self.naming.lock().get(&tenant).copied();
        let naming = match known {
            Some(naming) => naming,
            None => {
                let naming = self.files.naming(tenant)?;
                self.naming.lock().insert(tenant, naming);
                naming
            }
        };
        Ok(Files::id(&naming, tenant, name))
    }

    fn serve(&self) {
        let found = self.files.list();
        {
            let state = &mut *self.state.lock();
            found.into_iter().for_each(|(id, bytes)| state.index.insert(id, bytes));
        }
        self.make_room(0);
        let mut sealer = Sealer::new();
        while let Some(job) = self.next() {
            match job {
                Job::Read(read) => self.read(read),
                Job::Write(write) => self.write(&write, &mut sealer),
            }
        }
    }

    /// Waits for something to do. Whoever reads goes first; at the end nobody does any more.
    fn next(&self) -> Option<Job> {
        let mut state: MutexGuard<'_, State> = self.state.lock();
        loop {
            if state.closing {
                state.reads.clear();
            }
            if let Some(read) = state.reads.pop_front() {
                return Some(Job::Read(read));
            }
            if let Some(write) = state.writes.pop_front() {
                state.writes_bytes -= write.bytes.len();
                return Some(Job::Write(write));
            }
            if state.closing {
                return None;
            }
            self.rang.wait(&mut state);
        }
    }

    fn read(&self, Read { tenant, names, mut reader }: Read) {
        for (index, name) in names.into_iter().enumerate() {
            let begin = Instant::now();
            let bytes = self.read_one(tenant, name);
            let (is_last, took) = (bytes.is_none(), begin.elapsed());
            let is_wanted = reader(ReadSnapshot { index, bytes, took });
            if is_last || !is_wanted || self.state.lock().closing {
                return;
            }
        }
    }

    fn read_one(&self, tenant: TenantId, name: SnapshotName) -> Option<Vec<u8>> {
        let Ok(id) = self.id(tenant, name) else {
            self.state.lock().figures.missing += 1;
            return None;
        };
        self.state.lock().index.touch(&id);
        let read = self.files.read(&id);
        let state = &mut *self.state.lock();
        match read {
            Ok(bytes) => {
                state.figures.read += 1;
                return Some(bytes);
            }
            Err(Unread::Missing) => state.figures.missing += 1,
            Err(Unread::Damaged(why)) => {
                state.figures.damaged += 1;
                tracing::warn!(%tenant, %why, "a snapshot of keys and values is damaged; they are computed again");
                self.files.remove(&id);
            }
        }
        state.index.remove(&id);
        None
    }

    fn write(&self, write: &Write, sealer: &mut Sealer) {
        let Write { id, bytes } = write;
        let fits = self.make_room(bytes.len() as u64 + FILE_BYTES_ADDED);
        let written = if fits { self.files.write(id, bytes, sealer).map(Some) } else { Ok(None) };
        let state = &mut *self.state.lock();
        // Where it is not among these any more, its tenant was erased meanwhile.
        let is_known = state.pending.remove(id);
        self.wrote.notify_all();
        match written {
            Ok(Some(bytes)) if is_known => {
                state.figures.written += 1;
                state.index.insert(*id, bytes);
            }
            Ok(Some(_)) => self.files.remove(id),
            Ok(None) => state.figures.refused += 1,
            Err(why) => {
                if state.figures.refused == 0 {
                    tracing::warn!(%why, "keys and values cannot be kept as snapshots; they are computed again");
                }
                state.figures.refused += 1;
            }
        }
    }

    /// Removes what was used least recently, until there is room for so many bytes more; whether there is.
    fn make_room(&self, bytes: u64) -> bool {
        if bytes > self.bytes_max {
            return false;
        }
        loop {
            let oldest = {
                let state = &mut *self.state.lock();
                if state.index.bytes().saturating_add(bytes) <= self.bytes_max {
                    return true;
                }
                let oldest = state.index.remove_oldest();
                state.figures.evicted += u64::from(oldest.is_some());
                oldest
            };
            match oldest {
                Some(id) => self.files.remove(&id),
                None => return true,
            }
        }
    }
}
