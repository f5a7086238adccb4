//! Forks: processes that go on where others once were.

use super::text;
use remit_abi::Pid;
use serde::{Deserialize, Serialize};

/// A process to start where another one once was. `POST /v1/forks`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForkRequest {
    /// Which other one.
    pub of: Recorded,
    /// The last entry of its log that the new one shares; all of them without this.
    #[serde(default)]
    pub at: Option<u64>,
    /// For how many tokens; what the other one was given without this.
    #[serde(default)]
    pub budget_tokens: Option<u64>,
    /// Whose grants it gets: an installed agent's name, or the absolute path of a package's folder. Without this those that the other
    /// one holds, which must live then.
    #[serde(default)]
    pub agent: Option<String>,
    /// Which of the grants that this agent asks for it gets, by label; all of them without this.
    #[serde(default)]
    pub grants: Option<Vec<String>>,
}

/// Where a process's log is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Recorded {
    /// In this host's journal.
    Process(#[serde(with = "text")] Pid),
    /// In a recording, at an absolute path of this machine.
    File(String),
}

/// A process that was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forked {
    /// Its name.
    #[serde(with = "text")]
    pub pid: Pid,
}
