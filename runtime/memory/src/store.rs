//! The port: which tenant, and on which threads.
//!
//! The store has a small runtime of its own. Whoever calls needs none: a look is a task there, and its answer a future that any executor
//! can wait for. Where a library panics, that task is lost, and the caller is told an error.

use crate::{
    durable::{CommitPoints, StoreWrapper},
    embed::{self, Waiting},
    error::Fault,
    figures::figures,
    filter::Meant,
    memtable::Pending,
    rows::Row,
    search::{self, Corpus},
    tables::{Tables, ids},
    tenant::{Look, Tenant},
};
use datafusion::logical_expr::{Expr, ident, lit};
use parking_lot::Mutex;
use remit_abi::{EntryFilter, EntryId, Scope, Search, TenantId};
use remit_kernel::ports::{
    Embedder, EntryVersion, MemoryFigures, MemoryHit, MemoryJournal, MemoryStore, MemoryWrite, PortFuture, StoreError,
};
use rustc_hash::FxHashMap;
use std::{
    collections::BTreeMap,
    fmt,
    future::Future,
    path::{Path, PathBuf},
    sync::{Arc, Weak},
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use thiserror::Error;
use tokio::{
    runtime::{Builder, Handle, Runtime},
    sync::mpsc::{UnboundedSender, unbounded_channel},
    task::JoinHandle,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Threads of the store: one can compact while another searches. Lance has more of its own for what only computes.
const THREADS: usize = 2;

/// How long whoever drops a store waits until its threads have stopped: two stores must not write to one folder, and no step of one takes
/// longer without looking up.
const STOP: Duration = Duration::from_secs(10);

/// How a store is opened. The default is what a node uses.
#[derive(Clone, Debug)]
pub struct Options {
    /// What the wall clock reads, in nanoseconds since 1970-01-01T00:00:00Z.
    pub clock: fn() -> u64,
    /// How long a write waits for others to be applied with: four commits a second at most, of some 10 ms each.
    pub apply_after: Duration,
    /// How often an idle tenant's tables are looked after.
    pub maintain_every: Duration,
    /// Rows that no index has, from which on they are indexed.
    pub unindexed_rows_max: usize,
    /// Rows from which on vectors have an index: below, comparing with each is fast, and exact.
    pub vector_index_rows_min: usize,
    /// For tests.
    #[doc(hidden)]
    pub commit_points: CommitPoints,
    /// For tests.
    #[doc(hidden)]
    pub store_wrapper: StoreWrapper,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            clock: wall_ns,
            apply_after: Duration::from_millis(250),
            maintain_every: Duration::from_secs(60),
            unindexed_rows_max: 2048,
            vector_index_rows_min: 16_384,
            commit_points: CommitPoints::default(),
            store_wrapper: StoreWrapper::default(),
        }
    }
}

fn wall_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// A store that cannot be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// Its folder.
    #[error("the folder {path} of memories cannot be made: {source}")]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Its threads.
    #[error("the threads of memories cannot be started: {0}")]
    Threads(std::io::Error),
    /// No vector could have such a width.
    #[error("vectors of {0} numbers cannot be kept: from 1 to 65,536")]
    Width(usize),
    /// The model's vectors have another width.
    #[error("the model that embeds makes vectors of {found} numbers, and these memories have {expected}")]
    Model {
        /// Of the model.
        found: usize,
        /// Of the memories.
        expected: usize,
    },
}

/// What tenants share.
pub(crate) struct Shared {
    pub(crate) folder: PathBuf,
    pub(crate) width: usize,
    pub(crate) embedder: Option<Arc<dyn Embedder>>,
    pub(crate) journal: Arc<dyn MemoryJournal>,
    pub(crate) options: Options,
    runtime: Handle,
    tasks: TaskTracker,
    stop: CancellationToken,
    queue: Option<UnboundedSender<Waiting>>,
}

impl Shared {
    /// Runs a task on the store's threads. It is dropped where it stands when the store is, and its output is `None` then: what a library
    /// runs for it goes with it, and does not wake up in a runtime that ends.
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<Option<T>> {
        let stop = self.stop.clone();
        self.tasks.spawn_on(async move { stop.run_until_cancelled(task).await }, &self.runtime)
    }

    pub(crate) fn embed_later(&self, tenant: Weak<Tenant>, row: &Arc<Row>) {
        match &self.queue {
            // The queue's other end lives as long as the runtime.
            Some(queue) => drop(queue.send((tenant, Arc::downgrade(row)))),
            None => row.embed(None),
        }
    }
}

/// The memory of all tenants, in a folder. Dropping it stops its work where it is, and waits for
/// that: what was not applied is in the journal.
pub struct LanceMemory {
    shared: Arc<Shared>,
    tenants: Mutex<FxHashMap<TenantId, Arc<Tenant>>>,
    runtime: Option<Runtime>,
}

