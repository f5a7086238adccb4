//! `/metrics`.

use super::Host;
use crate::{
    metrics::{MEDIA_TYPE, Snapshot},
    protocol::{ErrorCode, Refusal},
};
use axum::{
    extract::State,
    http::header::CONTENT_TYPE,
    response::{IntoResponse, Response},
};

pub(super) async fn scrape(State(host): Host) -> Result<Response, Refusal> {
    let failed = |error| Refusal::new(ErrorCode::MachineFailed, format_args!("a metric cannot be written: {error}"));
    let text = Snapshot::of(&host.node).text().map_err(failed)?;
    Ok(([(CONTENT_TYPE, MEDIA_TYPE)], text).into_response())
}
