//! One package before one or more policies.
//!
//! Every check is told with its outcome and its reason, those that passed too: whoever asks why a package was taken has a
//! right to an answer as much as whoever asks why it was not. A package is taken where no check failed.
//!
//! An envelope that is there has to be right, even where none is needed: a broken one is a sign of somebody at work. What it
//! holds is read after a known key's signature over it was found to be right, and not before. So it is with bundles.
//!
//! A package is taken on one statement. Each signature counts for what it is over, and signatures count together where their
//! statements say the same; where they do not, the package is refused, since nobody knows then what was agreed on.

use super::{
    Policy, Rule, bounds,
    bundles::{self, Seen},
};
use crate::{
    Evidence, Packed,
    name::quoted,
    signing::{Envelope, Statement},
    sigstore::Signer,
};
use jiff::{SignedDuration, Timestamp};
use std::{collections::BTreeSet, fmt};

/// How far two clocks may be apart: a machine without a time server is off by a minute or two.
const CLOCK_SKEW: SignedDuration = SignedDuration::from_mins(5);

/// What is true where a package is looked at.
#[derive(Clone, Debug)]
pub struct Circumstances {
    /// The host's clock.
    pub now: Timestamp,
    /// The package of this name that was taken last.
    pub installed: Option<Installed>,
}

/// The newest package of a name that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// Of its statement.
    pub serial: u64,
    /// SHA-256 of its file, in hexadecimal.
    pub digest: String,
}

/// What is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CheckKind {
    /// That what came with the package is an envelope.
    Envelope,
    /// That what came with the package are bundles, and those of known identities are right.
    Identity,
    /// That no signature of a known key is wrong, and what is signed can be read.
    Statement,
    /// That the statement is about this file.
    Subject,
    /// That the statement says what the package says.
    Claims,
    /// That it is valid now.
    Time,
    /// That nothing newer was taken before.
    Serial,
    /// That the policy has an entry for packages of this name.
    Name,
    /// That the package was not revoked.
    Revocation,
    /// That enough of the right keys signed.
    Signers,
    /// That it asks for no right beyond what it may.
    Wants,
    /// That it asks for no more tokens than it may.
    Budget,
}

impl CheckKind {
    /// As people and programs read it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Envelope => "envelope",
            Self::Identity => "identity",
            Self::Statement => "statement",
            Self::Subject => "subject",
            Self::Claims => "claims",
            Self::Time => "time",
            Self::Serial => "serial",
            Self::Name => "name",
            Self::Revocation => "revocation",
            Self::Signers => "signers",
            Self::Wants => "wants",
            Self::Budget => "budget",
        }
    }
}

/// What came of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is as it has to be.
    Passed,
    /// There was nothing to look at, and there need not be.
    Skipped,
    /// The package is refused.
    Failed,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What was looked at.
    pub kind: CheckKind,
    /// By which policy; `None` where all would say the same.
    pub policy: Option<String>,
    /// What came of it.
    pub outcome: Outcome,
    /// Why: one sentence without a full stop, free of control characters.
    pub reason: String,
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outcome = match self.outcome {
            Outcome::Passed => "passed",
            Outcome::Skipped => "skipped",
            Outcome::Failed => "FAILED",
        };
        let policy = self.policy.as_ref().map(|policy| format!(" ({policy})")).unwrap_or_default();
        write!(f, "{outcome} {}{policy}: {}", self.kind.name(), self.reason)
    }
}

/// What came of a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// In the order in which they were made.
    pub checks: Vec<Check>,
    /// What was signed; `None` where nobody known signed, or it cannot be read.
    pub statement: Option<Statement>,
    /// Keys and identities that count for it by the entries of all policies that were asked: they signed, and are not revoked.
    pub signers: BTreeSet<Signer>,
}

impl Verdict {
    /// Whether the package is taken.
    #[must_use]
    pub fn is_accepted(&self) -> bool {
        let is_asked = self.checks.iter().any(|check| check.policy.is_some());
        is_asked && self.failures().next().is_none()
    }

