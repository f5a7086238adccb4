//! `/v1/routes`.

use super::{Host, extract::Body};
use crate::{
    protocol::{ErrorCode, ExplainRequest, Explanations, Refusal, Routes},
    view,
};
use axum::{Json, extract::State};
use tokio::task;

pub(super) async fn list(State(host): Host) -> Json<Routes> {
    Json(view::routes(host.node.kernel()))
}

/// Reads the data folder's routes again. Models of routes in use may have to be opened.
pub(super) async fn reload(State(host): Host) -> Result<Json<Routes>, Refusal> {
    let reading = host.clone();
    match task::spawn_blocking(move || reading.node.reload_routes()).await {
        Ok(Ok(())) => Ok(list(State(host)).await),
        Ok(Err(error)) => Err(Refusal::new(ErrorCode::Invalid, error)),
        Err(error) => Err(Refusal::new(ErrorCode::MachineFailed, format_args!("the routes were not read: {error}"))),
    }
}

pub(super) async fn explain(
    State(host): Host,
    Body(request): Body<ExplainRequest>,
) -> Result<Json<Explanations>, Refusal> {
    let sentence = || format!("there is no route {:?}: `remit routes ls` shows those there are", request.route);
    let explained = view::explained(host.node.kernel(), &request);
    explained.map(Json).ok_or_else(|| Refusal::new(ErrorCode::Invalid, sentence()))
}
