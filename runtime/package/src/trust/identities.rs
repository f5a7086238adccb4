//! Identities of a policy, and the trust roots by which they are verified.

use super::form::{IdentityForm, RevokedIdentityForm, RootForm};
use crate::{
    disk,
    name::quoted,
    read::Reading,
    sigstore::{Identity, TRUST_ROOT_BYTES_MAX, TrustRoot},
    want::check_name,
};
use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    path::{Component, Path, PathBuf},
};

/// An identity that a policy knows by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedIdentity {
    /// Who it is.
    pub identity: Identity,
    /// What the policy calls the trust root that verifies it.
    pub root_name: String,
    /// That trust root.
    pub root: TrustRoot,
}

/// The trust roots of a policy by name; `None` where one is there and cannot be used. The files that were asked for are added. A
/// policy that is a text alone has no folder.
pub(super) fn roots(
    forms: Vec<RootForm>,
    folder: Option<&Path>,
    files: &mut BTreeSet<PathBuf>,
    reading: &mut Reading,
) -> BTreeMap<String, Option<TrustRoot>> {
    let mut roots = BTreeMap::new();
    for (index, form) in forms.into_iter().enumerate() {
        let path = format!("roots[{index}]");
        let Some(name) = form.name.clone() else { continue };
        check_name(&format!("{path}.name"), &name, reading);
        let root = root(&path, form, folder, files, reading);
        if roots.insert(name, root).is_some() {
            reading.wrong(&format!("{path}.name"), "is another trust root's name too: a name is one root's");
        }
    }
    roots
}

fn root(
    path: &str,
    form: RootForm,
    folder: Option<&Path>,
    files: &mut BTreeSet<PathBuf>,
    reading: &mut Reading,
) -> Option<TrustRoot> {
    let is_refused = ["file", "json"].iter().any(|key| reading.is_refused(&format!("{path}.{key}")));
    let (place, bytes) = match (form.file, form.json) {
        (Some(file), None) => {
            let place = format!("{path}.file");
            let file = PathBuf::from(file);
            // A tenant's policy makes nobody read what is not the tenant's.
            if !file.components().all(|part| matches!(part, Component::Normal(_))) {
                reading.wrong(&place, "has to be a file in the policy's folder or below it, without `..`");
                return None;
            }
            let Some(folder) = folder else {
                reading.wrong(&place, "cannot be read, since this policy has no folder: give the root's `json`");
                return None;
            };
            let file = folder.join(file);
            let read = disk::read(&file, TRUST_ROOT_BYTES_MAX as u64);
            files.insert(file);
            match read {
                Ok(bytes) => (place, bytes),
                Err(error) => {
                    reading.wrong(&place, &format!("cannot be read: {error}"));
                    return None;
                }
            }
        }
        (None, Some(json)) => (format!("{path}.json"), json.into_bytes()),
        _ if is_refused => return None,
        _ => {
            reading.wrong(path, "needs one of `file` and `json`, which is what Sigstore calls a trusted root");
            return None;
        }
    };
    let root = TrustRoot::parse(&bytes);
    root.map_err(|error| reading.wrong(&place, &format!("cannot be used: {error}"))).ok()
}

/// The identities of a policy by name. `is_taken` are the names of its keys.
pub(super) fn identities(
    forms: Vec<IdentityForm>,
    roots: &BTreeMap<String, Option<TrustRoot>>,
    is_taken: impl Fn(&str) -> bool,
    reading: &mut Reading,
) -> BTreeMap<String, TrustedIdentity> {
    let mut identities: BTreeMap<String, TrustedIdentity> = BTreeMap::new();
    for (index, form) in forms.into_iter().enumerate() {
        let path = format!("identities[{index}]");
        let named = chosen(&path, form.root.as_deref(), roots, reading);
        let (Some(name), Some(issuer), Some(subject)) = (form.name, form.issuer, form.subject) else { continue };
        check_name(&format!("{path}.name"), &name, reading);
        check_text(&format!("{path}.issuer"), &issuer, reading);
        check_text(&format!("{path}.subject"), &subject, reading);
        let identity = Identity { issuer, subject };
        // The same identity under two names would count for two.
        if let Some((other, _)) = identities.iter().find(|(_, other)| other.identity == identity) {
            let sentence = format!("is the identity that is called {} already: one has one name", quoted(other));
            reading.wrong(&format!("{path}.subject"), &sentence);
            continue;
        }
        if is_taken(&name) {
            reading.wrong(&format!("{path}.name"), "is a key's name too: a name is one signer's");
            continue;
        }
        match identities.entry(name) {
            Entry::Occupied(_) => {
                reading.wrong(&format!("{path}.name"), "is another identity's name too: a name is one signer's");
            }
            Entry::Vacant(free) => {
                if let Some((root_name, root)) = named {
                    free.insert(TrustedIdentity { identity, root_name, root });
                }
            }
        }
    }
    identities
}

/// The trust root of an identity. Of one that cannot be used it was told already.
fn chosen(
    path: &str,
    named: Option<&str>,
    roots: &BTreeMap<String, Option<TrustRoot>>,
    reading: &mut Reading,
) -> Option<(String, TrustRoot)> {
    let mut all = roots.iter();
    let found = match (named, all.next(), all.next()) {
        (Some(name), ..) => match roots.get_key_value(name) {
            Some(found) => found,
            None => {
                let sentence = format!("names {}, which is no trust root of [[roots]]", quoted(name));
                reading.wrong(&format!("{path}.root"), &sentence);
                return None;
            }
        },
        (None, Some(only), None) => only,
        (None, None, _) => {
            // Nothing follows from a list that was refused.
            if !reading.is_refused("roots") {
                reading.wrong(
                    path,
                    "needs a trust root to be verified by: add one to [[roots]], with a `file` or its `json`",
                );
            }
            return None;
        }
        (None, Some(_), Some(_)) => {
            reading.wrong(path, "has no `root`, and there are several in [[roots]]: name one of them");
            return None;
        }
    };
    Some((found.0.clone(), found.1.clone()?))
}

/// A name in a certificate is compared as it is. What looks like a pattern would be taken for one.
fn check_text(path: &str, text: &str, reading: &mut Reading) {
    if text.contains('*') {
        reading.wrong(path, "has a `*`, and no patterns are matched here: write all of it, as the certificate has it");
    } else if !text.chars().all(|character| character.is_ascii_graphic()) {
        reading.wrong(path, "has white space or characters beyond ASCII, which no certificate's has");
    }
}

/// Identities that are believed no longer.
pub(super) fn revoked(forms: Option<Vec<RevokedIdentityForm>>) -> BTreeSet<Identity> {
    let identity = |RevokedIdentityForm { issuer, subject }| Some(Identity { issuer: issuer?, subject: subject? });
    forms.unwrap_or_default().into_iter().filter_map(identity).collect()
}
