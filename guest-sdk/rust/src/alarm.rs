//! Alarms: moments to wake at. They are the kernel's: an alarm outlives a restart of its process.
//!
//! ```no_run
//! use remit::{alarm, time};
//! use std::time::Duration;
//!
//! # fn example() -> Result<(), remit::Failure> {
//! let reminder = match alarm::take("reminder") {
//!     Some(reminder) => reminder,
//!     None => alarm::set("reminder", time::since_epoch() + Duration::from_secs(3600))?,
//! };
//! reminder.readiness().block();
//! reminder.cancel();
//! # Ok(()) }
//! ```

use crate::{
    AlarmError,
    bindings::remit::kernel::alarm,
    wait::{Pollable, Waitable, Watched},
};
use std::time::Duration;

/// Sets the alarm of a label to a time [since the epoch](crate::time::since_epoch), in place of what it was.
///
/// # Errors
/// [`AlarmError`] where there are too many, or the label is none.
pub fn set(label: &str, since_epoch: Duration) -> Result<Alarm, AlarmError> {
    let at_ns = u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX);
    Ok(Alarm(alarm::set(label, at_ns)?))
}

/// The alarm of a label, where it is set.
#[must_use]
pub fn take(label: &str) -> Option<Alarm> {
    alarm::take(label).map(Alarm)
}

/// An alarm. Dropping it keeps it set, under its label.
#[derive(Debug)]
pub struct Alarm(alarm::Alarm);

impl Alarm {
    /// As a time [since the epoch](crate::time::since_epoch).
    #[must_use]
    pub fn moment(&self) -> Duration {
        Duration::from_nanos(self.0.get_moment())
    }

    /// Ready from its moment on; for [`wait::any`](crate::wait::any).
    #[must_use]
    pub fn readiness(&self) -> Pollable<'_> {
        Pollable::new(self.0.subscribe())
    }

    /// Unsets it.
    pub fn cancel(self) {
        alarm::Alarm::cancel(self.0);
    }
}

impl Waitable for Alarm {
    fn watch(&self) -> Watched<'_> {
        self.readiness().into()
    }
}
