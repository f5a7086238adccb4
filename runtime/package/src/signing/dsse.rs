//! Signatures beside what they are over: DSSE, the Dead Simple Signing Envelope
//! (<https://github.com/secure-systems-lab/dsse>, version 1).
//!
//! What is signed is the *pre-authentication encoding* of a type and a payload, so that no signature over one kind of thing
//! passes for one over another. The envelope says nothing about algorithms: a key has one, and whoever trusts the key knows it.
//!
//! An envelope is an allegation. What it names is believed of it when a signature by a trusted key was found to be right,
//! and its payload is read no earlier.

use super::{KeyId, PublicKey, SecretKey};
use crate::{json, name::quoted};
use base64ct::{Base64, Base64Url, Encoding as _};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// What our payloads are: statements as in-toto has them.
pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

/// An envelope: a statement of a few KiB, and its signatures.
pub const ENVELOPE_BYTES_MAX: usize = 512 << 10;

/// As many as can stand behind one package.
const SIGNATURES_MAX: usize = 16;

/// A file that is no envelope of ours.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum EnvelopeError {
    /// More bytes than any has.
    #[error("the envelope has {0} bytes, and {ENVELOPE_BYTES_MAX} are the most")]
    TooLarge(usize),
    /// Not the JSON that an envelope is.
    #[error("the envelope {0}")]
    Json(String),
    /// Signed for something else.
    #[error("the envelope holds {0}, and a package's holds {PAYLOAD_TYPE}")]
    PayloadType(String),
    /// Not Base64.
    #[error("the envelope's {0} is not Base64 with its padding, in one alphabet and its one spelling")]
    Base64(&'static str),
    /// Nobody signed.
    #[error("the envelope has no signature")]
    Unsigned,
    /// More than anybody trusts.
    #[error("the envelope has {0} signatures, and {SIGNATURES_MAX} are the most")]
    TooMany(usize),
    /// A signature by nobody.
    #[error("a signature names the key {0}, which is no id of a key: that has 64 lower-case hexadecimal digits")]
    KeyId(String),
    /// A signature of another algorithm.
    #[error("the signature of the key {key} has {bytes} bytes, and one of Ed25519 has 64")]
    Length {
        /// Whose.
        key: KeyId,
        /// How many.
        bytes: usize,
    },
    /// A key that was named twice.
    #[error("the key {0} is named by two signatures, and stands behind a package once")]
    Twice(KeyId),
}

/// A payload and its signatures, as they were found: nothing about them was checked yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    payload: Vec<u8>,
    signatures: Vec<Signature>,
}

/// One signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signature {
    /// Whose, as the envelope says.
    pub key: KeyId,
    bytes: [u8; 64],
}

/// The envelope as JSON. Further keys are not ours: nothing is done for them, and nothing signs them.
#[derive(Serialize, Deserialize)]
struct Form {
    payload: String,
    #[serde(rename = "payloadType")]
    payload_type: String,
    signatures: Vec<SignatureForm>,
}

#[derive(Serialize, Deserialize)]
struct SignatureForm {
    keyid: String,
    sig: String,
}

/// What a signature is over: the pre-authentication encoding of DSSE's protocol.md.
#[must_use]
pub fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let start = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len());
    [start.as_bytes(), payload].concat()
}

impl Envelope {
    /// Nothing but a payload: it wants signatures.
    #[must_use]
    pub const fn new(payload: Vec<u8>) -> Self {
        Self { payload, signatures: Vec::new() }
    }

    /// Adds a key's signature. One that the key made before gives way to it.
    pub fn sign(&mut self, key: &SecretKey) {
        let bytes = key.sign(&pae(PAYLOAD_TYPE, &self.payload));
        let key = key.public().id();
        self.signatures.retain(|signature| signature.key != key);
        self.signatures.push(Signature { key, bytes });
    }

    /// Takes over the signatures of another envelope with the same payload, as many as one may have. Where both have one of a
    /// key, and the key is among `keys`, the right one stays.
    pub(super) fn join(&mut self, other: &Self, keys: &[&PublicKey]) {
        for signature in &other.signatures {
            let key = keys.iter().find(|key| key.id() == signature.key);
            let is_wrong = |envelope: &Self| key.is_some_and(|key| envelope.is_signed_by(key) == Some(false));
            if is_wrong(other) {
                continue;
            }
            if is_wrong(self) {
                self.signatures.retain(|earlier| earlier.key != signature.key);
            }
            let is_there = self.signatures.iter().any(|earlier| earlier.key == signature.key);
            if !is_there && self.signatures.len() < SIGNATURES_MAX {
                self.signatures.push(*signature);
            }
        }
    }

