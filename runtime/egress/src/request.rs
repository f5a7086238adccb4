//! What is asked.

use crate::{Credential, Error, Limits, Target};
use bytes::Bytes;
use futures::stream::BoxStream;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use std::{fmt, io};

/// A body to send.
#[derive(Default)]
pub enum Body {
    /// None.
    #[default]
    Empty,
    /// All of it, which can be sent again after a redirect.
    Bytes(Bytes),
    /// Piece by piece, once.
    Stream {
        /// How many bytes all pieces have together.
        bytes: u64,
        /// The pieces.
        pieces: BoxStream<'static, io::Result<Bytes>>,
    },
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("Empty"),
            Self::Bytes(bytes) => write!(f, "Bytes({})", bytes.len()),
            Self::Stream { bytes, .. } => write!(f, "Stream({bytes})"),
        }
    }
}

/// One request. Its credential goes to the place of its URL and is left out wherever else a redirect leads.
#[derive(Debug)]
pub struct Request {
    pub(crate) method: Method,
    pub(crate) target: Target,
    pub(crate) headers: HeaderMap,
    pub(crate) credentials: Vec<(HeaderName, Credential)>,
    pub(crate) body: Body,
    pub(crate) limits: Limits,
}

impl Request {
    /// A request without headers and body, under the default limits.
    #[must_use]
    pub fn new(method: Method, target: Target) -> Self {
        Self {
            method,
            target,
            headers: HeaderMap::new(),
            credentials: Vec::new(),
            body: Body::Empty,
            limits: Limits::default(),
        }
    }

    /// A `GET` of a URL.
    ///
    /// # Errors
    /// [`Error::Url`].
    pub fn get(url: &str) -> Result<Self, Error> {
        Ok(Self::new(Method::GET, Target::parse(url)?))
    }

    /// Adds a header. One that carries a credential by its nature is treated as one.
    #[must_use]
    pub fn header(mut self, name: HeaderName, mut value: HeaderValue) -> Self {
        value.set_sensitive(is_credential(&name));
        self.headers.append(name, value);
        self
    }

    /// Adds a header that is secret.
    #[must_use]
    pub fn credential(mut self, name: HeaderName, credential: Credential) -> Self {
        self.credentials.push((name, credential));
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: Body) -> Self {
        self.body = body;
        self
    }

    /// Sets the limits.
    #[must_use]
    pub const fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// What is the connector's own, or would have it keep a state, is refused.
    pub(crate) fn check_headers(&self) -> Result<(), Error> {
        let names = self.headers.keys().chain(self.credentials.iter().map(|(name, _)| name));
        match names.into_iter().find(|name| is_own(name)) {
            Some(name) => Err(Error::Header(name.clone())),
            None => Ok(()),
        }
    }
}

/// What frames a message, belongs to one connection (RFC 9110, section 7.6.1), or is a cookie.
fn is_own(name: &HeaderName) -> bool {
    const OWN: &[HeaderName] = &[
        header::ACCEPT_ENCODING,
        header::CONNECTION,
        header::CONTENT_LENGTH,
        header::COOKIE,
        header::EXPECT,
        header::HOST,
        header::PROXY_AUTHORIZATION,
        header::TE,
        header::TRAILER,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
    ];
    OWN.contains(name) || matches!(name.as_str(), "keep-alive" | "proxy-connection")
}

/// What another origin must not get, though nobody called it a credential. Names that services use for their keys.
pub(crate) fn is_credential(name: &HeaderName) -> bool {
    ["auth", "key", "secret", "session", "signature", "token"].iter().any(|part| name.as_str().contains(part))
}
