//! The latest denials of a node, kept so that an operator can ask why.

use parking_lot::Mutex;
use remit_abi::{Denial, Pid, TenantId, limits};
use remit_authority::Explanation;
use std::{collections::VecDeque, sync::Arc};

/// One refused syscall.
#[derive(Clone, Debug)]
pub struct Denied {
    /// Its place among the node's denials, from 1 on.
    pub number: u64,
    /// Who was refused.
    pub pid: Pid,
    /// Of which package.
    pub package: Arc<str>,
    /// The interface that it called.
    pub interface: &'static str,
    /// When, in nanoseconds since 1970-01-01T00:00:00Z.
    pub at_ns: u64,
    /// What it was told.
    pub denial: Denial,
    /// What an operator can do about it.
    pub explanation: Explanation,
}

#[derive(Debug, Default)]
struct Kept {
    latest: VecDeque<Denied>,
    count: u64,
}

/// The latest [`limits::DENIALS_KEPT_MAX`] denials.
#[derive(Debug, Default)]
pub(crate) struct Denials(Mutex<Kept>);

impl Denials {
    /// Keeps one; its number is given here.
    pub(crate) fn keep(&self, mut denied: Denied) {
        let mut kept = self.0.lock();
        kept.count = kept.count.saturating_add(1);
        denied.number = kept.count;
        if kept.latest.len() == limits::DENIALS_KEPT_MAX {
            kept.latest.pop_front();
        }
        kept.latest.push_back(denied);
    }

    /// Forgets a tenant's.
    pub(crate) fn forget(&self, tenant: TenantId) {
        self.0.lock().latest.retain(|denied| denied.pid.tenant != tenant);
    }

    /// Oldest first; of one process, or of all.
    pub(crate) fn of(&self, pid: Option<Pid>) -> Vec<Denied> {
        let kept = self.0.lock();
        kept.latest.iter().filter(|denied| pid.is_none_or(|pid| pid == denied.pid)).cloned().collect()
    }
}
