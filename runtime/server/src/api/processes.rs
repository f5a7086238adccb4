//! `/v1/processes`.

use super::{
    Host, Managed, busy,
    extract::{Asked, Named},
    no_such_process, now_ns,
    tasks::{json_lines, line},
};
use crate::{
    limits::KILL_WAIT_MAX,
    protocol::{Ended, Numbered, Process, Processes, Refusal},
    view,
};
use axum::{Json, extract::State, http::StatusCode, response::Response};
use bytes::Bytes;
use futures::stream;
use remit_abi::Pid;
use remit_assembly::Events;
use serde::Deserialize;
use std::sync::Arc;
use tokio::time;

pub(super) async fn list(State(host): Host) -> Json<Processes> {
    let (kernel, now_ns) = (host.node.kernel(), now_ns());
    let mut processes: Vec<_> =
        kernel.processes().into_iter().map(|process| view::process(kernel, process, now_ns)).collect();
    processes.sort_by_key(|process| process.pid);
    Json(Processes { processes })
}

pub(super) async fn inspect(State(host): Host, Named(pid): Named<Pid>) -> Result<Json<Process>, Refusal> {
    let kernel = host.node.kernel();
    let process = kernel.process(pid).ok_or_else(no_such_process)?;
    Ok(Json(view::process(kernel, process, now_ns())))
}

/// Answers when the process has ended, or after a while.
pub(super) async fn kill(State(host): Host, Named(pid): Named<Pid>) -> Result<Json<Ended>, Refusal> {
    let kernel = host.node.kernel();
    if kernel.process(pid).is_none() {
        return Err(no_such_process());
    }
    kernel.kill(pid);
    let ended = time::timeout(KILL_WAIT_MAX, host.ended(pid)).await.is_ok();
    Ok(Json(Ended { ended }))
}

pub(super) async fn cancel(State(host): Host, Named(pid): Named<Pid>) -> Result<StatusCode, Refusal> {
    done(host.node.kernel().cancel(pid))
}

pub(super) async fn suspend(State(host): Host, Named(pid): Named<Pid>) -> Result<StatusCode, Refusal> {
    done(host.node.kernel().suspend(pid))
}

pub(super) async fn resume(State(host): Host, Named(pid): Named<Pid>) -> Result<StatusCode, Refusal> {
    done(host.node.kernel().resume(pid))
}

fn done(lives: bool) -> Result<StatusCode, Refusal> {
    if lives { Ok(StatusCode::NO_CONTENT) } else { Err(no_such_process()) }
}

impl Managed {
    /// Waits for a process's end.
    pub(crate) async fn ended(&self, pid: Pid) {
        // No event has a higher number, so that only the end is waited for.
        if let Some(events) = self.node.kernel().events(pid) {
            while !events.after(u64::MAX).await.is_empty() {}
        }
    }
}

/// Which events.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    /// Those with higher numbers.
    #[serde(default)]
    after: u64,
    /// Whether those that are yet to come are waited for.
    #[serde(default)]
    follow: bool,
}

/// What a process showed, as far as it is kept. A client that is too slow for it misses what is forgotten meanwhile.
pub(super) async fn events(
    State(host): Host,
    Named(pid): Named<Pid>,
    Asked(wanted): Asked<Wanted>,
) -> Result<Response, Refusal> {
    let events = host.node.kernel().events(pid).ok_or_else(no_such_process)?;
    let first = events.known(wanted.after).await;
    let after = first.last().map_or(wanted.after, |event| event.number);
    let first = lines(&host, first);
    match wanted.follow {
        true => follow(host, events, after, first),
        false => Ok(json_lines(stream::iter([Ok(first)]))),
    }
}

fn follow(host: Arc<Managed>, events: Events, after: u64, first: Bytes) -> Result<Response, Refusal> {
    let place = host.streams.clone().try_acquire_owned().map_err(|_| busy())?;
    let later = stream::unfold((host, events, after, place), move |(host, events, after, place)| async move {
        let more = events.after(after).await;
        let after = more.last()?.number;
        Some((Ok(lines(&host, more)), (host, events, after, place)))
    });
    let first = stream::iter((!first.is_empty()).then_some(Ok(first)));
    Ok(json_lines(futures::StreamExt::chain(first, later)))
}

fn lines(host: &Managed, events: Vec<remit_assembly::KeptEvent>) -> Bytes {
    let numbered =
        events.into_iter().map(|kept| Numbered { number: kept.number, shown: view::shown(&host.node, kept.event) });
    numbered.flat_map(|numbered| line(&numbered)).collect()
}
