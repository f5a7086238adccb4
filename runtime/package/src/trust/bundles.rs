//! Which identities signed a package.
//!
//! A bundle of somebody whom a policy knows has to be right, even where it is not needed: a broken one is a sign of somebody at
//! work. One of somebody whom no policy knows is nothing, as is a signature by an unknown key. Where no policy knows an identity,
//! bundles are not looked at: they may be for others.

use super::{CheckKind, Outcome, Policy, TrustedIdentity, Verdict};
use crate::{
    signing::Statement,
    sigstore::{Bundle, Identity, Logged, TrustRoot},
};
use std::collections::BTreeSet;

/// Identities that are named where too few signed.
const STRANGERS_TOLD_MAX: usize = 3;

/// What came of all bundles.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// What was signed, and by whom.
    pub(super) statements: Vec<(Identity, Statement)>,
    /// Who signed, by the trust root of each policy, in the order of the policies.
    pub(super) signed: Vec<BTreeSet<Identity>>,
    /// Whose the bundles say that they are.
    claimed: BTreeSet<Identity>,
}

impl Seen {
    /// Who is said to have signed, and is not known to a policy: the end of a sentence, or nothing.
    pub(super) fn strangers(&self, policy: &Policy) -> String {
        let is_known = |identity: &Identity| policy.identities().any(|(_, known)| known.identity == *identity);
        let strangers = self.claimed.iter().filter(|identity| !is_known(identity)).take(STRANGERS_TOLD_MAX);
        strangers
            .map(|identity| format!("; a bundle says that it is by {identity}, whom this policy does not know"))
            .collect()
    }

    /// Whether an identity signed, by the trust root of a policy.
    pub(super) fn is_signed_by(&self, policy: usize, identity: &Identity) -> bool {
        self.signed.get(policy).is_some_and(|signed| signed.contains(identity))
    }
}

/// Looks at bundles that are about a file, before policies by name.
pub(super) fn look(
    file: &[u8; 32],
    bundles: Option<&[u8]>,
    policies: &[(&str, &Policy)],
    verdict: &mut Verdict,
) -> Seen {
    let mut seen = Seen { signed: vec![BTreeSet::new(); policies.len()], ..Seen::default() };
    if policies.iter().all(|(_, policy)| policy.identities().next().is_none()) {
        if bundles.is_some() {
            let reason = "the bundles are not looked at, since no policy knows an identity";
            verdict.add(CheckKind::Identity, None, Outcome::Skipped, reason);
        }
        return seen;
    }
    let Some(bytes) = bundles else {
        verdict.add(CheckKind::Identity, None, Outcome::Skipped, "no bundle came with the package");
        return seen;
    };
    match Bundle::parse_all(bytes) {
        Ok(bundles) => bundles.iter().for_each(|bundle| one(file, bundle, policies, &mut seen, verdict)),
        Err(error) => verdict.add(CheckKind::Identity, None, Outcome::Failed, error.to_string()),
    }
    seen
}

fn one(file: &[u8; 32], bundle: &Bundle, policies: &[(&str, &Policy)], seen: &mut Seen, verdict: &mut Verdict) {
    let claimed = bundle.claimed();
    seen.claimed.insert(claimed.clone());
    let known: Vec<_> = known(policies, claimed).collect();
    if known.is_empty() {
        let reason = format!("a bundle says that it is by {claimed}, whom no policy knows");
        verdict.add(CheckKind::Identity, None, Outcome::Skipped, reason);
        return;
    }
    // Policies mostly share a root, and what it says of a bundle is the same each time.
    let mut asked: Vec<(&TrustRoot, bool)> = Vec::new();
    for (policy, name, TrustedIdentity { identity, root_name, root }) in known {
        let is_right = match asked.iter().find(|(other, _)| *other == root) {
            Some((_, is_right)) => *is_right,
            None => {
                let found = root.verify(bundle, identity, file);
                let is_right = found.is_ok();
                match found {
                    Ok(logged) => tell(name, identity, root_name, &logged, verdict),
                    Err(why) => {
                        let reason = format!("the bundle of {name}, {identity}, {why}");
                        verdict.add(CheckKind::Identity, None, Outcome::Failed, reason);
                    }
                }
                asked.push((root, is_right));
                is_right
            }
        };
        if let Some(signed) = seen.signed.get_mut(policy).filter(|_| is_right) {
            signed.insert(identity.clone());
        }
    }
    if asked.iter().any(|(_, is_right)| *is_right) {
        match Statement::parse(bundle.payload()) {
            Ok(statement) => seen.statements.push((claimed.clone(), statement)),
            Err(error) => {
                let reason = format!("of the bundle by {claimed} {error}");
                verdict.add(CheckKind::Statement, None, Outcome::Failed, reason);
            }
        }
    }
}

/// The policies that know an identity, by their places, and as what.
fn known<'p>(
    policies: &'p [(&str, &'p Policy)],
    identity: &Identity,
) -> impl Iterator<Item = (usize, &'p str, &'p TrustedIdentity)> {
    policies.iter().enumerate().filter_map(move |(place, (_, policy))| {
        let (name, known) = policy.identities().find(|(_, known)| known.identity == *identity)?;
        Some((place, name, known))
    })
}

/// Whether a bundle is an identity's, by the trust root of one of several policies.
pub(super) fn is_right(file: &[u8; 32], bundle: &Bundle, policies: &[(&str, &Policy)]) -> Option<bool> {
    let mut known = known(policies, bundle.claimed()).peekable();
    known.peek()?;
    Some(known.any(|(_, _, trusted)| trusted.root.verify(bundle, &trusted.identity, file).is_ok()))
}

/// What was found of a bundle that is right, each in a line.
fn tell(name: &str, identity: &Identity, root: &str, Logged { at, indices }: &Logged, verdict: &mut Verdict) {
    let list = |all: Vec<String>| all.join(" and ");
    let moments = list(at.iter().map(ToString::to_string).collect());
    let places = list(indices.iter().map(ToString::to_string).collect());
    let lines = [
        format!(
            "{name} is {identity}, and so says a certificate that comes from {root} and was written down by its log"
        ),
        format!("it was signed at {moments}, as {root} says, and the certificate was valid then"),
        format!("the signature is in the transparency log, at {places}, with a proof and the log's own signature"),
        "the signature is by the certificate's key, and the statement is about this file".to_owned(),
    ];
    for line in lines {
        verdict.add(CheckKind::Identity, None, Outcome::Passed, line);
    }
}
