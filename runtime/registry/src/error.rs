//! What can go wrong between here and a registry: what failed, why, and what to do. No credential stands in an error.

use crate::Digest;
use std::{io, path::Path};
use thiserror::Error as Failure;

/// A package that was not moved.
#[derive(Debug, Failure)]
#[non_exhaustive]
pub enum Error {
    /// A name that is none.
    #[error("{text:?} names no artifact: {rule}")]
    Reference {
        /// Its beginning.
        text: String,
        /// What it breaks.
        rule: &'static str,
    },
    /// A digest that is none.
    #[error("{0:?} is no digest: it must be sha256: and 64 hexadecimal digits in lower case")]
    Digest(String),
    /// The way out.
    #[error(transparent)]
    Egress(#[from] remit_egress::Error),
    /// A registry's name that no grant can have.
    #[error("the registry's name cannot be used: {0}")]
    Host(#[from] remit_abi::ScopeError),
    /// It is not there.
    #[error("there is no {what} at {place}: check the name, and whether it was pushed")]
    Missing {
        /// What.
        what: String,
        /// Where.
        place: String,
    },
    /// A status that nothing can be made of.
    #[error("{place} answered {status} to {act}{said}")]
    Status {
        /// Which registry.
        place: String,
        /// The HTTP status.
        status: u16,
        /// What was tried.
        act: String,
        /// The registry's own words, behind a colon.
        said: String,
    },
    /// It wants to know who asks.
    #[error(
        "{place} refuses access to {repository}: log in with `docker login {place}`, or ask its owner for the right"
    )]
    Denied {
        /// Which registry.
        place: String,
        /// Of what.
        repository: String,
    },
    /// A challenge that is none of the two.
    #[error("{place} asks for a login in a way that is not known here: {reason}")]
    Challenge {
        /// Which registry.
        place: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Tokens from elsewhere.
    #[error(
        "{place} would have its credentials sent to {realm}, which is not near it: name {realm} as a realm if they belong there"
    )]
    Realm {
        /// Which registry.
        place: String,
        /// The host that it names.
        realm: String,
    },
    /// Answers that contradict what was asked, or one another.
    #[error("{place} does not do as it should: {reason}")]
    Misbehaved {
        /// Which registry.
        place: String,
        /// What it did.
        reason: String,
    },
    /// Other bytes.
    #[error("{what} has the digest {found}, and {expected} was promised: it was changed, or damaged on its way")]
    Lie {
        /// What.
        what: String,
        /// What came.
        found: Digest,
        /// What was said.
        expected: Digest,
    },
    /// Another length.
    #[error("{what} has {found} bytes, and {expected} were promised")]
    Size {
        /// What.
        what: String,
        /// What came.
        found: u64,
        /// What was said.
        expected: u64,
    },
    /// Too much.
    #[error("{what} has {bytes} bytes, and {most} are the most")]
    TooLarge {
        /// What.
        what: String,
        /// How many.
        bytes: u64,
        /// The most.
        most: u64,
    },
    /// Something else than a package.
    #[error("{what} is {found:?}, and {expected} is needed: this is no WebAssembly package")]
    MediaType {
        /// What.
        what: String,
        /// Its type.
        found: String,
        /// The right one.
        expected: &'static str,
    },
    /// More than one file, or none.
    #[error("{what} has {count} layers, and a package is exactly one")]
    Layers {
        /// Which manifest.
        what: String,
        /// How many.
        count: usize,
    },
    /// A config about something else.
    #[error("the config of {0} describes other bytes than its layer")]
    Config(String),
    /// A list without an end.
    #[error("{what} goes on after {most} entries or pages")]
    Endless {
        /// Which list.
        what: String,
        /// The most.
        most: usize,
    },
    /// A document that cannot be read.
    #[error("{what} cannot be read: {reason}")]
    Document {
        /// Which.
        what: String,
        /// Why.
        reason: String,
    },
    /// A credential store.
    #[error("the credentials for {place} cannot be read: {reason}")]
    Credentials {
        /// Which registry.
        place: String,
        /// Why.
        reason: String,
    },
    /// The disk.
    #[error("{path} cannot be {act}: {cause}")]
    File {
        /// Which file.
        path: String,
        /// Read or written.
        act: &'static str,
        /// Why.
        cause: io::Error,
    },
}

impl Error {
    pub(crate) fn reading(path: &Path, cause: io::Error) -> Self {
        Self::File { path: path.display().to_string(), act: "read", cause }
    }

    pub(crate) fn storing(path: &Path, cause: io::Error) -> Self {
        Self::File { path: path.display().to_string(), act: "written", cause }
    }

    /// A document of our own, which always can be written.
    #[allow(clippy::needless_pass_by_value, reason = "it stands behind map_err")]
    pub(crate) fn writing(error: serde_json::Error) -> Self {
        Self::Document { what: "a document of our own".to_owned(), reason: error.to_string() }
    }

    /// Whether the same may well go better a second time: the line broke, or was slow.
    pub(crate) fn is_passing(&self) -> bool {
        use remit_egress::{Error as Egress, Stage};
        match self {
            Self::Egress(Egress::Slow { stage, .. }) => *stage != Stage::Total,
            Self::Egress(Egress::Truncated { .. } | Egress::Broken { .. } | Egress::Connect { .. }) => true,
            _ => false,
        }
    }
}