    /// The checks for which it is refused.
    pub fn failures(&self) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(|check| check.outcome == Outcome::Failed)
    }

    /// Whether a check says that it was revoked.
    pub(super) fn is_revoked(&self) -> bool {
        self.failures().any(|check| check.kind == CheckKind::Revocation)
    }

    pub(super) fn add(&mut self, kind: CheckKind, policy: Option<&str>, outcome: Outcome, reason: impl Into<String>) {
        self.checks.push(Check { kind, policy: policy.map(str::to_owned), outcome, reason: reason.into() });
    }

    /// Adds what passes, or fails, by whether there is something to say against it.
    fn found(&mut self, kind: CheckKind, policy: Option<&str>, against: Option<String>, otherwise: String) {
        match against {
            Some(reason) => self.add(kind, policy, Outcome::Failed, reason),
            None => self.add(kind, policy, Outcome::Passed, otherwise),
        }
    }
}

/// Looks at a package, with the envelope and the bundles that came with it, before policies by name: an operator's, a tenant's.
///
/// Each of them has to agree. Without any policy nothing is taken.
#[must_use]
pub fn verify(
    packed: &Packed<'_>,
    evidence: &Evidence,
    policies: &[(&str, &Policy)],
    circumstances: &Circumstances,
) -> Verdict {
    let mut verdict = Verdict { checks: Vec::new(), statement: None, signers: BTreeSet::new() };
    let envelope = open(evidence.envelope.as_deref(), &mut verdict);
    let seen = bundles::look(&packed.digest_bytes(), evidence.bundles.as_deref(), policies, &mut verdict);
    let signed = envelope.as_ref().and_then(|envelope| read(envelope, policies, &mut verdict));
    verdict.statement = agreed(signed, &seen, &mut verdict);
    if let Some(statement) = verdict.statement.clone() {
        check_statement(packed, &statement, circumstances, &mut verdict);
    }
    check_serial(packed, policies, circumstances, &mut verdict);
    for (place, (name, policy)) in policies.iter().enumerate() {
        let signatures = Signatures { envelope: envelope.as_ref(), seen: &seen, place };
        check_policy(packed, &signatures, name, policy, circumstances, &mut verdict);
    }
    verdict
}

/// Who signed, as one policy sees it.
struct Signatures<'a> {
    envelope: Option<&'a Envelope>,
    seen: &'a Seen,
    /// The policy's among those that are asked.
    place: usize,
}

impl Signatures<'_> {
    fn are_of(&self, policy: &Policy, signer: &Signer) -> bool {
        match signer {
            Signer::Key(id) => {
                let key = policy.keys().map(|(_, key)| key).find(|key| key.id() == *id);
                key.zip(self.envelope).is_some_and(|(key, envelope)| envelope.is_signed_by(key) == Some(true))
            }
            Signer::Identity(identity) => self.seen.is_signed_by(self.place, identity),
        }
    }
}

/// The statement that all say who are known, where they say the same.
fn agreed(signed: Option<Statement>, seen: &Seen, verdict: &mut Verdict) -> Option<Statement> {
    let is_envelopes = signed.is_some();
    let mut agreed = signed;
    for (identity, statement) in &seen.statements {
        match &agreed {
            Some(other) if other != statement => {
                let other = if is_envelopes { "the envelope" } else { "another bundle" };
                let reason = format!(
                    "the bundle by {identity} is over a statement that says something else than that of {other}"
                );
                verdict.add(CheckKind::Statement, None, Outcome::Failed, reason);
            }
            _ => {
                let reason = format!("{identity} signed it, and it can be read");
                verdict.add(CheckKind::Statement, None, Outcome::Passed, reason);
                agreed = Some(statement.clone());
            }
        }
    }
    agreed
}

fn open(envelope: Option<&[u8]>, verdict: &mut Verdict) -> Option<Envelope> {
    let Some(bytes) = envelope else {
        verdict.add(CheckKind::Envelope, None, Outcome::Skipped, "no envelope came with the package");
        return None;
    };
    match Envelope::parse(bytes) {
        Ok(envelope) => {
            let reason = format!("it has {} signatures", envelope.signatures().len());
            verdict.add(CheckKind::Envelope, None, Outcome::Passed, reason);
            Some(envelope)
        }
        Err(error) => {
            verdict.add(CheckKind::Envelope, None, Outcome::Failed, error.to_string());
            None
        }
    }
}

