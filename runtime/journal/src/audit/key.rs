//! The host's key, with which checkpoints are signed: Ed25519 (RFC 8032).

use super::line::Hash;
use crate::{error::OpenError, folder::Folder};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use remit_abi::TenantId;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};
use thiserror::Error;

/// The file of the secret half, in the journal's folder.
const KEY: &str = "audit.key";
/// The file of the public half, as people read it.
const PUBLIC: &str = "audit.pub";

/// What a signature is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A chain as far as it goes.
    Checkpoint,
    /// An export that ends there, with so many checkpoints in it. No checkpoint can be taken for it, so that a file that was cut off at one
    /// does not pass.
    End { checkpoints: u64 },
}

/// What is signed: a chain of a tenant, as far as one of its lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Statement {
    pub(crate) purpose: Purpose,
    pub(crate) tenant: TenantId,
    pub(crate) number: u64,
    pub(crate) head: Hash,
    pub(crate) at_ns: u64,
}

impl Statement {
    fn message(&self) -> Vec<u8> {
        let (tenant, number, at_ns) =
            (self.tenant.0.to_be_bytes(), self.number.to_be_bytes(), self.at_ns.to_be_bytes());
        match self.purpose {
            Purpose::Checkpoint => [&b"remit audit checkpoint"[..], &tenant, &number, &self.head, &at_ns].concat(),
            Purpose::End { checkpoints } => {
                let checkpoints = checkpoints.to_be_bytes();
                [&b"remit audit end of export"[..], &tenant, &number, &self.head, &at_ns, &checkpoints].concat()
            }
        }
    }

    /// Whether a signature is the key's, over this.
    pub(crate) fn is_signed(&self, key: &PublicKey, signature: &[u8; 64]) -> bool {
        let key = VerifyingKey::from_bytes(&key.0);
        key.is_ok_and(|key| key.verify_strict(&self.message(), &Signature::from_bytes(signature)).is_ok())
    }
}

/// The host's own key.
pub(crate) struct Signer(SigningKey);

impl Signer {
    /// Read from the folder, or made where the journal has no chains yet.
    pub(crate) fn open(folder: &Folder, is_needed: bool) -> Result<Self, OpenError> {
        let signer = Self(SigningKey::from_bytes(&folder.secret(KEY, is_needed)?));
        folder.publish(PUBLIC, &format!("{}\n", signer.public()))?;
        Ok(signer)
    }

    pub(crate) fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key().to_bytes())
    }

    pub(crate) fn sign(&self, statement: &Statement) -> [u8; 64] {
        self.0.sign(&statement.message()).to_bytes()
    }
}

/// The public half of a host's key.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PublicKey(#[serde(with = "hex::serde")] pub(crate) [u8; 32]);

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

/// A text that is no public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a host's public key has 64 hexadecimal digits: the journal's folder has it in audit.pub")]
pub struct NotAKey;

impl FromStr for PublicKey {
    type Err = NotAKey;

    fn from_str(text: &str) -> Result<Self, NotAKey> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| NotAKey)?;
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_over_all_of_a_statement_and_one_keys() {
        let [mine, other] = [[1; 32], [2; 32]].map(|bytes| Signer(SigningKey::from_bytes(&bytes)));
        let tenant = TenantId(1);
        let statement = Statement { purpose: Purpose::Checkpoint, tenant, number: 7, head: [3; 32], at_ns: 9 };
        let signature = mine.sign(&statement);
        assert!(statement.is_signed(&mine.public(), &signature));
        assert!(!statement.is_signed(&other.public(), &signature));
        let others = [
            Statement { purpose: Purpose::End { checkpoints: 0 }, ..statement },
            Statement { tenant: TenantId(2), ..statement },
            Statement { number: 8, ..statement },
            Statement { head: [4; 32], ..statement },
            Statement { at_ns: 10, ..statement },
        ];
        assert!(others.iter().all(|other| !other.is_signed(&mine.public(), &signature)));
        assert!(!statement.is_signed(&PublicKey([0xff; 32]), &signature), "no point of the curve");
    }

    #[test]
    fn a_key_reads_as_it_is_written_and_nothing_else_is_one() {
        let key = PublicKey([0xa7; 32]);
        assert_eq!(key.to_string().parse(), Ok(key));
        for text in ["", "a7", &"a7".repeat(33), &"g7".repeat(32)] {
            assert_eq!(text.parse::<PublicKey>(), Err(NotAKey), "{text}");
        }
    }
}
