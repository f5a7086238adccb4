//! The default inside a tenant: an equal share of run time in each class, higher classes first, nobody for ever last.
//!
//! Its clock is what the tenant was given so far. A process is *due* when it arrives, and after a turn when each of the
//! others could have had as long a one: who takes short turns is due again soon. A process of class c is queued under the
//! moment at which it is due and one [`AGING_NS`] for each class above c. That is aging: who has waited for one [`AGING_NS`]
//! stands where one class higher stands on arrival. Waiting is counted in what the tenant's other processes were given
//! meanwhile, so that it means the same under any load.
//!
//! A class is not paid back: two processes that never stop share their tenant as 1 to [`AGING_NS`] in turns of a millisecond.

use super::{Queued, TenantPolicy};
use remit_abi::{Pid, Priority};
use rustc_hash::FxHashMap;
use std::collections::{BTreeMap, BTreeSet};

/// After so much of its tenant's run time a process that waits is treated as one class higher: 20 turns. Three classes
/// are 60 ms, which a person who waits for an answer does not notice.
pub const AGING_NS: u64 = 20_000_000;

/// Equal run time, with classes and aging.
#[derive(Debug)]
pub struct FairShare<T> {
    /// All that was given so far: the clock.
    given_ns: u64,
    /// By due moment with its class in it, then by order of arrival.
    queue: BTreeMap<(u64, u64), Queued<T>>,
    arrivals: u64,
    on_turn: usize,
    /// Of those that are not here, who would be due later than now: what they had is not forgotten by a short wait.
    later: FxHashMap<Pid, u64>,
    by_due: BTreeSet<(u64, Pid)>,
}

impl<T> Default for FairShare<T> {
    fn default() -> Self {
        Self {
            given_ns: 0,
            queue: BTreeMap::new(),
            arrivals: 0,
            on_turn: 0,
            later: FxHashMap::default(),
            by_due: BTreeSet::new(),
        }
    }
}

/// Classes between this one and the highest.
const fn classes_above(priority: Priority) -> u64 {
    match priority {
        Priority::Background => 3,
        Priority::Low => 2,
        Priority::Normal => 1,
        Priority::High => 0,
    }
}

impl<T> FairShare<T> {
    fn enqueue(&mut self, due_ns: u64, queued: Queued<T>) {
        let key = due_ns.saturating_add(classes_above(queued.priority).saturating_mul(AGING_NS));
        self.queue.insert((key, self.arrivals), queued);
        self.arrivals += 1;
    }

    /// Forgets who is due by now: on arrival they would be no different from strangers.
    fn forget_the_due(&mut self) {
        while let Some(&(due_ns, pid)) = self.by_due.first()
            && due_ns <= self.given_ns
        {
            self.by_due.pop_first();
            self.later.remove(&pid);
        }
    }
}

impl<T: Send> TenantPolicy<T> for FairShare<T> {
    fn arrive(&mut self, queued: Queued<T>) {
        let mut due_ns = self.given_ns;
        if let Some(later_ns) = self.later.remove(&queued.pid) {
            self.by_due.remove(&(later_ns, queued.pid));
            due_ns = due_ns.max(later_ns);
        }
        self.enqueue(due_ns, queued);
    }

    fn next(&mut self) -> Option<Queued<T>> {
        let (_, queued) = self.queue.pop_first()?;
        self.on_turn += 1;
        Some(queued)
    }

    fn ran(&mut self, pid: Pid, ran_ns: u64, again: Option<Queued<T>>) {
        self.on_turn = self.on_turn.saturating_sub(1);
        self.given_ns = self.given_ns.saturating_add(ran_ns);
        let others = (self.queue.len() + self.on_turn) as u64;
        let due_ns = self.given_ns.saturating_add(ran_ns.saturating_mul(others));
        match again {
            Some(queued) => self.enqueue(due_ns, queued),
            None if due_ns > self.given_ns => {
                if let Some(before_ns) = self.later.insert(pid, due_ns) {
                    self.by_due.remove(&(before_ns, pid));
                }
                self.by_due.insert((due_ns, pid));
            }
            None => {}
        }
        self.forget_the_due();
    }
}