/// The statement, where a known key signed it and no signature of one is wrong.
fn read(envelope: &Envelope, policies: &[(&str, &Policy)], verdict: &mut Verdict) -> Option<Statement> {
    let keys = policies.iter().flat_map(|(_, policy)| policy.keys());
    let mut signed: Vec<_> =
        keys.filter_map(|(name, key)| Some((name, key.id(), envelope.is_signed_by(key)?))).collect();
    signed.sort_by_key(|(_, id, _)| *id);
    signed.dedup_by_key(|(_, id, _)| *id);
    if let Some((name, id, _)) = signed.iter().find(|(.., is_right)| !is_right) {
        let reason =
            format!("the signature of the key {name} ({id}) is not over this payload: one of the two was changed");
        verdict.add(CheckKind::Statement, None, Outcome::Failed, reason);
        return None;
    }
    if signed.is_empty() {
        let reason = "it is not read, since nobody signed it whose key is known";
        verdict.add(CheckKind::Statement, None, Outcome::Skipped, reason);
        return None;
    }
    match Statement::parse(envelope.payload()) {
        Ok(statement) => {
            let reason = format!("{} known keys signed it, and it can be read", signed.len());
            verdict.add(CheckKind::Statement, None, Outcome::Passed, reason);
            Some(statement)
        }
        Err(error) => {
            verdict.add(CheckKind::Statement, None, Outcome::Failed, error.to_string());
            None
        }
    }
}

fn check_statement(packed: &Packed<'_>, statement: &Statement, at: &Circumstances, verdict: &mut Verdict) {
    let name = &packed.manifest().name;
    let digest = packed.digest();
    let against = statement.against_subject(packed);
    verdict.found(CheckKind::Subject, None, against, format!("the statement is about {name}, sha256 {digest}"));
    let against = statement.against_claims(packed);
    verdict.found(CheckKind::Claims, None, against, "the statement says what the package says".to_owned());

    let (issued, not_after) = (statement.terms.issued, statement.terms.not_after);
    let against = if issued.duration_since(at.now) > CLOCK_SKEW {
        Some(format!("the statement was issued at {issued}, and it is {} now: one of the clocks is wrong", at.now))
    } else if at.now > not_after {
        Some(format!("the statement was valid until {not_after}, and it is {} now: ask for a newer one", at.now))
    } else {
        None
    };
    verdict.found(CheckKind::Time, None, against, format!("the statement is valid from {issued} until {not_after}"));
}

/// Who has seen a serial takes no older one, and none without.
fn check_serial(packed: &Packed<'_>, policies: &[(&str, &Policy)], at: &Circumstances, verdict: &mut Verdict) {
    let name = &packed.manifest().name;
    let lowest = policies.iter().filter_map(|(whose, policy)| Some((policy.serial_min(name)?, *whose))).max();
    let least = lowest.map(|(least, _)| least);
    let serial = verdict.statement.as_ref().map(|statement| statement.terms.serial);
    let Some(serial) = serial else {
        match (least, &at.installed) {
            (None, None) => verdict.add(CheckKind::Serial, None, Outcome::Skipped, "it has no serial, and needs none"),
            _ => {
                let reason =
                    "it has no serial, and packages of this name had one: nobody can tell that it is not older";
                verdict.add(CheckKind::Serial, None, Outcome::Failed, reason);
            }
        }
        return;
    };
    let against = match (least, &at.installed) {
        (Some(least), _) if serial < least => {
            Some(format!("its serial is {serial}, and the lowest that runs is {least}"))
        }
        (_, Some(last)) if serial < last.serial => {
            Some(format!("its serial is {serial}, and {} was installed already: it is older", last.serial))
        }
        (_, Some(last)) if serial == last.serial && packed.digest() != last.digest => {
            Some(format!("its serial is {serial}, as that of another file that was installed already"))
        }
        _ => None,
    };
    let whose = lowest.filter(|(least, _)| serial < *least).map(|(_, whose)| whose);
    verdict.found(CheckKind::Serial, whose, against, format!("its serial is {serial}"));
}

