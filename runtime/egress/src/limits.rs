//! How much and how long, for one request with all its redirects.

use std::time::Duration;

/// What one request may take. The defaults suit a request for a page or a document; who loads gigabytes says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Redirects that are followed. Browsers follow 20; what is served rightly needs two or three.
    pub redirects_max: u32,
    /// Bytes of an answer's status line and headers; at least 8 KiB, which is what the parser reads at once.
    pub head_bytes_max: usize,
    /// Headers of an answer. Servers send some 30.
    pub headers_max: usize,
    /// Bytes of an answer's body.
    pub body_bytes_max: u64,
    /// Names resolved, connected, the handshake of TLS done: for each hop.
    pub connect: Duration,
    /// Without a byte in either direction until the head of the answer is there. A model that thinks before it speaks takes long.
    pub answer: Duration,
    /// Without a byte of the body, while somebody waits for one.
    pub idle: Duration,
    /// Everything, until the last byte of the body was taken.
    pub total: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            redirects_max: 5,
            head_bytes_max: 64 << 10,
            headers_max: 100,
            body_bytes_max: 16 << 20,
            connect: Duration::from_secs(10),
            answer: Duration::from_secs(60),
            idle: Duration::from_secs(30),
            total: Duration::from_secs(300),
        }
    }
}

/// Bytes of a URL: servers take no more than 8 KiB of a request's first line.
pub(crate) const URL_BYTES_MAX: usize = 8 << 10;

/// Addresses of one name that are tried. Large services answer eight.
pub(crate) const ADDRESSES_MAX: usize = 16;

/// Names that are resolved at the same time: the system's resolver takes a thread for each, and keeps it as long as it likes.
pub(crate) const LOOKUPS_MAX: usize = 32;

/// The least that hyper's buffer may be.
pub(crate) const HEAD_BYTES_LEAST: usize = 8 << 10;
