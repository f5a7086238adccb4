//! A Sigstore of its own, all of it in memory: an authority, a log of certificates (RFC 6962) and a transparency log (Rekor 1), and what
//! they make for whoever signs. It does what the public instance does, to the byte, and believes whatever name it is told. Nothing here
//! is of the crate that is tested.
#![allow(dead_code, reason = "each program uses a part of it")]

use base64ct::{Base64, Encoding as _};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CustomExtension, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PublicKeyData as _, SanType, SerialNumber, SigningKey as _, date_time_ymd,
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// The day for which certificates are made, in January of 2026.
pub(crate) const DAY: u8 = 5;

/// Noon of the first of January of 2026, in seconds since 1970.
const FIRST_NOON: i64 = 1_767_268_800;

/// Fulcio's "Issuer" and "Issuer (V2)", and a list of signed certificate timestamps.
const OLD_ISSUER_OID: &[u64] = &[1, 3, 6, 1, 4, 1, 57264, 1, 1];
const ISSUER_OID: &[u64] = &[1, 3, 6, 1, 4, 1, 57264, 1, 8];
const SCT_OID: &[u64] = &[1, 3, 6, 1, 4, 1, 11129, 2, 4, 2];

/// What in-toto's statements are, in an envelope.
const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

/// All that stands behind a trust root.
pub(crate) struct Instance {
    authority: Issuer<'static, KeyPair>,
    authority_certificate: Certificate,
    certificates: KeyPair,
    log: KeyPair,
}

/// How one signature is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner {
    /// The day of January on which the log takes it, at noon.
    pub(crate) logged: u8,
    /// Whether the log of certificates knows the certificate.
    pub(crate) is_certificate_logged: bool,
    /// Whether the certificate is for signing code.
    pub(crate) is_for_code: bool,
}

impl Default for Manner {
    fn default() -> Self {
        Self { logged: DAY, is_certificate_logged: true, is_for_code: true }
    }
}

