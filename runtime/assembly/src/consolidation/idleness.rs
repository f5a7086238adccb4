//! Since when nothing happens. Pure: whoever asks says what there is, and how late it is.

use std::time::Duration;

/// Looks of somebody at the same things, one after the other.
#[derive(Debug, Default)]
pub(super) struct Idleness<T> {
    last: T,
    quiet_since: Duration,
}

impl<T: PartialEq + Default> Idleness<T> {
    /// How long nothing has happened by now: what there is, is as it was, and nobody is busy.
    pub(super) fn look(&mut self, now: Duration, there: T, is_busy: bool) -> Duration {
        if is_busy || there != self.last {
            self.quiet_since = now;
        }
        self.last = there;
        now.saturating_sub(self.quiet_since)
    }

    /// Begins anew.
    pub(super) const fn wait_again(&mut self, now: Duration) {
        self.quiet_since = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_happens_begins_the_time_anew() {
        let mut idleness = Idleness::default();
        let mut check = |second, there: u32, is_busy, expect| {
            let quiet = idleness.look(Duration::from_secs(second), there, is_busy);
            assert_eq!(quiet, Duration::from_secs(expect), "after {second} s");
        };
        check(1, 0, false, 1);
        check(4, 0, false, 4);
        check(5, 1, false, 0);
        check(9, 1, false, 4);
        check(10, 1, true, 0);
        check(13, 1, false, 3);
        // A clock that goes back is no reason.
        check(9, 1, false, 0);
        idleness.wait_again(Duration::from_secs(20));
        assert_eq!(idleness.look(Duration::from_secs(21), 1, false), Duration::from_secs(1));
    }
}
