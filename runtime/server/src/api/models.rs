//! `/v1/models`.

use super::Host;
use crate::{protocol::Models, view};
use axum::{Json, extract::State};

pub(super) async fn list(State(host): Host) -> Json<Models> {
    Json(view::models(&host.node))
}
