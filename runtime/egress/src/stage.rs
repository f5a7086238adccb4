//! What a request waits for.

use std::fmt;

/// The part of a request that took too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Its name.
    Resolve,
    /// TCP.
    Connect,
    /// The operator's proxy.
    Proxy,
    /// The handshake of TLS.
    Tls,
    /// The head of the answer.
    Answer,
    /// The next piece of the body.
    Body,
    /// All together.
    Total,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Resolve => "was not resolved",
            Self::Connect => "did not accept a connection",
            Self::Proxy => "was not reached through the proxy",
            Self::Tls => "did not finish the handshake of TLS",
            Self::Answer => "did not answer",
            Self::Body => "sent nothing more of its answer",
            Self::Total => "was not done",
        })
    }
}
