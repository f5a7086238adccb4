//! What is signed: an in-toto Statement, version 1
//! (<https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md>).
//!
//! ```json
//! {
//!   "_type": "https://in-toto.io/Statement/v1",
//!   "subject": [{ "name": "clerk", "digest": { "sha256": "…of the package's file…" } }],
//!   "predicateType": "urn:remit:package:v1",
//!   "predicate": {
//!     "package": {
//!       "version": "1.2.0",
//!       "world": { "imports": ["remit:kernel/llm@0.1.0"], "exports": ["run"] },
//!       "models": { "default": true, "names": [] },
//!       "wants": [{ "label": "chat", "kind": "model", "access": "read-write", "maxTokensPerCall": 512 }],
//!       "budget": { "tokens": 2000, "soft": 200 },
//!       "limits": { "generations_max": 1 },
//!       "sbom": "…sha256 of the section remit:sbom…"
//!     },
//!     "serial": 7,
//!     "issued": "2026-11-01T00:00:00Z",
//!     "notAfter": "2027-11-01T00:00:00Z"
//!   }
//! }
//! ```
//!
//! `package` follows from the package's file, and is checked against it: it stands here for whoever decides without having
//! the file, and to be one thing that an author agreed to in so many words. `serial` only rises, so that who has seen one
//! takes no older one. What `limits` says is what the author wrote; where they are silent the host's hold.
//!
//! A key that is not in this list makes a statement that is not understood. It may well be a restriction, so it is refused.

use crate::{Expiry, Packed, Want, json, name::quoted, packed::World};
use jiff::Timestamp;
use remit_abi::{Access, GrantKind, Integrity};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use thiserror::Error;

/// What our statements say, by in-toto's rules: a name for the form above.
pub const PREDICATE_TYPE: &str = "urn:remit:package:v1";

const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";

/// A payload that is no statement of ours.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StatementError {
    /// Not the JSON that it is.
    #[error("the statement {0}")]
    Json(String),
    /// A statement of another kind.
    #[error("the statement is of another type than an in-toto Statement v1 with a predicate {PREDICATE_TYPE}")]
    Type,
    /// About several files, or about none.
    #[error("the statement is about {0} files, and a package is one")]
    Subjects(usize),
    /// A digest that is none.
    #[error("the statement's digest is not a SHA-256 of 64 lower-case hexadecimal digits")]
    Digest,
    /// A time that is none.
    #[error("the statement's `{0}` is no time such as 2027-01-31T12:00:00Z")]
    Time(&'static str),
    /// A package that was never valid.
    #[error("the statement ends before it begins")]
    Order,
}

/// What an author says about one package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// The package's name.
    pub name: String,
    /// SHA-256 of its file.
    pub digest: [u8; 32],
    /// What it is, and asks for.
    pub claims: Claims,
    /// What is the author's to say.
    pub terms: Terms,
}

/// What is the author's to say, and follows from no file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Higher than that of every package of this name before.
    pub serial: u64,
    /// When it was signed, in whole seconds.
    pub issued: Timestamp,
    /// The last moment at which it is to be taken, in whole seconds.
    pub not_after: Timestamp,
}

/// What follows from a package's file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claims {
    /// The author's version.
    pub version: String,
    /// What its component takes and gives.
    pub world: World,
    /// Which models it asks for.
    pub models: Models,
    /// What it asks for, by label.
    pub wants: Vec<WantClaim>,
    /// What it may spend where the operator names nothing else.
    pub budget: BudgetClaim,
    /// The limits that its manifest sets, by name.
    pub limits: BTreeMap<String, u64>,
    /// SHA-256 of its bill of materials, in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sbom: Option<String>,
}

/// Which models a package asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Models {
    /// The host's default one.
    pub default: bool,
    /// By name, sorted.
    pub names: BTreeSet<String>,
}

/// [`Budget`](crate::Budget) in the form that is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BudgetClaim {
    /// Whole tokens.
    pub tokens: u64,
    /// Tokens left at which it is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub soft: Option<u64>,
}

