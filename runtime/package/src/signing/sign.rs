//! Signing a package: a statement about it, and one signature after the other.

use super::{Envelope, EnvelopeError, SecretKey, Statement, StatementError, Terms};
use crate::{Packed, sigstore::BundleError};
use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};
use thiserror::Error;

/// What an envelope's file is called after its package's.
const ENVELOPE_SUFFIX: &str = ".dsse.json";

/// An envelope that a signature cannot be added to.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SignError {
    /// It is none, or would be none with the signature.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// What was signed is not understood.
    #[error(transparent)]
    Statement(#[from] StatementError),
    /// It is another package's.
    #[error("{0}, so it is not signed; whoever begins anew loses the signatures that are there")]
    Other(String),
    /// What lies there is none.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// Signatures that do not count together.
    #[error("signatures beside the package are over different statements, and count together over one: begin anew")]
    Different,
}

/// Where the envelope of a package's file lies: beside it.
#[must_use]
pub fn envelope_path(package: &Path) -> PathBuf {
    let mut path = OsString::from(package);
    path.push(ENVELOPE_SUFFIX);
    path.into()
}

/// An envelope with a statement about a package, and a first signature.
#[must_use]
pub fn sign(packed: &Packed<'_>, terms: Terms, key: &SecretKey) -> Envelope {
    let mut envelope = Envelope::new(Statement::of(packed, terms).to_json());
    envelope.sign(key);
    envelope
}

/// Adds a signature to an envelope that others signed. What is signed has to be about this package, and to say what its file
/// says: nobody signs what somebody else put there.
///
/// # Errors
/// [`SignError`].
pub fn cosign(packed: &Packed<'_>, envelope: &[u8], key: &SecretKey) -> Result<(Envelope, Statement), SignError> {
    let mut envelope = Envelope::parse(envelope)?;
    let statement = Statement::parse(envelope.payload())?;
    if let Some(against) = statement.against_subject(packed).or_else(|| statement.against_claims(packed)) {
        return Err(SignError::Other(against));
    }
    envelope.sign(key);
    // One signature too many makes an envelope that nobody reads.
    Envelope::parse(envelope.to_json().as_bytes())?;
    Ok((envelope, statement))
}
