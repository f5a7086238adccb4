//! Keys, and what is sealed under them: AES-256-GCM, as `FORMAT.md` lays it out.
//!
//! - A nonce is drawn for each value and is never counted, so that a crash or a restored backup gives none again.
//! - Every value is tied to its [`Place`]: copied to another row, it does not open.

use crate::{
    audit::{Hash, Salts, keyed},
    error::Damage,
};
use aes_gcm::{
    Aes256Gcm, KeyInit, Nonce, Tag,
    aead::{AeadInPlace, generic_array::GenericArray},
};
use hmac::Mac;
use remit_abi::{EntryId, Pid, TenantId};
use std::fmt;

/// Of every key, in bytes.
pub(crate) const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;
/// What a seal adds to a value.
const SEAL_BYTES: usize = NONCE_BYTES + TAG_BYTES;
/// A sealed key.
pub(crate) const SEALED_KEY_BYTES: usize = KEY_BYTES + SEAL_BYTES;
/// Nonces that are drawn at once: one call of the system serves the commits of some milliseconds.
const NONCES: usize = 256;
/// Numbers in a [`Place`], at most.
const PLACE_NUMBERS: usize = 6;

/// Where a sealed value lies: a kind, and the numbers that make the row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    bytes: [u8; 1 + 8 * PLACE_NUMBERS],
    length: usize,
}

impl Place {
    fn new<const COUNT: usize>(kind: u8, numbers: [u64; COUNT]) -> Self {
        const { assert!(COUNT <= PLACE_NUMBERS) };
        let mut place = Self { bytes: [0; 1 + 8 * PLACE_NUMBERS], length: 1 + 8 * COUNT };
        place.bytes[0] = kind;
        for (bytes, number) in place.bytes[1..].chunks_exact_mut(8).zip(numbers) {
            bytes.copy_from_slice(&number.to_be_bytes());
        }
        place
    }

    pub(crate) fn tenant_key(tenant: TenantId) -> Self {
        Self::new(b'N', [tenant.0.into()])
    }

    pub(crate) fn process_key(pid: Pid) -> Self {
        Self::new(b'P', [pid.tenant.0.into(), crate::number::process(pid)])
    }

    pub(crate) fn chunk(pid: Pid, position: u64, previous: u64, first_sequence: u64, at_ns: u64) -> Self {
        Self::new(b'C', [pid.tenant.0.into(), crate::number::process(pid), position, previous, first_sequence, at_ns])
    }

    pub(crate) fn letter(receiver: Pid, number: u64) -> Self {
        Self::new(b'L', [receiver.tenant.0.into(), crate::number::process(receiver), number])
    }

    pub(crate) fn answer(caller: Pid, number: u64) -> Self {
        Self::new(b'A', [caller.tenant.0.into(), crate::number::process(caller), number])
    }

    pub(crate) fn report(pid: Pid) -> Self {
        Self::new(b'R', [pid.tenant.0.into(), crate::number::process(pid)])
    }

    pub(crate) fn grant(grant: u64) -> Self {
        Self::new(b'G', [grant])
    }

    pub(crate) fn tag(tenant: TenantId, bit: u32) -> Self {
        Self::new(b'T', [tenant.0.into(), bit.into()])
    }

    pub(crate) fn question(tenant: TenantId, number: u64) -> Self {
        Self::new(b'Q', [tenant.0.into(), number])
    }

    pub(crate) fn persons_answer(tenant: TenantId, number: u64) -> Self {
        Self::new(b'S', [tenant.0.into(), number])
    }

    pub(crate) fn approval(tenant: TenantId, number: u64) -> Self {
        Self::new(b'V', [tenant.0.into(), number])
    }

    pub(crate) fn notice(tenant: TenantId, number: u64) -> Self {
        Self::new(b'I', [tenant.0.into(), number])
    }

    pub(crate) fn sleeper(pid: Pid) -> Self {
        Self::new(b'Z', [pid.tenant.0.into(), crate::number::process(pid)])
    }

    pub(crate) fn tool_call(tenant: TenantId, number: u64) -> Self {
        Self::new(b'E', [tenant.0.into(), number])
    }

    pub(crate) fn tool_outcome(tenant: TenantId, number: u64) -> Self {
        Self::new(b'O', [tenant.0.into(), number])
    }

    pub(crate) fn tool_decision(tenant: TenantId, number: u64) -> Self {
        Self::new(b'D', [tenant.0.into(), number])
    }

    pub(crate) fn deployment(tenant: TenantId, digest: u64) -> Self {
        Self::new(b'Y', [tenant.0.into(), digest])
    }

    pub(crate) fn memory_key(tenant: TenantId, entry: EntryId) -> Self {
        Self::new(b'K', [tenant.0.into(), entry.0])
    }

    pub(crate) fn memory_write(tenant: TenantId, number: u64) -> Self {
        Self::new(b'W', [tenant.0.into(), number])
    }

    pub(crate) fn remembered(pid: Pid, chunk: u64, ordinal: u64) -> Self {
        Self::new(b'M', [pid.tenant.0.into(), crate::number::process(pid), chunk, ordinal])
    }

    pub(crate) fn snapshot(tenant: TenantId, [a, b, c, d]: [u64; 4]) -> Self {
        Self::new(b'B', [tenant.0.into(), a, b, c, d])
    }