/// [`Want`] in the form that is signed: all that it opens, and none of its author's reasons.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(missing_docs, reason = "each is the field of the same name of `Want` and `WantLimits`")]
pub struct WantClaim {
    pub label: String,
    pub kind: GrantKind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entries: Option<Vec<String>>,
    pub access: Access,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uses: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<RateClaim>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at_ns: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_after_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens_per_call: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ceiling: Option<CeilingClaim>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub children_max: Option<u32>,
    #[serde(default, skip_serializing_if = "is_false")]
    pub optional: bool,
}

/// [`Rate`](remit_abi::Rate) in the form that is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RateClaim {
    pub uses: u32,
    pub per_ms: u64,
}

/// [`Ceiling`](crate::Ceiling) in the form that is signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CeilingClaim {
    pub integrity: Integrity,
    pub tags: BTreeSet<String>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the shape that serde asks for")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}

/// The statement as JSON.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Form {
    #[serde(rename = "_type")]
    statement_type: String,
    subject: Vec<SubjectForm>,
    predicate_type: String,
    predicate: PredicateForm,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SubjectForm {
    name: String,
    digest: DigestForm,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DigestForm {
    sha256: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PredicateForm {
    package: Claims,
    serial: u64,
    issued: String,
    not_after: String,
}

/// The type alone, so that a statement of another type is not told that it lacks our keys.
#[derive(Deserialize)]
struct TypeForm {
    #[serde(rename = "_type")]
    statement_type: String,
    #[serde(rename = "predicateType")]
    predicate_type: String,
}

impl Statement {
    /// What there is to be said about a package.
    #[must_use]
    pub fn of(packed: &Packed<'_>, terms: Terms) -> Self {
        let name = packed.manifest().name.clone();
        Self { name, digest: packed.digest_bytes(), claims: Claims::of(packed), terms }
    }

    /// As JSON, in one form.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let form = Form {
            statement_type: STATEMENT_TYPE.to_owned(),
            subject: vec![SubjectForm {
                name: self.name.clone(),
                digest: DigestForm { sha256: hex::encode(self.digest) },
            }],
            predicate_type: PREDICATE_TYPE.to_owned(),
            predicate: PredicateForm {
                package: self.claims.clone(),
                serial: self.terms.serial,
                issued: self.terms.issued.to_string(),
                not_after: self.terms.not_after.to_string(),
            },
        };
        // Texts and numbers alone: writing them cannot fail.
        serde_json::to_vec(&form).unwrap_or_default()
    }

    /// Reads a payload.
    ///
    /// # Errors
    /// [`StatementError`].
    pub fn parse(payload: &[u8]) -> Result<Self, StatementError> {
        let types: TypeForm = json::strict(payload).map_err(StatementError::Json)?;
        if (&*types.statement_type, &*types.predicate_type) != (STATEMENT_TYPE, PREDICATE_TYPE) {
            return Err(StatementError::Type);
        }
        let form: Form = json::strict(payload).map_err(StatementError::Json)?;
        let [subject] = form.subject.as_slice() else { return Err(StatementError::Subjects(form.subject.len())) };
        let digest = super::parse_sha256(&subject.digest.sha256).ok_or(StatementError::Digest)?;
        let PredicateForm { package, serial, issued, not_after } = form.predicate;
        let issued = moment(&issued).ok_or(StatementError::Time("issued"))?;
        let not_after = moment(&not_after).ok_or(StatementError::Time("notAfter"))?;
        if not_after < issued {
            return Err(StatementError::Order);
        }
        let terms = Terms { serial, issued, not_after };
        Ok(Self { name: subject.name.clone(), digest, claims: package, terms })
    }
}

impl Statement {
    /// Why it is not about a package.
    #[must_use]
    pub(crate) fn against_subject(&self, packed: &Packed<'_>) -> Option<String> {
        let (signed, digest, name) = (hex::encode(self.digest), packed.digest(), &packed.manifest().name);
        if signed != digest {
            let sentence = "one of the two was changed";
            return Some(format!("the statement is about the file {signed}, and this one is {digest}: {sentence}"));
        }
        (self.name != *name).then(|| {
            format!("the statement is about {}, and the package's name is {}", quoted(&self.name), quoted(name))
        })
    }

