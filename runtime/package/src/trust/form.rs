//! What `trust.toml` looks like. As with a manifest all is optional here, so that one problem hides no other.

use crate::{
    form::{WantForm, bounds_schema, published, schema_of},
    name::NAME_PATTERN,
    sigstore::TRUST_ROOT_BYTES_MAX,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// What the schema is called where it is published.
const SCHEMA_TITLE: &str = "Remit's trust policy";

/// Keys of one policy, and identities: everybody whom an operator knows by name.
const KEYS_MAX: usize = 256;

/// Entries of one list of a policy.
const ENTRIES_MAX: usize = 1024;

/// Revocations of one policy: they are only ever added.
const REVOKED_MAX: usize = 16 << 10;

/// Keys that may stand behind one package, which is as many as an envelope has signatures.
const SIGNERS_MAX: usize = 16;

/// Trust roots of one policy: Sigstore's public instance, and those of a few companies.
const ROOTS_MAX: usize = 16;

/// An issuer's or a subject's name in a certificate: addresses, whose usual bound is 2,048.
const IDENTITY_BYTES_MAX: usize = 2048;

/// A SHA-256 in its one spelling.
const SHA256_PATTERN: &str = "^[0-9a-f]{64}$";

/// `trust.toml`: whose packages run, and how far they go.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct PolicyForm {
    /// Keys that are known by name.
    #[schemars(length(max = KEYS_MAX))]
    pub(super) keys: Option<Vec<KeyForm>>,
    /// Trust roots of Sigstore, by which identities are verified.
    #[schemars(length(max = ROOTS_MAX))]
    pub(super) roots: Option<Vec<RootForm>>,
    /// Identities that are known by name.
    #[schemars(length(max = KEYS_MAX))]
    pub(super) identities: Option<Vec<IdentityForm>>,
    /// Which packages run: the first entry counts whose names cover the package's.
    #[schemars(length(max = ENTRIES_MAX))]
    pub(super) packages: Option<Vec<RuleForm>>,
    /// The lowest serial of a package that still runs.
    #[schemars(length(max = ENTRIES_MAX))]
    pub(super) serials: Option<Vec<SerialForm>>,
    /// What is believed no longer.
    pub(super) revoked: Option<RevokedForm>,
}

/// A key that is known by name.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct KeyForm {
    /// What this policy calls it.
    #[schemars(required, regex(pattern = NAME_PATTERN))]
    pub(super) name: Option<String>,
    /// The key: the text of its PEM file.
    #[schemars(required, length(max = 1024))]
    pub(super) public: Option<String>,
}

/// A trust root: certificates and keys of an authority and its logs, as `trusted_root.json` has them.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct RootForm {
    /// What this policy calls it.
    #[schemars(required, regex(pattern = NAME_PATTERN))]
    pub(super) name: Option<String>,
    /// The file, in the policy's folder or below it.
    #[schemars(length(min = 1, max = 1024))]
    pub(super) file: Option<String>,
    /// The file's text, where there is no file.
    #[schemars(length(max = TRUST_ROOT_BYTES_MAX))]
    pub(super) json: Option<String>,
}

/// An identity that is known by name: somebody whom an issuer vouches for, exactly as certificates say it.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct IdentityForm {
    /// What this policy calls it. No key has the same name.
    #[schemars(required, regex(pattern = NAME_PATTERN))]
    pub(super) name: Option<String>,
    /// Who vouches: the address of an issuer of identities.
    #[schemars(required, length(min = 1, max = IDENTITY_BYTES_MAX))]
    pub(super) issuer: Option<String>,
    /// Whom for: an address of e-mail or a URI, all of it.
    #[schemars(required, length(min = 1, max = IDENTITY_BYTES_MAX))]
    pub(super) subject: Option<String>,
    /// By which of the trust roots it is verified; the only one, where nothing is said.
    #[schemars(regex(pattern = NAME_PATTERN))]
    pub(super) root: Option<String>,
}

/// What holds for packages of some names.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct RuleForm {
    /// Names of packages; `*` at an end covers all that begin so.
    #[schemars(required, length(min = 1, max = 32), inner(length(max = 64)))]
    pub(super) names: Option<Vec<String>>,
    /// Names of keys and identities.
    #[schemars(length(min = 1, max = SIGNERS_MAX), inner(length(max = 64)))]
    pub(super) signers: Option<Vec<String>>,
    /// So many of them have to have signed; all, where nothing is said.
    #[schemars(range(min = 1, max = SIGNERS_MAX))]
    pub(super) threshold: Option<u32>,
    /// Whether a package without any signature runs, too.
    pub(super) unsigned: Option<bool>,
    /// The largest budget that it may ask for, in whole tokens.
    #[schemars(required)]
    pub(super) tokens_max: Option<u64>,
    /// The widest rights that it may ask for, by kind.
    #[serde(default)]
    #[schemars(schema_with = "bounds_schema")]
    pub(super) grants: Option<BTreeMap<String, Vec<WantForm>>>,
}

/// The lowest serial of one package.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct SerialForm {
    /// The package's name.
    #[schemars(required, regex(pattern = NAME_PATTERN))]
    pub(super) name: Option<String>,
    /// The lowest that still runs.
    #[schemars(required)]
    pub(super) min: Option<u64>,
}

/// What is believed no longer.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct RevokedForm {
    /// Ids of keys.
    #[schemars(length(max = REVOKED_MAX), inner(regex(pattern = SHA256_PATTERN)))]
    pub(super) keys: Option<Vec<String>>,
    /// Identities.
    #[schemars(length(max = REVOKED_MAX))]
    pub(super) identities: Option<Vec<RevokedIdentityForm>>,
    /// SHA-256 of packages' files.
    #[schemars(length(max = REVOKED_MAX), inner(regex(pattern = SHA256_PATTERN)))]
    pub(super) packages: Option<Vec<String>>,
}

/// An identity that is believed no longer.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct RevokedIdentityForm {
    /// Who vouches for it.
    #[schemars(required, length(min = 1, max = IDENTITY_BYTES_MAX))]
    pub(super) issuer: Option<String>,
    /// Whom for.
    #[schemars(required, length(min = 1, max = IDENTITY_BYTES_MAX))]
    pub(super) subject: Option<String>,
}

/// The JSON Schema of `trust.toml`, for editors and other tools: the file `trust.schema.json` beside this crate's source.
#[must_use]
pub fn trust_schema() -> String {
    published(schema())
}

pub(super) fn schema() -> Value {
    schema_of::<PolicyForm>(SCHEMA_TITLE)
}
