//! Bundles beside a package: `clerk.wasm.sigstore.json` holds one, or several, one after the other.
//!
//! So a file that a signing program wrote is right as it is, and so is one a line, as `gh attestation download` writes them. What
//! is read here is of the form alone; nothing of it is believed.

use super::{Identity, identity::plain};
use crate::{json, signing::PAYLOAD_TYPE};
use serde::de::IgnoredAny;
use sigstore_verify::{
    crypto::parse_certificate_info,
    types::{Bundle as Inner, MediaType, SignatureContent, bundle::VerificationMaterialContent},
};
use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};
use thiserror::Error;

/// What a bundle says that it is.
pub const BUNDLE_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// One bundle: a statement of a few KiB, twice, a certificate and a proof of some 30 digests.
pub const BUNDLE_BYTES_MAX: usize = 1 << 20;

/// As many as can stand behind one package.
pub const BUNDLES_MAX: usize = 16;

/// All bundles of a package.
pub const BUNDLES_BYTES_MAX: usize = 4 << 20;

/// What bundles' file is called after their package's.
const BUNDLES_SUFFIX: &str = ".sigstore.json";

/// Logs that one signature was written down in.
const LOG_ENTRIES_MAX: usize = 4;

/// Authorities that say when it was signed.
const TIMESTAMPS_MAX: usize = 8;

/// A file that is no bundle of ours.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BundleError {
    /// More bytes than any has.
    #[error("the bundle has {bytes} bytes, and {most} are the most")]
    TooLarge {
        /// How many.
        bytes: usize,
        /// How many there may be.
        most: usize,
    },
    /// Not the JSON that it is.
    #[error("the bundle {0}")]
    Json(String),
    /// Nothing, where there is a file.
    #[error("there is a file of bundles, and no bundle in it")]
    None,
    /// More than anybody trusts.
    #[error("there are more than {BUNDLES_MAX} bundles, which are the most")]
    TooMany,
    /// Of another version.
    #[error("the bundle is of another version than 0.3 ({BUNDLE_TYPE})")]
    Version,
    /// Over the file alone.
    #[error(
        "the bundle's signature is over a file, and not over a statement about it: sign what `remit sign --statement` writes"
    )]
    NoStatement,
    /// A statement of another kind.
    #[error("the bundle holds {0}, and a package's holds {PAYLOAD_TYPE}")]
    PayloadType(String),
    /// Signed by a key.
    #[error("the bundle has no certificate, so it is nobody's: a key signs with `remit sign`")]
    NoCertificate,
    /// A certificate that is none.
    #[error("the bundle's certificate cannot be read: {0}")]
    Certificate(String),
    /// A certificate of nobody.
    #[error("the bundle's certificate does not say whom it is for, or who vouches for that")]
    Nobody,
    /// Written down nowhere.
    #[error("the bundle has no log entry, so nobody can tell when it was signed")]
    NoLogEntry,
    /// More than there are logs.
    #[error("the bundle has too many log entries or timestamps: {LOG_ENTRIES_MAX} and {TIMESTAMPS_MAX} are the most")]
    TooManyEntries,
    /// A log's entry that anybody can make.
    #[error("the bundle's log entry has no proof that it is in the log")]
    NoProof,
    /// No moment that somebody signed.
    #[error("the bundle has neither a promise of its log nor a timestamp, so nobody can tell when it was signed")]
    NoTime,
}

/// A statement, a signature and what speaks for it, as they were found.
#[derive(Clone, Debug, PartialEq)]
pub struct Bundle {
    inner: Inner,
    claimed: Identity,
    json: String,
}

/// Where the bundles of a package's file lie: beside it.
#[must_use]
pub fn bundles_path(package: &Path) -> PathBuf {
    let mut path = OsString::from(package);
    path.push(BUNDLES_SUFFIX);
    path.into()
}

