//! What one version of a route came to: counts, and how long its requests took.
//!
//! Times lie in buckets whose width is an eighth of their lower end, or less; so a quantile is at most an eighth too high, and a
//! version costs 2 KiB, however many requests it had.

use remit_abi::Usage;
use serde::Serialize;

/// Buckets of each power of two.
const PARTS: u64 = 8;

/// A bucket for each eighth of each power of two of microseconds; the first two powers share eight of width 1.
const BUCKETS: usize = (64 - 3) * PARTS as usize + PARTS as usize;

/// How often something took how long.
#[derive(Clone, Debug)]
pub struct Times {
    counts: Box<[u32; BUCKETS]>,
    total: u64,
}

impl Default for Times {
    fn default() -> Self {
        Self { counts: Box::new([0; BUCKETS]), total: 0 }
    }
}

impl Times {
    /// Something took so long.
    pub fn add(&mut self, micros: u64) {
        let count = &mut self.counts[bucket(micros)];
        *count = count.saturating_add(1);
        self.total += 1;
    }

    /// The time that so many of a thousand did not exceed, in microseconds: at most an eighth too high. `None` where there was
    /// nothing.
    #[must_use]
    pub fn quantile(&self, per_mille: u32) -> Option<u64> {
        let rank = u128::from(self.total) * u128::from(per_mille.min(1000));
        // The smallest count that holds the share, and at least one.
        let rank = u64::try_from(rank.div_ceil(1000)).unwrap_or(u64::MAX).max(1);
        let mut seen = 0_u64;
        let bucket = self.counts.iter().position(|count| {
            seen += u64::from(*count);
            seen >= rank
        })?;
        Some(upper_end(bucket))
    }
}

fn bucket(micros: u64) -> usize {
    if micros < PARTS {
        return micros as usize;
    }
    // At least 3: the position of the highest bit.
    let power = u64::from(micros.ilog2());
    let part = (micros >> (power - 3)) - PARTS;
    ((power - 2) * PARTS + part) as usize
}

/// The largest time of a bucket.
fn upper_end(bucket: usize) -> u64 {
    let (power, part) = (bucket as u64 / PARTS, bucket as u64 % PARTS);
    match power {
        0 => part,
        power => {
            let width = 1_u64 << (power - 1);
            // Of the last bucket this is the largest number.
            ((PARTS + part) << (power - 1)).saturating_add(width - 1)
        }
    }
}

/// What one version of a route came to so far.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// How many requests, and what they took.
    pub tally: Tally,
    /// From the request until its end was read.
    pub times: Times,
}

/// How many requests had which end, and what models did for them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Requests that began.
    pub requests: u64,
    /// Of these: that an engine answered to the end.
    pub answered: u64,
    /// That ended in an error.
    pub failed: u64,
    /// That somebody gave up.
    pub given_up: u64,
    /// That another than the preferred model served.
    pub fell_back: u64,
    /// Tries besides the first one of each request.
    pub tried_again: u64,
    /// What models did for them.
    pub usage: WideUsage,
}

/// Tokens of many requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct WideUsage {
    /// Prompt tokens that had to be computed.
    pub input: u64,
    /// Prompt tokens whose state was at hand.
    pub cached: u64,
    /// Tokens that models wrote.
    pub output: u64,
}

impl WideUsage {
    /// With those of one more.
    pub fn add(&mut self, usage: Usage) {
        self.input += u64::from(usage.input);
        self.cached += u64::from(usage.cached);
        self.output += u64::from(usage.output);
    }
}

/// Counts as an operator sees them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CountsView {
    /// How many requests, and what they took.
    #[serde(flatten)]
    pub tally: Tally,
    /// The time that half of those that were answered did not exceed, in microseconds.
    pub p50_us: Option<u64>,
    /// That nine of ten did not.
    pub p90_us: Option<u64>,
    /// That 99 of a hundred did not.
    pub p99_us: Option<u64>,
}

impl Counts {
    /// As an operator sees them.
    #[must_use]
    pub fn view(&self) -> CountsView {
        let Self { tally, times } = self;
        CountsView {
            tally: *tally,
            p50_us: times.quantile(500),
            p90_us: times.quantile(900),
            p99_us: times.quantile(990),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn buckets_follow_each_other_without_gaps() {
        let mut end = None;
        for index in 0..BUCKETS {
            let (first, last) = (end.map_or(0, |end: u64| end + 1), upper_end(index));
            assert_eq!((bucket(first), bucket(last)), (index, index));
            end = Some(last);
        }
        assert_eq!(end, Some(u64::MAX));
    }

    #[test]
    fn of_nothing_there_is_no_quantile() {
        assert_eq!(Times::default().quantile(500), None);
    }

    proptest! {
        #[test]
        fn a_quantile_is_the_sorted_lists_and_at_most_an_eighth_too_high(
            mut times in prop::collection::vec(prop_oneof![0_u64..100, any::<u64>()], 1..100),
            per_mille in 0_u32..=1000,
        ) {
            let mut counted = Times::default();
            times.iter().for_each(|micros| counted.add(*micros));
            times.sort_unstable();
            let rank = (times.len() * per_mille as usize).div_ceil(1000).max(1);
            let exact = times[rank - 1];
            let quantile = counted.quantile(per_mille).expect("there are some");
            prop_assert!(quantile >= exact);
            prop_assert!(quantile - exact <= exact / 8);
        }
    }
}
