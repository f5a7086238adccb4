//! Packages as OCI artifacts: in a registry, in a folder, or as a file.
//!
//! | what | is kept as |
//! | --- | --- |
//! | the package | the one layer of a manifest, `application/wasm` |
//! | what it imports and exports | the manifest's config, `application/vnd.wasm.config.v0+json` |
//! | each envelope with signatures, each bundle of Sigstore | a manifest of its own whose `subject` is the package's, found by the list of referrers or by the tag that stands in for it |
//!
//! | module | what it holds |
//! | --- | --- |
//! | `location`, `reference`, `digest` | names |
//! | `package` | push and pull, wherever |
//! | `store`, `layout` | a registry or a folder |
//! | `client`, `challenge`, `credentials` | one call with its login |
//! | `download`, `upload`, `transfer` | bytes on their way |
//! | `documents`, `limits`, `error` | what is written and read, how much of it, and what can go wrong |
//!
//! Principles:
//!
//! - A registry is believed in nothing. Every byte is checked against the digest that was asked for; a tag is resolved once, and the
//!   digest that it led to is told.
//! - All HTTP goes through `remit-egress`: this crate opens no connection.
//! - A login goes to its registry, and to realms near it or named by the operator; never to where an upload or a blob is redirected.
//! - A file is there only when it is whole.
//!
//! The protocol is written out here, since libraries for it bring an HTTP client of their own along.

mod challenge;
mod client;
mod credentials;
mod digest;
mod documents;
mod download;
mod error;
mod layout;
mod limits;
mod location;
mod package;
mod reference;
mod store;
mod transfer;
mod upload;

pub use client::Client;
pub use credentials::{Credentials, Login};
pub use digest::Digest;
pub use documents::{BUNDLE_TYPE, ENVELOPE_TYPE};
pub use error::Error;
pub use limits::{ENVELOPE_BYTES_MAX, ENVELOPES_MAX, MANIFEST_BYTES_MAX, PACKAGE_BYTES_MAX, TAGS_MAX};
pub use location::Location;
pub use package::{Description, Parcel, Pulled, Pushed};
pub use reference::{Reference, Which};
pub use transfer::{OnProgress, Progress};
