//! What was answered.

use crate::{
    Error, Limits, Place, Stage, Target,
    exchange::{Answer, Connection, fault},
};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use std::fmt;
use tokio::time::{Instant, timeout_at};

/// An answer: its head, and its body as it comes. Dropped, it ends the connection.
pub struct Response {
    target: Target,
    status: StatusCode,
    headers: HeaderMap,
    body: Incoming,
    taken: u64,
    limits: Limits,
    deadline: Instant,
    connection: Connection,
}

impl Response {
    /// Looks at an answer's head.
    pub(crate) fn new(target: Target, answer: Answer, limits: Limits, deadline: Instant) -> Result<Self, Error> {
        let Answer { head, body, connection } = answer;
        let place = || target.place().clone();
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            return Err(Error::Malformed { place: place(), reason: "it changes to another protocol".to_owned() });
        }
        let encodings = head.headers.get_all(header::CONTENT_ENCODING);
        if encodings.iter().any(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
            return Err(Error::Encoded { place: place() });
        }
        if body.size_hint().lower() > limits.body_bytes_max {
            return Err(Error::BodyTooLarge { place: place(), max: limits.body_bytes_max });
        }
        let mut headers = head.headers;
        // Nobody keeps cookies here, and none is to believe that he could.
        headers.remove(header::SET_COOKIE);
        Ok(Self { target, status: head.status, headers, body, taken: 0, limits, deadline, connection })
    }

    /// The status, 200 to 599.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// The headers.
    #[must_use]
    pub const fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The text of a header; `None` where it is missing, or no text, or stands several times.
    #[must_use]
    pub fn header(&self, name: &header::HeaderName) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next()?.to_str().ok()?;
        values.next().is_none().then_some(value)
    }

    /// What answered, after all redirects.
    #[must_use]
    pub const fn target(&self) -> &Target {
        &self.target
    }

    /// Bytes of the body that are still to come, where the server said so.
    #[must_use]
    pub fn bytes_announced(&self) -> Option<u64> {
        self.body.size_hint().exact()
    }

    /// The next piece of the body; `None` at its end.
    ///
    /// # Errors
    /// [`Error`], for a body that is too large, too slow, or not whole.
    pub async fn piece(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            let waited = self.connection.activity.watch(self.limits.idle, self.body.frame());
            let waited = timeout_at(self.deadline, waited).await;
            let waited = waited.map_err(|_| self.slow(Stage::Total))?;
            let Some(frame) = waited.ok_or_else(|| self.slow(Stage::Body))? else { return Ok(None) };
            let frame = frame.map_err(|error| fault(self.place(), &self.limits, &error))?;
            // Trailers say nothing that anybody here believes.
            let Ok(piece) = frame.into_data() else { continue };
            self.taken += piece.len() as u64;
            if self.taken > self.limits.body_bytes_max {
                return Err(Error::BodyTooLarge { place: self.place().clone(), max: self.limits.body_bytes_max });
            }
            return Ok(Some(piece));
        }
    }

    /// The whole body.
    ///
    /// # Errors
    /// As [`Self::piece`].
    pub async fn bytes(mut self) -> Result<Bytes, Error> {
        let mut all = BytesMut::new();
        while let Some(piece) = self.piece().await? {
            all.extend_from_slice(&piece);
        }
        Ok(all.freeze())
    }

    fn place(&self) -> &Place {
        self.target.place()
    }

    fn slow(&self, stage: Stage) -> Error {
        let limit = if stage == Stage::Total { self.limits.total } else { self.limits.idle };
        Error::Slow { place: self.place().clone(), stage, limit }
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Response({} from {:?})", self.status.as_u16(), self.target)
    }
}
