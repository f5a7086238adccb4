//! Keys by name, in one folder.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `NAME.pub` | the public key, as PEM |
//! | `NAME.key` | the secret key under its passphrase, as PEM; readable by its owner alone. Another's key has none |

use super::{KeyError, PublicKey, SecretKey};
use crate::{
    disk,
    name::{is_name, quoted},
};
use std::{
    fs, io,
    path::{Path, PathBuf},
};
use thiserror::Error;
use zeroize::Zeroizing;

/// A key's file has some 300 bytes.
const FILE_BYTES_MAX: u64 = 16 << 10;

const PUBLIC: &str = "pub";
const SECRET: &str = "key";

/// A key that cannot be kept or had by its name.
#[derive(Debug, Error)]
pub enum RingError {
    /// No name.
    #[error("{0} cannot name a key: use 1 to 64 lower-case letters, digits, '-', '.' and '_', a letter or digit first")]
    Name(String),
    /// Two keys of one name.
    #[error("there is a key {0} already: choose another name")]
    Exists(String),
    /// No such key.
    #[error("there is no key {name} in {folder}: there are {known}")]
    Unknown {
        /// What was asked for.
        name: String,
        /// Where it was looked for.
        folder: PathBuf,
        /// What there is, comma-separated.
        known: String,
    },
    /// Only its public half is here.
    #[error("the key {0} is another's: its secret half is not here, so it cannot sign")]
    Foreign(String),
    /// A key that cannot be used.
    #[error("the key {name} cannot be used: {error}")]
    Key {
        /// Which.
        name: String,
        /// Why.
        error: KeyError,
    },
    /// The disk's error.
    #[error("{path}: {error}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// A key of a ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptKey {
    /// What it is called.
    pub name: String,
    /// Its public half.
    pub public: PublicKey,
    /// Whether its secret half is here too.
    pub is_own: bool,
}

/// Keys in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRing(PathBuf);

impl KeyRing {
    /// The keys of a folder, which need not be there yet.
    #[must_use]
    pub const fn at(folder: PathBuf) -> Self {
        Self(folder)
    }

    /// Makes a new key.
    ///
    /// # Errors
    /// [`RingError`]; nothing is kept then.
    pub fn create(&self, name: &str, passphrase: &str) -> Result<PublicKey, RingError> {
        self.check_free(name)?;
        let failed = |error| RingError::Key { name: name.to_owned(), error };
        self.keep(name, &SecretKey::generate().map_err(failed)?, passphrase)
    }

    /// Keeps a public key, such as another's who signs packages.
    ///
    /// # Errors
    /// [`RingError`]; nothing is kept then.
    pub fn import(&self, name: &str, pem: &str) -> Result<PublicKey, RingError> {
        self.check_free(name)?;
        let public = PublicKey::from_pem(pem).map_err(|error| RingError::Key { name: name.to_owned(), error })?;
        self.keep_public(name, &public)?;
        Ok(public)
    }

    /// Keeps a secret key. It is encrypted anew under the same passphrase, at this version's price of a guess.
    ///
    /// # Errors
    /// [`RingError`]; nothing is kept then.
    pub fn import_secret(&self, name: &str, pem: &str, passphrase: &str) -> Result<PublicKey, RingError> {
        self.check_free(name)?;
        let secret = SecretKey::from_pem(pem, passphrase);
        self.keep(name, &secret.map_err(|error| RingError::Key { name: name.to_owned(), error })?, passphrase)
    }

    /// Every key, by name. A file that is no key is an error, since somebody else wrote it.
    ///
    /// # Errors
    /// [`RingError::Key`], [`RingError::Io`].
    pub fn list(&self) -> Result<Vec<KeptKey>, RingError> {
        self.names()?.iter().map(|name| self.find(name)).collect()
    }

    /// One key.
    ///
    /// # Errors
    /// [`RingError`].
    pub fn find(&self, name: &str) -> Result<KeptKey, RingError> {
        let pem = self.read(name, PUBLIC)?.ok_or_else(|| self.unknown(name))?;
        let public = PublicKey::from_pem(&pem).map_err(|error| RingError::Key { name: name.to_owned(), error })?;
        Ok(KeptKey { name: name.to_owned(), public, is_own: self.path(name, SECRET).exists() })
    }