    /// Reads an envelope.
    ///
    /// # Errors
    /// [`EnvelopeError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        if bytes.len() > ENVELOPE_BYTES_MAX {
            return Err(EnvelopeError::TooLarge(bytes.len()));
        }
        let form: Form = json::strict(bytes).map_err(EnvelopeError::Json)?;
        if form.payload_type != PAYLOAD_TYPE {
            return Err(EnvelopeError::PayloadType(quoted(&form.payload_type)));
        }
        match form.signatures.len() {
            0 => return Err(EnvelopeError::Unsigned),
            1..=SIGNATURES_MAX => {}
            count => return Err(EnvelopeError::TooMany(count)),
        }
        let payload = base64(&form.payload).ok_or(EnvelopeError::Base64("payload"))?;
        let mut signatures: Vec<Signature> = Vec::with_capacity(form.signatures.len());
        for SignatureForm { keyid, sig } in &form.signatures {
            let key: KeyId = keyid.parse().map_err(|_| EnvelopeError::KeyId(quoted(keyid)))?;
            let bytes = base64(sig).ok_or(EnvelopeError::Base64("signature"))?;
            let bytes = bytes.try_into().map_err(|bytes: Vec<u8>| EnvelopeError::Length { key, bytes: bytes.len() })?;
            if signatures.iter().any(|earlier| earlier.key == key) {
                return Err(EnvelopeError::Twice(key));
            }
            signatures.push(Signature { key, bytes });
        }
        Ok(Self { payload, signatures })
    }

    /// As JSON, in one line.
    #[must_use]
    pub fn to_json(&self) -> String {
        let signature = |signature: &Signature| SignatureForm {
            keyid: signature.key.to_string(),
            sig: Base64::encode_string(&signature.bytes),
        };
        let form = Form {
            payload: Base64::encode_string(&self.payload),
            payload_type: PAYLOAD_TYPE.to_owned(),
            signatures: self.signatures.iter().map(signature).collect(),
        };
        // Texts alone: writing them cannot fail.
        serde_json::to_string(&form).unwrap_or_default()
    }

    /// What was signed, if any of the signatures is right: read it after that.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// Whose signatures there are, as the envelope says.
    #[must_use]
    pub fn signatures(&self) -> &[Signature] {
        &self.signatures
    }

    /// Whether a key signed the payload. `None` where the envelope names no signature of it.
    #[must_use]
    pub fn is_signed_by(&self, key: &PublicKey) -> Option<bool> {
        let signature = self.signatures.iter().find(|signature| signature.key == key.id())?;
        Some(key.verifies(&pae(PAYLOAD_TYPE, &self.payload), &signature.bytes))
    }
}

/// Either alphabet, as DSSE asks of whoever verifies, but one spelling of each.
fn base64(text: &str) -> Option<Vec<u8>> {
    Base64::decode_vec(text).or_else(|_| Base64Url::decode_vec(text)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of DSSE's protocol.md.
    #[test]
    fn what_is_signed_is_what_the_specification_says() {
        let encoded = pae("http://example.com/HelloWorld", b"hello world");
        assert_eq!(encoded, b"DSSEv1 29 http://example.com/HelloWorld 11 hello world");
        assert_eq!(pae("", b""), b"DSSEv1 0  0 ");
        assert_eq!(pae("é", "ü".as_bytes()), "DSSEv1 2 é 2 ü".as_bytes(), "lengths are of bytes");
    }

    #[test]
    fn either_alphabet_is_read_and_no_second_spelling() {
        let check = |text, expect: Option<&[u8]>| assert_eq!(base64(text).as_deref(), expect, "{text}");
        check("+/8=", Some(&[0xfb, 0xff]));
        check("-_8=", Some(&[0xfb, 0xff]));
        for wrong in ["+_8=", "+/8", "+/9=", "+/8= ", "+/8==", "+/8=\n"] {
            check(wrong, None);
        }
    }
}
