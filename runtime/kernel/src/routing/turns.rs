//! Which of a request's models is tried next, and when: a pure state machine over indices, time and a seed.
//!
//! Models are tried one after the other, in their order. Where all have refused or failed, those whose trouble may pass are
//! tried again after a pause: exponential backoff with full jitter (Brooker, "Exponential Backoff And Jitter", AWS
//! Architecture Blog, 2015), so that requests that were refused together do not come back together.
//!
//! | bound | by |
//! | --- | --- |
//! | tries of one model | [`RetryRules::again`], and one |
//! | time until the last try begins | [`RetryRules::within_ns`] |

use serde::Serialize;

/// How often, and for how long, a request is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct RetryRules {
    /// How often the models that may be well again are tried once more, after the first time.
    pub again: u32,
    /// The longest first pause; each later one may be twice as long.
    pub pause_ns_min: u64,
    /// The longest pause at all.
    pub pause_ns_max: u64,
    /// No try begins later than this after the first.
    pub within_ns: u64,
}

impl Default for RetryRules {
    /// Twice, after at most 0.1 s and 0.2 s: a full queue moves on in the time of a few tokens. Never later than 10 s, since
    /// somebody waits.
    fn default() -> Self {
        Self { again: 2, pause_ns_min: 100_000_000, pause_ns_max: 2_000_000_000, within_ns: 10_000_000_000 }
    }
}

impl RetryRules {
    /// Each model once.
    pub const ONCE: Self = Self { again: 0, pause_ns_min: 0, pause_ns_max: 0, within_ns: 0 };
}

/// How long to pause before the models are tried again for the `round`th time, from 0 on: any time up to the bound of that
/// round, all equally likely, by the seed.
#[must_use]
pub fn pause_ns(rules: &RetryRules, round: u32, seed: u64) -> u64 {
    let doubled = rules.pause_ns_min.saturating_mul(1_u64.checked_shl(round).unwrap_or(u64::MAX));
    let most = u128::from(doubled.min(rules.pause_ns_max));
    let drawn = u128::from(split_mix(seed.wrapping_add(u64::from(round))));
    // Below 2^64, as both factors are at most that.
    ((drawn * (most + 1)) >> 64) as u64
}

/// A number as good as random from another (Steele, Lea, Flood 2014, "Fast Splittable Pseudorandom Number Generators").
pub(super) const fn split_mix(seed: u64) -> u64 {
    let mut mixed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Try the model of this index.
    Try(usize),
    /// Nothing before this moment.
    Pause {
        /// In nanoseconds.
        until_ns: u64,
    },
    /// Nothing any more.
    Over,
}

/// What a try that was not answered means for the next one of the same model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It may pass by itself: a full queue, an engine that is opened again.
    MayPass,
    /// The same would happen again.
    Stays,
}

/// The turns of one request.
#[derive(Clone, Debug)]
pub struct Turns {
    rules: RetryRules,
    seed: u64,
    began_ns: u64,
    /// Whether a model may still be tried.
    hopeful: Vec<bool>,
    /// Whose turn it is.
    place: usize,
    round: u32,
    paused_until_ns: Option<u64>,
}

impl Turns {
    /// So many models, to be tried from now on.
    #[must_use]
    pub fn new(models: usize, rules: RetryRules, seed: u64, now_ns: u64) -> Self {
        Self { rules, seed, began_ns: now_ns, hopeful: vec![true; models], place: 0, round: 0, paused_until_ns: None }
    }

    /// What to do now. A try that it named is under way until it is named again or [`Turns::failed`].
    pub fn next(&mut self, now_ns: u64) -> Turn {
        match self.paused_until_ns {
            Some(until_ns) if now_ns < until_ns => return Turn::Pause { until_ns },
            _ => self.paused_until_ns = None,
        }
        if let Some(place) = (self.place..self.hopeful.len()).find(|place| self.hopeful[*place]) {
            self.place = place + 1;
            return Turn::Try(place);
        }
        let pause_ns = pause_ns(&self.rules, self.round, self.seed);
        let until_ns = now_ns.saturating_add(pause_ns);
        let is_late = until_ns > self.began_ns.saturating_add(self.rules.within_ns);
        if self.round >= self.rules.again || is_late || !self.hopeful.contains(&true) {
            self.hopeful.fill(false);
            return Turn::Over;
        }
        (self.round, self.place, self.paused_until_ns) = (self.round + 1, 0, Some(until_ns));
        Turn::Pause { until_ns }
    }

