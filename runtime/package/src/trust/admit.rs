//! What one host says about whom it trusts, and whether a package is let in.
//!
//! | where it comes from | without a policy | with one |
//! | --- | --- | --- |
//! | a path that the operator names, or a folder that they put among the agents | let in: they could as well have compiled it | as the policy says, with the envelope and the bundles that lie beside it |
//! | the packages that are [installed](crate::Store) | refused: nobody is trusted | as the policy says, with those that it was installed with |
//!
//! What is revoked is refused everywhere, with a policy and without one.
//!
//! A tenant may have a policy of its own, inside the operator's. What the operator's takes is then put before the tenant's too, and
//! runs where both agree. The operator's is asked alone as well: what only a key of the tenant's says (a serial, a moment) is no ground
//! on which it takes anything, so that a tenant's policy never widens what the operator's lets in.

use super::{
    Check, CheckKind, Circumstances, Outcome, Policy, Revocations, Verdict, bundles, gather, revoked::POLICY_BYTES_MAX,
};
use crate::{
    Evidence, ManifestError, Package, PackageError, disk,
    signing::{Envelope, PublicKey, Statement, Terms},
    sigstore::{Bundle, Signer},
};
use jiff::Timestamp;
use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
};
use thiserror::Error;

/// What an operator's policy is called where no other name is known.
const OPERATOR: &str = "operator";

/// A policy that cannot be had. Nothing is let in by a host that does not know whom it trusts.
#[derive(Debug, Error)]
pub enum TrustError {
    /// What the operator wrote.
    #[error("{path}: {error}")]
    Policy {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        error: ManifestError,
    },
    /// The disk's error, or what is revoked is not what this program wrote there.
    #[error("{path} cannot be read: {error}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// A package that is not let in.
#[derive(Debug, Error)]
pub enum Denied {
    /// Not as the policy wants it.
    #[error("{name} is not let in: {}", reasons(.verdict))]
    Refused {
        /// The package's name.
        name: String,
        /// Every check.
        verdict: Box<Verdict>,
    },
    /// A package that no policy can say anything of.
    #[error(transparent)]
    Package(#[from] PackageError),
}

fn reasons(verdict: &Verdict) -> String {
    let told: Vec<_> = verdict.failures().map(told).collect();
    told.join("; ")
}

/// A failure, with the policy that it is one of.
fn told(Check { kind, policy, reason, .. }: &Check) -> String {
    let policy = policy.as_ref().map(|policy| format!(" ({policy})")).unwrap_or_default();
    format!("{}{policy}: {reason}", kind.name())
}

/// On what grounds a package was let in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Admission {
    /// Keys and identities of the policy that signed it, and that were not revoked.
    pub signers: BTreeSet<Signer>,
    /// Of its statement.
    pub serial: Option<u64>,
    /// When its statement ends.
    pub not_after: Option<Timestamp>,
}

/// Whom a host trusts: its operator's policy, where there is one, what was revoked, and what a tenant says besides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    /// What is revoked is revoked in it, too.
    policy: Option<Policy>,
    revoked: Revocations,
    /// The tenant's own, and what it is called.
    tenant: Option<(String, Policy)>,
}

impl Trust {
    /// A policy, or none, and what was revoked besides.
    #[must_use]
    pub fn new(policy: Option<Policy>, revoked: Revocations) -> Self {
        let mut trust = Self { policy, revoked, tenant: None };
        if let Some(policy) = &mut trust.policy {
            policy.revoke(&trust.revoked);
            trust.revoked = policy.revoked().clone();
        }
        trust
    }

    /// Reads both files; either may be absent.
    ///
    /// # Errors
    /// [`TrustError`].
    pub fn read(policy: &Path, revoked: &Path) -> Result<Self, TrustError> {
        let io_error = |path: &Path, error| TrustError::Io { path: path.to_owned(), error };
        let parsed = read_policy(policy)?;
        let revoked = Revocations::read(revoked).map_err(|error| io_error(revoked, error))?;
        Ok(Self::new(parsed, revoked))
    }

    /// The same for a tenant that has a policy of its own, under the name by which its refusals are told. It can only narrow.
    #[must_use]
    pub fn within(self, name: &str, mut policy: Policy) -> Self {
        policy.revoke(&self.revoked);
        Self { tenant: Some((name.to_owned(), policy)), ..self }
    }

    /// The tenant's own policy, and what it is called.
    #[must_use]
    pub fn tenant(&self) -> Option<(&str, &Policy)> {
        self.tenant.as_ref().map(|(name, policy)| (&**name, policy))
    }

    /// Every key that is known by a name.
    pub fn keys(&self) -> impl Iterator<Item = &PublicKey> {
        self.policies().flat_map(|(_, policy)| policy.keys()).map(|(_, key)| key)
    }

