//! What one host says about whom it trusts, and whether a package is let in.
//!
//! | where it comes from | without a policy | with one |
//! | --- | --- | --- |
//! | a path that the operator names, or a folder that they put among the agents | let in: they could as well have compiled it | as the policy says, with the envelope that lies beside it |
//! | the packages that are [installed](crate::Store) | refused: nobody is trusted | as the policy says, with the envelope that it was installed with |
//!
//! What is revoked is refused everywhere, with a policy and without one.

use super::{Check, CheckKind, Circumstances, Outcome, Policy, Revocations, Verdict, revoked::POLICY_BYTES_MAX};
use crate::{
    ManifestError, Package, PackageError, disk,
    signing::{Envelope, KeyId, Statement},
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
    let told: Vec<_> = verdict.failures().map(|check| format!("{}: {}", check.kind.name(), check.reason)).collect();
    told.join("; ")
}

/// On what grounds a package was let in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Admission {
    /// Keys of the policy that signed it, and that were not revoked.
    pub signers: BTreeSet<KeyId>,
    /// Of its statement.
    pub serial: Option<u64>,
    /// When its statement ends.
    pub not_after: Option<Timestamp>,
}

/// Whom a host trusts: its operator's policy, where there is one, and what was revoked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    /// What is revoked is revoked in it, too.
    policy: Option<Policy>,
    revoked: Revocations,
}

impl Trust {
    /// A policy, or none, and what was revoked besides.
    #[must_use]
    pub fn new(policy: Option<Policy>, revoked: Revocations) -> Self {
        let mut trust = Self { policy, revoked };
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
        match self.policy {
            None if package.installed().is_none() => Ok(self.unasked(package)),
            _ => self.verify_for_install(package, circumstances),
        }
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
        let nobody = Policy::default();
        let policy = self.policy.as_ref().unwrap_or(&nobody);
        let mut verdict = package.verify(&[(OPERATOR, policy)], circumstances)?;
        // Of a folder the file is looked at that would be made of it; what runs is its component.
        if self.revoked.packages.contains(&package.digest_bytes()) && !verdict.is_revoked() {
            verdict.checks.push(revocation(package, Outcome::Failed));
        }
        Ok(verdict)
    }

    /// Lets a package in.
    ///
    /// # Errors
    /// [`Denied`].
    pub fn admit(&self, package: &Package, circumstances: &Circumstances) -> Result<Admission, Denied> {
        admitted(package, self.verify(package, circumstances)?)
    }

    /// Lets a package be installed.
    ///
    /// # Errors
    /// [`Denied`].
    pub fn admit_for_install(&self, package: &Package, circumstances: &Circumstances) -> Result<Admission, Denied> {
        admitted(package, self.verify_for_install(package, circumstances)?)
    }

    /// Why what runs already is to run no longer: it was revoked, or of those who stand behind it not enough are left. Time and
    /// serial end no process: they say what is started.
    #[must_use]
    pub fn against(&self, name: &str, digest: &[u8; 32], signers: &BTreeSet<KeyId>) -> Option<String> {
        if self.revoked.packages.contains(digest) {
            return Some(format!("the file {} is revoked", hex::encode(digest)));
        }
        let policy = self.policy.as_ref()?;
        let Some(rule) = policy.rule(name) else {
            return Some(format!("no entry of [[packages]] covers the name {}", crate::name::quoted(name)));
        };
        let keys = rule.signers.iter().filter_map(|name| Some(policy.key(name)?.id()));
        let (revoked, right): (Vec<_>, Vec<_>) =
            keys.filter(|key| signers.contains(key)).partition(|key| policy.is_key_revoked(*key));
        let was_revoked = !revoked.is_empty() || signers.iter().any(|key| policy.is_key_revoked(*key));
        let stands = rule.threshold > 0 && right.len() >= rule.threshold || rule.unsigned && !was_revoked;
        (!stands).then(|| {
            let and = if was_revoked { ", and a key that signed it is revoked" } else { "" };
            format!("{} of its signers stand behind it, and {} are needed{and}", right.len(), rule.threshold)
        })
    }

    /// Who of the policy's keys signed a file, by the envelope that was kept with it. Keys that were revoked are among them.
    #[must_use]
    pub fn signers_of(&self, digest: &[u8; 32], envelope: &[u8]) -> BTreeSet<KeyId> {
        let keys = self.policy.iter().flat_map(Policy::keys);
        let Ok(envelope) = Envelope::parse(envelope) else { return BTreeSet::new() };
        let signed = keys.filter(|(_, key)| envelope.is_signed_by(key) == Some(true));
        let signers: BTreeSet<_> = signed.map(|(_, key)| key.id()).collect();
        let is_about_it = || Statement::parse(envelope.payload()).is_ok_and(|statement| statement.digest == *digest);
        if !signers.is_empty() && is_about_it() { signers } else { BTreeSet::new() }
    }

    /// What is said of a package where nobody wrote a policy.
    fn unasked(&self, package: &Package) -> Verdict {
        let is_revoked = self.revoked.packages.contains(&package.digest_bytes());
        let outcome = if is_revoked { Outcome::Failed } else { Outcome::Passed };
        Verdict { checks: vec![revocation(package, outcome)], statement: None, signers: BTreeSet::new() }
    }
}

fn admitted(package: &Package, verdict: Verdict) -> Result<Admission, Denied> {
    if !verdict.is_accepted() {
        return Err(Denied::Refused { name: package.manifest.name.clone(), verdict: Box::new(verdict) });
    }
    let terms = verdict.statement.as_ref().map(|statement| statement.terms);
    Ok(Admission {
        signers: verdict.signers,
        serial: terms.map(|terms| terms.serial),
        not_after: terms.map(|terms| terms.not_after),
    })
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
    Policy::parse(&text).map(Some).map_err(|error| TrustError::Policy { path: path.to_owned(), error })
}
