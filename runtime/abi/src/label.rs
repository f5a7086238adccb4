//! What a value or a process has seen.
//!
//! A label has two parts, and labels only ever join: *integrity* falls to untrusted once anything untrusted went in
//! (Biba 1977), *confidentiality* is the set of tags of everything that went in (Denning 1976, "A lattice model of secure
//! information flow"). Sinks check it; taking a tag away is a grant of its own.

use serde::{Deserialize, Serialize};

/// Whether data comes from somebody whom the operator trusts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Integrity {
    /// Said by the operator, or derived from nothing else.
    #[default]
    Trusted,
    /// Read from a document, the web, a tool or a stranger.
    Untrusted,
}

/// A set of confidentiality tags, as bits: the kernel interns at most 64 tags a tenant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TagSet(u64);

impl TagSet {
    /// No tag.
    pub const EMPTY: Self = Self(0);
    /// How many different tags one tenant can have: a set is a machine word, so that a join is one instruction.
    pub const CAPACITY: u32 = 64;

    /// The set of one interned tag; `None` beyond [`TagSet::CAPACITY`].
    #[must_use]
    pub const fn single(index: u32) -> Option<Self> {
        if index < Self::CAPACITY { Some(Self(1 << index)) } else { None }
    }

    /// The tags of either.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether every tag of `other` is in it.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The interned tags in it, ascending.
    pub fn indices(self) -> impl Iterator<Item = u32> {
        (0..Self::CAPACITY).filter(move |index| self.0 & (1 << index) != 0)
    }
}

/// Integrity and confidentiality of a piece of data, or of what a process has read so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Label {
    /// Where it comes from.
    pub integrity: Integrity,
    /// Whose secrets are in it.
    pub tags: TagSet,
}

impl Label {
    /// Trusted, no secrets: the label of what came from nothing.
    pub const TRUSTED: Self = Self { integrity: Integrity::Trusted, tags: TagSet::EMPTY };
    /// Untrusted, no secrets.
    pub const UNTRUSTED: Self = Self { integrity: Integrity::Untrusted, tags: TagSet::EMPTY };

    /// The label of what both went into.
    #[must_use]
    pub fn join(self, other: Self) -> Self {
        Self { integrity: self.integrity.max(other.integrity), tags: self.tags.union(other.tags) }
    }

    /// Whether such data may go where `ceiling` is the most that may: it is no less trusted, and has no other tag.
    #[must_use]
    pub fn flows_to(self, ceiling: Self) -> bool {
        self.integrity <= ceiling.integrity && ceiling.tags.contains(self.tags)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_join_never_loses_taint_or_a_tag() {
        let secret = Label { integrity: Integrity::Trusted, tags: TagSet::single(3).expect("3 is in range") };
        let joined = secret.join(Label::UNTRUSTED);
        assert_eq!(joined.integrity, Integrity::Untrusted);
        assert!(joined.tags.contains(secret.tags));
        assert_eq!(joined.tags.indices().collect::<Vec<_>>(), [3]);
        assert_eq!(TagSet::single(64), None);
    }

    #[test]
    fn data_flows_up_and_never_down() {
        let tag = |index| TagSet::single(index).expect("it is in range");
        let secret = Label { tags: tag(3), ..Label::TRUSTED };
        let both = secret.join(Label::UNTRUSTED);
        for (data, ceiling) in [(Label::TRUSTED, both), (secret, both), (Label::UNTRUSTED, both), (both, both)] {
            assert!(data.flows_to(ceiling), "{data:?} to {ceiling:?}");
        }
        let other = Label { tags: tag(4), ..Label::UNTRUSTED };
        for (data, ceiling) in [(both, secret), (both, Label::UNTRUSTED), (both, other), (secret, Label::TRUSTED)] {
            assert!(!data.flows_to(ceiling), "{data:?} to {ceiling:?}");
        }
    }
}
