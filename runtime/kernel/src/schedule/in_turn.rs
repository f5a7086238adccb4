//! Policies that look at nothing but the order.

use super::{Queued, TenantPolicy};
use remit_abi::Pid;
use rustc_hash::FxHashMap;
use std::collections::{BTreeMap, VecDeque};

/// One turn each, in a circle. Who takes long turns gets more of the machine.
#[derive(Debug)]
pub struct RoundRobin<T>(VecDeque<Queued<T>>);

impl<T> Default for RoundRobin<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T: Send> TenantPolicy<T> for RoundRobin<T> {
    fn arrive(&mut self, queued: Queued<T>) {
        self.0.push_back(queued);
    }

    fn next(&mut self) -> Option<Queued<T>> {
        self.0.pop_front()
    }

    fn ran(&mut self, _: Pid, _: u64, again: Option<Queued<T>>) {
        self.0.extend(again);
    }
}

/// First come, first served: who runs goes on until it waits or ends, and everybody else waits for that, for ever if need be.
/// For comparison.
#[derive(Debug)]
pub struct Fifo<T> {
    places: BTreeMap<u64, Queued<T>>,
    /// The places of those that were handed out.
    on_turn: FxHashMap<Pid, u64>,
    arrivals: u64,
}

impl<T> Default for Fifo<T> {
    fn default() -> Self {
        Self { places: BTreeMap::new(), on_turn: FxHashMap::default(), arrivals: 0 }
    }
}

impl<T: Send> TenantPolicy<T> for Fifo<T> {
    fn arrive(&mut self, queued: Queued<T>) {
        self.places.insert(self.arrivals, queued);
        self.arrivals += 1;
    }

    fn next(&mut self) -> Option<Queued<T>> {
        let (place, queued) = self.places.pop_first()?;
        self.on_turn.insert(queued.pid, place);
        Some(queued)
    }

    fn ran(&mut self, pid: Pid, _: u64, again: Option<Queued<T>>) {
        let place = self.on_turn.remove(&pid);
        match (again, place) {
            // Where the place is taken, the process is here twice: neither may be lost.
            (Some(queued), Some(place)) if !self.places.contains_key(&place) => {
                self.places.insert(place, queued);
            }
            (Some(queued), _) => self.arrive(queued),
            (None, _) => {}
        }
    }
}
