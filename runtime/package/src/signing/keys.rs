//! Keys: Ed25519 (RFC 8032), and nothing else.
//!
//! A secret key lies in a file of mode 0600 as encrypted PKCS#8 (RFC 5958) in PEM, its passphrase stretched by scrypt
//! (RFC 7914) and its bytes hidden by AES-256-CBC (RFC 8018). A public key is a `SubjectPublicKeyInfo` (RFC 8410). Both are
//! what `openssl pkey` reads and writes. A key's id is the SHA-256 of its `SubjectPublicKeyInfo` in DER, so that nobody can
//! have another key of the same id, and none has two.

use crate::disk;
use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use pkcs8::{
    AlgorithmIdentifierRef, EncryptedPrivateKeyInfo, LineEnding, ObjectIdentifier, PrivateKeyInfo,
    der::{Decode as _, pem},
    pkcs5::{
        EncryptionScheme,
        pbes2::{Kdf, Parameters},
        scrypt,
    },
    spki::SubjectPublicKeyInfoRef,
};
use sha2::{Digest as _, Sha256};
use std::{
    fmt,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    str::FromStr,
};
use thiserror::Error;
use zeroize::Zeroizing;

/// Ed25519 (RFC 8410).
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// All of a `SubjectPublicKeyInfo` before the 32 bytes of the key: DER has one form for it.
const SPKI_START: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// What a seed begins with inside PKCS#8: an octet string of 32 bytes.
const SEED_START: [u8; 2] = [0x04, 0x20];

const PUBLIC_LABEL: &str = "PUBLIC KEY";
const ENCRYPTED_LABEL: &str = "ENCRYPTED PRIVATE KEY";
const PLAIN_LABEL: &str = "PRIVATE KEY";

/// A key's file has some 300 bytes.
const FILE_BYTES_MAX: u64 = 16 << 10;

/// Fewer characters are guessed, however dear each guess is.
const PASSPHRASE_CHARS_MIN: usize = 8;

/// scrypt's costs as OWASP's password storage cheat sheet has them for 16 MiB: the largest memory with which `openssl` opens a file
/// unasked. Some 0.3 s a guess.
const COST_LOG2: u8 = 14;
const BLOCK_SIZE: u32 = 8;
const PARALLELISM: u32 = 5;

/// What somebody else's file may cost to open: bytes of memory, and steps of one block together.
const SCRYPT_BYTES_MAX: u64 = 256 << 20;
const SCRYPT_WORK_MAX: u64 = 1 << 30;
const PBKDF2_ROUNDS_MAX: u32 = 10_000_000;

/// A key, or a key's file, that cannot be used.
#[derive(Debug, Error)]
pub enum KeyError {
    /// Not the text that a key is written as.
    #[error("it is not the PEM text of a key: it needs one block `-----BEGIN {0}-----`")]
    NotPem(&'static str),
    /// A secret key that everybody can read.
    #[error("the secret key is not encrypted: write it anew with `openssl pkcs8 -topk8 -scrypt -in FILE -out NEW`")]
    Unencrypted,
    /// A key of another algorithm.
    #[error("the key is of the algorithm {0}, and only Ed25519 (1.3.101.112) is used here")]
    Algorithm(String),
    /// A key that is damaged, or that verifies what nobody signed.
    #[error("the key is not a point that Ed25519 allows as a public key")]
    Weak,
    /// A file that is damaged.
    #[error("the key's bytes are not what its PEM label says")]
    Damaged,
    /// A file that was made to be dear.
    #[error("the key's file asks for more memory or time than a passphrase needs, so it is not opened")]
    Dear,
    /// The file is encrypted in another way.
    #[error(
        "the key's file is encrypted in a way that is not used here: use scrypt or PBKDF2 with SHA-256, and AES-CBC"
    )]
    Scheme,
    /// Another passphrase.
    #[error("the passphrase is not the one of this key, or the key's file is damaged")]
    Passphrase,
    /// One that would be guessed.
    #[error("the passphrase has fewer than {PASSPHRASE_CHARS_MIN} characters, and would be guessed")]
    ShortPassphrase,
    /// Not an id.
    #[error("it is no key's id: that has 64 lower-case hexadecimal digits")]
    Id,
    /// A file that others can read.
    #[error(
        "{path} can be read by others (mode {mode:o}): whoever did may have the key; make it yours with `chmod 600`"
    )]
    Mode {
        /// Which.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// The disk's error.
    #[error("{path}: {error}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Files of which one was exchanged.
    #[error("its secret half is another key's than its public half: one of the two files was exchanged")]
    Halves,
    /// The machine has no randomness.
    #[error("no random bytes can be had: {0}")]
    Random(String),
}

