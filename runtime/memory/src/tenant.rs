//! One tenant's memory: what is pending, what is in its tables, and the one task that brings the first into the second.
//!
//! | state of the files | a look | a write |
//! | --- | --- | --- |
//! | not opened yet | opens them | is pending |
//! | none | sees what is pending | makes them, when it is applied |
//! | open | sees both, as of one moment | is pending until it is applied |
//! | failed | is told why, and tries again after [`RETRY`] | is pending; applying is tried again, ever more seldom |
//!
//! What is pending and what the tables say change under one lock, which is held for no longer than it takes to change a map. Only the holder
//! of `work` changes files.

use crate::{
    apply::{self, BATCH_BYTES_MAX, BATCH_ROWS_MAX},
    error::Fault,
    maintain::{self, Upkeep},
    memtable::{Memtable, Pending, View},
    site::Site,
    store::Shared,
    tables::{Purging, Tables},
};
use lance::session::Session;
use parking_lot::Mutex;
use remit_abi::{EntryId, TenantId};
use remit_kernel::ports::{MemoryWrite, StoreError};
use std::{
    fs,
    future::Future,
    io,
    path::PathBuf,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};
use tokio::sync::{Mutex as Turn, Notify, watch};

/// How long the error of an attempt to open the files is told without another attempt: a guest can ask a thousand times a second.
pub(crate) const RETRY: Duration = Duration::from_secs(1);

/// The first pause after a batch could not be applied; each that follows is twice as long, up to the last.
const PAUSE_FIRST: Duration = Duration::from_millis(200);
const PAUSE_LAST: Duration = Duration::from_secs(30);

/// A batch waits so many times as long as the last one took, so that commits take a small share of a machine's time, however many versions
/// and fragments make them slow.
const REST: u32 = 10;

/// Bytes of indexes and of metadata that are kept in memory for a tenant, at most.
const INDEX_CACHE_BYTES: usize = 512 << 20;
const METADATA_CACHE_BYTES: usize = 64 << 20;

/// One tenant's memory.
pub(crate) struct Tenant {
    pub(crate) id: TenantId,
    pub(crate) folder: PathBuf,
    pub(crate) shared: Arc<Shared>,
    state: Mutex<State>,
    session: Mutex<Arc<Session>>,
    opening: Turn<()>,
    work: Turn<Upkeep>,
    wake: Notify,
    /// What the journal was told, which never falls. Held while it is told.
    told: Mutex<u64>,
    progress: watch::Sender<Progress>,
}

struct State {
    pending: Memtable,
    files: Files,
    /// Pending writes up to this number are applied at once.
    flush: u64,
    /// The highest number that was accepted.
    accepted: u64,
    /// All writes up to this number are on the disk, and what they purge is not.
    done: u64,
    /// When the next attempt is made, after one failed.
    pause: Option<(Instant, Duration)>,
    /// How long the last batch took.
    took: Duration,
    /// States of the tables that were replaced, and that somebody may still look into.
    earlier: Vec<Weak<Tables>>,
}

#[derive(Clone)]
enum Files {
    Unopened,
    None,
    Open(Arc<Tables>),
    Failed(StoreError, Instant),
}

/// Told to whoever waits for the task.
#[derive(Clone, Default)]
struct Progress {
    failures: u64,
    error: Option<StoreError>,
}

/// What a look sees.
pub(crate) struct Look {
    pub(crate) tables: Option<Arc<Tables>>,
    pub(crate) view: Arc<View>,
}

impl Tenant {
    /// Its task runs for as long as somebody has it.
    pub(crate) fn start(id: TenantId, shared: &Arc<Shared>) -> Arc<Self> {
        let state = State {
            pending: Memtable::default(),
            files: Files::Unopened,
            flush: 0,
            accepted: 0,
            done: 0,
            pause: None,
            took: Duration::ZERO,
            earlier: Vec::new(),
        };
        let tenant = Arc::new(Self {
            id,
            folder: shared.folder.join("tenants").join(id.to_string()),
            shared: Arc::clone(shared),
            state: Mutex::new(state),
            session: Mutex::new(session()),
            opening: Turn::new(()),
            work: Turn::new(Upkeep::default()),
            wake: Notify::new(),
            told: Mutex::new(0),
            progress: watch::Sender::default(),
        });
        drop(shared.spawn(run(Arc::clone(&tenant))));
        tenant
    }

