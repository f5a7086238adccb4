//! Signatures that were kept apart: a registry has an envelope for each time that a package was pushed or signed there.

use super::{Envelope, PublicKey, Statement};
use std::cmp::Reverse;

/// The envelopes among many that are about one file, the best first: the highest serial, then the most signatures by keys that
/// are known. Those with the same statement become one, which has the signatures of all.
///
/// Whoever may write to a registry may put an envelope there. What is none or is about another file is left out; a wrong
/// signature in the name of one of `keys` gives way to a right one, so that nobody takes away what others signed. What is left is
/// no better than what was found: it is still to be verified.
#[must_use]
pub fn gather(digest: [u8; 32], found: &[Vec<u8>], keys: &[&PublicKey]) -> Vec<Envelope> {
    let mut gathered: Vec<(u64, Envelope)> = Vec::new();
    for envelope in found.iter().filter_map(|bytes| Envelope::parse(bytes).ok()) {
        let Ok(statement) = Statement::parse(envelope.payload()) else { continue };
        if statement.digest != digest {
            continue;
        }
        match gathered.iter_mut().find(|(_, earlier)| earlier.payload() == envelope.payload()) {
            Some((_, earlier)) => earlier.join(&envelope, keys),
            None => gathered.push((statement.terms.serial, envelope)),
        }
    }
    let right = |envelope: &Envelope| keys.iter().filter(|key| envelope.is_signed_by(key) == Some(true)).count();
    gathered.sort_by_cached_key(|(serial, envelope)| Reverse((*serial, right(envelope), envelope.signatures().len())));
    gathered.into_iter().map(|(_, envelope)| envelope).collect()
}