impl Bundle {
    /// Reads all bundles of a file.
    ///
    /// # Errors
    /// [`BundleError`].
    pub fn parse_all(bytes: &[u8]) -> Result<Vec<Self>, BundleError> {
        if bytes.len() > BUNDLES_BYTES_MAX {
            return Err(BundleError::TooLarge { bytes: bytes.len(), most: BUNDLES_BYTES_MAX });
        }
        let said = |error: serde_json::Error| BundleError::Json(format!("cannot be read as JSON: {error}"));
        let mut values = serde_json::Deserializer::from_slice(bytes).into_iter::<IgnoredAny>();
        let (mut bundles, mut start) = (Vec::new(), 0);
        while let Some(value) = values.next() {
            value.map_err(said)?;
            if bundles.len() == BUNDLES_MAX {
                return Err(BundleError::TooMany);
            }
            let end = values.byte_offset();
            bundles.push(Self::parse(bytes.get(start..end).unwrap_or_default())?);
            start = end;
        }
        if bundles.is_empty() { Err(BundleError::None) } else { Ok(bundles) }
    }

    /// Reads one bundle.
    ///
    /// # Errors
    /// [`BundleError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, BundleError> {
        if bytes.len() > BUNDLE_BYTES_MAX {
            return Err(BundleError::TooLarge { bytes: bytes.len(), most: BUNDLE_BYTES_MAX });
        }
        let inner: Inner = json::strict(bytes).map_err(BundleError::Json)?;
        check(&inner)?;
        let certificate = inner.signing_certificate().ok_or(BundleError::NoCertificate)?;
        let wrong = |error: sigstore_verify::crypto::Error| BundleError::Certificate(plain(&error.to_string()));
        let info = parse_certificate_info(certificate).map_err(wrong)?;
        let (subject, issuer) = info.identity.zip(info.issuer).ok_or(BundleError::Nobody)?;
        let claimed = Identity { issuer, subject: subject.as_str().to_owned() };
        Ok(Self { inner, claimed, json: compact(bytes) })
    }

    /// Whose it is, as its certificate says.
    #[must_use]
    pub const fn claimed(&self) -> &Identity {
        &self.claimed
    }

    /// What was signed, if it is right: read it after that.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        match &self.inner.content {
            SignatureContent::DsseEnvelope(envelope) => envelope.payload.as_bytes(),
            _ => &[],
        }
    }

    /// As JSON, in one line.
    #[must_use]
    pub fn to_json(&self) -> &str {
        &self.json
    }

    /// Several as one file, one a line.
    #[must_use]
    pub fn lines<'b>(bundles: impl IntoIterator<Item = &'b Self>) -> String {
        bundles.into_iter().flat_map(|bundle| [bundle.to_json(), "\n"]).collect()
    }

    pub(super) const fn inner(&self) -> &Inner {
        &self.inner
    }

    pub(super) fn log_indices(&self) -> Vec<u64> {
        self.inner.verification_material.tlog_entries.iter().map(|entry| entry.log_index.get()).collect()
    }
}

/// The same JSON without the white space between its parts. It was read as JSON before.
fn compact(bytes: &[u8]) -> String {
    let value: serde_json::Value = serde_json::from_slice(bytes).unwrap_or_default();
    value.to_string()
}

/// Whether all is there that is verified.
fn check(bundle: &Inner) -> Result<(), BundleError> {
    if bundle.media_type() != MediaType::Bundle0_3 {
        return Err(BundleError::Version);
    }
    match &bundle.content {
        SignatureContent::DsseEnvelope(envelope) if envelope.payload_type == PAYLOAD_TYPE => {}
        SignatureContent::DsseEnvelope(envelope) => {
            return Err(BundleError::PayloadType(format!("\"{}\"", plain(&envelope.payload_type))));
        }
        _ => return Err(BundleError::NoStatement),
    }
    let material = &bundle.verification_material;
    if !matches!(material.content, VerificationMaterialContent::Certificate(_)) {
        return Err(BundleError::NoCertificate);
    }
    let (entries, timestamps) = (&material.tlog_entries, &material.timestamp_verification_data.rfc3161_timestamps);
    if entries.is_empty() {
        return Err(BundleError::NoLogEntry);
    }
    if entries.len() > LOG_ENTRIES_MAX || timestamps.len() > TIMESTAMPS_MAX {
        return Err(BundleError::TooManyEntries);
    }
    if entries.iter().any(|entry| entry.inclusion_proof.is_none()) {
        return Err(BundleError::NoProof);
    }
    if timestamps.is_empty() && entries.iter().all(|entry| entry.inclusion_promise.is_none()) {
        return Err(BundleError::NoTime);
    }
    Ok(())
}
