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
    socket::Caller,
};
use axum::{Extension, Router};
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
            Ok((stream, _)) => match (Caller::of(&stream), free.clone().try_acquire_owned()) {
                (None, _) => tracing::warn!("a connection of another user was closed"),
                (Some(caller), Ok(place)) => {
                    let router = router.clone().layer(Extension(caller));
                    let conversation = converse(stream, router, limits, stop.clone());
                    open.spawn(async move {
                        conversation.await;
                        drop(place);
                    });
                }
                (Some(_), Err(_)) => turn_away(&stream, limits.connections_max),
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

#[cfg(test)]
mod tests {
    use super::*;
    use axum::{body::Body, routing::get};
    use bytes::Bytes;
    use futures::stream;
    use std::{
        convert::Infallible,
        sync::atomic::{AtomicUsize, Ordering},
        time::Duration,
    };
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        sync::oneshot,
    };

    const SHORT: Duration = Duration::from_millis(100);
    const REQUEST: &[u8] = b"GET /hello HTTP/1.1\r\nhost: remit\r\nconnection: close\r\n\r\n";

    /// A server of a router, on a socket of its own.
    struct Stage {
        folder: tempfile::TempDir,
        _serving: tokio::task::JoinSet<()>,
    }

    impl Stage {
        fn of(router: Router, limits: Limits) -> Self {
            let folder = tempfile::tempdir().expect("a folder for the test");
            let listener = UnixListener::bind(folder.path().join("socket")).expect("it is free");
            let mut serving = tokio::task::JoinSet::new();
            serving.spawn(async move { serve(&listener, &router, limits, &CancellationToken::new()).await });
            Self { folder, _serving: serving }
        }

        fn with_short_times() -> Self {
            Self::of(
                Router::new().route("/hello", get(async || "hello")),
                Limits { header_time_max: SHORT, ..Limits::default() },
            )
        }

        async fn connect(&self) -> UnixStream {
            UnixStream::connect(self.folder.path().join("socket")).await.expect("somebody listens")
        }

        /// All that is answered to bytes, until the connection is closed.
        async fn answer(&self, bytes: &[u8]) -> String {
            let mut stream = self.connect().await;
            // A server that has had enough does not read the rest.
            let _closed_early = stream.write_all(bytes).await;
            read(stream).await
        }

        async fn is_well(&self) {
            let answer = self.answer(REQUEST).await;
            assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("hello"), "{answer}");
        }
    }

    async fn read(mut stream: UnixStream) -> String {
        let mut bytes = Vec::new();
        // A connection that is closed with something unread in it ends in an error, behind what came before.
        let _reset = stream.read_to_end(&mut bytes).await;
        String::from_utf8_lossy(&bytes).into_owned()
    }

    #[tokio::test]
    async fn garbage_closes_its_connection_and_harms_nobody() {
        let stage = Stage::with_short_times();
        let noise: Vec<u8> = (0..100_000_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let long_line = [b"GET /".as_slice(), &[b'x'; 200_000], b" HTTP/1.1\r\n\r\n"].concat();
        let many_headers = [b"GET / HTTP/1.1\r\n".as_slice(), &b"a: b\r\n".repeat(1000), b"\r\n"].concat();
        let half = b"POST / HTTP/1.1\r\ncontent-length: 1000000\r\n\r\n{";
        for bytes in
            [b"\0\0\0".as_slice(), b"\r\n\r\n\r\n", &noise, &long_line, &many_headers, half, b"\x16\x03\x01\x02\0"]
        {
            let answer = stage.answer(bytes).await;
            assert!(!answer.contains("200 OK"), "{answer}");
            stage.is_well().await;
        }
    }

    #[tokio::test]
    async fn who_says_nothing_or_half_a_request_is_not_waited_for() {
        let stage = Stage::with_short_times();
        for beginning in [b"".as_slice(), b"GET /hello HT", b"GET /hello HTTP/1.1\r\nhost: remit\r\n"] {
            let answer = time::timeout(10 * SHORT, stage.answer(beginning)).await.expect("it is closed in time");
            assert!(!answer.contains("200 OK"), "{answer}");
        }
        // A connection is kept open between requests no longer than before the first.
        let mut stream = stage.connect().await;
        stream.write_all(b"GET /hello HTTP/1.1\r\nhost: remit\r\n\r\n").await.expect("it is open");
        let answer = time::timeout(10 * SHORT, read(stream)).await.expect("it is closed in time");
        assert!(answer.contains("200 OK"), "{answer}");
    }

    #[tokio::test]
    async fn one_connection_too_many_is_told_so_at_once() {
        let limits = Limits { connections_max: 3, header_time_max: Duration::from_secs(60), ..Limits::default() };
        let stage = Stage::of(Router::new().route("/hello", get(async || "hello")), limits);
        let held = [stage.connect().await, stage.connect().await];
        stage.is_well().await;
        let last = stage.connect().await;
        let answer = time::timeout(10 * SHORT, read(stage.connect().await)).await.expect("it is told at once");
        assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("\"code\":\"busy\""), "{answer}");
        drop((held, last));
        // The server sees the places that are free again when it gets round to it.
        time::timeout(10 * SHORT, async { while !stage.answer(REQUEST).await.contains("200 OK") {} })
            .await
            .expect("places are given back");
    }

    #[tokio::test]
    async fn who_does_not_read_stops_the_writer_and_then_loses_the_connection() {
        struct Dropped(Option<oneshot::Sender<()>>);
        impl Drop for Dropped {
            fn drop(&mut self) {
                let _test_is_over = self.0.take().map(|told| told.send(()));
            }
        }
        const CHUNK: usize = 64 << 10;
        let written = Arc::new(AtomicUsize::new(0));
        let (told, dropped) = oneshot::channel();
        let body = {
            let (written, dropped) = (written.clone(), Dropped(Some(told)));
            Body::from_stream(stream::repeat_with(move || {
                let _held = &dropped;
                written.fetch_add(CHUNK, Ordering::Relaxed);
                Ok::<_, Infallible>(Bytes::from_static(&[b'x'; CHUNK]))
            }))
        };
        let body = Arc::new(parking_lot::Mutex::new(Some(body)));
        let router = Router::new().route("/hello", get(async move || body.lock().take().unwrap_or_default()));
        let stage = Stage::of(router, Limits { stall_time_max: SHORT, ..Limits::default() });
        let mut stream = stage.connect().await;
        stream.write_all(REQUEST).await.expect("it is open");
        time::timeout(20 * SHORT, dropped).await.expect("its time is up").expect("the body tells of its end");
        let written = written.load(Ordering::Relaxed);
        assert!((CHUNK..4 << 20).contains(&written), "{written} bytes were taken from the writer for a stalled reader");
    }
}
