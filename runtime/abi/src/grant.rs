//! What a right is: a kind, a scope and limits, as manifests ask for it, operators give it and agents pass it on.
//!
//! These are values; they open nothing. What a process may do is what the kernel's grant tree holds for it.

use crate::{Label, Scope};
use serde::{Deserialize, Serialize};

/// What kind of thing a grant opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GrantKind {
    /// Generations on models, by the registry's names.
    Model,
    /// Conversations that other processes may share, by name.
    Context,
    /// Memory stores, by name.
    Memory,
    /// Tools, by name.
    Tool,
    /// Files below folders.
    File,
    /// Requests to hosts.
    Http,
    /// Key-value buckets, by name.
    KeyValue,
    /// Agents that may be spawned, by the names of their packages.
    Process,
    /// Processes that may be sent messages, by address.
    Mailbox,
    /// People who may be asked or told, by name.
    Person,
    /// Devices, by name.
    Device,
}

impl GrantKind {
    /// Every kind.
    pub const ALL: [Self; 11] = [
        Self::Model,
        Self::Context,
        Self::Memory,
        Self::Tool,
        Self::File,
        Self::Http,
        Self::KeyValue,
        Self::Process,
        Self::Mailbox,
        Self::Person,
        Self::Device,
    ];

    /// As people and agents write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Context => "context",
            Self::Memory => "memory",
            Self::Tool => "tool",
            Self::File => "file",
            Self::Http => "http",
            Self::KeyValue => "keyvalue",
            Self::Process => "process",
            Self::Mailbox => "mailbox",
            Self::Person => "person",
            Self::Device => "device",
        }
    }

    /// The section of a manifest's `[wants]` that asks for it.
    #[must_use]
    pub const fn section(self) -> &'static str {
        match self {
            Self::Model => "models",
            Self::Context => "contexts",
            Self::Memory => "memory",
            Self::Tool => "tools",
            Self::File => "files",
            Self::Http => "http",
            Self::KeyValue => "keyvalue",
            Self::Process => "processes",
            Self::Mailbox => "mailboxes",
            Self::Person => "people",
            Self::Device => "devices",
        }
    }

    /// The kind of a name; `None` for any other text.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// What may be done within a scope. The order is that of power.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// Look, and change nothing.
    ReadOnly,
    /// All that the kind allows.
    #[default]
    ReadWrite,
}

impl Access {
    /// As people and agents write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ReadOnly => "read-only",
            Self::ReadWrite => "read-write",
        }
    }
}

/// So many uses over so long: all of them at once after a pause, and from then on one whenever `per_ms / uses` have gone
/// by. No window of `per_ms` has more than twice as many, and no long time more than its share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// At least 1.
    pub uses: u32,
    /// In milliseconds, at least 1.
    pub per_ms: u64,
}

/// How far a grant goes. `None` everywhere is no limit besides scope and account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GrantLimits {
    /// Uses in all, those of derived grants included.
    pub uses: Option<u64>,
    /// Uses over time, those of derived grants included.
    pub rate: Option<Rate>,
    /// The moment from which on it opens nothing, in nanoseconds since 1970-01-01T00:00:00Z.
    pub expires_ns: Option<u64>,
    /// At most so many output tokens a call.
    pub max_tokens_per_call: Option<u32>,
    /// The highest label of data that may flow into what it opens.
    pub ceiling: Option<Label>,
}

/// A right to be given: by an operator, or by an agent out of one that it holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantSpec {
    /// Under which name its holder finds it, as [`is_name`](crate::is_name) has it.
    pub label: Box<str>,
    /// What kind of thing it opens.
    pub kind: GrantKind,
    /// Which of them.
    pub scope: Scope,
    /// What may be done with them.
    pub access: Access,
    /// How far.
    pub limits: GrantLimits,
}

/// What an attenuated grant keeps of its parent. `None` keeps all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Narrowing {
    /// Entries as in a manifest, each covered by the parent's scope.
    pub scope: Option<Box<[Box<str>]>>,
    /// No more than the parent's.
    pub access: Option<Access>,
    /// None of them wider than the parent's; a limit that is not named is the parent's.
    pub limits: GrantLimits,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_name_and_a_section_of_its_own() {
        for kind in GrantKind::ALL {
            assert_eq!(GrantKind::from_name(kind.name()), Some(kind));
            assert_eq!(serde_json::to_string(&kind).expect("it is text"), format!("{:?}", kind.name()));
            assert_eq!(GrantKind::ALL.iter().filter(|other| other.section() == kind.section()).count(), 1);
        }
        assert_eq!(GrantKind::from_name("Model"), None);
        for access in [Access::ReadOnly, Access::ReadWrite] {
            assert_eq!(serde_json::to_string(&access).expect("it is text"), format!("{:?}", access.name()));
        }
    }

    #[test]
    fn limits_are_written_as_a_few_lines() {
        let text = "uses = 10\nmax_tokens_per_call = 512\n\n[rate]\nuses = 2\nper_ms = 1000\n\n\
                    [ceiling]\nintegrity = \"untrusted\"\ntags = 0\n";
        let limits = GrantLimits {
            uses: Some(10),
            rate: Some(Rate { uses: 2, per_ms: 1000 }),
            expires_ns: None,
            max_tokens_per_call: Some(512),
            ceiling: Some(Label::UNTRUSTED),
        };
        assert_eq!(toml::from_str(text), Ok(limits));
        assert_eq!(toml::to_string(&limits).as_deref(), Ok(text));
        assert_eq!(
            toml::from_str("[ceiling]\nintegrity = \"untrusted\"").map(|l: GrantLimits| l.ceiling),
            Ok(limits.ceiling)
        );
        let error = toml::from_str::<GrantLimits>("max_token_per_call = 5").expect_err("it is misspelt");
        assert!(error.to_string().contains("unknown field `max_token_per_call`"), "{error}");
    }
}
