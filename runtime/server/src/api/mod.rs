//! The management API: one file for each family of paths.

mod consolidation;
mod deployments;
mod extract;
mod freezes;
mod grants;
mod inbox;
mod memory;
mod metrics;
mod models;
mod past;
mod processes;
mod recall;
mod recordings;
mod results;
mod routes;
mod tasks;
mod trust;

use crate::{
    limits::STREAMS_MAX,
    protocol::{ErrorCode, Health, Refusal, VERSION},
};
use axum::{
    Json, Router,
    extract::{Request, State},
    middleware::{self, Next},
    response::Response,
    routing::{delete, get, post},
};
use extract::refused;
use parking_lot::RwLock;
use remit_assembly::{Consolidation, Home, Node};
use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

/// What the API manages.
pub(crate) struct Managed {
    pub(crate) node: Node,
    pub(crate) home: Home,
    /// Which stores are consolidated by themselves, and when.
    pub(crate) consolidation: Consolidation,
    /// Whether no new work is taken. Whoever starts a process holds it for reading, so that none starts after it is set.
    closed: RwLock<bool>,
    /// Tasks that somebody sees to their end.
    pub(crate) tasks: TaskTracker,
    /// Tasks that outlive the host, and that nobody waits for when it stops.
    pub(crate) resumed: TaskTracker,
    /// Streams that may still be opened.
    streams: Arc<Semaphore>,
    body_time_max: Duration,
}

impl Managed {
    pub(crate) fn new(node: Node, home: Home, consolidation: Consolidation, body_time_max: Duration) -> Self {
        Self {
            node,
            home,
            consolidation,
            closed: RwLock::new(false),
            tasks: TaskTracker::new(),
            resumed: TaskTracker::new(),
            streams: Arc::new(Semaphore::new(STREAMS_MAX)),
            body_time_max,
        }
    }

    /// Takes no new work from here on.
    pub(crate) fn close(&self) {
        *self.closed.write() = true;
    }
}

type Host = State<Arc<Managed>>;

pub(crate) fn router(managed: Arc<Managed>) -> Router {
    let process = Router::new()
        .route("/", get(processes::inspect))
        .route("/cancel", post(processes::cancel))
        .route("/events", get(processes::events))
        .route("/grants", post(grants::give))
        .route("/kill", post(processes::kill))
        .route("/recording", get(recordings::recording))
        .route("/resume", post(processes::resume))
        .route("/suspend", post(processes::suspend));
    let deployment = Router::new()
        .route("/", delete(deployments::remove))
        .route("/promote", post(deployments::promote))
        .route("/rollback", post(deployments::rollback))
        .route("/runs", post(deployments::run))
        .route("/upgrade", post(deployments::upgrade));
    let api = Router::new()
        .route("/approvals", get(inbox::approvals))
        .route("/approvals/{number}/withdraw", post(inbox::withdraw))
        .route("/audit", get(past::export))
        .route("/denials", get(grants::denials))
        .route("/deployments", get(deployments::list).post(deployments::deploy))
        .nest("/deployments/{name}", deployment)
        .route("/erase", post(past::erase))
        .route("/forget", post(past::forget))
        .route("/forks", post(recordings::fork))
        .route("/freeze", post(freezes::freeze))
        .route("/frozen", get(freezes::frozen))
        .route("/grants", get(grants::tree))
        .route("/grants/{grant}", delete(grants::revoke))
        .route("/health", get(health))
        .route("/inbox", get(inbox::questions))
        .route("/inbox/{number}/answer", post(inbox::answer))
        .route("/memory", get(memory::stats))
        .route("/memory/consolidate", post(consolidation::consolidate))
        .route("/memory/entries", post(memory::put))
        .route("/memory/entries/{entry}", get(memory::show))
        .route("/memory/entries/{entry}/restore", post(memory::restore))
        .route("/memory/forget", post(memory::forget))
        .route("/memory/list", post(memory::list))
        .route("/memory/optimize", post(memory::optimize))
        .route("/memory/search", post(memory::search))
        .route("/models", get(models::list))
        .route("/notices", get(inbox::notices))
        .route("/processes", get(processes::list))
        .nest("/processes/{pid}", process)
        .route("/recall", post(recall::recall))
        .route("/results", get(results::list))
        .route("/results/{pid}", get(results::show).delete(results::drop))
        .route("/routes", get(routes::list))
        .route("/routes/explain", post(routes::explain))
        .route("/routes/reload", post(routes::reload))
        .route("/tasks", post(tasks::run))
        .route("/thaw", post(freezes::thaw))
        .route("/trust/reload", post(trust::reload));
    Router::new()
        .nest("/v1", api)
        // Where scrapers look for it unless they are told otherwise.
        .route("/metrics", get(metrics::scrape))
        .layer(middleware::from_fn_with_state(managed.clone(), survives))
        .fallback(async || refused(ErrorCode::NotFound, "there is no such path: see the table of the management API"))
        .method_not_allowed_fallback(async || {
            refused(ErrorCode::WrongMethod, "this path has other methods: see the table of the management API")
        })
        .with_state(managed)
}

/// Answers when what the answer tells survives a crash: the log has what was done for it, and what it has seen.
async fn survives(State(host): Host, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    match host.node.kernel().durable().await {
        Ok(()) => response,
        Err(error) => refused(ErrorCode::MachineFailed, error),
    }
}

async fn health(State(host): Host) -> Json<Health> {
    Json(Health {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        protocol: VERSION,
        system_pid: std::process::id(),
        processes: host.node.kernel().living(),
        shutting_down: *host.closed.read(),
    })
}

fn no_such_process() -> Refusal {
    Refusal::new(
        ErrorCode::NoSuchProcess,
        "no such process: it has ended, or never was; `remit ps` shows those that live",
    )
}

fn busy() -> Refusal {
    let sentence =
        format_args!("the host has {STREAMS_MAX} streams open, which is the most: close some, or try again later");
    Refusal::new(ErrorCode::Busy, sentence)
}

fn now_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