/// Which key: the SHA-256 of its `SubjectPublicKeyInfo`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; 32]);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

impl FromStr for KeyId {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        parse_sha256(text).map(Self).ok_or(KeyError::Id)
    }
}

/// A SHA-256 in its one spelling: 64 lower-case hexadecimal digits.
#[must_use]
pub fn parse_sha256(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(text, &mut bytes).ok()?;
    (!text.bytes().any(|byte| byte.is_ascii_uppercase())).then_some(bytes)
}

/// A key that signatures are checked with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    key: VerifyingKey,
    id: KeyId,
}

impl PublicKey {
    fn new(key: VerifyingKey) -> Self {
        let id = KeyId(Sha256::digest(spki(&key)).into());
        Self { key, id }
    }

    /// Reads PEM.
    ///
    /// # Errors
    /// [`KeyError`], for whatever is no public key of Ed25519.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let der = block(text, PUBLIC_LABEL)?;
        let info = SubjectPublicKeyInfoRef::from_der(&der).map_err(|_| KeyError::Damaged)?;
        check_algorithm(info.algorithm)?;
        let bytes = der.strip_prefix(&SPKI_START).and_then(|bytes| bytes.try_into().ok()).ok_or(KeyError::Damaged)?;
        let key = VerifyingKey::from_bytes(bytes).map_err(|_| KeyError::Weak)?;
        if key.is_weak() { Err(KeyError::Weak) } else { Ok(Self::new(key)) }
    }

    /// As PEM, which `openssl pkey -pubin` reads.
    #[must_use]
    pub fn to_pem(&self) -> String {
        // 44 bytes and a label of letters: there is nothing that could not be written.
        pem::encode_string(PUBLIC_LABEL, LineEnding::LF, &spki(&self.key)).unwrap_or_default()
    }

    /// Which key it is.
    #[must_use]
    pub const fn id(&self) -> KeyId {
        self.id
    }

    /// Whether a signature over a message is this key's.
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        self.key.verify_strict(message, &ed25519_dalek::Signature::from_bytes(signature)).is_ok()
    }
}

fn spki(key: &VerifyingKey) -> [u8; 44] {
    let mut der = [0; 44];
    der[..12].copy_from_slice(&SPKI_START);
    der[12..].copy_from_slice(key.as_bytes());
    der
}

/// A key that signs. It is wiped from memory when it is dropped, and never shown.
pub struct SecretKey(SigningKey);

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey({})", self.public().id())
    }
}

impl SecretKey {
    /// A new key, of the machine's randomness.
    ///
    /// # Errors
    /// [`KeyError::Random`].
    pub fn generate() -> Result<Self, KeyError> {
        let mut seed = Zeroizing::new([0; 32]);
        random(&mut *seed)?;
        Ok(Self(SigningKey::from_bytes(&seed)))
    }

