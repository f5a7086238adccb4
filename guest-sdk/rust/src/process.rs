//! The process itself: its name, its mailbox, its signals.
//!
//! ```no_run
//! use remit::process::{self, Signal};
//!
//! fn should_stop() -> bool {
//!     process::signals().any(|signal| signal == Signal::Cancel)
//! }
//! ```

use crate::{
    AttenuationError,
    bindings::remit::kernel::process,
    capability::Grant,
    wait::{Pollable, Waitable, Watched},
};

pub use process::Signal;

/// Its name, for people and for filters. It opens nothing.
#[must_use]
pub fn id() -> String {
    process::get_id()
}

/// A right to send messages to this process, to be narrowed and passed on.
///
/// # Errors
/// [`AttenuationError::TooMany`] where the process holds as many grants as it may.
pub fn mailbox() -> Result<Grant, AttenuationError> {
    Ok(Grant(process::get_mailbox()?))
}

/// The signals that have come and were not taken: an iterator that ends where there is none, and can be asked again.
#[must_use]
pub const fn signals() -> Signals {
    Signals { _private: () }
}

/// What somebody wants this process to know; made by [`signals`]. Each is kept until it is taken, once however often it was
/// sent.
#[derive(Debug)]
pub struct Signals {
    _private: (),
}

impl Signals {
    /// Waits for the next one, and takes it.
    pub fn wait(&mut self) -> Signal {
        loop {
            self.readiness().block();
            if let Some(signal) = self.next() {
                return signal;
            }
        }
    }

    /// Ready when there is one; for [`wait::any`](crate::wait::any).
    #[must_use]
    pub fn readiness(&self) -> Pollable<'static> {
        Pollable::new(process::subscribe_signals())
    }
}

impl Iterator for Signals {
    type Item = Signal;

    fn next(&mut self) -> Option<Signal> {
        process::next_signal()
    }
}

impl Waitable for Signals {
    fn watch(&self) -> Watched<'_> {
        self.readiness().into()
    }
}