    /// A secret key as it lies in its file: encrypted, as PEM.
    ///
    /// # Errors
    /// [`RingError`].
    pub fn export_secret(&self, name: &str) -> Result<Zeroizing<String>, RingError> {
        let found = self.find(name)?;
        let pem = self.read(name, SECRET)?.ok_or(RingError::Foreign(found.name))?;
        Ok(Zeroizing::new(pem))
    }

    /// A key that signs.
    ///
    /// # Errors
    /// [`RingError`].
    pub fn open(&self, name: &str, passphrase: &str) -> Result<SecretKey, RingError> {
        let KeptKey { public, is_own, .. } = self.find(name)?;
        if !is_own {
            return Err(RingError::Foreign(name.to_owned()));
        }
        let failed = |error| RingError::Key { name: name.to_owned(), error };
        let secret = SecretKey::open(&self.path(name, SECRET), passphrase).map_err(failed)?;
        // Whoever exchanged one of the two files would have others trust one key, and sign with another.
        if secret.public() == public { Ok(secret) } else { Err(failed(KeyError::Halves)) }
    }

    fn keep(&self, name: &str, secret: &SecretKey, passphrase: &str) -> Result<PublicKey, RingError> {
        let path = self.path(name, SECRET);
        secret.create(&path, passphrase).map_err(|error| RingError::Key { name: name.to_owned(), error })?;
        let public = secret.public();
        self.keep_public(name, &public).inspect_err(|_| drop(fs::remove_file(&path)))?;
        Ok(public)
    }

    fn keep_public(&self, name: &str, public: &PublicKey) -> Result<(), RingError> {
        let path = self.path(name, PUBLIC);
        disk::create_private(&path, public.to_pem().as_bytes()).map_err(|error| RingError::Io { path, error })
    }

    /// Whether a name is one, and no key has it yet.
    ///
    /// # Errors
    /// [`RingError::Name`], [`RingError::Exists`].
    pub fn check_free(&self, name: &str) -> Result<(), RingError> {
        if !is_name(name) {
            return Err(RingError::Name(quoted(name)));
        }
        match [PUBLIC, SECRET].iter().any(|half| self.path(name, half).exists()) {
            true => Err(RingError::Exists(name.to_owned())),
            false => Ok(()),
        }
    }

    fn unknown(&self, name: &str) -> RingError {
        let names = self.names().unwrap_or_default().join(", ");
        let known = if names.is_empty() { "none; `remit keys new` makes one".to_owned() } else { names };
        RingError::Unknown { name: quoted(name), folder: self.0.clone(), known }
    }

    fn names(&self) -> Result<Vec<String>, RingError> {
        let failed = |error| RingError::Io { path: self.0.clone(), error };
        let entries = match fs::read_dir(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(failed)?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let file = PathBuf::from(entry.map_err(failed)?.file_name());
            let is_key = file.extension().is_some_and(|extension| extension == PUBLIC);
            names.extend(file.file_stem().filter(|_| is_key).and_then(|stem| stem.to_str()).map(str::to_owned));
        }
        names.retain(|name| is_name(name));
        names.sort();
        Ok(names)
    }

    /// A name that is none reads no file.
    fn read(&self, name: &str, half: &str) -> Result<Option<String>, RingError> {
        if !is_name(name) {
            return Ok(None);
        }
        let path = self.path(name, half);
        let failed = |error| RingError::Io { path: path.clone(), error };
        let bytes = disk::read_if_there(&path, FILE_BYTES_MAX).map_err(failed)?;
        bytes.map(|bytes| String::from_utf8(bytes).map_err(|error| failed(io::Error::other(error)))).transpose()
    }

    fn path(&self, name: &str, half: &str) -> PathBuf {
        Path::new(&self.0).join(format!("{name}.{half}"))
    }
}
