//! The rows of an export: JSON, one value a row. `FORMAT.md` has an example.

use super::{
    key::{PublicKey, Purpose, Statement},
    line::{Act, Hash, Line, read_said, said},
};
use crate::{apart::Disclosed, error::Damage};
use remit_abi::{Pid, TenantId};
use remit_kernel::ports::Fact;
use serde::{Deserialize, Serialize};

/// Of the file's form.
pub(crate) const FILE_VERSION: u32 = 1;

/// A row.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Item {
    /// The first.
    Chain(Header),
    Line(Box<LineItem>),
    Checkpoint(Signed),
    /// The last.
    End(Ended),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Header {
    pub(crate) version: u32,
    pub(crate) tenant: TenantId,
    pub(crate) key: PublicKey,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LineItem {
    pub(crate) number: u64,
    pub(crate) position: u64,
    pub(crate) at_ns: u64,
    pub(crate) says: Says,
    #[serde(with = "hex::serde")]
    pub(crate) link: Hash,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Says {
    Entry(EntryItem),
    Act(Act),
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EntryItem {
    #[serde(with = "as_text")]
    pub(crate) process: Pid,
    pub(crate) sequence: u64,
    #[serde(with = "hex::serde")]
    pub(crate) digest: Hash,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) fact: Option<Fact>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) content: Option<Content>,
}

/// What a digest is of, where it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Content {
    #[serde(with = "hex::serde")]
    pub(crate) salt: Hash,
    #[serde(with = "hex::serde")]
    pub(crate) entry: Vec<u8>,
    /// What the entry only commits to, in its order; `None` where that was purged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) remembered: Vec<Option<Disclosed>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Signed {
    pub(crate) number: u64,
    #[serde(with = "hex::serde")]
    pub(crate) head: Hash,
    pub(crate) at_ns: u64,
    #[serde(with = "hex::serde")]
    pub(crate) signature: [u8; 64],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ended {
    /// Rows of that kind.
    pub(crate) checkpoints: u64,
    pub(crate) signed: Signed,
}

impl Signed {
    pub(crate) fn statement(&self, purpose: Purpose, tenant: TenantId) -> Statement {
        Statement { purpose, tenant, number: self.number, head: self.head, at_ns: self.at_ns }
    }
}

impl LineItem {
    /// A line as it was stored.
    pub(crate) fn new(line: &Line<'_>, tenant: TenantId, link: Hash, content: Option<Content>) -> Result<Self, Damage> {
        let says = match line.pid(tenant) {
            Some(process) => {
                let fact = (!line.said.is_empty()).then(|| read_said(line.said)).transpose()?;
                let (sequence, digest) = (line.sequence, line.digest);
                Says::Entry(EntryItem { process, sequence, digest, fact, content })
            }
            None => Says::Act(read_said(line.said)?),
        };
        Ok(Self { number: line.number, position: line.position, at_ns: line.at_ns, says, link })
    }

    /// The link that follows from what it says, and from the link before.
    pub(crate) fn expected_link(&self, before: &Hash) -> Result<Hash, postcard::Error> {
        let (position, at_ns) = (self.position, self.at_ns);
        let link = |line: Line<'_>| Line { number: self.number, ..line }.link(before);
        Ok(match &self.says {
            Says::Act(act) => link(Line::act(position, at_ns, &said(act)?)),
            Says::Entry(EntryItem { process, sequence, digest, fact, .. }) => {
                let fact = fact.as_ref().map(said).transpose()?.unwrap_or_default();
                link(Line::entry(*process, *sequence, position, at_ns, *digest, &fact))
            }
        })
    }
}

/// A value as people write it.
mod as_text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use std::{borrow::Cow, fmt::Display, str::FromStr};

    pub(super) fn serialize<S: Serializer>(value: &impl Display, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(super) fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}
