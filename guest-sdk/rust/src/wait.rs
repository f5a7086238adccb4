//! Waiting for whichever is first: streams and timers side by side.
//!
//! ```no_run
//! use remit::{Message, Model, time, wait};
//! use std::time::Duration;
//!
//! # fn example() -> Result<(), remit::Failure> {
//! let model = Model::take("chat")?;
//! let mut generation = model.chat(&[Message::user("Good morning!")]).stream()?;
//! let limit = time::timer(Duration::from_secs(10));
//! loop {
//!     let ready = wait::any(&[&generation.readiness(), &limit]);
//!     if ready.contains(&1) {
//!         generation.cancel();
//!     }
//!     match generation.next() {
//!         Some(piece) => remit::emit_text(&piece?)?,
//!         None => break,
//!     }
//! }
//! # Ok(()) }
//! ```

use crate::bindings::wasi::io::poll;
use std::marker::PhantomData;

/// Something that can be waited for. It borrows what it watches.
#[derive(Debug)]
pub struct Pollable<'a> {
    raw: poll::Pollable,
    watched: PhantomData<&'a ()>,
}

impl Pollable<'_> {
    pub(crate) const fn new(raw: poll::Pollable) -> Self {
        Self { raw, watched: PhantomData }
    }

    /// Waits until it is ready.
    pub fn block(&self) {
        self.raw.block();
    }

    /// Whether it is ready now.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.raw.ready()
    }
}

/// Waits until at least one is ready, and answers which are, as indices. At most 1024 at a time; of none, it answers
/// none at once.
#[must_use]
pub fn any(pollables: &[&Pollable<'_>]) -> Vec<usize> {
    if pollables.is_empty() {
        return Vec::new();
    }
    let raw: Vec<&poll::Pollable> = pollables.iter().map(|pollable| &pollable.raw).collect();
    poll::poll(&raw).into_iter().map(|index| index as usize).collect()
}
