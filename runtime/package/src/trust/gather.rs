//! What was found in a registry, put together: signatures that count together are over statements that say the same.

use super::{Policy, bundles};
use crate::{
    Evidence,
    signing::{self, Envelope, PublicKey, Statement},
    sigstore::{BUNDLES_MAX, Bundle, Identity},
};
use std::cmp::Reverse;

/// Signatures over one statement.
struct Group {
    statement: Statement,
    envelope: Option<Envelope>,
    /// The right ones first, then those of whom nothing is known.
    bundles: Vec<Bundle>,
    /// Of them, and of the envelope's.
    right: usize,
}

/// How much is to be thought of a bundle: the most is the first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Standing {
    Right,
    Unknown,
    Wrong,
}

/// As [`gather`](crate::gather) does it for envelopes: the evidence that is about a file, the best first, and what nobody whom a policy
/// knows stands behind last, whatever serial it says. Whoever may write to a
/// registry may put a bundle there, so that one that is none is left out, and of one identity's a wrong one gives way to a right one.
pub(super) fn gather(
    digest: [u8; 32],
    envelopes: &[Vec<u8>],
    bundles: &[Vec<u8>],
    policies: &[(&str, &Policy)],
) -> Vec<Evidence> {
    let keys: Vec<&PublicKey> = policies.iter().flat_map(|(_, policy)| policy.keys()).map(|(_, key)| key).collect();
    let mut groups: Vec<Group> = Vec::new();
    for envelope in signing::gather(digest, envelopes, &keys) {
        let Ok(statement) = Statement::parse(envelope.payload()) else { continue };
        let right = keys.iter().filter(|key| envelope.is_signed_by(key) == Some(true)).count();
        groups.push(Group { statement, envelope: Some(envelope), bundles: Vec::new(), right });
    }
    let mut found: Vec<(Standing, Statement, Bundle)> =
        bundles.iter().filter_map(|bytes| read(digest, bytes, policies)).collect();
    found.sort_by_key(|(standing, ..)| *standing);
    for (standing, statement, bundle) in found {
        if !groups.iter().any(|group| group.statement == statement) {
            groups.push(Group { statement: statement.clone(), envelope: None, bundles: Vec::new(), right: 0 });
        }
        // Two spellings of one statement are two envelopes, and the bundles are with both.
        for group in groups.iter_mut().filter(|group| group.statement == statement) {
            let is_there = |identity: &Identity| group.bundles.iter().any(|there| there.claimed() == identity);
            if group.bundles.len() < BUNDLES_MAX && !is_there(bundle.claimed()) {
                group.bundles.push(bundle.clone());
                group.right += usize::from(standing == Standing::Right);
            }
        }
    }
    groups.sort_by_key(|group| {
        Reverse((group.right > 0, group.statement.terms.serial, group.right, group.bundles.len()))
    });
    groups.into_iter().map(Group::evidence).collect()
}

fn read(digest: [u8; 32], bytes: &[u8], policies: &[(&str, &Policy)]) -> Option<(Standing, Statement, Bundle)> {
    let bundle = Bundle::parse(bytes).ok()?;
    let statement = Statement::parse(bundle.payload()).ok().filter(|statement| statement.digest == digest)?;
    let standing = match bundles::is_right(&digest, &bundle, policies) {
        Some(true) => Standing::Right,
        Some(false) => Standing::Wrong,
        None => Standing::Unknown,
    };
    Some((standing, statement, bundle))
}

impl Group {
    fn evidence(self) -> Evidence {
        let bundles = (!self.bundles.is_empty()).then(|| Bundle::lines(&self.bundles).into_bytes());
        Evidence { envelope: self.envelope.map(|envelope| envelope.to_json().into_bytes()), bundles }
    }
}
