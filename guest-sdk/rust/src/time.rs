//! Time. `std::time`'s own clocks do not work in a guest; these go through the kernel, so that a replay sees the same.

use crate::{
    bindings::wasi::clocks::{monotonic_clock, wall_clock},
    wait::Pollable,
};
use std::time::Duration;

/// A moment of the monotonic clock.
///
/// ```no_run
/// use remit::time::Instant;
///
/// let begin = Instant::now();
/// remit::info!("it took {:?}", begin.elapsed());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant {
    nanoseconds: u64,
}

impl Instant {
    /// This moment.
    #[must_use]
    pub fn now() -> Self {
        Self { nanoseconds: monotonic_clock::now() }
    }

    /// How long ago it was.
    #[must_use]
    pub fn elapsed(self) -> Duration {
        Self::now().duration_since(self)
    }

    /// How long `earlier` was before this; nothing where it was not.
    #[must_use]
    pub const fn duration_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.nanoseconds.saturating_sub(earlier.nanoseconds))
    }
}

/// Time since 1970-01-01T00:00:00Z, without leap seconds. It may be set back; to measure, use [`Instant`].
///
/// ```no_run
/// remit::info!("it is {} s after the epoch", remit::time::since_epoch().as_secs());
/// ```
#[must_use]
pub fn since_epoch() -> Duration {
    let wall_clock::Datetime { seconds, nanoseconds } = wall_clock::now();
    Duration::new(seconds, nanoseconds)
}

/// Waits. It costs no fuel.
///
/// ```no_run
/// remit::time::sleep(std::time::Duration::from_millis(20));
/// ```
pub fn sleep(duration: Duration) {
    timer(duration).block();
}

/// Ready when the time has passed; for [`wait::any`](crate::wait::any).
#[must_use]
pub fn timer(duration: Duration) -> Pollable<'static> {
    let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    Pollable::new(monotonic_clock::subscribe_duration(nanoseconds))
}
