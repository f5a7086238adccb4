//! Waiting for whichever is first: streams, calls, children, messages, timers, alarms and signals side by side.
//!
//! ```no_run
//! use remit::{Message, Model, process, time, wait};
//! use std::time::Duration;
//!
//! # fn example() -> Result<(), remit::Failure> {
//! let model = Model::take("chat")?;
//! let mut generation = model.chat(&[Message::user("Good morning!")]).stream()?;
//! let limit = time::timer(Duration::from_secs(10));
//! loop {
//!     if wait::first(&[&process::signals(), &limit, &generation]) < 2 {
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

/// What can be waited for: a [`Pollable`], and everything that has a readiness.
pub trait Waitable {
    /// What is looked at meanwhile.
    fn watch(&self) -> Watched<'_>;
}

/// What is looked at while one waits for a [`Waitable`].
#[derive(Debug)]
pub struct Watched<'a>(Held<'a>);

#[derive(Debug)]
enum Held<'a> {
    Made(Pollable<'a>),
    Lent(&'a Pollable<'a>),
}

impl<'a> From<Pollable<'a>> for Watched<'a> {
    fn from(pollable: Pollable<'a>) -> Self {
        Self(Held::Made(pollable))
    }
}

impl Watched<'_> {
    const fn raw(&self) -> &poll::Pollable {
        match &self.0 {
            Held::Made(pollable) => &pollable.raw,
            Held::Lent(pollable) => &pollable.raw,
        }
    }
}

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

impl Waitable for Pollable<'_> {
    fn watch(&self) -> Watched<'_> {
        Watched(Held::Lent(self))
    }
}

/// Waits until at least one is ready, and answers which are, as indices in their order. At most 1024 at a time; of none,
/// it answers none at once.
///
/// Of what is no [`Pollable`] it makes one for the time of the wait: where many are waited for again and again, keep their
/// readiness.
#[must_use]
pub fn any(waitables: &[&dyn Waitable]) -> Vec<usize> {
    if waitables.is_empty() {
        return Vec::new();
    }
    let watched: Vec<Watched<'_>> = waitables.iter().map(|waitable| waitable.watch()).collect();
    let raw: Vec<&poll::Pollable> = watched.iter().map(Watched::raw).collect();
    poll::poll(&raw).into_iter().map(|index| index as usize).collect()
}

/// Waits until at least one is ready, and answers the first of those that are. As a list says who goes first, `match` can
/// say what to do then.
///
/// # Panics
/// Where there is nothing to wait for.
#[must_use]
pub fn first(waitables: &[&dyn Waitable]) -> usize {
    any(waitables).into_iter().min().expect("there is something to wait for")
}