    fn get(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// A key, ready for use.
#[derive(Clone)]
pub(crate) struct Key {
    cipher: Box<Aes256Gcm>,
    /// Under which salts are made.
    salts: [u8; KEY_BYTES],
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

impl Key {
    pub(crate) fn new(bytes: &[u8; KEY_BYTES]) -> Self {
        Self { cipher: Box::new(Aes256Gcm::new(GenericArray::from_slice(bytes))), salts: Salts::derive(bytes) }
    }

    /// Of the audit's digests of what is sealed under this key.
    pub(crate) fn salts(&self) -> Salts {
        Salts::new(&self.salts)
    }

    /// Of a tenant's: under which the terms of what its processes were told are digested.
    pub(crate) fn recall(&self) -> Hash {
        keyed(&self.salts).chain_update(b"remit recall").finalize().into_bytes().into()
    }

    /// Of a tenant's: under which keys and values of models are sealed.
    pub(crate) fn snapshots(&self) -> Self {
        let bytes: [u8; KEY_BYTES] = keyed(&self.salts).chain_update(b"remit snapshots").finalize().into_bytes().into();
        Self::new(&bytes)
    }

    /// Of a tenant's: under which their files are named.
    pub(crate) fn snapshot_names(&self) -> Hash {
        keyed(&self.salts).chain_update(b"remit snapshot names").finalize().into_bytes().into()
    }

    /// The plaintext of what [`Sealer::seal`] made under this key for this place.
    pub(crate) fn open(&self, place: Place, sealed: &[u8]) -> Result<Vec<u8>, Damage> {
        let body = sealed.len().checked_sub(SEAL_BYTES).ok_or(Damage::Seal)?;
        let (nonce, rest) = sealed.split_at(NONCE_BYTES);
        let (cipher, tag) = rest.split_at(body);
        let mut plain = cipher.to_vec();
        self.cipher
            .decrypt_in_place_detached(Nonce::from_slice(nonce), place.get(), &mut plain, Tag::from_slice(tag))
            .map_err(|_| Damage::Seal)?;
        Ok(plain)
    }

    /// A key that was sealed under this one.
    pub(crate) fn open_key(&self, place: Place, sealed: &[u8]) -> Result<Self, Damage> {
        let bytes: [u8; KEY_BYTES] = self.open(place, sealed)?.try_into().map_err(|_| Damage::Seal)?;
        Ok(Self::new(&bytes))
    }
}

/// The system has no randomness.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NoEntropy;

/// As many bytes as a key has, that nobody knows.
pub(crate) fn drawn() -> Result<[u8; KEY_BYTES], NoEntropy> {
    let mut bytes = [0; KEY_BYTES];
    getrandom::fill(&mut bytes).map_err(|_| NoEntropy)?;
    Ok(bytes)
}

/// Seals, each value under a nonce of its own.
pub(crate) struct Sealer {
    nonces: [u8; NONCE_BYTES * NONCES],
    used: usize,
}

impl Sealer {
    pub(crate) fn new() -> Self {
        Self { nonces: [0; NONCE_BYTES * NONCES], used: NONCES }
    }

    fn nonce(&mut self) -> Result<[u8; NONCE_BYTES], NoEntropy> {
        if self.used == NONCES {
            getrandom::fill(&mut self.nonces).map_err(|_| NoEntropy)?;
            self.used = 0;
        }
        let mut nonce = [0; NONCE_BYTES];
        nonce.copy_from_slice(&self.nonces[self.used * NONCE_BYTES..][..NONCE_BYTES]);
        self.used += 1;
        Ok(nonce)
    }

    /// Seals a value for its place.
    pub(crate) fn seal(&mut self, key: &Key, place: Place, plain: &[u8]) -> Result<Vec<u8>, NoEntropy> {
        let nonce = self.nonce()?;
        let mut sealed = Vec::with_capacity(plain.len() + SEAL_BYTES);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(plain);
        let tag = key
            .cipher
            .encrypt_in_place_detached(Nonce::from_slice(&nonce), place.get(), &mut sealed[NONCE_BYTES..])
            // The cipher's own limit is 64 GiB a value; nothing that waits for the disk is a thousandth of it.
            .map_err(|_| NoEntropy)?;
        sealed.extend_from_slice(&tag);
        Ok(sealed)
    }

    /// A new key, and the same sealed under another one.
    pub(crate) fn new_key(&mut self, under: &Key, place: Place) -> Result<(Key, Vec<u8>), NoEntropy> {
        let bytes = drawn()?;
        Ok((Key::new(&bytes), self.seal(under, place, &bytes)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_opens_under_its_key_at_its_place_unchanged_and_nowhere_else() {
        let [mine, other] = [[1; KEY_BYTES], [2; KEY_BYTES]].map(|bytes| Key::new(&bytes));
        let place = Place::grant(7);
        let sealed = Sealer::new().seal(&mine, place, b"plain").expect("there is entropy");
        assert_eq!(sealed.len(), 5 + SEAL_BYTES);
        assert_eq!(mine.open(place, &sealed).ok().as_deref(), Some(&b"plain"[..]));
        assert!(other.open(place, &sealed).is_err());
        assert!(mine.open(Place::grant(8), &sealed).is_err());
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(mine.open(place, &changed).is_err(), "byte {at}");
            assert!(mine.open(place, &sealed[..at]).is_err(), "{at} bytes");
        }
    }

    #[test]
    fn no_two_nonces_are_the_same() {
        let mut sealer = Sealer::new();
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..3 * NONCES {
            assert!(seen.insert(sealer.nonce().expect("there is entropy")));
        }
    }
}
