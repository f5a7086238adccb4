//! `/v1/grants`, `/v1/denials`, and grants of one process.

use super::{
    Host,
    extract::{Asked, Body, Named},
    no_such_process,
};
use crate::{
    protocol::{Denials, ErrorCode, Given, GrantName, GrantRequest, Grants, Refusal, Revoked},
    view,
};
use axum::{Json, extract::State, http::StatusCode};
use remit_abi::Pid;
use remit_assembly::{GiveError, GrantingError};
use serde::Deserialize;
use tokio::task;

/// Of which process; of all without one.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Whose {
    #[serde(default, with = "crate::protocol::text::option")]
    pid: Option<Pid>,
}

pub(super) async fn tree(State(host): Host, Asked(Whose { pid }): Asked<Whose>) -> Result<Json<Grants>, Refusal> {
    let kernel = host.node.kernel();
    if pid.is_some_and(|pid| kernel.process(pid).is_none()) {
        return Err(no_such_process());
    }
    let grants = kernel.grant_tree(pid).iter().map(|grant| view::grant(kernel, grant)).collect();
    Ok(Json(Grants { grants }))
}

pub(super) async fn give(
    State(host): Host,
    Named(pid): Named<Pid>,
    Body(terms): Body<GrantRequest>,
) -> Result<(StatusCode, Json<Given>), Refusal> {
    let kernel = host.node.kernel();
    if kernel.process(pid).is_none() {
        return Err(no_such_process());
    }
    let spec = view::spec(kernel, pid.tenant, terms).map_err(|error| Refusal::new(ErrorCode::Invalid, error))?;
    // A model that it opens may have to be loaded.
    let giving = host.clone();
    match task::spawn_blocking(move || giving.node.give(pid, spec)).await {
        Ok(Ok(id)) => Ok((StatusCode::CREATED, Json(Given { grant: GrantName(id) }))),
        Ok(Err(GrantingError::Give(GiveError::NoProcess))) => Err(no_such_process()),
        Ok(Err(error)) => Err(Refusal::new(ErrorCode::Invalid, error)),
        Err(error) => Err(Refusal::new(ErrorCode::MachineFailed, format_args!("the grant was not given: {error}"))),
    }
}

pub(super) async fn revoke(
    State(host): Host,
    Named(GrantName(grant)): Named<GrantName>,
) -> Result<Json<Revoked>, Refusal> {
    match host.node.kernel().revoke(grant) {
        Ok(revoked) => Ok(Json(Revoked { revoked })),
        Err(_) => Err(Refusal::new(
            ErrorCode::NoSuchGrant,
            "no such grant: nobody holds it any more, or it never was; `remit caps tree` shows those there are",
        )),
    }
}

/// Denials outlive their processes, so that a dead one's can be asked for.
pub(super) async fn denials(State(host): Host, Asked(Whose { pid }): Asked<Whose>) -> Json<Denials> {
    let kernel = host.node.kernel();
    Json(Denials { denials: kernel.denials(pid).iter().map(|denied| view::denied(kernel, denied)).collect() })
}
