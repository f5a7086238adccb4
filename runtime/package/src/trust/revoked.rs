//! What is believed no longer: keys, identities and packages, in a file that is written by this program, beside the operator's own policy.
//!
//! It has the form of a policy's `[revoked]`, and nothing else. Entries are only ever added: what was revoked once is
//! believed again by nobody's slip.

use super::Policy;
use crate::{
    ManifestError, Problem, disk,
    signing::KeyId,
    sigstore::{Identity, Signer},
};
use serde::Serialize;
use std::{collections::BTreeSet, fs::File, io, path::Path};

/// One policy: thousands of revocations, and some hundred keys.
pub(super) const POLICY_BYTES_MAX: usize = 4 << 20;

/// Keys, identities and packages that are believed no longer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Revocations {
    /// By their ids.
    pub keys: BTreeSet<KeyId>,
    /// By issuer and subject, whatever trust root verifies them.
    pub identities: BTreeSet<Identity>,
    /// SHA-256 of their files.
    pub packages: BTreeSet<[u8; 32]>,
}

#[derive(Serialize)]
struct Form {
    revoked: Lists,
}

#[derive(Serialize)]
struct Lists {
    keys: Vec<String>,
    packages: Vec<String>,
    /// Last, since tables come after values. A file without any is what an older version of this program reads, too.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    identities: Vec<IdentityEntry>,
}

#[derive(Serialize)]
struct IdentityEntry {
    issuer: String,
    subject: String,
}

impl Revocations {
    /// Somebody who signs, alone.
    #[must_use]
    pub fn signer(signer: Signer) -> Self {
        match signer {
            Signer::Key(key) => Self { keys: [key].into(), ..Self::default() },
            Signer::Identity(identity) => Self { identities: [identity].into(), ..Self::default() },
        }
    }

    /// Whether somebody who signs is believed no longer.
    #[must_use]
    pub fn contains(&self, signer: &Signer) -> bool {
        match signer {
            Signer::Key(key) => self.keys.contains(key),
            Signer::Identity(identity) => self.identities.contains(identity),
        }
    }

    /// Reads the text of the file.
    ///
    /// # Errors
    /// [`ManifestError::Wrong`], for whatever is no policy, or says more than what is revoked.
    pub fn parse(text: &str) -> Result<Self, ManifestError> {
        let policy = Policy::parse(text)?;
        let revoked = policy.revoked().clone();
        let mut alone = Policy::default();
        alone.revoke(&revoked);
        if policy != alone {
            let text = "only the table `revoked` stands in this file: a policy stands in trust.toml".to_owned();
            return Err(ManifestError::Wrong { problems: vec![Problem { line: 1, text }], more: 0 });
        }
        Ok(revoked)
    }

    /// The text of the file.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let keys = self.keys.iter().map(ToString::to_string).collect();
        let packages = self.packages.iter().map(hex::encode).collect();
        let entry = |Identity { issuer, subject }: &Identity| IdentityEntry {
            issuer: issuer.clone(),
            subject: subject.clone(),
        };
        let identities = self.identities.iter().map(entry).collect();
        // Lists of texts: writing them cannot fail.
        toml::to_string_pretty(&Form { revoked: Lists { keys, packages, identities } }).unwrap_or_default()
    }

    /// Adds what others revoked; whether anything is new.
    pub fn add(&mut self, more: &Self) -> bool {
        let count = |all: &Self| all.keys.len() + all.identities.len() + all.packages.len();
        let before = count(self);
        self.keys.extend(&more.keys);
        self.identities.extend(more.identities.iter().cloned());
        self.packages.extend(&more.packages);
        count(self) > before
    }

    /// Adds what is revoked to a file, which need not be there yet; whether anything is new.
    ///
    /// # Errors
    /// The disk's, or what the file has is not what this program wrote there. The file is as it was then.
    pub fn add_to(&self, path: &Path) -> io::Result<bool> {
        let _alone = lock(path)?;
        let mut all = Self::read(path)?;
        let is_new = all.add(self);
        if is_new {
            disk::replace(path, all.to_toml().as_bytes())?;
        }
        Ok(is_new)
    }

    /// Reads a file; nothing is revoked where there is none.
    ///
    /// # Errors
    /// As [`Revocations::add_to`].
    pub fn read(path: &Path) -> io::Result<Self> {
        let Some(bytes) = disk::read_if_there(path, POLICY_BYTES_MAX as u64)? else { return Ok(Self::default()) };
        let text = String::from_utf8(bytes).map_err(io::Error::other)?;
        Self::parse(&text).map_err(io::Error::other)
    }
}

/// Two that revoke at once both do.
fn lock(path: &Path) -> io::Result<File> {
    let path = path.with_extension("lock");
    std::fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
    let file = File::create(path)?;
    file.lock()?;
    Ok(file)
}
