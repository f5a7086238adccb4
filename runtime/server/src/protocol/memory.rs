//! What agents remember, for operators.

use super::{Content, Marking, text};
use remit_abi::{EntryId, Pid};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// A version of an entry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Of which entry.
    #[serde(with = "text")]
    pub id: EntryId,
    /// From 1 on.
    pub version: u32,
    /// The store that it lies in.
    pub store: String,
    /// Who wrote it; none where an operator did.
    #[serde(with = "text::option", default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Pid>,
    /// When.
    pub written_ns: u64,
    /// What went into it.
    pub label: Marking,
    /// What it is.
    pub content: Content,
    /// RFC 6838.
    pub media_type: String,
    /// What is written about it.
    #[serde(flatten)]
    pub particulars: About,
}

/// What is written about an entry.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct About {
    /// Sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Texts, numbers, yes or no.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, Value>,
    /// From 0 to 1.
    #[serde(default)]
    pub importance: f32,
    /// From when on nobody finds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_ns: Option<u64>,
}

/// Which entries are meant. All of what is said has to hold.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Meant {
    /// In which stores: names, or beginnings with a `*`; all without.
    pub stores: Vec<String>,
    /// They have all these tags.
    pub tags: Vec<String>,
    /// They have all these fields, with these values.
    pub fields: BTreeMap<String, Value>,
    /// Written at this moment or later.
    pub from_ns: Option<u64>,
    /// Written before.
    pub before_ns: Option<u64>,
}

/// `POST /v1/memory/list`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ListEntries {
    /// Which.
    pub meant: Meant,
    /// From the first behind this one.
    #[serde(with = "text::option")]
    pub after: Option<EntryId>,
    /// How many at most; 100 without.
    pub count: Option<u32>,
}

/// Entries by ascending id.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entries {
    /// Their newest versions; of `GET /v1/memory/entries/{entry}` all versions, the oldest first.
    pub entries: Vec<Entry>,
}

/// With what entries are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SearchBy {
    /// Their words.
    Words,
    /// What they mean.
    Meaning,
    /// Both, their ranks added up.
    #[default]
    Both,
}

/// `POST /v1/memory/search`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SearchEntries {
    /// What is looked for.
    pub text: String,
    /// How.
    #[serde(default)]
    pub by: SearchBy,
    /// Which may be found.
    #[serde(default)]
    pub meant: Meant,
    /// How many at most; 10 without.
    #[serde(default)]
    pub count: Option<u32>,
}

/// An entry that was found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hit {
    /// Its newest version.
    pub entry: Entry,
    /// By what hits are ordered, falling.
    pub score: f32,
    /// The cosine of the angle between it and what was looked for, where that was compared.
    pub similarity: Option<f32>,
    /// Its BM25 score, where it has words that were looked for.
    pub relevance: Option<f32>,
}

/// What was found, the likest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hits {
    /// Each of them.
    pub hits: Vec<Hit>,
}

/// `POST /v1/memory/entries`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PutEntry {
    /// In which store.
    pub store: String,
    /// What is to be remembered.
    pub content: Content,
    /// RFC 6838; `text/plain` without.
    #[serde(default)]
    pub media_type: Option<String>,
    /// What went into it; untrusted, without tags, where it is not said.
    #[serde(default)]
    pub label: Option<Marking>,
    /// Sorted or not.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Texts, numbers, yes or no.
    #[serde(default)]
    pub fields: BTreeMap<String, Value>,
    /// From 0 to 1.
    #[serde(default)]
    pub importance: f32,
    /// From when on nobody finds it.
    #[serde(default)]
    pub expires_ns: Option<u64>,
}

/// A new entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PutDone {
    /// Which.
    #[serde(with = "text")]
    pub id: EntryId,
}

/// `POST /v1/memory/forget`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForgetEntries {
    /// Which, 1000 at most.
    pub entries: Vec<String>,
    /// Whether all their versions are destroyed, in every file.
    #[serde(default)]
    pub purge: bool,
}

/// How many entries were forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForgottenEntries {
    /// So many.
    pub entries: u64,
}

/// `POST /v1/memory/entries/{entry}/restore`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RestoreEntry {
    /// Which version of it is the newest from here on.
    pub version: u32,
}

/// The number of a new version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    /// From 1 on.
    pub version: u32,
}

/// `POST /v1/memory/consolidate`. The answer is the lines of the tasks that do it, one task after the other, each behind a log line that says
/// which store and label it is for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Consolidate {
    /// In which stores; those that the host consolidates by itself without this.
    pub stores: Vec<String>,
    /// Whether nothing is written, and it is only said what would be done.
    pub dry_run: bool,
    /// The run that is undone, in the place of consolidating anything.
    #[serde(with = "text::option", skip_serializing_if = "Option::is_none")]
    pub undo: Option<EntryId>,
    /// For how much each task runs; what the agent's manifest says without this.
    pub budget_tokens: Option<u64>,
}

/// `GET /v1/memory`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryStats {
    /// Entries that are found.
    pub entries: u64,
    /// Versions of all that are kept, with these.
    pub versions: u64,
    /// Writes that are in the journal and not in the memory's own files yet.
    pub pending: u64,
    /// Entries whose vector is not computed yet.
    pub without_vector: u64,
    /// Entries that no index of vectors covers yet.
    pub unindexed: u64,
    /// Of all files.
    pub disk_bytes: u64,
}
