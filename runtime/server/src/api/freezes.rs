//! `/v1/freeze`, `/v1/thaw`, `/v1/frozen`.

use super::{Host, extract::Body};
use crate::protocol::{Affected, Frozen, Selection};
use axum::{Json, extract::State};

pub(super) async fn freeze(State(host): Host, Body(selection): Body<Selection>) -> Json<Affected> {
    Json(Affected { processes: host.node.kernel().freeze(&selection.into()) })
}

pub(super) async fn thaw(State(host): Host, Body(selection): Body<Selection>) -> Json<Affected> {
    Json(Affected { processes: host.node.kernel().thaw(&selection.into()) })
}

pub(super) async fn frozen(State(host): Host) -> Json<Frozen> {
    Json(Frozen { frozen: host.node.kernel().frozen().into_iter().map(Selection::from).collect() })
}
