//! Processes that have left memory: what is known of one without its log.
//!
//! Principles:
//!
//! - That a process sleeps is a hint: a start that does not believe it rebuilds the process from its log as any other, and takes longer.
//! - The hint is void from the next thing on that is written down of the process: a line of its log, a message to it, a signal, a hold.
//! - It names what left with the process, so that a start reads neither that nor the log.

use super::{AccountImage, GrantImage, StoredProcess};
use crate::RestartPolicy;
use remit_abi::{AccountId, GrantId, Pid, Priority, Tokens};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What many processes that sleep have in common.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SleeperKind {
    /// The package's name.
    pub package: Arc<str>,
    /// SHA-256 of the component, in hexadecimal.
    pub digest: Arc<str>,
    /// How urgent it is.
    pub priority: Priority,
    /// When it is started again.
    pub restart: RestartPolicy,
}

/// A process of an operator's that waits, and is not in memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sleeper {
    /// Which.
    pub pid: Pid,
    /// What it shares with others.
    pub kind: Arc<SleeperKind>,
    /// Under which it receives messages, where it has a name.
    pub name: Option<Arc<str>>,
    /// Its account, which left with it.
    pub account: AccountId,
    /// The account that pays for it, where that left with it too.
    pub payer: Option<AccountId>,
    /// Its grants, which left with it.
    pub grants: Box<[GrantId]>,
    /// What its account was given.
    pub funds: Tokens,
    /// What it can still spend.
    pub remaining: Tokens,
    /// When it was started, on the wall clock.
    pub started_ns: u64,
    /// When its own clock read zero, had it gone on as the wall clock did: in nanoseconds since 1970-01-01T00:00:00Z.
    pub zero_ns: i64,
    /// When it wakes of itself, on the wall clock; `None` where only others wake it.
    pub wakes_ns: Option<u64>,
}

impl Sleeper {
    /// The accounts that left with it, each after the one that it is a part of.
    pub fn accounts(&self) -> impl Iterator<Item = AccountId> {
        self.payer.into_iter().chain([self.account])
    }
}

/// What a process had that slept, as far as it is not in its log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holdings {
    /// In the order in which they were asked for.
    pub accounts: Vec<AccountImage>,
    /// In the order in which they were asked for.
    pub grants: Vec<GrantImage>,
}

/// A process that sleeps, with all that it takes to let it go on.
#[derive(Clone, Debug, PartialEq)]
pub struct Roused {
    /// As its log has it.
    pub process: StoredProcess,
    /// What left with it.
    pub holdings: Holdings,
}
