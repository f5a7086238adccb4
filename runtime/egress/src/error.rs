//! What can go wrong with a request, in one sentence each: what failed, why, and what to do.
//!
//! No error repeats a header, a body, or a URL's query: credentials stand in all of them.

use crate::{Place, Special, Stage};
use http::{HeaderName, Method};
use std::{net::IpAddr, time::Duration};
use thiserror::Error;

/// A request that was not made, or got no usable answer.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// A URL that is none, or says too much.
    #[error("the URL cannot be requested: {0}")]
    Url(&'static str),
    /// Without TLS.
    #[error("{place} would be asked without TLS, which its grant does not allow: use https")]
    Plain {
        /// Where.
        place: Place,
    },
    /// Not granted.
    #[error("{place} is not among the granted hosts: add {:?} to the grant's hosts if it should be", .place.name())]
    Host {
        /// Where.
        place: Place,
    },
    /// Not granted.
    #[error("{method} requests are not granted for {place}: the grant allows {allowed}")]
    Method {
        /// Which.
        method: Method,
        /// Where.
        place: Place,
        /// The others, with commas.
        allowed: String,
    },
    /// A header that is the connector's own.
    #[error("the header {0} is set by the connector alone: leave it out")]
    Header(HeaderName),
    /// No such secret.
    #[error("there is no secret {0:?}: store it under this name, or correct the name")]
    NoSecret(String),
    /// A secret that is not for this host.
    #[error("the secret {secret:?} is not for {place}: add {:?} to the secret's hosts if it should be", .place.name())]
    SecretHost {
        /// Its name.
        secret: String,
        /// Where it would have gone.
        place: Place,
    },
    /// A secret that no header can carry.
    #[error("the secret {0:?} cannot be sent: it has characters that no header can carry, such as an end of line")]
    SecretText(String),
    /// A credential without TLS.
    #[error(
        "a credential would be sent to {place} without TLS: use https, or have the operator name the host as local"
    )]
    PlainCredential {
        /// Where.
        place: Place,
    },
    /// A name without an address.
    #[error("the name of {place} could not be resolved: {reason}")]
    Resolve {
        /// Where.
        place: Place,
        /// What the resolver said.
        reason: String,
    },
    /// An address that may not be reached.
    #[error(
        "{place} is at {address}, {special}, which requests may not reach: the operator can name the host and the network as local"
    )]
    Address {
        /// Where.
        place: Place,
        /// One of its addresses.
        address: IpAddr,
        /// What it is.
        special: Special,
    },
    /// Nobody there.
    #[error("{place} could not be connected to: {reason}")]
    Connect {
        /// Where.
        place: Place,
        /// Of the last address that was tried.
        reason: String,
    },
    /// The operator's proxy.
    #[error("the proxy did not open a way to {place}: {reason}")]
    Proxy {
        /// Where.
        place: Place,
        /// What it said.
        reason: String,
    },
    /// No TLS, or somebody else.
    #[error("{place} could not be spoken to over TLS: {reason}")]
    Tls {
        /// Where.
        place: Place,
        /// What is wrong with its certificate, or its protocol.
        reason: String,
    },
    /// Too slow.
    #[error("{place} {stage} within {} ms: try again later, or raise the limit", .limit.as_millis())]
    Slow {
        /// Where.
        place: Place,
        /// What was waited for.
        stage: Stage,
        /// How long.
        limit: Duration,
    },
    /// No HTTP.
    #[error("{place} gave an answer that is not HTTP/1.1: {reason}")]
    Malformed {
        /// Where.
        place: Place,
        /// What is wrong with it.
        reason: String,
    },
    /// Too much before the body.
    #[error("{place} sent more than {bytes} bytes or {headers} lines of headers")]
    HeadTooLarge {
        /// Where.
        place: Place,
        /// The most.
        bytes: usize,
        /// The most.
        headers: usize,
    },
    /// A body that somebody packed.
    #[error("{place} sent a compressed body, which was not asked for and is not unpacked")]
    Encoded {
        /// Where.
        place: Place,
    },
    /// Too much.
    #[error("{place} sent, or announced, a body of more than {max} bytes: ask for less, or raise the limit")]
    BodyTooLarge {
        /// Where.
        place: Place,
        /// The most.
        max: u64,
    },
    /// Too little.
    #[error("{place} ended the connection before its answer was whole: try again")]
    Truncated {
        /// Where.
        place: Place,
    },
    /// A connection that broke.
    #[error("the connection to {place} broke: {reason}")]
    Broken {
        /// Where.
        place: Place,
        /// How.
        reason: String,
    },
    /// The caller's own body.
    #[error("the body for {place} could not be sent whole: {reason}")]
    Sent {
        /// Where.
        place: Place,
        /// Why.
        reason: String,
    },
    /// A redirect without an end.
    #[error("{place} redirects once more after {max} redirects: it leads in a circle, or too far")]
    Redirects {
        /// Who did last.
        place: Place,
        /// The most.
        max: u32,
    },
    /// A redirect that leads nowhere.
    #[error("{place} redirects to no usable URL: {reason}")]
    RedirectUrl {
        /// Who does.
        place: Place,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// From TLS to none.
    #[error("{place} redirects to {to}, which is without TLS: this is never followed")]
    Downgrade {
        /// Who does.
        place: Place,
        /// Where to.
        to: Place,
    },
    /// A redirect that was refused for what it leads to.
    #[error("{place} redirects, and that was not followed: {refusal}")]
    Redirect {
        /// Who does.
        place: Place,
        /// Why not.
        refusal: Box<Self>,
    },
    /// A stream cannot be sent a second time.
    #[error(
        "{place} redirects a request whose body is a stream, which cannot be sent again: ask the right host at once"
    )]
    RedirectStream {
        /// Who does.
        place: Place,
    },
}