    /// The evidence among all that was found that is about a file, the best first: envelopes, and bundles, one each.
    #[must_use]
    pub fn gather(&self, digest: [u8; 32], envelopes: &[Vec<u8>], bundles: &[Vec<u8>]) -> Vec<Evidence> {
        gather::gather(digest, envelopes, bundles, &self.policies().collect::<Vec<_>>())
    }

    /// The files of trust roots: what they say is a part of whom it trusts.
    pub fn root_files(&self) -> impl Iterator<Item = &Path> {
        self.policies().flat_map(|(_, policy)| policy.root_files())
    }

    fn policies(&self) -> impl Iterator<Item = (&str, &Policy)> {
        self.policy.iter().map(|policy| (OPERATOR, policy)).chain(self.tenant())
    }

    /// The operator's policy, with all that is revoked.
    #[must_use]
    pub const fn policy(&self) -> Option<&Policy> {
        self.policy.as_ref()
    }

    /// What is believed no longer.
    #[must_use]
    pub const fn revoked(&self) -> &Revocations {
        &self.revoked
    }

    /// Looks at a package by every check that there is for it where it comes from.
    ///
    /// # Errors
    /// [`PackageError`], for what no policy can say anything of.
    pub fn verify(&self, package: &Package, circumstances: &Circumstances) -> Result<Verdict, PackageError> {
        Ok(self.judge(package, circumstances, package.installed().is_some())?.verdict)
    }

    /// Looks at a package that is to be installed: where there is no policy nobody is trusted.
    ///
    /// # Errors
    /// [`PackageError`], for what no policy can say anything of.
    pub fn verify_for_install(
        &self,
        package: &Package,
        circumstances: &Circumstances,
    ) -> Result<Verdict, PackageError> {
        Ok(self.judge(package, circumstances, true)?.verdict)
    }

    /// Lets a package in.
    ///
    /// # Errors
    /// [`Denied`].
    pub fn admit(&self, package: &Package, circumstances: &Circumstances) -> Result<Admission, Denied> {
        admitted(package, self.judge(package, circumstances, package.installed().is_some())?)
    }

    /// Lets a package be installed.
    ///
    /// # Errors
    /// [`Denied`].
    pub fn admit_for_install(&self, package: &Package, circumstances: &Circumstances) -> Result<Admission, Denied> {
        admitted(package, self.judge(package, circumstances, true)?)
    }

    /// Asks the operator's policy, and then both. Of a package from elsewhere than the installed ones an operator without a policy is
    /// not asked.
    fn judge(&self, package: &Package, at: &Circumstances, needs_policy: bool) -> Result<Judged, PackageError> {
        let nobody = Policy::default();
        let operator = self.policy.as_ref().or(needs_policy.then_some(&nobody));
        let terms = |verdict: &Verdict| verdict.statement.as_ref().map(|statement| statement.terms);
        let alone = operator.map(|policy| package.verify(&[(OPERATOR, policy)], at)).transpose()?;
        let mut judged = match (alone, self.tenant()) {
            (None, None) => return Ok(Judged { verdict: self.unasked(package), terms: None }),
            (Some(alone), None) => Judged { terms: terms(&alone), verdict: alone },
            (alone, Some(tenant)) => {
                let asked: Vec<_> = operator.map(|policy| (OPERATOR, policy)).into_iter().chain([tenant]).collect();
                let both = package.verify(&asked, at)?;
                match alone {
                    Some(alone) => Judged { terms: terms(&alone), verdict: with_failures(both, &alone) },
                    None => Judged { terms: terms(&both), verdict: both },
                }
            }
        };
        // Of a folder the file is looked at that would be made of it; what runs is its component.
        if self.revoked.packages.contains(&package.digest_bytes()) && !judged.verdict.is_revoked() {
            judged.verdict.checks.push(revocation(package, Outcome::Failed));
        }
        Ok(judged)
    }

    /// Why what runs already is to run no longer: it was revoked, or of those who stand behind it not enough are left. Time and
    /// serial end no process: they say what is started.
    #[must_use]
    pub fn against(&self, name: &str, digest: &[u8; 32], signers: &BTreeSet<Signer>) -> Option<String> {
        if self.revoked.packages.contains(digest) {
            return Some(format!("the file {} is revoked", hex::encode(digest)));
        }
        self.policies().find_map(|(whose, policy)| {
            let why = unsupported(policy, name, digest, signers)?;
            Some(format!("by the policy of {whose}: {why}"))
        })
    }

