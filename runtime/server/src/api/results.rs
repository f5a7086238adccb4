//! `/v1/results`: what detached tasks came to.

use super::{
    Host,
    extract::{Asked, Named},
    recordings::blocking,
};
use crate::{
    protocol::{Refusal, Results, TaskResult},
    view,
};
use axum::{Json, extract::State, http::StatusCode};
use remit_abi::Pid;
use remit_assembly::JournalError;
use serde::Deserialize;

/// How many of them one answer has, at most.
const RESULTS_MAX: usize = 1000;

/// How many are wanted.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    limit: Option<usize>,
}

impl From<JournalError> for Refusal {
    fn from(error: JournalError) -> Self {
        Self::new(crate::protocol::ErrorCode::MachineFailed, error)
    }
}

/// The latest, latest first.
pub(super) async fn list(State(host): Host, Asked(wanted): Asked<Wanted>) -> Result<Json<Results>, Refusal> {
    let limit = wanted.limit.unwrap_or(RESULTS_MAX).min(RESULTS_MAX);
    blocking(move || {
        let results = host.node.kernel().results(limit)?;
        Ok(Json(Results { results: results.into_iter().map(|result| view::result(&host.node, result)).collect() }))
    })
    .await
}

pub(super) async fn show(State(host): Host, Named(pid): Named<Pid>) -> Result<Json<TaskResult>, Refusal> {
    blocking(move || {
        let result = host.node.kernel().result(pid)?.ok_or_else(no_such_result)?;
        Ok(Json(view::result(&host.node, result)))
    })
    .await
}

pub(super) async fn drop(State(host): Host, Named(pid): Named<Pid>) -> Result<StatusCode, Refusal> {
    blocking(move || match host.node.kernel().drop_result(pid)? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(no_such_result()),
    })
    .await
}

fn no_such_result() -> Refusal {
    let sentence = "there is no result of such a process: it lives, it was not started with --detach, or its result was dropped \
                    or forgotten; `remit results` shows those that are kept";
    Refusal::new(crate::protocol::ErrorCode::NoSuchProcess, sentence)
}
