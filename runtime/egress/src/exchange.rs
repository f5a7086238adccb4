//! One request and one answer over one connection.
//!
//! HTTP/1.1 alone (RFC 9112): every service speaks it, and its parser has a small state that a hostile server can play with.
//! A connection serves one request, so that nothing which was checked for one is ever used for another.

use crate::{
    Body, Error, Limits, Place, Stage, Target,
    activity::{Activity, Watched},
    dial::Stream,
    limits::HEAD_BYTES_LEAST,
};
use bytes::Bytes;
use futures::{StreamExt as _, stream, stream::BoxStream};
use http::{HeaderMap, HeaderValue, Method, header};
use hyper::{
    body::{Frame, Incoming, SizeHint},
    client::conn::http1,
};
use hyper_util::rt::TokioIo;
use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::{task::JoinHandle, time::Instant};

/// What goes to the server.
pub(crate) struct Message<'a> {
    pub(crate) method: &'a Method,
    pub(crate) target: &'a Target,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Body,
}

/// An answer whose body is still on its way.
pub(crate) struct Answer {
    pub(crate) head: http::response::Parts,
    pub(crate) body: Incoming,
    pub(crate) connection: Connection,
}

/// What keeps a connection going; dropped, it ends.
pub(crate) struct Connection {
    pub(crate) activity: Activity,
    driver: JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Sends a message and waits for the head of the answer, until `deadline` at most.
pub(crate) async fn exchange(
    stream: Box<dyn Stream>,
    message: Message<'_>,
    limits: &Limits,
    deadline: Instant,
) -> Result<Answer, Error> {
    let place = message.target.place();
    let activity = Activity::new();
    let io = TokioIo::new(Watched { stream, activity: activity.clone() });
    let mut builder = http1::Builder::new();
    builder.max_buf_size(limits.head_bytes_max.max(HEAD_BYTES_LEAST)).max_headers(limits.headers_max);
    let (mut sender, connection) = builder.handshake(io).await.map_err(|error| fault(place, limits, &error))?;
    let driver = tokio::spawn(async move {
        // What goes wrong with the connection is told to whoever waits for the answer or its body.
        let _ = connection.await;
    });
    let connection = Connection { activity, driver };
    let request = request(message)?;
    let waited = connection.activity.watch(limits.answer, sender.send_request(request));
    let slow = |stage, limit| Error::Slow { place: place.clone(), stage, limit };
    let answer = tokio::time::timeout_at(deadline, waited).await.map_err(|_| slow(Stage::Total, limits.total))?;
    let answer = answer.ok_or_else(|| slow(Stage::Answer, limits.answer))?;
    let (head, body) = answer.map_err(|error| fault(place, limits, &error))?.into_parts();
    Ok(Answer { head, body, connection })
}

fn request(message: Message<'_>) -> Result<http::Request<Outgoing>, Error> {
    let Message { method, target, mut headers, body } = message;
    let place = target.place();
    let unusable = |_| Error::Url("its host or path cannot be sent");
    let host = HeaderValue::from_str(&place.name()).map_err(|_| Error::Url("its host cannot be sent"))?;
    headers.insert(header::HOST, host);
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers.entry(header::USER_AGENT).or_insert(HeaderValue::from_static(concat!("remit/", env!("CARGO_PKG_VERSION"))));
    let mut request = http::Request::builder()
        .method(method.clone())
        .uri(target.path_and_query())
        .body(Outgoing::new(body))
        .map_err(unusable)?;
    *request.headers_mut() = headers;
    Ok(request)
}

/// What hyper says, as our own sentence.
pub(crate) fn fault(place: &Place, limits: &Limits, error: &hyper::Error) -> Error {
    let place = place.clone();
    if error.is_parse_too_large() {
        return Error::HeadTooLarge { place, bytes: limits.head_bytes_max, headers: limits.headers_max };
    }
    if error.is_incomplete_message() {
        return Error::Truncated { place };
    }
    let reason = innermost(error);
    if error.is_user() || error.is_body_write_aborted() {
        return Error::Sent { place, reason };
    }
    if error.is_parse() {
        return Error::Malformed { place, reason };
    }
    match std::error::Error::source(error).and_then(|source| source.downcast_ref::<io::Error>()) {
        Some(cause) if cause.kind() == io::ErrorKind::UnexpectedEof => Error::Truncated { place },
        Some(cause) if cause.kind() == io::ErrorKind::InvalidInput || cause.kind() == io::ErrorKind::InvalidData => {
            Error::Malformed { place, reason }
        }
        _ => Error::Broken { place, reason },
    }
}

/// The cause that has no cause: those above it only say that something failed.
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// A body on its way out, exactly as long as it was said to be.
struct Outgoing {
    left: u64,
    pieces: BoxStream<'static, io::Result<Bytes>>,
}

impl Outgoing {
    fn new(body: Body) -> Self {
        let (left, pieces) = match body {
            Body::Empty => (0, stream::empty().boxed()),
            Body::Bytes(bytes) => (bytes.len() as u64, stream::iter([Ok(bytes)]).boxed()),
            Body::Stream { bytes, pieces } => (bytes, pieces),
        };
        Self { left, pieces }
    }
}

impl hyper::body::Body for Outgoing {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let piece = std::task::ready!(self.pieces.poll_next_unpin(context));
        Poll::Ready(match piece {
            None if self.left > 0 => Some(Err(io::Error::other(format!("it ended {} bytes too early", self.left)))),
            None => None,
            Some(Err(error)) => Some(Err(error)),
            Some(Ok(bytes)) => match self.left.checked_sub(bytes.len() as u64) {
                Some(left) => {
                    self.left = left;
                    Some(Ok(Frame::data(bytes)))
                }
                None => Some(Err(io::Error::other("it is longer than was said"))),
            },
        })
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
