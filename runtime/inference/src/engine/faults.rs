//! Decisions after a crash, over plain numbers: who is under suspicion, who is guilty, and how long to wait before the
//! engine is built again.
//!
//! A crash happens in a step, and a step has several sequences. Whoever was in it is under suspicion: from then on it is
//! computed in steps of its own, until it is past the place where it crashed. So the next crash names the guilty one, and
//! takes nobody with it but for the time. What holds for a sequence:
//!
//! | crashes while it was in the step | how it is computed |
//! | --- | --- |
//! | 0 | beside others |
//! | 1 | alone until it is past the place, then beside others: they, or the device, were the reason |
//! | 2 | alone for good: what crashes only beside others cannot go on for ever |
//! | [`CRASHES_MAX`] | not at all: it has failed, and was alone at least the last time |
//!
//! An engine that crashes again and again is built again ever more slowly, so that requests that crash it cannot keep the
//! machine busy with reading weights: see [`Pauses`].

use std::{any::Any, collections::VecDeque, time::Duration};

/// Crashes with a sequence in the step, at most. 3: one beside others, one to find who it was, and one more since devices
/// are also lost by chance.
pub(super) const CRASHES_MAX: u32 = 3;
/// Crashes from which on a sequence is computed alone for good.
const CRASHES_ALONE: u32 = 2;

/// A sequence's part in crashes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Record {
    crashes: u32,
    /// Tokens behind which the place lies where it crashed last.
    place: usize,
}

impl Record {
    /// A crash with the sequence in the step, that would have brought it to so many tokens.
    pub(super) fn add(&mut self, place: usize) {
        self.crashes += 1;
        self.place = place;
    }

    /// How many crashes it was in.
    pub(super) fn crashes(self) -> u32 {
        self.crashes
    }

    /// Whether the step behind its first `done` tokens has to be its own.
    pub(super) fn is_alone(self, done: usize) -> bool {
        done < self.place || self.crashes >= CRASHES_ALONE
    }

    /// Whether it is given up.
    pub(super) fn is_guilty(self) -> bool {
        self.crashes >= CRASHES_MAX
    }
}

/// Builds in a row that fail before the engine gives up. 3: with the pauses between them, a driver has a second and a half to
/// come back.
pub(super) const ATTEMPTS_MAX: u32 = 3;
/// The pause behind a build that failed; twice as long behind the second one.
pub(super) const RETRY_PAUSE: Duration = Duration::from_millis(500);
/// How long a build is remembered.
const WINDOW: Duration = Duration::from_secs(60);
/// Builds inside the window that do not wait: as many as one guilty sequence takes.
const PROMPT_MAX: usize = CRASHES_MAX as usize;
/// The first pause; each next one is twice as long.
const PAUSE_MIN: Duration = Duration::from_millis(250);
/// The longest pause. 8 s: with a build of some seconds, the machine does something else for most of the time.
const PAUSE_MAX: Duration = Duration::from_secs(8);

/// How long to wait before each build after a crash.
#[derive(Debug, Default)]
pub(super) struct Pauses {
    /// When the last ones were, since some moment.
    builds: VecDeque<Duration>,
}

impl Pauses {
    /// The pause before a build that is wanted at `now`: none for the first three of a minute, then twice as long each
    /// time, up to 8 s. `now` never falls.
    pub(super) fn next(&mut self, now: Duration) -> Duration {
        while self.builds.front().is_some_and(|build| now.saturating_sub(*build) > WINDOW) {
            self.builds.pop_front();
        }
        let doublings = self.builds.len().checked_sub(PROMPT_MAX);
        self.builds.push_back(now);
        let pause = |doublings| PAUSE_MIN.saturating_mul(1u32.checked_shl(doublings).unwrap_or(u32::MAX));
        doublings.map_or(Duration::ZERO, |doublings| pause(doublings as u32).min(PAUSE_MAX))
    }
}

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "it gave no reason".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A record after crashes at these places.
    fn record(places: &[usize]) -> Record {
        let mut record = Record::default();
        places.iter().for_each(|place| record.add(*place));
        record
    }

    #[test]
    fn suspicion_ends_behind_the_place_and_stays_after_a_second_crash() {
        let check = |places: &[usize], done, alone, guilty| {
            let record = record(places);
            assert_eq!((record.is_alone(done), record.is_guilty()), (alone, guilty), "{places:?} at {done}");
        };
        check(&[], 0, false, false);
        check(&[40], 0, true, false);
        check(&[40], 39, true, false);
        check(&[40], 40, false, false);
        check(&[40, 50], 90, true, false);
        check(&[40, 50, 50], 0, true, true);
    }

    #[test]
    fn a_sequence_is_alone_when_it_crashes_last() {
        for places in [[1, 1], [9, 40], [40, 9]] {
            assert!(record(&places).is_alone(usize::MAX));
        }
    }

    #[test]
    fn builds_slow_down_and_recover() {
        let mut pauses = Pauses::default();
        let mut ms = |now: u64| pauses.next(Duration::from_millis(now)).as_millis();
        assert_eq!([0, 10, 20].map(&mut ms), [0, 0, 0]);
        assert_eq!([30, 40, 50, 60, 70, 80, 90].map(&mut ms), [250, 500, 1000, 2000, 4000, 8000, 8000]);
        // Those of the last minute count, six here; and a quiet minute forgets all.
        assert_eq!(ms(60_035), 2000);
        assert_eq!(ms(200_000), 0);
    }

    proptest::proptest! {
        /// However the crashes come, a long time has few builds in it.
        #[test]
        fn a_storm_is_bounded(gaps in proptest::collection::vec(0..500u64, 1..400)) {
            let mut pauses = Pauses::default();
            let mut now = Duration::ZERO;
            let mut builds = Vec::new();
            for gap in gaps {
                now += Duration::from_millis(gap) + pauses.next(now);
                builds.push(now);
            }
            let within = |begin: &Duration| builds.iter().filter(|build| (*begin..*begin + WINDOW).contains(build)).count();
            proptest::prop_assert!(builds.iter().all(|begin| within(begin) <= 20));
        }
    }
}