fn key() -> KeyPair {
    KeyPair::generate().expect("the machine has randomness")
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

fn base64(bytes: &[u8]) -> String {
    Base64::encode_string(bytes)
}

fn id(key: &KeyPair) -> [u8; 32] {
    sha256(&key.subject_public_key_info())
}

fn sign(key: &KeyPair, message: &[u8]) -> Vec<u8> {
    key.sign(message).expect("ECDSA signs anything")
}

impl Instance {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "an authority for tests");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
        params.not_before = date_time_ymd(2025, 1, 1);
        params.not_after = date_time_ymd(2035, 1, 1);
        let key_of_authority = key();
        let authority_certificate = params.self_signed(&key_of_authority).expect("it is a certificate");
        let authority = Issuer::new(params, key_of_authority);
        Self { authority, authority_certificate, certificates: key(), log: key() }
    }

    /// What the operator is given.
    pub(crate) fn trusted_root(&self) -> Value {
        let log = |name: &str, key: &KeyPair| {
            json!({
                "baseUrl": format!("https://{name}.example.com"),
                "hashAlgorithm": "SHA2_256",
                "publicKey": {
                    "rawBytes": base64(&key.subject_public_key_info()),
                    "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                    "validFor": { "start": "2025-01-01T00:00:00Z" },
                },
                "logId": { "keyId": base64(&id(key)) },
            })
        };
        json!({
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [log("log", &self.log)],
            "certificateAuthorities": [{
                "subject": { "organization": "tests", "commonName": "an authority for tests" },
                "uri": "https://authority.example.com",
                "certChain": { "certificates": [{ "rawBytes": base64(self.authority_certificate.der()) }] },
                "validFor": { "start": "2025-01-01T00:00:00Z" },
            }],
            "ctlogs": [log("certificates", &self.certificates)],
        })
    }

    /// A bundle with a statement, by whoever is named.
    pub(crate) fn bundle(&self, issuer: &str, subject: &str, payload: &[u8]) -> Value {
        self.bundle_in(Manner::default(), issuer, subject, payload)
    }

    /// As [`Instance::bundle`], made in another manner.
    pub(crate) fn bundle_in(&self, manner: Manner, issuer: &str, subject: &str, payload: &[u8]) -> Value {
        let key = key();
        let certificate = self.certificate(&key, manner, issuer, subject);
        let signature = sign(&key, &encoded(payload));
        json!({
            "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
            "verificationMaterial": {
                "certificate": { "rawBytes": base64(certificate.der()) },
                "tlogEntries": [self.entry(manner, &certificate, payload, &signature)],
            },
            "dsseEnvelope": {
                "payload": base64(payload),
                "payloadType": PAYLOAD_TYPE,
                "signatures": [{ "sig": base64(&signature) }],
            },
        })
    }

    fn certificate(&self, key: &KeyPair, manner: Manner, issuer: &str, subject: &str) -> Certificate {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.serial_number = Some(SerialNumber::from_slice(&[0x17; 8]));
        params.not_before = date_time_ymd(2026, 1, DAY);
        params.not_after = date_time_ymd(2026, 1, DAY + 1);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = match manner.is_for_code {
            true => vec![ExtendedKeyUsagePurpose::CodeSigning],
            false => vec![ExtendedKeyUsagePurpose::ServerAuth],
        };
        params.use_authority_key_identifier_extension = true;
        let name = subject.try_into().expect("it is ASCII");
        params.subject_alt_names = vec![match subject.contains(':') {
            true => SanType::URI(name),
            false => SanType::Rfc822Name(name),
        }];
        // As Fulcio does: the older form as it is, the newer one as DER's UTF8String.
        params.custom_extensions = vec![
            CustomExtension::from_oid_content(OLD_ISSUER_OID, issuer.as_bytes().to_vec()),
            CustomExtension::from_oid_content(ISSUER_OID, tlv(0x0c, issuer.as_bytes())),
        ];
        let certificate =
            |params: &CertificateParams| params.signed_by(key, &self.authority).expect("it is a certificate");
        if manner.is_certificate_logged {
            // The log signs what is in the certificate without the log's own extension, and is told so before.
            let list = self.timestamps(to_be_signed(certificate(&params).der()));
            params.custom_extensions.push(CustomExtension::from_oid_content(SCT_OID, tlv(0x04, &list)));
        }
        certificate(&params)
    }

    /// A list with one signed certificate timestamp (RFC 6962, 3.2 and 3.3).
    fn timestamps(&self, certificate: &[u8]) -> Vec<u8> {
        let at = (u64::try_from(noon(DAY)).expect("it is after 1970") * 1_000).to_be_bytes();
        let length = u32::try_from(certificate.len()).expect("it is short").to_be_bytes();
        let issuer = id(self.authority.key());
        let signed = [&[0, 0][..], &at, &[0, 1], &issuer, &length[1..], certificate, &[0, 0]].concat();
        let signature = prefixed(&sign(&self.certificates, &signed));
        let timestamp = [&[0][..], &id(&self.certificates), &at, &[0, 0], &[4, 3], &signature].concat();
        prefixed(&prefixed(&timestamp))
    }

    /// The second of two entries, with its proof, a checkpoint, and a promise.
    fn entry(&self, manner: Manner, certificate: &Certificate, payload: &[u8], signature: &[u8]) -> Value {
        let digest = |bytes: &[u8]| json!({ "algorithm": "sha256", "value": hex::encode(sha256(bytes)) });
        let pem = certificate.pem();
        let body = json!({
            "apiVersion": "0.0.1",
            "kind": "dsse",
            "spec": {
                "envelopeHash": digest(b"how the envelope was sent, which nobody else knows"),
                "payloadHash": digest(payload),
                "signatures": [{ "signature": base64(signature), "verifier": base64(pem.as_bytes()) }],
            },
        });
        let body = body.to_string().into_bytes();
        let (first, leaf) = (leaf(b"another entry"), leaf(&body));
        let root = sha256(&[&[1][..], &first, &leaf].concat());
        let note = format!("log.example.com - 1\n2\n{}\n", base64(&root));
        let signed_note = [&id(&self.log)[..4], &sign(&self.log, note.as_bytes())].concat();
        // In the order, and the one form, of RFC 8785.
        let promise = format!(
            r#"{{"body":"{}","integratedTime":{},"logID":"{}","logIndex":1}}"#,
            base64(&body),
            noon(manner.logged),
            hex::encode(id(&self.log)),
        );
        json!({
            "logIndex": "1",
            "logId": { "keyId": base64(&id(&self.log)) },
            "kindVersion": { "kind": "dsse", "version": "0.0.1" },
            "integratedTime": noon(manner.logged).to_string(),
            "inclusionPromise": { "signedEntryTimestamp": base64(&sign(&self.log, promise.as_bytes())) },
            "inclusionProof": {
                "logIndex": "1",
                "rootHash": base64(&root),
                "treeSize": "2",
                "hashes": [base64(&first)],
                "checkpoint": { "envelope": format!("{note}\n— log.example.com {}\n", base64(&signed_note)) },
            },
            "canonicalizedBody": base64(&body),
        })
    }
}

/// What a signature of DSSE is over.
fn encoded(payload: &[u8]) -> Vec<u8> {
    let start = format!("DSSEv1 {} {PAYLOAD_TYPE} {} ", PAYLOAD_TYPE.len(), payload.len());
    [start.as_bytes(), payload].concat()
}

/// A leaf of a tree of RFC 9162.
fn leaf(entry: &[u8]) -> [u8; 32] {
    sha256(&[&[0][..], entry].concat())
}

fn noon(day: u8) -> i64 {
    FIRST_NOON + i64::from(day - 1) * 86_400
}

/// Bytes after their number, in two bytes.
fn prefixed(bytes: &[u8]) -> Vec<u8> {
    [&u16::try_from(bytes.len()).expect("it is short").to_be_bytes()[..], bytes].concat()
}

/// DER: a tag, a length, a value.
fn tlv(tag: u8, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).expect("it is short");
    match u8::try_from(length) {
        Ok(length @ 0..=0x7f) => [&[tag, length], value].concat(),
        Ok(length) => [&[tag, 0x81, length], value].concat(),
        Err(_) => [&[tag, 0x82][..], &length.to_be_bytes(), value].concat(),
    }
}

/// The first element in a certificate: what is signed.
fn to_be_signed(certificate: &[u8]) -> &[u8] {
    let inside = &certificate[header(certificate).0..];
    let (start, length) = header(inside);
    &inside[..start + length]
}

/// How long an element's start is, and how long its value.
fn header(der: &[u8]) -> (usize, usize) {
    match der[1] {
        short @ 0..=0x7f => (2, usize::from(short)),
        long => {
            let count = usize::from(long & 0x7f);
            let length = der[2..2 + count].iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
            (2 + count, length)
        }
    }
}