    /// The half that others have.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey::new(self.0.verifying_key())
    }

    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }

    /// As encrypted PEM, which `openssl pkey` reads.
    ///
    /// # Errors
    /// [`KeyError::ShortPassphrase`], [`KeyError::Random`].
    pub fn to_pem(&self, passphrase: &str) -> Result<Zeroizing<String>, KeyError> {
        if passphrase.chars().count() < PASSPHRASE_CHARS_MIN {
            return Err(KeyError::ShortPassphrase);
        }
        let (mut salt, mut vector) = ([0; 16], [0; 16]);
        random(&mut salt)?;
        random(&mut vector)?;
        let mut seed = Zeroizing::new([0; 34]);
        seed[..2].copy_from_slice(&SEED_START);
        seed[2..].copy_from_slice(self.0.as_bytes());
        let algorithm = AlgorithmIdentifierRef { oid: ED25519, parameters: None };
        let costs = scrypt::Params::new(COST_LOG2, BLOCK_SIZE, PARALLELISM, scrypt::Params::RECOMMENDED_LEN);
        let scheme = Parameters::scrypt_aes256cbc(costs.map_err(|_| KeyError::Scheme)?, &salt, &vector);
        let document = PrivateKeyInfo::new(algorithm, &*seed)
            .encrypt_with_params(scheme.map_err(|_| KeyError::Scheme)?, passphrase)
            .map_err(|_| KeyError::Scheme)?;
        document.to_pem(ENCRYPTED_LABEL, LineEnding::LF).map_err(|_| KeyError::Scheme)
    }

    /// Opens encrypted PEM.
    ///
    /// # Errors
    /// [`KeyError`]: a key that is not encrypted, of another algorithm or under another passphrase, or one that was made to
    /// take all of the machine.
    pub fn from_pem(text: &str, passphrase: &str) -> Result<Self, KeyError> {
        let der = block(text, ENCRYPTED_LABEL)?;
        let encrypted = EncryptedPrivateKeyInfo::from_der(&der).map_err(|_| KeyError::Damaged)?;
        check_costs(&encrypted.encryption_algorithm)?;
        let document = encrypted.decrypt(passphrase).map_err(|_| KeyError::Passphrase)?;
        let info = PrivateKeyInfo::from_der(document.as_bytes()).map_err(|_| KeyError::Passphrase)?;
        check_algorithm(info.algorithm)?;
        let seed = info.private_key.strip_prefix(&SEED_START).and_then(|seed| seed.try_into().ok());
        let key = SigningKey::from_bytes(seed.ok_or(KeyError::Damaged)?);
        match info.public_key {
            Some(public) if public != key.verifying_key().as_bytes() => Err(KeyError::Damaged),
            _ => Ok(Self(key)),
        }
    }

    /// Writes a new file that its owner alone can read.
    ///
    /// # Errors
    /// As [`SecretKey::to_pem`], and [`KeyError::Io`]: above all where there is such a file already.
    pub fn create(&self, path: &Path, passphrase: &str) -> Result<(), KeyError> {
        let text = self.to_pem(passphrase)?;
        disk::create_private(path, text.as_bytes()).map_err(|error| KeyError::Io { path: path.to_owned(), error })
    }

    /// Opens a file that nobody but its owner can read.
    ///
    /// # Errors
    /// As [`SecretKey::from_pem`], [`KeyError::Mode`] and [`KeyError::Io`].
    pub fn open(path: &Path, passphrase: &str) -> Result<Self, KeyError> {
        let failed = |error| KeyError::Io { path: path.to_owned(), error };
        let file = File::open(path).map_err(failed)?;
        #[cfg(unix)]
        {
            let mode = std::os::unix::fs::MetadataExt::mode(&file.metadata().map_err(failed)?) & 0o777;
            if mode & 0o077 != 0 {
                return Err(KeyError::Mode { path: path.to_owned(), mode });
            }
        }
        let mut text = Zeroizing::new(String::new());
        file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(failed)?;
        Self::from_pem(&text, passphrase)
    }
}

/// The bytes of the one block of a PEM text.
fn block(text: &str, label: &'static str) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(KeyError::NotPem(label));
    }
    // A public key as it stands in a list of keys may be indented.
    let lines: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let text = Zeroizing::new(lines.join("\n") + "\n");
    match pem::decode_vec(text.as_bytes()) {
        Ok((found, bytes)) if found == label => Ok(Zeroizing::new(bytes)),
        Ok((PLAIN_LABEL, bytes)) if label == ENCRYPTED_LABEL => {
            drop(Zeroizing::new(bytes));
            Err(KeyError::Unencrypted)
        }
        _ => Err(KeyError::NotPem(label)),
    }
}

fn check_algorithm(algorithm: AlgorithmIdentifierRef<'_>) -> Result<(), KeyError> {
    if algorithm.oid != ED25519 {
        return Err(KeyError::Algorithm(algorithm.oid.to_string()));
    }
    if algorithm.parameters.is_some() { Err(KeyError::Damaged) } else { Ok(()) }
}

/// Whether opening costs no more than a passphrase needs.
fn check_costs(scheme: &EncryptionScheme<'_>) -> Result<(), KeyError> {
    let EncryptionScheme::Pbes2(parameters) = scheme else { return Err(KeyError::Scheme) };
    let is_fine = match &parameters.kdf {
        Kdf::Scrypt(costs) => {
            let block = 128 * u64::from(costs.block_size);
            let memory = block.saturating_mul(costs.cost_parameter);
            let work = memory.saturating_mul(costs.parallelization.into());
            memory <= SCRYPT_BYTES_MAX && work <= SCRYPT_WORK_MAX
        }
        Kdf::Pbkdf2(costs) => costs.iteration_count <= PBKDF2_ROUNDS_MAX,
        _ => return Err(KeyError::Scheme),
    };
    if is_fine { Ok(()) } else { Err(KeyError::Dear) }
}

fn random(bytes: &mut [u8]) -> Result<(), KeyError> {
    getrandom::fill(bytes).map_err(|error| KeyError::Random(error.to_string()))
}
