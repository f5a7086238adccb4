//! What processes were told, found by its words.

use super::{Marking, text};
use remit_abi::Pid;
use serde::{Deserialize, Serialize};

/// What somebody looks for. `POST /v1/recall`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecallRequest {
    /// Of whose processes; of the local tenant's without.
    #[serde(default)]
    pub tenant: u32,
    /// Some of these words are in it.
    pub text: String,
    /// What was told from here on.
    #[serde(default)]
    pub since_ns: u64,
    /// What this process was told.
    #[serde(with = "text::option", default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<Pid>,
    /// How many at most; 10 without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
    /// Who looks, by their own word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// What was found, the likest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecalledTexts {
    /// In their order.
    pub texts: Vec<RecalledText>,
}

/// A text that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecalledText {
    /// Who was told it.
    #[serde(with = "text")]
    pub pid: Pid,
    /// The place of its first line in the log of that process.
    pub sequence: u64,
    /// When.
    pub at_ns: u64,
    /// From whom: `task`, `message`, `model`, `tool`, `person`, `child` or `file`.
    pub from: String,
    /// What went into it.
    pub label: Marking,
    /// The part of it in which the first of the words is.
    pub excerpt: String,
    /// How long all of it is.
    pub bytes: u64,
}
