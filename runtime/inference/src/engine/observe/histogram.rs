//! How often values fell into which range.

use std::time::Duration;

/// Bounds of a histogram, at most: each is a line of every scrape, for every model.
const BOUNDS_MAX: usize = 16;

const MS: u64 = 1_000_000;

/// In nanoseconds: from what a cached prompt takes to what somebody gives up waiting for. Steps of 2 to 2.5, so that a percentile
/// read off them is right to a factor of that.
pub(super) const WAITS: &[u64] = &[
    MS,
    5 * MS / 2,
    5 * MS,
    10 * MS,
    25 * MS,
    50 * MS,
    100 * MS,
    250 * MS,
    500 * MS,
    1_000 * MS,
    2_500 * MS,
    5_000 * MS,
    10_000 * MS,
    25_000 * MS,
    50_000 * MS,
    100_000 * MS,
];

/// In nanoseconds: a token, and the step that it comes of, take half a millisecond on a GPU with a small model and seconds on a CPU with a
/// large one.
pub(super) const STEPS: &[u64] = &[
    MS / 2,
    MS,
    2 * MS,
    4 * MS,
    8 * MS,
    16 * MS,
    32 * MS,
    64 * MS,
    128 * MS,
    256 * MS,
    512 * MS,
    1_024 * MS,
    2_048 * MS,
];

/// Generations of a step; 64 is what runs side by side unless an engine's limits say otherwise.
pub(super) const BATCHES: &[u64] = &[1, 2, 4, 8, 16, 32, 64, 128, 256];

/// Counts of values by range, and their sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Histogram {
    /// Rising.
    bounds: &'static [u64],
    /// One for each bound, and one for what is above all of them.
    counts: [u64; BOUNDS_MAX + 1],
    sum: u64,
}

impl Histogram {
    /// Without a value. Bounds rise; there are 16 at most.
    pub(super) const fn new(bounds: &'static [u64]) -> Self {
        assert!(bounds.len() <= BOUNDS_MAX);
        Self { bounds, counts: [0; BOUNDS_MAX + 1], sum: 0 }
    }

    /// One more value.
    pub fn add(&mut self, value: u64) {
        let place = self.bounds.partition_point(|bound| *bound < value);
        self.counts[place] += 1;
        self.sum = self.sum.saturating_add(value);
    }

    /// One more time, in nanoseconds.
    pub fn add_time(&mut self, time: Duration) {
        self.add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Each range's upper bound, which is in it, and how many values it has; the last one has no bound. Times are in nanoseconds.
    pub fn ranges(&self) -> impl Iterator<Item = (Option<u64>, u64)> {
        let bounds = self.bounds.iter().copied().map(Some).chain([None]);
        bounds.zip(self.counts)
    }

    /// How many values there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// What they come to. Times are in nanoseconds.
    #[must_use]
    pub const fn sum(&self) -> u64 {
        self.sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bounds_rise_and_fit() {
        for bounds in [WAITS, STEPS, BATCHES] {
            assert!(bounds.len() <= BOUNDS_MAX && bounds.is_sorted_by(|a, b| a < b), "{bounds:?}");
        }
    }

    proptest! {
        /// A range has the values that are above the bound before its own, and not above its own.
        #[test]
        fn each_value_is_in_one_range(values in prop::collection::vec(0..300u64, 0..100)) {
            let mut histogram = Histogram::new(BATCHES);
            values.iter().for_each(|value| histogram.add(*value));
            let mut below = None;
            for (bound, count) in histogram.ranges() {
                let is_in = |value: &&u64| below.is_none_or(|below| **value > below) && bound.is_none_or(|bound| **value <= bound);
                prop_assert_eq!(values.iter().filter(is_in).count() as u64, count);
                below = bound;
            }
            prop_assert_eq!((histogram.count(), histogram.sum()), (values.len() as u64, values.iter().sum()));
        }
    }
}
