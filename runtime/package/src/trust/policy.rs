//! What a trust policy means.

use super::{
    TrustedIdentity,
    form::{self, KeyForm, PolicyForm, RevokedForm, RuleForm, SerialForm},
    identities,
    revoked::{POLICY_BYTES_MAX, Revocations},
};
use crate::{
    ManifestError, Problem, Want,
    name::quoted,
    read::Reading,
    signing::{KeyId, PublicKey, parse_sha256},
    sigstore::Signer,
    want::{check_name, wants},
};
use remit_abi::{GrantKind, Scope};
use serde::Deserialize;
use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    path::{Path, PathBuf},
};

/// Whose packages run, and how far they go.
///
/// The default one knows nobody: it refuses every package.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// By name.
    keys: BTreeMap<String, PublicKey>,
    /// By name.
    identities: BTreeMap<String, TrustedIdentity>,
    /// Of trust roots.
    files: BTreeSet<PathBuf>,
    rules: Vec<Rule>,
    serials: BTreeMap<String, u64>,
    revoked: Revocations,
}

/// What holds for packages of some names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The names, as a scope of packages has them.
    pub names: Scope,
    /// Names of the policy's keys and identities.
    pub signers: BTreeSet<String>,
    /// So many of them have to have signed.
    pub threshold: usize,
    /// Whether a package without any signature runs, too.
    pub unsigned: bool,
    /// The largest budget that it may ask for, in whole tokens.
    pub tokens_max: u64,
    /// The widest rights that it may ask for. Their labels are empty.
    pub grants: Vec<Want>,
}

impl Policy {
    /// Reads the text of a `trust.toml` that has no folder: trust roots stand in it.
    ///
    /// # Errors
    /// [`ManifestError::Wrong`], with up to 16 problems, each naming its key and line.
    pub fn parse(text: &str) -> Result<Self, ManifestError> {
        Self::parse_from(text, None)
    }

    /// Reads the text of a `trust.toml`, and the files that it names in its folder.
    ///
    /// # Errors
    /// As [`Policy::parse`].
    pub fn parse_in(text: &str, folder: &Path) -> Result<Self, ManifestError> {
        Self::parse_from(text, Some(folder))
    }

    fn parse_from(text: &str, folder: Option<&Path>) -> Result<Self, ManifestError> {
        if text.len() > POLICY_BYTES_MAX {
            let text = format!("the policy has {} bytes, and {POLICY_BYTES_MAX} are the most", text.len());
            return Err(ManifestError::Wrong { problems: vec![Problem { line: 1, text }], more: 0 });
        }
        let mut reading = Reading::of(text, &form::schema(), "the policy");
        let form = PolicyForm::deserialize(&reading.value).unwrap_or_else(|error| {
            reading.problems.add(0, format!("the policy cannot be read: {error}"));
            PolicyForm::default()
        });
        let policy = Self::of(form, folder, &mut reading);
        reading.problems.into_error(text).map_or(Ok(policy), Err)
    }

    fn of(form: PolicyForm, folder: Option<&Path>, reading: &mut Reading) -> Self {
        let mut policy = Self { keys: keys(form.keys.unwrap_or_default(), reading), ..Self::default() };
        let roots = identities::roots(form.roots.unwrap_or_default(), folder, &mut policy.files, reading);
        let is_key = |name: &str| policy.keys.contains_key(name);
        let known = form.identities.unwrap_or_default();
        // A name that is there, whatever is wrong with the rest, is not told to be missing.
        let named: BTreeSet<String> = known.iter().filter_map(|form| form.name.clone()).collect();
        policy.identities = identities::identities(known, &roots, is_key, reading);
        for (index, form) in form.packages.unwrap_or_default().into_iter().enumerate() {
            let path = format!("packages[{index}]");
            if let Some(rule) = rule(&path, form, &policy, &named, reading) {
                policy.rules.push(rule);
            }
        }
        for (index, SerialForm { name, min }) in form.serials.unwrap_or_default().into_iter().enumerate() {
            let (Some(name), Some(min)) = (name, min) else { continue };
            let path = format!("serials[{index}].name");
            check_name(&path, &name, reading);
            if policy.serials.insert(name, min).is_some() {
                reading.wrong(&path, "is named by an earlier entry: keep one of them");
            }
        }
        let RevokedForm { keys, identities, packages } = form.revoked.unwrap_or_default();
        policy.revoked = Revocations {
            keys: revoked("keys", keys, |text| text.parse().ok(), reading),
            identities: identities::revoked(identities),
            packages: revoked("packages", packages, parse_sha256, reading),
        };
        policy
    }