/// What one policy says.
fn check_policy(
    packed: &Packed<'_>,
    signatures: &Signatures<'_>,
    name: &str,
    policy: &Policy,
    at: &Circumstances,
    verdict: &mut Verdict,
) {
    let (manifest, digest) = (packed.manifest(), packed.digest());
    let is_revoked = policy.is_package_revoked(&packed.digest_bytes());
    let against = is_revoked.then(|| format!("the file {digest} is revoked"));
    verdict.found(CheckKind::Revocation, Some(name), against, "it is not revoked".to_owned());
    let Some(rule) = policy.rule(&manifest.name) else {
        let reason = format!("no entry of [[packages]] covers the name {}", quoted(&manifest.name));
        verdict.add(CheckKind::Name, Some(name), Outcome::Failed, reason);
        return;
    };
    let patterns: Vec<_> = rule.names.entries().iter().map(|entry| quoted(entry)).collect();
    let reason = format!("the entry for {} counts", patterns.join(", "));
    verdict.add(CheckKind::Name, Some(name), Outcome::Passed, reason);
    let (outcome, reason, signers) = signers(signatures, policy, rule);
    verdict.signers.extend(signers);
    verdict.add(CheckKind::Signers, Some(name), outcome, reason);

    // What lies before 1970 or behind 2554 ends nothing later.
    let now_ns = u64::try_from(at.now.as_nanosecond()).unwrap_or(0);
    let excesses = bounds::excesses(&manifest.wants, &rule.grants, now_ns);
    for excess in &excesses {
        verdict.add(CheckKind::Wants, Some(name), Outcome::Failed, excess.to_string());
    }
    if excesses.is_empty() {
        let reason = format!("all {} wants are within what it may ask for", manifest.wants.len());
        verdict.add(CheckKind::Wants, Some(name), Outcome::Passed, reason);
    }
    let (tokens, most) = (manifest.budget.tokens, rule.tokens_max);
    let against = (tokens > most).then(|| format!("it asks for {tokens} tokens, and it may ask for {most}"));
    verdict.found(CheckKind::Budget, Some(name), against, format!("its {tokens} tokens are within {most}"));
}

/// Whether enough of the right keys and identities signed, and which did. Keys differ by their ids and identities by what they are,
/// so that none counts twice.
fn signers(signatures: &Signatures<'_>, policy: &Policy, rule: &Rule) -> (Outcome, String, BTreeSet<Signer>) {
    let known = rule.signers.iter().filter_map(|name| Some((name.as_str(), policy.signer(name)?)));
    let signed = known.filter(|(_, signer)| signatures.are_of(policy, signer));
    let (revoked, right): (Vec<_>, Vec<_>) = signed.partition(|(_, signer)| policy.is_revoked(signer));
    let names = |signers: &[(&str, _)]| signers.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    let (needed, ids) = (rule.threshold, right.iter().map(|(_, signer)| signer.clone()).collect());
    if right.len() >= needed && needed > 0 {
        let reason = format!("{} signed, and {needed} of its signers are needed", names(&right));
        return (Outcome::Passed, reason, ids);
    }
    if rule.unsigned && revoked.is_empty() {
        return (Outcome::Passed, "such a package needs no signature".to_owned(), ids);
    }
    let mut reason = match right.len() {
        0 => format!("none of its signers signed it, and {needed} are needed"),
        count => format!("{count} of its signers signed it ({}), and {needed} are needed", names(&right)),
    };
    if !revoked.is_empty() {
        let (keys, identities): (Vec<_>, Vec<_>) =
            revoked.into_iter().partition(|(_, signer)| matches!(signer, Signer::Key(_)));
        for (what, signers) in [("keys", keys), ("identities", identities)] {
            if !signers.is_empty() {
                reason.push_str(&format!("; revoked {what} signed it: {}", names(&signers)));
            }
        }
    }
    reason.push_str(&signatures.seen.strangers(policy));
    (Outcome::Failed, reason, ids)
}
