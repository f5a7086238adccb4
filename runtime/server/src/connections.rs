//! Connections: how many, for how long, and what a bad one costs.
//!
//! Principles:
//!
//! - Whatever a client sends or fails to send ends its own connection and nothing else.
//! - Nothing queues without a bound: one connection too many is told so and closed.
//! - Answers are pulled: a client that does not read stops whoever writes for it, until its time is up.

use crate::{
    limits::{ACCEPT_PAUSE, BUFFER_BYTES_MAX, HEADERS_MAX, Limits},
    protocol::{ErrorCode, Refusal},
    socket::may_speak,
};
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use std::{io, sync::Arc};
use tokio::{
    net::{UnixListener, UnixStream},
    sync::Semaphore,
    time,
};
use tokio_io_timeout::TimeoutStream;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Accepts until it is told to stop, then lets the answers under way come to their end. Dropped, it accepts no more.
pub(crate) async fn serve(listener: &UnixListener, router: &Router, limits: Limits, stop: &CancellationToken) {
    let free = Arc::new(Semaphore::new(limits.connections_max));
    let open = TaskTracker::new();
    while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
        match accepted {
            Ok((stream, _)) if !may_speak(&stream) => tracing::warn!("a connection of another user was closed"),
            Ok((stream, _)) => match free.clone().try_acquire_owned() {
                Ok(place) => {
                    let conversation = converse(stream, router.clone(), limits, stop.clone());
                    open.spawn(async move {
                        conversation.await;
                        drop(place);
                    });
                }
                Err(_) => turn_away(&stream, limits.connections_max),
            },
            Err(error) => {
                tracing::warn!(%error, "a connection was not accepted");
                time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    open.close();
    open.wait().await;
}

async fn converse(stream: UnixStream, router: Router, limits: Limits, stop: CancellationToken) {
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(limits.stall_time_max));
    let mut protocol = http1::Builder::new();
    protocol
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_time_max)
        .max_headers(HEADERS_MAX)
        .max_buf_size(BUFFER_BYTES_MAX);
    let connection = protocol.serve_connection(TokioIo::new(Box::pin(stream)), TowerToHyperService::new(router));
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke off");
    }
}

/// Tells a client that there are too many, if it can be told at once.
fn turn_away(stream: &UnixStream, most: usize) {
    let refusal = Refusal::new(
        ErrorCode::Busy,
        format_args!("the host has {most} connections, which is the most: close some, or try again later"),
    );
    let told: io::Result<()> = serde_json::to_vec(&refusal).map_err(io::Error::from).and_then(|body| {
        let head = format!(
            "HTTP/1.1 {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            refusal.code.status(),
            body.len()
        );
        stream.try_write(&[head.into_bytes(), body].concat()).map(drop)
    });
    if let Err(error) = told {
        tracing::debug!(%error, "a connection too many was closed without a word");
    }
}
