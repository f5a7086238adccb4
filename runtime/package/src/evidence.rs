//! What lies beside a package's file and speaks for it: an envelope, and bundles. None of it is believed yet.

use crate::{
    Packed, disk,
    signing::{ENVELOPE_BYTES_MAX, Envelope, SignError, Statement, envelope_path},
    sigstore::{BUNDLES_BYTES_MAX, BUNDLES_MAX, Bundle, BundleError, bundles_path},
};
use std::{
    fs, io,
    path::{Path, PathBuf},
};
use thiserror::Error;

/// A file beside a package that cannot be read or written.
#[derive(Debug, Error)]
#[error("{path}: {error}")]
pub struct EvidenceError {
    /// Which file.
    pub path: PathBuf,
    /// Why.
    pub error: io::Error,
}

impl From<EvidenceError> for io::Error {
    fn from(error: EvidenceError) -> Self {
        Self::new(error.error.kind(), error.to_string())
    }
}

/// What was found beside a package.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// The envelope's bytes: [`envelope_path`].
    pub envelope: Option<Vec<u8>>,
    /// The bytes of the file of bundles: [`bundles_path`].
    pub bundles: Option<Vec<u8>>,
}

impl Evidence {
    /// An envelope alone.
    #[must_use]
    pub const fn envelope(envelope: Vec<u8>) -> Self {
        Self { envelope: Some(envelope), bundles: None }
    }

    /// Whether there is nothing.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.envelope.is_none() && self.bundles.is_none()
    }

    /// Reads what lies beside a package's file.
    ///
    /// # Errors
    /// [`EvidenceError`]: the disk's, or a file that is larger than any is.
    pub fn read(package: &Path) -> Result<Self, EvidenceError> {
        let read = |path: PathBuf, most: usize| {
            disk::read_if_there(&path, most as u64).map_err(|error| EvidenceError { path, error })
        };
        let envelope = read(envelope_path(package), ENVELOPE_BYTES_MAX)?;
        Ok(Self { envelope, bundles: read(bundles_path(package), BUNDLES_BYTES_MAX)? })
    }

    /// Has nothing else lie beside a package's file. What is there already is not written anew.
    ///
    /// # Errors
    /// [`EvidenceError`]: the disk's.
    pub fn write(&self, package: &Path) -> Result<(), EvidenceError> {
        let files = [(envelope_path(package), &self.envelope), (bundles_path(package), &self.bundles)];
        files
            .into_iter()
            .try_for_each(|(path, bytes)| write(&path, bytes.as_deref()).map_err(|error| EvidenceError { path, error }))
    }

    /// The statement that all of it is over, as it says itself; `None` where there is nothing. Whoever signs one more time signs that.
    ///
    /// # Errors
    /// [`SignError`]: one that is none, or is about another package, or signatures over different statements.
    pub fn statement(&self, packed: &Packed<'_>) -> Result<Option<Statement>, SignError> {
        let mut payloads = Vec::new();
        if let Some(envelope) = &self.envelope {
            payloads.push(Envelope::parse(envelope)?.payload().to_vec());
        }
        if let Some(bundles) = &self.bundles {
            payloads.extend(Bundle::parse_all(bundles)?.iter().map(|bundle| bundle.payload().to_vec()));
        }
        let mut agreed: Option<Statement> = None;
        for payload in payloads {
            let statement = about(packed, &payload)?;
            if agreed.as_ref().is_some_and(|agreed| *agreed != statement) {
                return Err(SignError::Different);
            }
            agreed = Some(statement);
        }
        Ok(agreed)
    }

    /// Adds a bundle that a signing program wrote. One by the same identity gives way to it.
    ///
    /// # Errors
    /// [`SignError`]: it is none, is about another package, or says something else than what lies there already.
    pub fn add_bundle(self, packed: &Packed<'_>, bundle: &[u8]) -> Result<(Self, Statement), SignError> {
        let bundle = Bundle::parse(bundle)?;
        let statement = about(packed, bundle.payload())?;
        let mut bundles = match &self.bundles {
            Some(there) => Bundle::parse_all(there)?,
            None => Vec::new(),
        };
        bundles.retain(|there| there.claimed() != bundle.claimed());
        if bundles.len() >= BUNDLES_MAX {
            return Err(BundleError::TooMany.into());
        }
        let others = if bundles.is_empty() { None } else { Some(Bundle::lines(&bundles).into_bytes()) };
        let others = Self { envelope: self.envelope, bundles: others };
        if others.statement(packed)?.is_some_and(|there| there != statement) {
            return Err(SignError::Different);
        }
        bundles.push(bundle);
        Ok((Self { bundles: Some(Bundle::lines(&bundles).into_bytes()), ..others }, statement))
    }
}

/// A statement that is about a package, and says what its file says.
fn about(packed: &Packed<'_>, payload: &[u8]) -> Result<Statement, SignError> {
    let statement = Statement::parse(payload)?;
    match statement.against_subject(packed).or_else(|| statement.against_claims(packed)) {
        Some(against) => Err(SignError::Other(against)),
        None => Ok(statement),
    }
}

fn write(path: &Path, bytes: Option<&[u8]>) -> io::Result<()> {
    match bytes {
        Some(bytes) if fs::read(path).ok().as_deref() == Some(bytes) => Ok(()),
        Some(bytes) => disk::replace(path, bytes),
        None => match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        },
    }
}