impl fmt::Debug for LanceMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LanceMemory").field("folder", &self.shared.folder).finish_non_exhaustive()
    }
}

impl LanceMemory {
    /// Opens the memories in a folder; makes it where there is none. Reads no tenant's files: each is opened when somebody asks for it.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(
        folder: &Path,
        width: usize,
        embedder: Option<Arc<dyn Embedder>>,
        journal: Arc<dyn MemoryJournal>,
        options: Options,
    ) -> Result<Self, OpenError> {
        if !(1..=65_536).contains(&width) {
            return Err(OpenError::Width(width));
        }
        if let Some(found) = embedder.as_ref().map(|embedder| embedder.width()).filter(|found| *found != width) {
            return Err(OpenError::Model { found, expected: width });
        }
        let made = std::fs::create_dir_all(folder).and_then(|()| folder.canonicalize());
        let folder = made.map_err(|source| OpenError::Folder { path: folder.into(), source })?;
        let mut runtime = Builder::new_multi_thread();
        let runtime = runtime.worker_threads(THREADS).thread_name("remit-memory").enable_all();
        let runtime = runtime.build().map_err(OpenError::Threads)?;
        let queue = embedder.as_ref().map(|embedder| {
            let (queue, waiting) = unbounded_channel();
            runtime.spawn(embed::run(Arc::clone(embedder), waiting));
            queue
        });
        let handle = runtime.handle().clone();
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let shared = Shared { folder, width, embedder, journal, options, runtime: handle, tasks, stop, queue };
        let shared = Arc::new(shared);
        Ok(Self { shared, tenants: Mutex::default(), runtime: Some(runtime) })
    }

    fn tenant(&self, id: TenantId) -> Arc<Tenant> {
        let mut tenants = self.tenants.lock();
        Arc::clone(tenants.entry(id).or_insert_with(|| Tenant::start(id, &self.shared)))
    }

    /// Does something with a tenant on the store's threads.
    fn ask<T, F>(&self, id: TenantId, what: impl FnOnce(Arc<Tenant>) -> F) -> PortFuture<'static, Result<T, StoreError>>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        let task = self.shared.spawn(what(self.tenant(id)));
        Box::pin(async move {
            match task.await {
                Ok(Some(answer)) => answer,
                Ok(None) => Err(StoreError::Io { tenant: id, reason: "the host is ending".into() }),
                Err(error) => Err(Fault::panicked(id, &error)),
            }
        })
    }
}

impl Drop for LanceMemory {
    fn drop(&mut self) {
        let Some(runtime) = self.runtime.take() else { return };
        // From a thread of its own, since this one may be another runtime's. Where it cannot be had, nothing is left to be stopped for.
        let stopping = std::thread::Builder::new().name("remit-memory-stop".into());
        let (tasks, stop) = (self.shared.tasks.clone(), self.shared.stop.clone());
        let stopped = move || {
            stop.cancel();
            tasks.close();
            // Those that are in the middle of a computation are left to the runtime.
            let _ = runtime.block_on(async { tokio::time::timeout(STOP, tasks.wait()).await });
            runtime.shutdown_timeout(STOP);
        };
        if let Ok(stopped) = stopping.spawn(stopped) {
            let _ = stopped.join();
        }
    }
}

impl MemoryStore for LanceMemory {
    fn width(&self) -> usize {
        self.shared.width
    }

    fn accept(&self, tenant: TenantId, write: MemoryWrite) {
        self.tenant(tenant).accept(write);
    }

