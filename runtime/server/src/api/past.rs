//! `/v1/audit`, `/v1/forget`, `/v1/erase`.
//!
//! An export is written by a thread of its own into a short queue, so that a client that does not read makes it wait and costs a few pieces of
//! it. One that breaks off in the middle ends without its last line, which whoever checks it finds.

use super::{
    Host, busy,
    extract::{Asked, Body},
};
use crate::{
    limits::{EXPORT_PIECE_BYTES, LINES_QUEUED_MAX},
    protocol::{EraseRequest, ErrorCode, ForgetRequest, Forgotten, Refusal},
};
use axum::{
    Json, body,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures::stream;
use remit_abi::TenantId;
use remit_assembly::{PastError, audit::Detail};
use serde::Deserialize;
use std::{
    convert::Infallible,
    io::{self, BufWriter, Write},
    task::Poll,
};
use tokio::{sync::mpsc, task};

impl From<PastError> for Refusal {
    fn from(error: PastError) -> Self {
        let code = if error.is_usage() { ErrorCode::Invalid } else { ErrorCode::MachineFailed };
        Self::new(code, error)
    }
}

/// Which chain, and whether with contents.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    tenant: u32,
    #[serde(default)]
    reveal: bool,
}

/// Each piece goes into the queue, and waits for room there.
struct Pieces(mpsc::Sender<Bytes>);

impl Write for Pieces {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        let gone = |_| io::Error::new(io::ErrorKind::BrokenPipe, "whoever asked for it has gone");
        self.0.blocking_send(Bytes::copy_from_slice(piece)).map_err(gone)?;
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub(super) async fn export(State(host): Host, Asked(wanted): Asked<Wanted>) -> Result<Response, Refusal> {
    let place = host.streams.clone().try_acquire_owned().map_err(|_| busy())?;
    let (sender, mut pieces) = mpsc::channel(LINES_QUEUED_MAX);
    let writing = task::spawn_blocking(move || {
        let detail = if wanted.reveal { Detail::Contents } else { Detail::Digests };
        let mut out = BufWriter::with_capacity(EXPORT_PIECE_BYTES, Pieces(sender));
        let outcome = host.node.export_audit(TenantId(wanted.tenant), detail, &mut out);
        // What did not get out of the buffer is not sent when it failed: the file has no end then.
        let (_, unwritten) = out.into_parts();
        drop(unwritten);
        outcome.map(drop)
    });
    // Where nothing comes at all it has failed, and says why.
    let Some(first) = pieces.recv().await else {
        return Err(match writing.await {
            Ok(Ok(())) => Refusal::new(ErrorCode::MachineFailed, "the audit was not exported: nothing was written"),
            Ok(Err(error)) => error.into(),
            Err(error) => Refusal::new(ErrorCode::MachineFailed, format_args!("the audit was not exported: {error}")),
        });
    };
    let mut first = Some(first);
    let rows = stream::poll_fn(move |context| {
        let _held = &place;
        match first.take() {
            Some(first) => Poll::Ready(Some(Ok::<_, Infallible>(first))),
            None => pieces.poll_recv(context).map(|piece| piece.map(Ok)),
        }
    });
    Ok(([(CONTENT_TYPE, "application/x-ndjson")], body::Body::from_stream(rows)).into_response())
}

pub(super) async fn forget(State(host): Host, Body(request): Body<ForgetRequest>) -> Result<Json<Forgotten>, Refusal> {
    match task::spawn_blocking(move || host.node.forget_before(request.before_ns)).await {
        Ok(chunks) => Ok(Json(Forgotten { chunks: chunks? })),
        Err(error) => Err(Refusal::new(ErrorCode::MachineFailed, format_args!("nothing was forgotten: {error}"))),
    }
}

pub(super) async fn erase(State(host): Host, Body(request): Body<EraseRequest>) -> Result<StatusCode, Refusal> {
    match task::spawn_blocking(move || host.node.erase(TenantId(request.tenant))).await {
        Ok(outcome) => Ok(outcome.map(|()| StatusCode::NO_CONTENT)?),
        Err(error) => Err(Refusal::new(ErrorCode::MachineFailed, format_args!("the tenant was not erased: {error}"))),
    }
}