    pub(crate) fn accept(self: &Arc<Self>, write: MemoryWrite) {
        let mut state = self.state.lock();
        if let Files::Open(tables) = &state.files
            && write.number <= tables.applied
        {
            return;
        }
        state.accepted = state.accepted.max(write.number);
        let row = state.pending.accept(write);
        drop(state);
        if let Some(row) = row.filter(|row| row.unembedded().is_some()) {
            self.shared.embed_later(Arc::downgrade(self), &row);
        }
        self.nudge();
    }

    /// Makes its task look whether there is something to do.
    pub(crate) fn nudge(&self) {
        self.wake.notify_one();
    }

    pub(crate) fn room(self: &Arc<Self>) -> impl Future<Output = Result<(), StoreError>> + Send + 'static {
        let (tenant, mut progress) = (Arc::clone(self), self.progress.subscribe());
        async move {
            loop {
                let failed = progress.borrow_and_update().error.clone();
                match failed {
                    // Nothing is ever applied to such files: what were accepted would only fill the journal.
                    Some(error @ (StoreError::Damaged { .. } | StoreError::Newer { .. })) => return Err(error),
                    _ if tenant.state.lock().pending.has_room() => return Ok(()),
                    Some(error) => return Err(error),
                    None => tenant.nudge(),
                }
                if progress.changed().await.is_err() {
                    return Ok(());
                }
            }
        }
    }

    pub(crate) fn flush(self: &Arc<Self>) -> impl Future<Output = Result<(), StoreError>> + Send + 'static {
        let mut progress = self.progress.subscribe();
        let failures = progress.borrow_and_update().failures;
        let last = {
            let mut state = self.state.lock();
            state.flush = state.flush.max(state.accepted);
            state.pause = None;
            // Who asks for it is answered by an attempt, and not by what an earlier one met.
            if matches!(state.files, Files::Failed(..)) {
                state.files = Files::Unopened;
            }
            state.accepted
        };
        self.nudge();
        let tenant = Arc::clone(self);
        async move {
            while tenant.state.lock().done < last {
                if progress.changed().await.is_err() {
                    return Ok(());
                }
                let now = progress.borrow_and_update();
                if let Some(error) = now.error.as_ref().filter(|_| now.failures > failures) {
                    return Err(error.clone());
                }
            }
            Ok(())
        }
    }

    /// What there is to see now.
    pub(crate) async fn look(&self) -> Result<Look, StoreError> {
        self.open().await?;
        let mut state = self.state.lock();
        Ok(Look { tables: state.tables(), view: state.pending.view() })
    }

    /// The pending writes of one entry, as of the same moment.
    pub(crate) async fn look_for(&self, id: EntryId) -> Result<(Option<Arc<Tables>>, Vec<Pending>), StoreError> {
        self.open().await?;
        let state = self.state.lock();
        Ok((state.tables(), state.pending.of(id)))
    }

    pub(crate) fn pending(&self) -> usize {
        self.state.lock().pending.len()
    }

    /// Opens the files, where they are not; `None` where there are none.
    pub(crate) async fn open(&self) -> Result<Option<Arc<Tables>>, StoreError> {
        if let Some(known) = self.opened() {
            return known;
        }
        let _turn = self.opening.lock().await;
        if let Some(known) = self.opened() {
            return known;
        }
        let opened = Tables::open(&self.site()).await;
        let mut state = self.state.lock();
        match opened {
            Ok(Some(tables)) => {
                let tables = Arc::new(tables);
                state.files = Files::Open(Arc::clone(&tables));
                state.pending.applied(tables.applied);
                // Also what a purge before this start did not come to the end of is waited for.
                state.accepted = state.accepted.max(tables.applied);
                drop(state);
                match tables.purging {
                    Purging::No => self.told(tables.applied),
                    Purging::Rows | Purging::Files => self.nudge(),
                }
                Ok(Some(tables))
            }
            Ok(None) => {
                state.files = Files::None;
                Ok(None)
            }
            Err(fault) => {
                let error = fault.of(self.id);
                state.files = Files::Failed(error.clone(), Instant::now());
                // What a library remembers of damaged files must not outlive their repair.
                *self.session.lock() = session();
                Err(error)
            }
        }
    }

    fn opened(&self) -> Option<Result<Option<Arc<Tables>>, StoreError>> {
        match &self.state.lock().files {
            Files::Unopened => None,
            Files::None => Some(Ok(None)),
            Files::Open(tables) => Some(Ok(Some(Arc::clone(tables)))),
            Files::Failed(_, at) if at.elapsed() >= RETRY => None,
            Files::Failed(error, _) => Some(Err(error.clone())),
        }
    }

    /// Writes up to this number are on the disk. Tables that are opened anew may know of less than was told: of a write that changed
    /// nothing they say nothing.
    pub(crate) fn told(&self, applied: u64) {
        let mut told = self.told.lock();
        if applied > *told {
            *told = applied;
            self.shared.journal.applied(self.id, applied);
        }
        drop(told);
        let mut state = self.state.lock();
        state.done = state.done.max(applied);
        drop(state);
        self.progress.send_modify(|progress| progress.error = None);
    }

    /// How long its task has nothing to apply; `None` where there is nothing.
    fn rest(&self) -> Option<Duration> {
        let state = self.state.lock();
        let first = state.pending.first();
        if first.is_none() && state.done >= state.accepted {
            return None;
        }
        if let Some((until, _)) = state.pause {
            return Some(until.saturating_duration_since(Instant::now()));
        }
        // A purge that did not come to its end.
        let Some(first) = first else { return Some(Duration::ZERO) };
        let pending = &state.pending;
        if pending.is_full() || first <= state.flush {
            return Some(Duration::ZERO);
        }
        let collects = self.shared.options.apply_after.max(state.took * REST);
        let collects = collects.saturating_sub(pending.since()?.elapsed());
        let embeds = pending.rows().next().filter(|row| row.number == first).map(|row| row.embedding());
        Some(collects.max(embeds.unwrap_or_default()))
    }

    /// What is applied next: all in order, up to a text that is still worth waiting for.
    fn batch(&self) -> Vec<(u64, Pending)> {
        let state = self.state.lock();
        let mut batch = state.pending.oldest(BATCH_ROWS_MAX, BATCH_BYTES_MAX);
        if !state.pending.is_full() {
            let waits = |(number, pending): &(u64, Pending)| {
                *number > state.flush && matches!(pending, Pending::Put(row) if !row.embedding().is_zero())
            };
            let count = batch.iter().position(waits).unwrap_or(batch.len());
            batch.truncate(count);
        }
        batch
    }

    /// Applies one batch.
    async fn apply(self: Arc<Self>) {
        let mut upkeep = self.work.lock().await;
        let begun = Instant::now();
        let outcome = self.apply_batch(&mut upkeep).await;
        let mut state = self.state.lock();
        state.took = begun.elapsed();
        match outcome {
            Ok(()) => {
                state.pause = None;
                drop(state);
                self.progress.send_modify(|_| ());
            }
            Err(error) => {
                let pause = state.pause.map_or(PAUSE_FIRST, |(_, pause)| (pause * 2).min(PAUSE_LAST));
                state.pause = Some((Instant::now() + pause, pause));
                state.flush = 0;
                drop(state);
                self.failed(error);
            }
        }
    }

    fn failed(&self, error: StoreError) {
        tracing::warn!(tenant = %self.id, %error, "a batch of a memory's writes is not applied yet");
        self.progress.send_modify(|progress| {
            progress.failures += 1;
            progress.error = Some(error);
        });
    }

    async fn apply_batch(&self, upkeep: &mut Upkeep) -> Result<(), StoreError> {
        let tables = match self.open().await? {
            Some(tables) => tables,
            None => self.create().await?,
        };
        let batch = self.batch();
        if !batch.is_empty() {
            let written = self.shared.journal.durable().await;
            written.map_err(|error| StoreError::Io { tenant: self.id, reason: error.to_string().into() })?;
            let mut next = Tables::clone(&tables);
            apply::apply(&mut next, &batch).await.map_err(|fault| self.lost(&fault))?;
            self.publish(next);
        }
        drop(tables);
        maintain::settle(self, upkeep).await
    }

    fn site(&self) -> Site {
        Site {
            folder: self.folder.clone(),
            width: self.shared.width,
            session: Arc::clone(&self.session.lock()),
            points: self.shared.options.commit_points.clone(),
            wrapper: self.shared.options.store_wrapper.clone(),
        }
    }

    async fn create(&self) -> Result<Arc<Tables>, StoreError> {
        let tables = Arc::new(Tables::create(&self.site()).await.map_err(|fault| self.lost(&fault))?);
        self.state.lock().files = Files::Open(Arc::clone(&tables));
        Ok(tables)
    }

    /// A change of the files failed, and may have been made nevertheless: they are opened again, and say so.
    pub(crate) fn lost(&self, fault: &Fault) -> StoreError {
        self.state.lock().replace(Files::Unopened);
        *self.session.lock() = session();
        fault.of(self.id)
    }

    /// Makes a new state of the tables visible, and with it forgets what it has of the pending writes.
    pub(crate) fn publish(&self, tables: Tables) {
        let mut state = self.state.lock();
        state.pending.applied(tables.applied);
        state.replace(Files::Open(Arc::new(tables)));
    }

    /// Does what the tables need, where they need something. Whether they need more at once.
    async fn maintain(self: Arc<Self>) -> bool {
        let mut upkeep = self.work.lock().await;
        maintain::step(&self, &mut upkeep).await.unwrap_or_else(|error| {
            tracing::warn!(tenant = %self.id, %error, "a memory's tables are not maintained");
            upkeep.failed();
            false
        })
    }

    /// Applies nothing, and does all that the tables need.
    pub(crate) async fn optimize(&self) -> Result<(), StoreError> {
        let mut upkeep = self.work.lock().await;
        maintain::all(self, &mut upkeep).await
    }

    /// Removes all files, and forgets what is pending.
    pub(crate) async fn erase(&self) -> Result<(), StoreError> {
        let mut upkeep = self.work.lock().await;
        let _turn = self.opening.lock().await;
        let folder = self.folder.clone();
        let removed = tokio::task::spawn_blocking(move || match fs::remove_dir_all(&folder) {
            // So that a loss of power does not bring it back.
            Ok(()) => folder.parent().map_or(Ok(()), |tenants| fs::File::open(tenants)?.sync_all()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        });
        let removed = removed.await.map_err(|error| Fault::panicked(self.id, &error))?;
        let mut state = self.state.lock();
        state.pending = Memtable::default();
        state.done = state.accepted;
        state.files = if removed.is_ok() { Files::None } else { Files::Unopened };
        *upkeep = Upkeep::default();
        *self.session.lock() = session();
        drop(state);
        self.progress.send_modify(|progress| progress.error = None);
        removed.map_err(|error| Fault::from(error).of(self.id))
    }

    fn gave_up(&self, error: &tokio::task::JoinError) {
        let error = Fault::panicked(self.id, error);
        let mut state = self.state.lock();
        state.replace(Files::Unopened);
        state.pause = Some((Instant::now() + PAUSE_LAST, PAUSE_LAST));
        drop(state);
        self.failed(error);
    }

    /// Waits until nobody looks into a state of the tables before the present one, for a time at most.
    pub(crate) async fn readers_gone(&self, wait: Duration) {
        let until = Instant::now() + wait;
        while self.is_read() && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Whether somebody looks into a state before the present one.
    fn is_read(&self) -> bool {
        let mut state = self.state.lock();
        state.earlier.retain(|tables| tables.strong_count() > 0);
        !state.earlier.is_empty()
    }
}

impl State {
    fn tables(&self) -> Option<Arc<Tables>> {
        if let Files::Open(tables) = &self.files { Some(Arc::clone(tables)) } else { None }
    }

    /// Takes other files, and keeps in mind that somebody may still look into those before.
    fn replace(&mut self, files: Files) {
        if let Files::Open(before) = std::mem::replace(&mut self.files, files) {
            self.earlier.retain(|tables| tables.strong_count() > 0);
            self.earlier.push(Arc::downgrade(&before));
        }
    }
}

/// What Lance remembers of files belongs to a session: another one remembers nothing.
fn session() -> Arc<Session> {
    Arc::new(Session::new(INDEX_CACHE_BYTES, METADATA_CACHE_BYTES, Arc::default()))
}

/// Applies and maintains, until the store's runtime ends. Each step is a task of its own, so that a panic in a library ends that step.
async fn run(tenant: Arc<Tenant>) {
    let every = tenant.shared.options.maintain_every;
    loop {
        // A nudge that comes meanwhile is kept until it is waited for.
        let rest = tenant.rest();
        if let Some(rest) = rest.filter(|rest| !rest.is_zero()) {
            let _ = tokio::time::timeout(rest, tenant.wake.notified()).await;
            continue;
        }
        let applied = match rest {
            Some(_) => tenant.shared.spawn(Arc::clone(&tenant).apply()).await,
            None => Ok(Some(())),
        };
        let step = match applied {
            Ok(_) => tenant.shared.spawn(Arc::clone(&tenant).maintain()).await,
            Err(error) => Err(error),
        };
        let more = step.unwrap_or_else(|error| {
            tenant.gave_up(&error);
            None
        });
        if more != Some(true) && tenant.rest().is_none() {
            let _ = tokio::time::timeout(every, tenant.wake.notified()).await;
        }
    }
}
