//! When a program comes back: an agent that has called a tool, or a person who reads.
//!
//! The gap between the end of a program's call and its next one is predicted as a moving quantile of the gaps before, by
//! stochastic approximation on a logarithmic scale: a gap beyond the prediction moves it up by the factor 1 + p η, one below it
//! down by 1 − (1 − p) η, so that p of the gaps end within it. The first gap is the first prediction.

use crate::tree::Cursor;
use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

/// p: of ten gaps, eight end within the prediction.
const QUANTILE: f64 = 0.8;
/// η: some ten gaps find a new pace.
const RATE: f64 = 0.5;
/// The longest gap that is predicted. 10 min: whoever stays away longer is not worth waiting for.
pub(crate) const GAP_MAX: Duration = Duration::from_secs(600);
/// The shortest, since what is nothing cannot grow.
const GAP_MIN: Duration = Duration::from_millis(1);
/// Programs that are remembered. 4,096: some hundred kilobytes. Who has been away the longest is forgotten first.
pub(crate) const PROGRAMS_MAX: usize = 4_096;

/// A tenant, and its number for the program.
pub(crate) type Key = (u64, u64);

#[derive(Clone, Debug)]
struct Program {
    /// When its last call ended.
    ended: Duration,
    /// Whether its next call has not come yet.
    is_away: bool,
    predicted: Option<Duration>,
    /// Behind its last call's tokens.
    tail: Option<Cursor>,
}

/// All programs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Programs {
    programs: HashMap<Key, Program>,
    by_end: BTreeSet<(Duration, Key)>,
}

impl Programs {
    /// A call has come.
    pub(crate) fn came(&mut self, key: Key, now: Duration) {
        let Some(program) = self.programs.get_mut(&key).filter(|program| program.is_away) else { return };
        program.is_away = false;
        let gap = now.saturating_sub(program.ended).clamp(GAP_MIN, GAP_MAX);
        let moved = program.predicted.map(|predicted| {
            let factor = if gap > predicted { 1.0 + QUANTILE * RATE } else { 1.0 - (1.0 - QUANTILE) * RATE };
            predicted.mul_f64(factor).clamp(GAP_MIN, GAP_MAX)
        });
        program.predicted = Some(moved.unwrap_or(gap));
    }

    /// A call has ended; after which time the next one is expected, where that is known.
    pub(crate) fn ended(&mut self, key: Key, tail: Cursor, now: Duration) -> Option<Duration> {
        let new = Program { ended: now, is_away: true, predicted: None, tail: None };
        let program = self.programs.entry(key).or_insert(new);
        self.by_end.remove(&(program.ended, key));
        self.by_end.insert((now, key));
        program.ended = now;
        program.is_away = true;
        program.tail = Some(tail);
        let predicted = program.predicted;
        while self.by_end.len() > PROGRAMS_MAX
            && let Some((_, key)) = self.by_end.pop_first()
        {
            self.programs.remove(&key);
        }
        predicted
    }

    /// Behind the tokens of a program's last call.
    pub(crate) fn tail(&self, key: Key) -> Option<Cursor> {
        self.programs.get(&key)?.tail
    }

    /// The tree is another one.
    pub(crate) fn forget_tails(&mut self) {
        self.programs.values_mut().for_each(|program| program.tail = None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Namespace;

    const TAIL: Cursor = Cursor::Root(Namespace { tenant: 0, model: 0 });

    /// What is predicted after these gaps, in seconds.
    fn check(gaps: &[u64], expect: std::ops::RangeInclusive<f64>) {
        let mut programs = Programs::default();
        let mut now = Duration::ZERO;
        for gap in gaps {
            programs.ended((1, 1), TAIL, now);
            now += Duration::from_secs(*gap);
            programs.came((1, 1), now);
        }
        let predicted = programs.ended((1, 1), TAIL, now).map_or(0.0, |predicted| predicted.as_secs_f64());
        assert!(expect.contains(&predicted), "{predicted} after {gaps:?}");
    }

    #[test]
    fn the_prediction_is_a_high_quantile() {
        check(&[], 0.0..=0.0);
        check(&[7], 7.0..=7.0);
        check(&[5; 60], 4.0..=7.0);
        // One of ten is long.
        check(&[2, 2, 2, 2, 2, 2, 2, 2, 2, 60].repeat(10), 1.5..=5.0);
        // Every other is long.
        check(&[2, 60].repeat(50), 40.0..=90.0);
        check(&[5_000; 20], 500.0..=600.0);
    }

    #[test]
    fn programs_are_bounded() {
        let mut programs = Programs::default();
        for program in 0..2 * PROGRAMS_MAX as u64 {
            programs.ended((1, program), TAIL, Duration::from_secs(program));
        }
        assert_eq!((programs.programs.len(), programs.by_end.len()), (PROGRAMS_MAX, PROGRAMS_MAX));
        assert!(programs.tail((1, 0)).is_none() && programs.tail((1, 2 * PROGRAMS_MAX as u64 - 1)).is_some());
    }
}
