//! `/v1/memory/consolidate`: has stores put in order, shows what would be done, or undoes a run.
//!
//! One task for each store and label, one after the other. Where the client goes away, the one that runs is killed, and no other is begun:
//! what is not done is found by the next.

use super::{
    Host, Managed, busy,
    extract::Body,
    tasks::{Follower, json_lines, line, whole_tokens},
};
use crate::{
    limits::LINES_QUEUED_MAX,
    protocol::{Consolidate, ErrorCode, Refusal, RunLine, Shown},
};
use axum::{extract::State, response::Response};
use bytes::Bytes;
use futures::stream;
use remit_abi::{Integrity, Label, LogLevel, Tokens};
use remit_assembly::{Consolidating, ConsolidationError};
use std::sync::Arc;
use tokio::{sync::mpsc, task};

impl From<ConsolidationError> for Refusal {
    fn from(error: ConsolidationError) -> Self {
        match error {
            ConsolidationError::Package(error) => error.into(),
            ConsolidationError::Start(error) => error.into(),
            ConsolidationError::Memory(error) => error.into(),
            ConsolidationError::NoStore(_) => Self::new(ErrorCode::Invalid, error),
            ConsolidationError::OtherAgent(_) => Self::new(ErrorCode::Refused, error),
            ConsolidationError::NotLoaded => Self::new(ErrorCode::MachineFailed, error),
            ConsolidationError::NoRun(_) => Self::new(ErrorCode::NoSuchEntry, error),
        }
    }
}

/// One task.
struct Part {
    store: Box<str>,
    label: Label,
    what: Consolidating,
}

pub(super) async fn consolidate(State(host): Host, Body(request): Body<Consolidate>) -> Result<Response, Refusal> {
    let place = host.streams.clone().try_acquire_owned().map_err(|_| busy())?;
    let budget = request.budget_tokens.map(whole_tokens).transpose()?;
    let parts = parts(&host, request).await?;
    let (sender, mut receiver) = mpsc::channel(LINES_QUEUED_MAX);
    host.tasks.spawn(all(host.clone(), parts, budget, sender));
    Ok(json_lines(stream::poll_fn(move |context| {
        let _held = &place;
        receiver.poll_recv(context).map(|line| line.map(Ok))
    })))
}

async fn parts(host: &Managed, request: Consolidate) -> Result<Vec<Part>, Refusal> {
    let Consolidate { stores, dry_run, undo, .. } = request;
    if let Some(run) = undo {
        let (store, label) = host.node.consolidated_by(run).await?;
        return Ok(vec![Part { store, label, what: Consolidating::Undo(run) }]);
    }
    let stores = match stores.is_empty() {
        true => host.consolidation.stores.clone(),
        false => stores.into_iter().map(Into::into).collect(),
    };
    if stores.is_empty() {
        let sentence = "no store is named, and this host consolidates none by itself: name one";
        return Err(Refusal::new(ErrorCode::Invalid, sentence));
    }
    let what = if dry_run { Consolidating::Plan } else { Consolidating::New };
    let mut parts = Vec::new();
    for store in stores {
        let labels = host.node.labels_of_store(&store).await?;
        parts.extend(labels.into_iter().map(|label| Part { store: store.clone(), label, what }));
    }
    Ok(parts)
}

/// Does one after the other, for as long as somebody reads.
async fn all(host: Arc<Managed>, parts: Vec<Part>, budget: Option<Tokens>, lines: mpsc::Sender<Bytes>) {
    for part in parts {
        let heading = RunLine::Shown(Shown::Log { level: LogLevel::Info, message: heading(&host, &part).into() });
        if lines.send(line(&heading)).await.is_err() {
            return;
        }
        let starting = host.clone();
        let start = move || {
            let Part { store, label, what } = part;
            starting.start(|node| node.consolidate(&store, label, what, budget))
        };
        let running = match task::spawn_blocking(start).await {
            Ok(Ok(running)) => running,
            Ok(Err(refusal)) => return say(&lines, refusal.to_string()).await,
            Err(error) => return say(&lines, format!("the agent was not loaded: {error}")).await,
        };
        Follower::of(host.clone(), running.pid, lines.clone(), false).follow(running, false).await;
    }
}

/// The answer has begun: what goes wrong is told in it.
async fn say(lines: &mpsc::Sender<Bytes>, message: String) {
    let shown = RunLine::Shown(Shown::Log { level: LogLevel::Error, message: message.into() });
    // Whoever has gone misses nothing.
    let _gone = lines.send(line(&shown)).await;
}

fn heading(host: &Managed, Part { store, label, .. }: &Part) -> String {
    let integrity = if label.integrity == Integrity::Trusted { "trusted" } else { "untrusted" };
    let tags = host.node.tag_names(*label);
    match tags.is_empty() {
        true => format!("{store}, {integrity}"),
        false => format!("{store}, {integrity}, {}", tags.join(", ")),
    }
}
