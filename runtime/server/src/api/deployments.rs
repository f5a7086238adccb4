//! `/v1/deployments`.
//!
//! What is decided is written down when it is answered; what follows from it (replicas that start or end) comes after.

use super::{
    Host, Managed,
    extract::{Body, Named},
};
use crate::{
    protocol::{
        DeployRequest, Deployed, DeployedAs, DeployedOne, DeployedRun, DeployedRunRequest, Deployments, ErrorCode,
        Refusal, UpgradeRequest, Upgraded,
    },
    view,
};
use axum::{Json, extract::State, http::StatusCode};
use remit_assembly::{
    DeployError, Doing, OpenError, Wider,
    deploy::{Applied, parse},
    package::Version,
};
use std::sync::Arc;
use tokio::task;

impl From<DeployError> for Refusal {
    fn from(error: DeployError) -> Self {
        let code = match error {
            DeployError::Store(error) => return OpenError::from(error).into(),
            DeployError::Start(error) => return error.into(),
            DeployError::Name { .. } | DeployError::Tokens(_) => ErrorCode::Invalid,
            DeployError::Undecidable { .. } | DeployError::NotDurable => ErrorCode::Invalid,
            DeployError::NotInstalled(_) => ErrorCode::NoSuchAgent,
            DeployError::OtherBytes { .. } | DeployError::Wider { .. } => ErrorCode::Refused,
            DeployError::Unknown { .. } => ErrorCode::NoSuchDeployment,
            DeployError::Journal(_) | DeployError::State(_) => ErrorCode::MachineFailed,
        };
        Self::new(code, error)
    }
}

/// Does what blocks: packages are read and compiled, the log is written.
async fn blocking<T: Send + 'static>(
    host: Arc<Managed>,
    act: impl FnOnce(&Arc<Managed>) -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    let done = task::spawn_blocking(move || act(&host)).await;
    done.unwrap_or_else(|error| {
        Err(Refusal::new(ErrorCode::MachineFailed, format_args!("the deployment was not looked at: {error}")))
    })
}

const fn wider(allowed: bool) -> Wider {
    if allowed { Wider::Allowed } else { Wider::Refused }
}

pub(super) async fn deploy(State(host): Host, Body(request): Body<DeployRequest>) -> Result<Json<Deployed>, Refusal> {
    let DeployRequest { file, dry_run, allow_wider } = request;
    let specs = parse(&file).map_err(|error| Refusal::new(ErrorCode::Invalid, error))?;
    let doing = if dry_run { Doing::Nothing } else { Doing::Now };
    let applied = blocking(host, move |host| Ok(host.node.deploy(specs, wider(allow_wider), doing)?)).await?;
    let told = |(name, applied): (String, Applied)| {
        let (change, differences) = match applied {
            Applied::New => (DeployedAs::New, Vec::new()),
            Applied::Unchanged => (DeployedAs::Unchanged, Vec::new()),
            Applied::Changed(differences) => (DeployedAs::Changed, differences),
        };
        DeployedOne { name, change, differences }
    };
    Ok(Json(Deployed { deployments: applied.into_iter().map(told).collect() }))
}

pub(super) async fn list(State(host): Host) -> Result<Json<Deployments>, Refusal> {
    blocking(host, |host| {
        let deployments = host.node.deployments()?.into_iter().map(view::deployment).collect();
        Ok(Json(Deployments { deployments }))
    })
    .await
}

pub(super) async fn remove(State(host): Host, Named(name): Named<String>) -> Result<StatusCode, Refusal> {
    blocking(host, move |host| Ok(host.node.remove_deployment(&name)?)).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn upgrade(
    State(host): Host,
    Named(name): Named<String>,
    Body(request): Body<UpgradeRequest>,
) -> Result<Json<Upgraded>, Refusal> {
    let UpgradeRequest { version, percent, allow_wider } = request;
    let version = Version::parse(&version)
        .map_err(|error| Refusal::new(ErrorCode::Invalid, format_args!("{version:?} is no version: {error}")))?;
    let upgraded =
        blocking(host, move |host| Ok(host.node.upgrade(&name, &version, percent, wider(allow_wider))?)).await?;
    Ok(Json(Upgraded { said: upgraded.to_string() }))
}

pub(super) async fn promote(State(host): Host, Named(name): Named<String>) -> Result<Json<Upgraded>, Refusal> {
    let upgraded = blocking(host, move |host| Ok(host.node.promote(&name)?)).await?;
    Ok(Json(Upgraded { said: upgraded.to_string() }))
}

pub(super) async fn rollback(State(host): Host, Named(name): Named<String>) -> Result<Json<Upgraded>, Refusal> {
    let upgraded = blocking(host, move |host| Ok(host.node.roll_back(&name)?)).await?;
    Ok(Json(Upgraded { said: upgraded.to_string() }))
}

pub(super) async fn run(
    State(host): Host,
    Named(name): Named<String>,
    Body(DeployedRunRequest { task }): Body<DeployedRunRequest>,
) -> Result<(StatusCode, Json<DeployedRun>), Refusal> {
    let pid = blocking(host, move |host| {
        let run = host.start(|node| node.run_deployed(&name, &task))?.unwatched();
        // Whoever asked may be gone by now.
        drop(host.resumed.spawn(run.finished));
        Ok(run.pid)
    })
    .await?;
    Ok((StatusCode::CREATED, Json(DeployedRun { pid })))
}
