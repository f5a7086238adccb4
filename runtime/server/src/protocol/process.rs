//! Processes, freezes and the host itself, as an operator sees them.

use super::{Ledger, Marking, text};
use remit_abi::{Pid, Priority, Restart};
use serde::{Deserialize, Serialize};

/// The host. `GET /v1/health`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// Of the program.
    pub version: String,
    /// Of this protocol.
    pub protocol: u32,
    /// The host's own process, as the system numbers it.
    pub system_pid: u32,
    /// Live agents.
    pub processes: usize,
    /// Whether it takes no new work any more.
    pub shutting_down: bool,
}

/// What a process is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum ProcessState {
    /// It runs, or is about to.
    Running,
    /// It waits.
    Waiting {
        /// In a syscall of which interface.
        waits_in: String,
    },
    /// It waits, and is not in memory.
    Asleep,
    /// It was suspended.
    Suspended,
    /// It was frozen.
    Frozen,
    /// It cannot go on as it is; somebody has to look.
    Parked {
        /// Why, in one sentence.
        why: String,
    },
}

/// One process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its id.
    #[serde(with = "text")]
    pub pid: Pid,
    /// The package that it runs.
    pub package: String,
    /// SHA-256 of its component, in hexadecimal.
    pub digest: String,
    /// Under which it receives messages, where it has a name.
    pub name: Option<String>,
    /// Who started it; an operator without this.
    #[serde(with = "text::option")]
    pub parent: Option<Pid>,
    /// How urgent it is.
    pub priority: Priority,
    /// When it is started again.
    pub restart: Restart,
    /// How often it was.
    pub restarts: u32,
    /// What it is doing.
    #[serde(flatten)]
    pub state: ProcessState,
    /// Whether it goes on where it was when the host starts anew.
    pub durable: bool,
    /// Its start.
    pub started_ns: u64,
    /// Since then, in milliseconds.
    pub age_ms: u64,
    /// What it has read.
    pub label: Marking,
    /// What its account was given.
    pub funds_micro_tokens: u64,
    /// What it can still spend.
    pub remaining_micro_tokens: u64,
    /// That, in the operator's currency, where the price list has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remaining_money: Option<String>,
    /// What it did and paid itself.
    pub ledger: Ledger,
    /// Messages that wait for it.
    pub messages: usize,
    /// Children that it has.
    pub children: usize,
    /// Grants that it holds.
    pub grants: usize,
    /// Bytes of all its values together.
    pub value_bytes: u64,
}

/// Every live process, by id. `GET /v1/processes`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Processes {
    /// Each of them.
    pub processes: Vec<Process>,
}

/// Which processes to freeze or to thaw. `POST /v1/freeze`, `POST /v1/thaw`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Selection {
    /// Every one.
    All,
    /// Those of a tenant.
    Tenant(u32),
    /// Those of a package, by its name.
    Package(String),
    /// Those of one component, by its SHA-256 in hexadecimal.
    Component(String),
}

/// How many processes something happened to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Affected {
    /// So many.
    pub processes: usize,
}

/// What is frozen. `GET /v1/frozen`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frozen {
    /// Every freeze that was not undone.
    pub frozen: Vec<Selection>,
}

/// What became of a kill. `POST /v1/processes/{pid}/kill`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// Whether it has ended by now; otherwise it will.
    pub ended: bool,
}
