//! A process's own limits on linear memory and tables.
//!
//! A guest is told "no" (`memory.grow` answers -1) only by its own fixed limits and by what its component itself declares,
//! so that it is told the same on every machine and in every replay. Where the system has no memory, the guest ends.

use crate::{engine::one_line, guest::host_fault};
use remit_abi::{Fault, limits::Limits};
use wasmtime::ResourceLimiter;

/// Core instances of one process; the pool bounds those of one component.
const INSTANCES_MAX: usize = 256;

/// What wasmtime says where a memory's own type forbids the growth: the guest's component said so, not the system.
const BEYOND_ITS_TYPE: &str = "memory growth exceeds memory type's limits";

/// The machine's failure, not the guest's.
fn no_memory(error: &wasmtime::Error) -> wasmtime::Error {
    host_fault(format!("the system has no memory for the agent: {}", one_line(error)))
}

/// Counts what one process has, against what it may have.
#[derive(Debug)]
pub(crate) struct Limiter {
    limits: Limits,
    memory_bytes: u64,
    table_elements: u64,
    /// The limit that the guest ran into last, and how much it wanted. What it gets of less than that afterwards, for
    /// example to say that it is out of memory, changes nothing.
    refused: Option<(Refused, u64)>,
}

/// A limit that a guest ran into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refused {
    Memory,
    Table,
}

impl Limiter {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, memory_bytes: 0, table_elements: 0, refused: None }
    }

    /// The limit behind a crash, where the guest ran into one just before.
    pub(crate) fn fault(&self) -> Option<Fault> {
        let text = match self.refused?.0 {
            Refused::Memory => format!(
                "its linear memory may hold {} bytes (memory_bytes_max), and it did not go on without more",
                self.limits.memory_bytes_max
            ),
            Refused::Table => format!(
                "its tables may hold {} elements (table_elements_max), and it did not go on without more",
                self.limits.table_elements_max
            ),
        };
        Some(Fault::Limit(text.into()))
    }

    /// Grows one counter, where its limit and the thing's own maximum allow it.
    fn grow(&mut self, what: Refused, current: usize, desired: usize, maximum: Option<usize>) -> bool {
        let (total, limit) = match what {
            Refused::Memory => (&mut self.memory_bytes, self.limits.memory_bytes_max),
            Refused::Table => (&mut self.table_elements, self.limits.table_elements_max),
        };
        let wanted = desired.saturating_sub(current) as u64;
        let grown = total.saturating_add(wanted);
        if grown > limit {
            self.refused = Some((what, wanted));
            return false;
        }
        if maximum.is_some_and(|maximum| desired > maximum) {
            return false;
        }
        *total = grown;
        self.refused = self.refused.filter(|&(refused, refused_amount)| refused != what || refused_amount > wanted);
        true
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.grow(Refused::Memory, current, desired, maximum))
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        if error.to_string() == BEYOND_ITS_TYPE { Ok(()) } else { Err(no_memory(&error)) }
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.grow(Refused::Table, current, desired, maximum))
    }

    fn table_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        Err(no_memory(&error))
    }

    fn instances(&self) -> usize {
        INSTANCES_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limiter() -> Limiter {
        Limiter::new(Limits { memory_bytes_max: 1000, table_elements_max: 10, ..Limits::default() })
    }

    #[test]
    fn all_memories_of_a_process_count_together() {
        let mut limiter = limiter();
        assert!(limiter.grow(Refused::Memory, 0, 600, None));
        assert!(limiter.grow(Refused::Memory, 0, 400, None));
        assert!(!limiter.grow(Refused::Memory, 400, 401, None));
        assert!(matches!(limiter.fault(), Some(Fault::Limit(text)) if text.contains("1000 bytes")));
    }

    #[test]
    fn a_growth_beyond_its_own_maximum_is_no_limit_of_ours_and_counts_nothing() {
        let mut limiter = limiter();
        assert!(!limiter.grow(Refused::Table, 0, 5, Some(4)));
        assert_eq!((limiter.table_elements, limiter.fault()), (0, None));
    }

    #[test]
    fn a_guest_that_got_what_it_wanted_after_a_refusal_is_not_blamed_later() {
        let mut limiter = limiter();
        assert!(!limiter.grow(Refused::Table, 0, 11, None));
        assert!(!limiter.grow(Refused::Table, 0, 20, None));
        assert!(limiter.grow(Refused::Table, 0, 5, None));
        assert!(limiter.fault().is_some(), "that was less than it wanted");
        limiter.table_elements = 0;
        limiter.limits.table_elements_max = 20;
        assert!(limiter.grow(Refused::Table, 0, 20, None));
        assert_eq!(limiter.fault(), None);
    }
}