    /// A model that was tried did not answer.
    pub fn failed(&mut self, model: usize, trouble: Trouble) {
        if trouble == Trouble::Stays {
            self.hopeful[model] = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RULES: RetryRules = RetryRules { again: 2, pause_ns_min: 100, pause_ns_max: 150, within_ns: 1000 };

    /// Plays a request to its end; each try takes so long and ends so. The tries, and when each began.
    fn play(rules: RetryRules, seed: u64, models: usize, took_ns: u64, ends: &[Trouble]) -> Vec<(usize, u64)> {
        let (mut now_ns, mut tries) = (7, Vec::new());
        let mut turns = Turns::new(models, rules, seed, now_ns);
        loop {
            match turns.next(now_ns) {
                Turn::Try(model) => {
                    tries.push((model, now_ns - 7));
                    now_ns += took_ns;
                    turns.failed(model, ends[tries.len() % ends.len()]);
                }
                Turn::Pause { until_ns } => {
                    assert_eq!(turns.next(until_ns - 1), Turn::Pause { until_ns }, "a pause is waited for");
                    now_ns = until_ns;
                }
                Turn::Over => {
                    assert_eq!(turns.next(now_ns + rules.within_ns), Turn::Over, "the end stays the end");
                    return tries;
                }
            }
        }
    }

    fn models(tries: &[(usize, u64)]) -> Vec<usize> {
        tries.iter().map(|(model, _)| *model).collect()
    }

    #[test]
    fn models_come_in_their_order_and_only_what_may_pass_comes_again() {
        use Trouble::{MayPass, Stays};
        assert_eq!(models(&play(RULES, 1, 3, 1, &[Stays])), [0, 1, 2]);
        assert_eq!(models(&play(RULES, 1, 2, 1, &[MayPass])), [0, 1, 0, 1, 0, 1]);
        assert_eq!(models(&play(RetryRules::ONCE, 1, 2, 1, &[MayPass])), [0, 1]);
        let mut turns = Turns::new(2, RULES, 1, 0);
        assert_eq!((turns.next(0), turns.next(0)), (Turn::Try(0), Turn::Try(1)));
        turns.failed(0, Stays);
        turns.failed(1, MayPass);
        assert!(matches!(turns.next(0), Turn::Pause { .. }));
        assert_eq!(turns.next(150), Turn::Try(1), "the other one would refuse again");
    }

    #[test]
    fn a_pause_is_anything_up_to_its_bound() {
        for (round, most) in [(0, 100), (1, 150), (2, 150), (200, 150)] {
            let drawn: Vec<_> = (0..10_000).map(|seed| pause_ns(&RULES, round, seed)).collect();
            assert!(drawn.iter().all(|pause| *pause <= most));
            for quarter in 0..4 {
                let within = |pause: &&u64| **pause * 4 / (most + 1) == quarter;
                let share = drawn.iter().filter(within).count();
                assert!((2_200..2_800).contains(&share), "round {round}, quarter {quarter}: {share}");
            }
        }
        let wide = RetryRules { pause_ns_min: u64::MAX, pause_ns_max: u64::MAX, ..RULES };
        assert!((0..100).any(|seed| pause_ns(&wide, 3, seed) > u64::MAX / 2), "the whole range is drawn from");
    }

    proptest! {
        #[test]
        fn tries_are_bounded_in_number_and_in_time(
            count in 0_usize..6,
            (again, pause_ns_min, pause_ns_max) in (0_u32..6, 0_u64..500, 0_u64..500),
            (within_ns, took_ns, seed) in (0_u64..2000, 0_u64..300, any::<u64>()),
            ends in prop::collection::vec(prop_oneof![Just(Trouble::MayPass), Just(Trouble::Stays)], 1..7),
        ) {
            let rules = RetryRules { again, pause_ns_min, pause_ns_max, within_ns };
            let tries = play(rules, seed, count, took_ns, &ends);
            let of_each = |model: usize| tries.iter().filter(|(tried, _)| *tried == model).count();
            for model in 0..count {
                prop_assert!((1..=again as usize + 1).contains(&of_each(model)), "each is tried, and not too often");
            }
            let round_ns = took_ns * count as u64;
            for (index, (_, at_ns)) in tries.iter().enumerate().skip(count) {
                prop_assert!(*at_ns <= within_ns + round_ns, "try {index} at {at_ns}");
            }
        }
    }
}
