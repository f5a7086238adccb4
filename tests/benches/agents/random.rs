//! Numbers from a seed.

use remit_inference::sampler::SplitMix64;
use std::time::Duration;

/// Draws from a seed.
pub(crate) struct Random(SplitMix64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(SplitMix64::new(seed))
    }

    pub(crate) fn below(&mut self, count: u64) -> u64 {
        (self.0.next_unit() * count as f64) as u64
    }

    pub(crate) fn of<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len() as u64) as usize]
    }

    /// From the exponential distribution with this mean, in seconds.
    pub(crate) fn exponential(&mut self, mean: f64) -> Duration {
        Duration::from_secs_f64(-mean * (1.0 - self.0.next_unit()).ln())
    }
}
