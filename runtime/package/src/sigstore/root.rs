//! Trust roots: whose certificates and whose logs are believed.
//!
//! What is asked of a bundle, and in this order: a moment at which it was signed, by the log's signed promise or by a timestamp
//! (RFC 3161) of an authority of the root; a certificate that comes from the root's authority, was valid at that moment, is for
//! signing code, and was itself written down by a log of certificates of the root (RFC 6962); who the certificate is for; a proof
//! that the entry is in the log (RFC 9162) and a checkpoint of that log with its signature; the signature over the statement by the
//! certificate's key; and that the log's entry is about this very signature.

use super::{Bundle, Identity, backend, identity::plain};
use crate::json;
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use sigstore_verify::{
    CertificateError, Error, IdentityMatcher, TransparencyLogError, VerificationPolicy, Verifier,
    trust_root::TrustedRoot, types::Sha256Hash,
};
use std::{fmt, sync::Arc};
use thiserror::Error;

/// A trust root: the one of Sigstore's public instance has 7 KiB.
pub const TRUST_ROOT_BYTES_MAX: usize = 1 << 20;

/// What a trust root says that it is.
const TYPES: [&str; 2] =
    ["application/vnd.dev.sigstore.trustedroot+json;version=0.1", "application/vnd.dev.sigstore.trustedroot.v0.2+json"];

/// A trust root that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TrustRootError {
    /// More bytes than any has.
    #[error("the trust root has {0} bytes, and {TRUST_ROOT_BYTES_MAX} are the most")]
    TooLarge(usize),
    /// Not the JSON that it is.
    #[error("the trust root {0}")]
    Json(String),
    /// Something else.
    #[error("the trust root says that it is {0}, and one is {type}", type = TYPES[0])]
    Type(String),
    /// Nothing to verify with.
    #[error("the trust root names no {0}, so no bundle could be verified by it")]
    Lacks(&'static str),
    /// Certificates or keys that are none.
    #[error("the trust root cannot be used: {0}")]
    Material(String),
}

/// Certificates and keys by which bundles are verified.
#[derive(Clone)]
pub struct TrustRoot {
    digest: [u8; 32],
    verifier: Arc<Verifier>,
}

impl fmt::Debug for TrustRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TrustRoot({})", hex::encode(self.digest))
    }
}

impl PartialEq for TrustRoot {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl Eq for TrustRoot {}

/// What is known of a bundle that is right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    /// When it was signed, by every source of time that it has.
    pub at: Vec<Timestamp>,
    /// Its places in its logs.
    pub indices: Vec<u64>,
}

impl TrustRoot {
    /// Reads a `trusted_root.json`.
    ///
    /// # Errors
    /// [`TrustRootError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, TrustRootError> {
        if bytes.len() > TRUST_ROOT_BYTES_MAX {
            return Err(TrustRootError::TooLarge(bytes.len()));
        }
        let root: TrustedRoot = json::strict(bytes).map_err(TrustRootError::Json)?;
        if !TYPES.contains(&root.media_type.as_str()) {
            return Err(TrustRootError::Type(plain(&root.media_type)));
        }
        let needed = [
            ("certificate authority", root.certificate_authorities.is_empty()),
            ("log of certificates", root.ctlogs.is_empty()),
            ("transparency log", root.tlogs.is_empty()),
        ];
        if let Some((what, _)) = needed.into_iter().find(|(_, is_absent)| *is_absent) {
            return Err(TrustRootError::Lacks(what));
        }
        backend::install();
        let verifier = Verifier::new(&root).map_err(|error| TrustRootError::Material(plain(&error.to_string())))?;
        Ok(Self { digest: Sha256::digest(bytes).into(), verifier: Arc::new(verifier) })
    }

    /// Verifies that a bundle is an identity's, and is about a file.
    ///
    /// # Errors
    /// What is wrong with it: the end of a sentence that begins with the bundle.
    pub fn verify(&self, bundle: &Bundle, identity: &Identity, file: &[u8; 32]) -> Result<Logged, String> {
        // An address of e-mail is no URI: neither is taken for the other.
        let subject = match identity.subject.contains(':') {
            true => IdentityMatcher::Uri(identity.subject.clone()),
            false => IdentityMatcher::Email(identity.subject.clone()),
        };
        let policy = VerificationPolicy::new(subject, identity.issuer.as_str());
        let result =
            self.verifier.verify(Sha256Hash::new(*file), bundle.inner(), &policy).map_err(|error| why(&error))?;
        let was_checked = [
            result.certificate_verified(),
            result.sct_verified(),
            result.tlog_verified(),
            result.identity_policy_checked(),
            !result.verified_timestamps().is_empty(),
        ];
        if was_checked.contains(&false) {
            return Err("was not looked at in every respect".to_owned());
        }
        Ok(Logged { at: result.verified_timestamps().to_vec(), indices: bundle.log_indices() })
    }
}

const TOO_LATE: &str = "was not signed while its certificate was valid";

/// What is wrong with a bundle, in our words and the library's.
fn why(error: &Error) -> String {
    let detail = plain(&error.to_string());
    let what = match error {
        Error::Certificate(CertificateError::Sct(_)) => "has a certificate that no log of the trust root wrote down",
        Error::Certificate(CertificateError::Expired { .. } | CertificateError::NotYetValid { .. }) => TOO_LATE,
        // Of a chain only the text says so.
        Error::Certificate(CertificateError::ChainInvalid(text))
            if ["CertExpired", "CertNotValidYet"].iter().any(|kind| text.contains(kind)) =>
        {
            TOO_LATE
        }
        Error::Certificate(_) => "has a certificate that does not come from the trust root, or is not for signing",
        Error::TransparencyLog(TransparencyLogError::EntryMismatch(_)) => "has a log entry about something else",
        Error::TransparencyLog(TransparencyLogError::InclusionPromise(_)) => "has a promise that is not the log's",
        Error::TransparencyLog(TransparencyLogError::UnknownLog { .. }) => "names a log that is not of the trust root",
        Error::TransparencyLog(TransparencyLogError::IntegratedTime(_)) => {
            "was not written down while its certificate was valid"
        }
        Error::TransparencyLog(_) => "has a log entry that is not proved",
        Error::Timestamp(_) => "has no moment that somebody of the trust root signed",
        Error::SignatureInvalid(_) => "has a signature that is not over its statement: one of the two was changed",
        Error::ArtifactMismatch(_) => "is about another file",
        Error::IdentityMismatch { .. } | Error::IssuerMismatch { .. } => "is somebody else's",
        _ => "cannot be verified",
    };
    format!("{what} ({detail})")
}