    /// Who of the policies' keys and identities signed a file, by what was kept with it. Those that were revoked are among them.
    #[must_use]
    pub fn signers_of(&self, digest: &[u8; 32], evidence: &Evidence) -> BTreeSet<Signer> {
        let is_about_it = |payload: &[u8]| Statement::parse(payload).is_ok_and(|statement| statement.digest == *digest);
        let envelope = evidence.envelope.as_deref().and_then(|envelope| Envelope::parse(envelope).ok());
        let mut signers: BTreeSet<Signer> = BTreeSet::new();
        if let Some(envelope) = envelope {
            let signed = self.keys().filter(|key| envelope.is_signed_by(key) == Some(true));
            signers.extend(signed.map(|key| Signer::Key(key.id())));
            if !signers.is_empty() && !is_about_it(envelope.payload()) {
                signers.clear();
            }
        }
        let policies: Vec<_> = self.policies().collect();
        let bundles = evidence.bundles.as_deref().and_then(|bundles| Bundle::parse_all(bundles).ok());
        let right = bundles.into_iter().flatten().filter(|bundle| {
            bundles::is_right(digest, bundle, &policies) == Some(true) && is_about_it(bundle.payload())
        });
        signers.extend(right.map(|bundle| Signer::Identity(bundle.claimed().clone())));
        signers
    }

    /// What is said of a package where nobody wrote a policy.
    fn unasked(&self, package: &Package) -> Verdict {
        let is_revoked = self.revoked.packages.contains(&package.digest_bytes());
        let outcome = if is_revoked { Outcome::Failed } else { Outcome::Passed };
        Verdict { checks: vec![revocation(package, outcome)], statement: None, signers: BTreeSet::new() }
    }
}

/// What came of a package before all policies that there are.
struct Judged {
    verdict: Verdict,
    /// What the statement says on which the operator's policy rests; the tenant's where there is no other.
    terms: Option<Terms>,
}

/// What both policies together say, and whatever the operator's alone says against it besides.
fn with_failures(mut both: Verdict, alone: &Verdict) -> Verdict {
    for check in alone.failures() {
        let check = Check { policy: Some(OPERATOR.to_owned()), ..check.clone() };
        if !both.failures().any(|known| known.kind == check.kind && known.reason == check.reason) {
            both.checks.push(check);
        }
    }
    both
}

/// Why a policy no longer stands for what runs.
fn unsupported(policy: &Policy, name: &str, digest: &[u8; 32], signers: &BTreeSet<Signer>) -> Option<String> {
    if policy.is_package_revoked(digest) {
        return Some(format!("the file {} is revoked", hex::encode(digest)));
    }
    let Some(rule) = policy.rule(name) else {
        return Some(format!("no entry of [[packages]] covers the name {}", crate::name::quoted(name)));
    };
    let known = rule.signers.iter().filter_map(|name| policy.signer(name));
    let (revoked, right): (Vec<_>, Vec<_>) =
        known.filter(|signer| signers.contains(signer)).partition(|signer| policy.is_revoked(signer));
    let revoked = revoked.first().or_else(|| signers.iter().find(|signer| policy.is_revoked(signer)));
    let was_revoked = revoked.is_some();
    let stands = rule.threshold > 0 && right.len() >= rule.threshold || rule.unsigned && !was_revoked;
    (!stands).then(|| {
        let and = match revoked {
            Some(Signer::Key(_)) => ", and a key that signed it is revoked",
            Some(Signer::Identity(_)) => ", and an identity that signed it is revoked",
            None => "",
        };
        format!("{} of its signers stand behind it, and {} are needed{and}", right.len(), rule.threshold)
    })
}

fn admitted(package: &Package, Judged { verdict, terms }: Judged) -> Result<Admission, Denied> {
    if !verdict.is_accepted() {
        return Err(Denied::Refused { name: package.manifest.name.clone(), verdict: Box::new(verdict) });
    }
    // Whoever said when it ends, its end is its end; a serial is the operator's to go by.
    let not_after = verdict.statement.as_ref().map(|statement| statement.terms.not_after);
    Ok(Admission { signers: verdict.signers, serial: terms.map(|terms| terms.serial), not_after })
}

fn revocation(package: &Package, outcome: Outcome) -> Check {
    let said = if outcome == Outcome::Failed { "is revoked" } else { "is not revoked, and there is no policy" };
    let reason = format!("the file {} {said}", package.digest());
    Check { kind: CheckKind::Revocation, policy: Some(OPERATOR.to_owned()), outcome, reason }
}

/// Reads an operator's policy; `None` where there is none.
///
/// # Errors
/// [`TrustError`].
pub fn read_policy(path: &Path) -> Result<Option<Policy>, TrustError> {
    let io_error = |error| TrustError::Io { path: path.to_owned(), error };
    let Some(bytes) = disk::read_if_there(path, POLICY_BYTES_MAX as u64).map_err(io_error)? else { return Ok(None) };
    let text = String::from_utf8(bytes).map_err(|error| io_error(io::Error::other(error)))?;
    let folder = path.parent().unwrap_or(Path::new(""));
    Policy::parse_in(&text, folder).map(Some).map_err(|error| TrustError::Policy { path: path.to_owned(), error })
}
