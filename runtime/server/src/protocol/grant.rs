//! Grants and denials, as an operator sees them.

use super::{Marking, text};
use remit_abi::{Access, GrantId, GrantKind, Pid, Rate};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};
use thiserror::Error;

/// A grant's id as people write it: `7.1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct GrantName(pub GrantId);

/// A text that is no grant's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a grant's id is two numbers with a dot between them, for example 7.1: `remit caps tree` shows them")]
pub struct NotAGrant;

impl fmt::Display for GrantName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}.{}", self.0.index, self.0.generation))
    }
}

impl FromStr for GrantName {
    type Err = NotAGrant;

    fn from_str(text: &str) -> Result<Self, NotAGrant> {
        let number = |digits: &str| match digits.bytes().all(|byte| byte.is_ascii_digit()) {
            true => digits.parse().map_err(|_| NotAGrant),
            false => Err(NotAGrant),
        };
        let (index, generation) = text.split_once('.').ok_or(NotAGrant)?;
        Ok(Self(GrantId { index: number(index)?, generation: number(generation)? }))
    }
}

/// What a grant opens, and how far. What is absent is no limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Terms {
    /// Under which name its holder finds it.
    pub label: String,
    /// What kind of thing it opens.
    pub kind: GrantKind,
    /// Which of them, as in a manifest.
    pub scope: Vec<String>,
    /// What may be done with them.
    #[serde(default)]
    pub access: Access,
    /// Uses in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uses: Option<u64>,
    /// Uses over time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// The moment from which on it opens nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_ns: Option<u64>,
    /// Output tokens a call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens_per_call: Option<u32>,
    /// The highest label of data that may flow into what it opens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ceiling: Option<Marking>,
}

/// A grant to give to a live process. `POST /v1/processes/{pid}/grants`.
pub type GrantRequest = Terms;

/// The answer to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Given {
    /// The new grant.
    #[serde(with = "text")]
    pub grant: GrantName,
}

/// One node of the grant tree. `GET /v1/grants`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Its id.
    #[serde(with = "text")]
    pub id: GrantName,
    /// What it derives from; an operator's own without this.
    #[serde(with = "text::option")]
    pub parent: Option<GrantName>,
    /// How many it derives from in a row.
    pub depth: usize,
    /// Who holds it; nobody where it lies in a message, or is kept for what derives from it.
    #[serde(with = "text::option")]
    pub holder: Option<Pid>,
    /// What it opens, and how far.
    pub terms: Terms,
    /// Uses so far, those of derived grants included.
    pub uses: u64,
    /// Whether it was taken back.
    pub revoked: bool,
    /// Whether nobody holds it any more.
    pub released: bool,
}

/// The grant tree, each node before those that derive from it. `GET /v1/grants`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grants {
    /// Each of them.
    pub grants: Vec<Grant>,
}

/// What a revocation came to. `DELETE /v1/grants/{grant}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revoked {
    /// How many grants open nothing any more: it, and what derives from it. None where it was revoked before.
    pub revoked: usize,
}

/// Why a use was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// The process holds no such grant.
    Missing,
    /// It holds one of another kind.
    OtherKind,
    /// It was taken back.
    Revoked,
    /// Its end has come.
    Expired,
    /// The thing is not in its scope.
    OutOfScope,
    /// It may be looked at only.
    ReadOnly,
    /// The call is for more tokens.
    TooManyTokens,
    /// The data's label is above its ceiling.
    Label,
    /// It was used as often as it may be.
    UsedUp,
    /// It is used faster than it may be.
    TooFast,
}

/// One refused syscall, and what an operator can do about it. `GET /v1/denials`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Denied {
    /// Its place among the host's denials, from 1 on.
    pub number: u64,
    /// When.
    pub at_ns: u64,
    /// Who was refused.
    #[serde(with = "text")]
    pub pid: Pid,
    /// Whether that process still lives.
    pub alive: bool,
    /// Of which package.
    pub package: String,
    /// The interface that it called.
    pub interface: String,
    /// What it was told.
    pub told: String,
    /// Why.
    pub reason: Reason,
    /// The grant that refused, where the process holds one.
    #[serde(with = "text::option")]
    pub refused_by: Option<GrantName>,
    /// The narrowest grant that would have been enough, where any would.
    pub enough: Option<Terms>,
    /// That, as lines of a manifest.
    pub manifest: Option<String>,
}

/// The latest denials, oldest first. `GET /v1/denials`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Denials {
    /// Each of them.
    pub denials: Vec<Denied>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_grant_reads_as_it_is_written_and_nothing_else_is_one() {
        let grant = GrantName(GrantId { index: 7, generation: u32::MAX });
        assert_eq!(grant.to_string().parse(), Ok(grant));
        for text in ["", "7", "7.", ".1", "7.1.2", "+7.1", "-7.1", "7.4294967296", "a.b", " 7.1"] {
            assert_eq!(text.parse::<GrantName>(), Err(NotAGrant), "{text}");
        }
        let given = serde_json::to_value(Given { grant }).expect("it is JSON");
        assert_eq!(given, json!({ "grant": "7.4294967295" }));
        assert_eq!(serde_json::from_value::<Given>(given).expect("it is one").grant, grant);
    }

    #[test]
    fn what_a_grant_does_not_say_is_no_limit_and_what_is_misspelt_is_refused() {
        let least = r#"{"label":"web","kind":"http","scope":["example.com"]}"#;
        let terms: Terms = serde_json::from_str(least).expect("it is enough");
        assert_eq!((terms.access, terms.uses, &terms.ceiling), (Access::ReadWrite, None, &None));
        let misspelt = least.replace("scope", "scopes");
        assert!(serde_json::from_str::<Terms>(&misspelt).is_err());
        let unknown = least.replacen('{', r#"{"use":3,"#, 1);
        assert!(serde_json::from_str::<Terms>(&unknown).is_err());
    }
}