    /// What holds for a package of a name: the first entry that covers it.
    #[must_use]
    pub fn rule(&self, package: &str) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.names.contains(package))
    }

    /// The key that this policy has under a name.
    #[must_use]
    pub fn key(&self, name: &str) -> Option<&PublicKey> {
        self.keys.get(name)
    }

    /// Every key, by the name that this policy has for it.
    pub fn keys(&self) -> impl Iterator<Item = (&str, &PublicKey)> {
        self.keys.iter().map(|(name, key)| (&**name, key))
    }

    /// Every identity, by the name that this policy has for it.
    pub fn identities(&self) -> impl Iterator<Item = (&str, &TrustedIdentity)> {
        self.identities.iter().map(|(name, identity)| (&**name, identity))
    }

    /// The identity that this policy has under a name.
    #[must_use]
    pub fn identity(&self, name: &str) -> Option<&TrustedIdentity> {
        self.identities.get(name)
    }

    /// Whoever this policy has under a name: a key, or an identity.
    #[must_use]
    pub fn signer(&self, name: &str) -> Option<Signer> {
        let key = self.key(name).map(|key| Signer::Key(key.id()));
        key.or_else(|| self.identity(name).map(|known| Signer::Identity(known.identity.clone())))
    }

    /// The files of trust roots: what they say is a part of the policy.
    pub fn root_files(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(PathBuf::as_path)
    }

    /// Whether somebody who signs is believed no longer.
    #[must_use]
    pub fn is_revoked(&self, signer: &Signer) -> bool {
        self.revoked.contains(signer)
    }

    /// Whether a key is believed no longer.
    #[must_use]
    pub fn is_key_revoked(&self, key: KeyId) -> bool {
        self.revoked.keys.contains(&key)
    }

    /// Whether a package's file is believed no longer.
    #[must_use]
    pub fn is_package_revoked(&self, digest: &[u8; 32]) -> bool {
        self.revoked.packages.contains(digest)
    }

    /// What is believed no longer.
    #[must_use]
    pub const fn revoked(&self) -> &Revocations {
        &self.revoked
    }

    /// Believes something else no longer, too.
    pub fn revoke(&mut self, revoked: &Revocations) {
        self.revoked.add(revoked);
    }

    /// Every rule, in the order in which they are asked.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The lowest serial of a package that still runs.
    #[must_use]
    pub fn serial_min(&self, package: &str) -> Option<u64> {
        self.serials.get(package).copied()
    }
}

fn keys(forms: Vec<KeyForm>, reading: &mut Reading) -> BTreeMap<String, PublicKey> {
    let mut keys: BTreeMap<String, PublicKey> = BTreeMap::new();
    for (index, KeyForm { name, public }) in forms.into_iter().enumerate() {
        let (Some(name), Some(public)) = (name, public) else { continue };
        let path = format!("keys[{index}].name");
        check_name(&path, &name, reading);
        let key = match PublicKey::from_pem(&public) {
            Ok(key) => key,
            Err(error) => {
                reading.wrong(&format!("keys[{index}].public"), &format!("cannot be used: {error}"));
                continue;
            }
        };
        // The same key under two names would count for two.
        if let Some((other, _)) = keys.iter().find(|(_, other)| other.id() == key.id()) {
            let sentence = format!("is the key that is called {} already: a key has one name", quoted(other));
            reading.wrong(&format!("keys[{index}].public"), &sentence);
        } else if let Entry::Vacant(free) = keys.entry(name) {
            free.insert(key);
        } else {
            reading.wrong(&path, "is another key's name too: a name is one key's");
        }
    }
    keys
}

fn rule(
    path: &str,
    form: RuleForm,
    policy: &Policy,
    identities: &BTreeSet<String>,
    reading: &mut Reading,
) -> Option<Rule> {
    let is_known = |name: &str| policy.key(name).is_some() || identities.contains(name);
    let signers = signers(path, form.signers.as_deref().unwrap_or_default(), is_known, reading);
    let unsigned = form.unsigned.unwrap_or(false);
    let threshold = form.threshold.map_or(signers.len(), |threshold| threshold as usize);
    if form.signers.is_none() && !unsigned && !reading.is_refused(&format!("{path}.signers")) {
        reading.wrong(path, "has neither `signers` nor `unsigned = true`, so that no such package could run");
    } else if threshold > signers.len() && !reading.is_refused(&format!("{path}.signers")) {
        let sentence = format!("is {threshold}, and there are {} signers", signers.len());
        reading.wrong(&format!("{path}.threshold"), &sentence);
    }
    let grants = wants(&format!("{path}.grants"), form.grants.unwrap_or_default(), reading);
    let names = match Scope::parse(GrantKind::Process, &form.names?) {
        Ok(names) => names,
        Err(error) => {
            reading.wrong(&format!("{path}.names"), &format!("cannot be used: {error}"));
            return None;
        }
    };
    if policy.rules.iter().any(|earlier| earlier.names.covers(&names)) {
        reading.wrong(&format!("{path}.names"), "are all covered by an earlier entry, so that this one never counts");
    }
    Some(Rule { names, signers, threshold, unsigned, tokens_max: form.tokens_max?, grants })
}

fn signers(path: &str, names: &[String], is_known: impl Fn(&str) -> bool, reading: &mut Reading) -> BTreeSet<String> {
    let mut signers = BTreeSet::new();
    for name in names {
        if !is_known(name) {
            let sentence =
                format!("names {}, which is no key of [[keys]] and no identity of [[identities]]", quoted(name));
            reading.wrong(&format!("{path}.signers"), &sentence);
        } else if !signers.insert(name.clone()) {
            reading.wrong(&format!("{path}.signers"), &format!("names {} twice", quoted(name)));
        }
    }
    signers
}

fn revoked<T: Ord>(
    key: &str,
    texts: Option<Vec<String>>,
    parse: impl Fn(&str) -> Option<T>,
    reading: &mut Reading,
) -> BTreeSet<T> {
    let mut revoked = BTreeSet::new();
    for text in texts.unwrap_or_default() {
        match parse(&text) {
            Some(value) => drop(revoked.insert(value)),
            None => {
                let sentence = format!("has {}, and an entry has 64 lower-case hexadecimal digits", quoted(&text));
                reading.wrong(&format!("revoked.{key}"), &sentence);
            }
        }
    }
    revoked
}