    fn room(&self, tenant: TenantId) -> PortFuture<'static, Result<(), StoreError>> {
        Box::pin(self.tenant(tenant).room())
    }

    fn flush(&self, tenant: TenantId) -> PortFuture<'static, Result<(), StoreError>> {
        Box::pin(self.tenant(tenant).flush())
    }

    fn get(
        &self,
        tenant: TenantId,
        stores: Scope,
        id: EntryId,
        now_ns: u64,
    ) -> PortFuture<'static, Result<Option<EntryVersion>, StoreError>> {
        let meant = Meant { stores, filter: EntryFilter::default(), now_ns };
        self.ask(tenant, move |tenant| async move { get(&tenant, &meant, id).await })
    }

    fn versions(
        &self,
        tenant: TenantId,
        stores: Scope,
        id: EntryId,
    ) -> PortFuture<'static, Result<Vec<EntryVersion>, StoreError>> {
        self.ask(tenant, move |tenant| async move { versions(&tenant, &stores, id).await })
    }

    fn search(
        &self,
        tenant: TenantId,
        stores: Scope,
        search: Search,
        now_ns: u64,
    ) -> PortFuture<'static, Result<Vec<MemoryHit>, StoreError>> {
        self.ask(tenant, move |tenant| async move {
            let Look { tables, view } = tenant.look().await?;
            let corpus = Corpus { tables: tables.as_deref(), view: &view, width: tenant.shared.width };
            let meant = Meant { stores, filter: search.filter.clone(), now_ns };
            search::search(&corpus, &meant, &search).await.map_err(|fault| fault.of(tenant.id))
        })
    }

    fn list(
        &self,
        tenant: TenantId,
        stores: Scope,
        filter: EntryFilter,
        after: Option<EntryId>,
        count: usize,
        now_ns: u64,
    ) -> PortFuture<'static, Result<Vec<EntryVersion>, StoreError>> {
        let meant = Meant { stores, filter, now_ns };
        self.ask(tenant, move |tenant| async move { list(&tenant, &meant, after, count).await })
    }

    fn figures(&self, tenant: TenantId) -> PortFuture<'static, Result<MemoryFigures, StoreError>> {
        self.ask(tenant, |tenant| async move { figures(&tenant).await })
    }

    fn optimize(&self, tenant: TenantId) -> PortFuture<'static, Result<(), StoreError>> {
        self.ask(tenant, |tenant| async move {
            tenant.flush().await?;
            tenant.optimize().await
        })
    }

    fn erase(&self, tenant: TenantId) -> PortFuture<'static, Result<(), StoreError>> {
        self.ask(tenant, |tenant| async move { tenant.erase().await })
    }
}

async fn get(tenant: &Tenant, meant: &Meant, id: EntryId) -> Result<Option<EntryVersion>, StoreError> {
    let (tables, pending) = tenant.look_for(id).await?;
    let found = match (pending.last(), tables) {
        (Some(Pending::Put(row)), _) => Some(row.version.clone()),
        (None, Some(tables)) => {
            let mut stored = tables.get(&[id]).await.map_err(|fault| fault.of(tenant.id))?;
            stored.pop().map(|stored| stored.version)
        }
        (Some(Pending::Forget { .. }), _) | (None, None) => None,
    };
    Ok(found.filter(|version| meant.of(version)))
}

async fn versions(tenant: &Tenant, stores: &Scope, id: EntryId) -> Result<Vec<EntryVersion>, StoreError> {
    let (tables, pending) = tenant.look_for(id).await?;
    let mut versions = BTreeMap::new();
    if let Some(tables) = tables {
        let older = tables.older(id).await.map_err(|fault| fault.of(tenant.id))?;
        let newest = tables.get(&[id]).await.map_err(|fault| fault.of(tenant.id))?;
        versions.extend(older.into_iter().chain(newest).map(|stored| (stored.version.version, stored.version)));
    }
    for write in pending {
        match write {
            Pending::Put(row) => {
                versions.insert(row.version.version, row.version.clone());
            }
            Pending::Forget { purge: true, .. } => versions.clear(),
            Pending::Forget { .. } => {}
        }
    }
    Ok(versions.into_values().filter(|version| stores.contains(&version.store)).collect())
}

async fn list(
    tenant: &Tenant,
    meant: &Meant,
    after: Option<EntryId>,
    count: usize,
) -> Result<Vec<EntryVersion>, StoreError> {
    let Look { tables, view } = tenant.look().await?;
    let behind = |id: EntryId| after.is_none_or(|after| id > after);
    let rows = view.rows.iter().filter(|row| behind(row.id()) && meant.of(&row.version));
    let mut found: BTreeMap<EntryId, Option<EntryVersion>> =
        rows.map(|row| (row.id(), Some(row.version.clone()))).collect();
    if let Some(tables) = tables {
        let hidden = (!view.hidden.is_empty()).then(|| Arc::clone(&view.hidden));
        let condition = meant.expression(&tables.stores, tables.expires_ns, hidden);
        let behind = after.map(|after| ident("id").gt(lit(after.0)));
        let ids = ids(&tables.entries, condition.into_iter().chain(behind).reduce(Expr::and), count);
        found.extend(ids.await.map_err(|fault| fault.of(tenant.id))?.into_iter().map(|id| (id, None)));
        let found: BTreeMap<_, _> = found.into_iter().take(count).collect();
        return filled(tenant, &tables, found).await;
    }
    Ok(found.into_values().flatten().take(count).collect())
}

/// Reads those that are not there yet.
async fn filled(
    tenant: &Tenant,
    tables: &Tables,
    mut found: BTreeMap<EntryId, Option<EntryVersion>>,
) -> Result<Vec<EntryVersion>, StoreError> {
    let missing: Vec<_> = found.iter().filter(|(_, version)| version.is_none()).map(|(id, _)| *id).collect();
    let stored = tables.get(&missing).await.map_err(|fault| fault.of(tenant.id))?;
    for stored in stored {
        found.insert(stored.version.id, Some(stored.version));
    }
    Ok(found.into_values().flatten().collect())
}
