//! Narrowing a right, and counting its uses over time.

use super::{GrantError, Limit};
use remit_abi::{GrantLimits, Label, Rate, Scope};

const NS_PER_MS: u64 = 1_000_000;

/// The asked-for limit where it fits into the one that is held; the held one where none is asked for.
pub(super) fn within<T: Copy>(
    asked: Option<T>,
    held: Option<T>,
    fits: impl FnOnce(T, T) -> bool,
    what: Limit,
) -> Result<Option<T>, GrantError> {
    match (asked, held) {
        (Some(asked), Some(held)) if !fits(asked, held) => Err(GrantError::Widens { what }),
        _ => Ok(asked.or(held)),
    }
}

pub(super) fn narrow_limits(asked: &GrantLimits, held: &GrantLimits) -> Result<GrantLimits, GrantError> {
    Ok(GrantLimits {
        uses: within(asked.uses, held.uses, |asked, held| asked <= held, Limit::Uses)?,
        rate: within(asked.rate, held.rate, is_no_faster, Limit::Rate)?,
        expires_ns: within(asked.expires_ns, held.expires_ns, |asked, held| asked <= held, Limit::Expiry)?,
        max_tokens_per_call: within(
            asked.max_tokens_per_call,
            held.max_tokens_per_call,
            |asked, held| asked <= held,
            Limit::TokensPerCall,
        )?,
        ceiling: within(asked.ceiling, held.ceiling, Label::flows_to, Limit::Ceiling)?,
    })
}

pub(super) fn narrow_scope(asked: Option<&[Box<str>]>, held: &Scope) -> Result<Scope, GrantError> {
    let Some(asked) = asked else { return Ok(held.clone()) };
    let scope = Scope::parse(held.kind(), asked)?;
    if held.covers(&scope) { Ok(scope) } else { Err(GrantError::Widens { what: Limit::Scope }) }
}

/// No more at once, and no more over a long time. Whatever keeps to the slower rate then keeps to the faster one.
fn is_no_faster(asked: Rate, held: Rate) -> bool {
    let (asked_share, held_share) =
        (u128::from(asked.uses) * u128::from(held.per_ms), u128::from(held.uses) * u128::from(asked.per_ms));
    asked.uses <= held.uses && asked_share <= held_share
}

/// Uses of a grant over time: the generic cell rate algorithm, which keeps one moment a node (ITU-T I.371, annex A, in its
/// form as virtual scheduling).
///
/// The moment is when the last use would have come, had all of them come evenly. A use is too early where that lies further
/// ahead than the rest of a full burst.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    /// In nanoseconds since 1970.
    expected_ns: u64,
}

impl Pace {
    /// How long until the next use is allowed, in nanoseconds: 0 where it is now.
    pub(super) fn wait_ns(self, rate: Rate, now_ns: u64) -> u64 {
        let tolerance = interval_ns(rate).saturating_mul(u64::from(rate.uses).saturating_sub(1));
        self.expected_ns.saturating_sub(now_ns).saturating_sub(tolerance)
    }

    /// Counts a use.
    pub(super) fn count(&mut self, rate: Rate, now_ns: u64) {
        self.expected_ns = self.expected_ns.max(now_ns).saturating_add(interval_ns(rate));
    }

    /// Where the clock was set back, what was used counts as used just now: nobody waits longer than for a full burst.
    pub(super) fn follow_clock(&mut self, rate: Rate, now_ns: u64) {
        let latest = interval_ns(rate).saturating_mul(u64::from(rate.uses)).saturating_add(now_ns);
        self.expected_ns = self.expected_ns.min(latest);
    }
}

/// Rounded up, so that no share is exceeded.
fn interval_ns(rate: Rate) -> u64 {
    rate.per_ms.saturating_mul(NS_PER_MS).div_ceil(u64::from(rate.uses.max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn after_a_burst_one_comes_at_a_time() {
        let (rate, mut pace) = (Rate { uses: 2, per_ms: 1000 }, Pace::default());
        let second = 1000 * NS_PER_MS;
        let start = 7 * second;
        for _ in 0..2 {
            assert_eq!(pace.wait_ns(rate, start), 0);
            pace.count(rate, start);
        }
        assert_eq!(pace.wait_ns(rate, start), second / 2);
        assert_eq!(pace.wait_ns(rate, start + second / 2), 0);
        pace.count(rate, start + second / 2);
        assert_eq!(pace.wait_ns(rate, start + second), 0);
        pace.follow_clock(rate, second);
        assert_eq!(pace.wait_ns(rate, second), second / 2, "a clock that was set back costs one burst at most");
    }

    proptest! {
        #[test]
        fn no_window_has_more_than_a_burst_and_its_share(
            uses in 1..5_u32,
            per_ms in 1..20_u64,
            pauses in prop::collection::vec(0..8_u64 * NS_PER_MS, 1..60),
        ) {
            let (rate, mut pace, mut now) = (Rate { uses, per_ms }, Pace::default(), 0);
            let mut counted = Vec::new();
            for pause in pauses {
                now += pause;
                if pace.wait_ns(rate, now) == 0 {
                    pace.count(rate, now);
                    counted.push(now);
                } else {
                    let mut later = pace;
                    later.count(rate, now);
                    prop_assert!(pace.wait_ns(rate, now + pace.wait_ns(rate, now)) == 0, "waiting as told is enough");
                }
            }
            for (first, start) in counted.iter().enumerate() {
                for (last, end) in counted.iter().enumerate().skip(first) {
                    let share = (end - start) / interval_ns(rate);
                    prop_assert!(last - first < usize::try_from(u64::from(uses) + share).expect("it is small"));
                }
            }
        }

        #[test]
        fn what_keeps_to_a_slower_rate_keeps_to_a_faster_one(
            (slow, fast) in ((1..6_u32, 1..20_u64), (1..6_u32, 1..20_u64)),
            pauses in prop::collection::vec(0..8_u64 * NS_PER_MS, 1..60),
        ) {
            let rate = |(uses, per_ms)| Rate { uses, per_ms };
            let (slow, fast) = (rate(slow), rate(fast));
            let (slow, fast) = if is_no_faster(slow, fast) { (slow, fast) } else { (fast, slow) };
            let pauses = if is_no_faster(slow, fast) { pauses } else { Vec::new() };
            let (mut slow_pace, mut fast_pace, mut now) = (Pace::default(), Pace::default(), 0);
            for pause in pauses {
                now += pause;
                if slow_pace.wait_ns(slow, now) == 0 {
                    prop_assert_eq!(fast_pace.wait_ns(fast, now), 0);
                    slow_pace.count(slow, now);
                    fast_pace.count(fast, now);
                }
            }
        }
    }
}
