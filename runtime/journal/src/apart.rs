//! What a process is told of a memory's entries lies apart from its log, so that it can be destroyed and the log stays as it is.
//!
//! | where | has of each content |
//! | --- | --- |
//! | the chunk | a commitment in its place: SHA-256 of a secret and the content |
//! | `remembered` | the secret and the content, sealed under the key of the memory's entry |
//!
//! The audit's digest is of the entry as the chunk has it. So the chain vouches for contents as long as they are kept; once one is destroyed,
//! its secret is too, and nobody can find out whether it was what they guess.

use crate::{
    error::Damage,
    fold::processes::PLAIN_VERSION,
    read::body,
    seal::{NoEntropy, drawn},
};
use remit_abi::{EntryId, Label};
use remit_kernel::ports::{Entry, ValueImage};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// SHA-256, and a secret of the same length.
type Hash = [u8; 32];

/// A content that was taken out of an entry of a log.
#[derive(Debug)]
pub(crate) struct Apart {
    /// Of which entry of a memory it is.
    pub(crate) of: EntryId,
    /// As it is sealed: the version, the secret, the content.
    pub(crate) plain: Box<[u8]>,
}

/// A content that is kept, with what shows that it is the one that was told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Disclosed {
    #[serde(with = "hex::serde")]
    secret: Hash,
    /// As postcard writes it.
    #[serde(with = "hex::serde")]
    content: Vec<u8>,
}

/// What keeps an entry from being taken apart.
pub(crate) enum Inseparable {
    Form(postcard::Error),
    Entropy,
}

impl From<postcard::Error> for Inseparable {
    fn from(error: postcard::Error) -> Self {
        Self::Form(error)
    }
}

impl From<NoEntropy> for Inseparable {
    fn from(_: NoEntropy) -> Self {
        Self::Entropy
    }
}

impl From<Inseparable> for Box<str> {
    fn from(why: Inseparable) -> Self {
        match why {
            Inseparable::Form(error) => error.to_string().into(),
            Inseparable::Entropy => "the system has no randomness".into(),
        }
    }
}

/// An entry in its two parts.
#[derive(Debug)]
pub(crate) struct TakenApart {
    /// As its log has it.
    pub(crate) bytes: Box<[u8]>,
    pub(crate) apart: Box<[Apart]>,
}

/// Takes out of an entry what memories told.
pub(crate) fn take_apart(entry: &Entry<'_>) -> Result<TakenApart, Inseparable> {
    if entry.remembered().all(|(_, image)| image.is_none()) {
        return Ok(TakenApart { bytes: postcard::to_allocvec(entry)?.into(), apart: Box::default() });
    }
    let (mut entry, mut apart) = (entry.clone(), Vec::new());
    for (of, image) in entry.remembered_mut() {
        let Some(content) = image.take() else { continue };
        let disclosed = Disclosed { secret: drawn()?, content: postcard::to_allocvec(&content)? };
        *image = Some(disclosed.committed());
        apart.push(Apart { of, plain: disclosed.plain() });
    }
    Ok(TakenApart { bytes: postcard::to_allocvec(&entry)?.into(), apart: apart.into() })
}

impl Disclosed {
    /// What stands in its place.
    fn committed(&self) -> ValueImage {
        let commitment = self.commitment().to_vec();
        ValueImage { bytes: commitment.into(), media_type: "".into(), label: Label::TRUSTED }
    }

    fn commitment(&self) -> Hash {
        Sha256::new_with_prefix(self.secret).chain_update(&self.content).finalize().into()
    }

    fn plain(&self) -> Box<[u8]> {
        [&[PLAIN_VERSION], &self.secret[..], &self.content].concat().into()
    }

    /// Of what was sealed. It has to be what stands in its place.
    pub(crate) fn of_plain(plain: &[u8], committed: &ValueImage) -> Result<Self, Damage> {
        let (secret, content) = body(plain)?.1.split_first_chunk().ok_or(Damage::Seal)?;
        let disclosed = Self { secret: *secret, content: content.to_owned() };
        match disclosed.commitment() == *committed.bytes {
            true => Ok(disclosed),
            false => Err(Damage::Seal),
        }
    }

    /// The content.
    pub(crate) fn read(&self) -> Result<ValueImage, Damage> {
        Ok(postcard::from_bytes(&self.content)?)
    }
}

/// Whether these are what an encoded entry told, each in its place. Those that are not shown say nothing.
pub(crate) fn are_of(entry: &[u8], shown: &[Option<Disclosed>]) -> bool {
    if shown.is_empty() {
        return true;
    }
    let Ok(entry) = postcard::from_bytes::<Entry<'static>>(entry) else { return false };
    let committed: Vec<_> = entry.remembered().filter_map(|(_, image)| image).collect();
    let fits = |(shown, committed): (&Option<Disclosed>, &&ValueImage)| {
        shown.as_ref().is_none_or(|shown| shown.commitment() == *committed.bytes)
    };
    committed.len() == shown.len() && shown.iter().zip(&committed).all(fits)
}