    /// Why it does not say what a package's file says.
    #[must_use]
    pub(crate) fn against_claims(&self, packed: &Packed<'_>) -> Option<String> {
        let differences = self.claims.differences(&Claims::of(packed)).join(", ");
        (!differences.is_empty())
            .then(|| format!("the statement says something else than the package's own file about: {differences}"))
    }
}

/// A time in its one spelling, in whole seconds.
fn moment(text: &str) -> Option<Timestamp> {
    let moment: Timestamp = text.parse().ok()?;
    (moment.subsec_nanosecond() == 0 && moment.to_string() == text).then_some(moment)
}

impl Claims {
    /// What follows from a package's file.
    #[must_use]
    pub fn of(packed: &Packed<'_>) -> Self {
        let manifest = packed.manifest();
        let mut wants: Vec<_> = manifest.wants.iter().map(WantClaim::of).collect();
        wants.sort_by(|one, other| one.label.cmp(&other.label));
        let models = wants.iter().filter(|want| want.kind == GrantKind::Model);
        let names = models.clone().flat_map(|want| want.entries.iter().flatten().cloned());
        Self {
            version: manifest.version.to_string(),
            world: packed.world().clone(),
            models: Models { default: models.clone().any(|want| want.entries.is_none()), names: names.collect() },
            budget: BudgetClaim { tokens: manifest.budget.tokens, soft: manifest.budget.soft },
            limits: written_limits(packed.manifest_text()),
            sbom: packed.sbom().map(|sbom| hex::encode(Sha256::digest(sbom))),
            wants,
        }
    }

    /// Where a statement says something else than the package's file: the names of its parts.
    #[must_use]
    pub fn differences(&self, of_package: &Self) -> Vec<&'static str> {
        let parts = [
            ("version", self.version == of_package.version),
            ("world", self.world == of_package.world),
            ("models", self.models == of_package.models),
            ("wants", self.wants == of_package.wants),
            ("budget", self.budget == of_package.budget),
            ("limits", self.limits == of_package.limits),
            ("sbom", self.sbom == of_package.sbom),
        ];
        parts.into_iter().filter(|(_, is_same)| !is_same).map(|(part, _)| part).collect()
    }
}

/// The limits that a manifest names. It was read before, so that they are numbers.
fn written_limits(manifest: &str) -> BTreeMap<String, u64> {
    let table: toml::Table = manifest.parse().unwrap_or_default();
    let limits = table.get("limits").and_then(toml::Value::as_table).into_iter().flatten();
    limits.filter_map(|(name, value)| Some((name.clone(), value.as_integer()?.try_into().ok()?))).collect()
}

impl WantClaim {
    fn of(want: &Want) -> Self {
        let limits = &want.limits;
        let expiry = |pick: fn(Expiry) -> Option<u64>| limits.expires.and_then(pick);
        Self {
            label: want.label.clone(),
            kind: want.kind,
            entries: want.scope.as_ref().map(|scope| scope.entries().iter().map(ToString::to_string).collect()),
            access: want.access,
            uses: limits.uses,
            rate: limits.rate.map(|rate| RateClaim { uses: rate.uses, per_ms: rate.per_ms }),
            expires_at_ns: expiry(|expiry| if let Expiry::At { ns } = expiry { Some(ns) } else { None }),
            expires_after_ms: expiry(|expiry| if let Expiry::After { ms } = expiry { Some(ms) } else { None }),
            max_tokens_per_call: limits.max_tokens_per_call,
            ceiling: limits.ceiling.as_ref().map(|ceiling| CeilingClaim {
                integrity: ceiling.integrity,
                tags: ceiling.tags.iter().cloned().collect(),
            }),
            children_max: want.children_max,
            optional: want.optional,
        }
    }
}
