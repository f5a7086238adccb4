//! What an operator believes no longer: by a name, or by what it names.

use crate::home::Home;
use remit_package::{
    AgentName, KeyRing, Revocations, RingError, Signer, Store, StoreError, TrustError, parse_sha256, read_policy,
};
use std::{io, path::PathBuf};
use thiserror::Error;

/// Something that is not revoked.
#[derive(Debug, Error)]
pub enum RevokeError {
    /// No such key, and no such identity.
    #[error(
        "there is no key and no identity {0:?}: give a key's id, its name in `remit keys ls`, or a name of trust.toml"
    )]
    NoSuchKey(String),
    /// Two go by the same name.
    #[error(
        "trust.toml calls another key or identity {0:?} than `remit keys ls` does: give the id of the key, or rename one of the two"
    )]
    Ambiguous(String),
    /// A package that is not named exactly.
    #[error("{0:?} names no package's file: give NAME@VERSION of one that is installed, or the SHA-256 of its file")]
    NoSuchPackage(String),
    /// The policy cannot be read.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The keys cannot be read.
    #[error(transparent)]
    Ring(#[from] RingError),
    /// What is installed cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file of what is revoked.
    #[error("{path} cannot be written, or is not what this program wrote there: {error}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// Believes a key or an identity no longer; which one, and whether it was believed until now.
///
/// # Errors
/// [`RevokeError`]; nothing is revoked then.
pub fn revoke_key(home: &Home, key: &str) -> Result<(Signer, bool), RevokeError> {
    let signer = match key.parse() {
        Ok(id) => Signer::Key(id),
        Err(_) => signer_of_name(home, key)?,
    };
    let is_new = add(home, &Revocations::signer(signer.clone()))?;
    Ok((signer, is_new))
}

/// Believes a package's file no longer; its SHA-256 in hexadecimal, and whether it was believed until now.
///
/// # Errors
/// [`RevokeError`]; nothing is revoked then.
pub fn revoke_package(home: &Home, package: &str) -> Result<(String, bool), RevokeError> {
    let unknown = || RevokeError::NoSuchPackage(package.to_owned());
    let digest = match parse_sha256(package) {
        Some(_) => package.to_owned(),
        None => {
            let asked: AgentName = package.parse().map_err(|_| unknown())?;
            let is_it = |name: &str, version: &_| name == asked.name && asked.version.as_ref() == Some(version);
            let mut listed = Store::at(home.packages()).list()?.into_iter();
            listed.find(|listed| is_it(&listed.name, &listed.version)).ok_or_else(unknown)?.digest
        }
    };
    let bytes = parse_sha256(&digest).ok_or_else(unknown)?;
    let is_new = add(home, &Revocations { packages: [bytes].into(), ..Revocations::default() })?;
    Ok((digest, is_new))
}

fn add(home: &Home, revoked: &Revocations) -> Result<bool, RevokeError> {
    let path = home.revoked();
    revoked.add_to(&path).map_err(|error| RevokeError::Io { path, error })
}

fn signer_of_name(home: &Home, name: &str) -> Result<Signer, RevokeError> {
    let policy = read_policy(&home.trust_policy())?;
    let trusted = policy.as_ref().and_then(|policy| policy.signer(name));
    let kept = match KeyRing::at(home.keys()).find(name) {
        Ok(kept) => Some(Signer::Key(kept.public.id())),
        Err(RingError::Unknown { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    match (trusted, kept) {
        (Some(one), Some(other)) if one != other => Err(RevokeError::Ambiguous(name.to_owned())),
        (Some(signer), _) | (None, Some(signer)) => Ok(signer),
        (None, None) => Err(RevokeError::NoSuchKey(name.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use remit_package::KeyId;

    const PASSPHRASE: &str = "correct horse";

    #[test]
    fn keys_are_revoked_by_every_name_that_they_have() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let home = Home::at(folder.path().to_owned());
        let ring = KeyRing::at(home.keys());
        let (work, other) =
            (ring.create("work", PASSPHRASE).expect("made"), ring.create("other", PASSPHRASE).expect("made"));
        let check = |text: &str, expect: KeyId| {
            assert_eq!(revoke_key(&home, text).map(|(signer, _)| signer).ok(), Some(Signer::Key(expect)), "{text}");
        };
        check("work", work.id());
        assert!(home.trust().expect("it can be read").revoked().keys.contains(&work.id()));
        assert!(!revoke_key(&home, &work.id().to_string()).expect("it is an id").1, "it was revoked already");
        let trusted = |name: &str| {
            let policy = format!("[[keys]]\nname = \"{name}\"\npublic = \"\"\"\n{}\"\"\"\n", other.to_pem());
            std::fs::write(home.trust_policy(), policy).expect("it is ours");
        };
        trusted("theirs");
        check("theirs", other.id());
        trusted("work");
        assert!(matches!(revoke_key(&home, "work"), Err(RevokeError::Ambiguous(_))));
        assert!(matches!(revoke_key(&home, "nobody"), Err(RevokeError::NoSuchKey(_))));
        assert!(matches!(revoke_package(&home, "clerk"), Err(RevokeError::NoSuchPackage(_))));
        assert!(matches!(revoke_package(&home, "clerk@1.0.0"), Err(RevokeError::NoSuchPackage(_))));
        assert!(revoke_package(&home, &"07".repeat(32)).is_ok_and(|(_, is_new)| is_new));
    }
}
