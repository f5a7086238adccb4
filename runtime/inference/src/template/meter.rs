//! What a rendering may use, counted where it is used.
//!
//! Steps are taken and never given back. Bytes are held: a text or a list counts what it has room for, from before it is
//! allocated until it is dropped, so that what is counted is never less than what is there. Nothing in this module's
//! siblings keeps data of a template's making but in a [`Buffer`] or a [`Pile`].

use super::{FUEL, MEMORY_BYTES_MAX, NESTING_MAX, RECURSION_MAX};
use std::{cell::Cell, ops::Deref, rc::Rc};

/// Bytes that are copied, compared or searched in one step: about what one step takes otherwise.
const BYTES_PER_STEP: usize = 256;
/// The same for characters that are looked at one by one.
const CHARACTERS_PER_STEP: usize = 16;
/// What an object takes besides its content: a counted pointer's counts, the object itself, the allocator's rounding.
const OBJECT_BYTES: usize = 96;
/// Room of a text that has any: most are that short.
const ROOM_MIN: usize = 32;

/// Why a rendering stops.
#[derive(Debug)]
pub(super) enum Stop {
    /// The template is wrong, or says so itself.
    Failed(String),
    /// All steps are taken.
    Fuel,
    /// All bytes are held.
    Memory,
    /// Calls, loops and expressions inside each other.
    Recursion,
    /// Lists and maps inside each other.
    Nesting,
    /// The prompt is too long.
    Output,
}

pub(super) type Outcome<T> = Result<T, Stop>;

/// A failure in words.
pub(super) fn failed<T>(why: impl Into<String>) -> Outcome<T> {
    Err(Stop::Failed(why.into()))
}

/// The counts of one rendering.
#[derive(Debug, Default)]
pub(super) struct Meter {
    taken: Cell<u64>,
    held: Cell<usize>,
    depth: Cell<usize>,
}

impl Meter {
    /// Takes so many steps.
    pub(super) fn steps(&self, count: usize) -> Outcome<()> {
        let taken = self.taken.get().saturating_add(count as u64);
        self.taken.set(taken);
        if taken > FUEL { Err(Stop::Fuel) } else { Ok(()) }
    }

    /// Takes the steps of work on so many bytes, and one.
    pub(super) fn bytes(&self, count: usize) -> Outcome<()> {
        self.steps(1 + count / BYTES_PER_STEP)
    }

    /// Takes the steps of work on the characters of so many bytes, one by one.
    pub(super) fn characters(&self, bytes: usize) -> Outcome<()> {
        self.steps(1 + bytes / CHARACTERS_PER_STEP)
    }

    /// Does something one level deeper.
    pub(super) fn deeper<T>(&self, act: impl FnOnce() -> Outcome<T>) -> Outcome<T> {
        let depth = self.depth.get() + 1;
        if depth > RECURSION_MAX {
            return Err(Stop::Recursion);
        }
        self.depth.set(depth);
        let done = act();
        self.depth.set(depth - 1);
        done
    }

    fn hold(&self, bytes: usize) -> Outcome<()> {
        let held = self.held.get().saturating_add(bytes);
        if held > MEMORY_BYTES_MAX {
            return Err(Stop::Memory);
        }
        self.held.set(held);
        Ok(())
    }

    fn release(&self, bytes: usize) {
        self.held.set(self.held.get() - bytes);
    }
}

/// The depth of a list or map around such a content.
pub(super) fn nest(content: usize) -> Outcome<usize> {
    if content < NESTING_MAX { Ok(content + 1) } else { Err(Stop::Nesting) }
}

/// A text that grows.
#[derive(Debug)]
pub(super) struct Buffer {
    text: String,
    held: usize,
    meter: Rc<Meter>,
}

impl Buffer {
    pub(super) fn new(meter: &Rc<Meter>) -> Outcome<Self> {
        meter.hold(OBJECT_BYTES)?;
        Ok(Self { text: String::new(), held: OBJECT_BYTES, meter: meter.clone() })
    }

    /// Appends.
    pub(super) fn push(&mut self, text: &str) -> Outcome<()> {
        self.meter.steps(text.len() / BYTES_PER_STEP)?;
        let (needed, room) = (self.text.len() + text.len(), self.text.capacity());
        if needed > room {
            let more = needed.max(room * 2).max(ROOM_MIN) - room;
            self.meter.hold(more)?;
            self.held += more;
            self.text.reserve_exact(room + more - self.text.len());
        }
        self.text.push_str(text);
        Ok(())
    }

    pub(super) const fn meter(&self) -> &Rc<Meter> {
        &self.meter
    }

    pub(super) fn push_char(&mut self, character: char) -> Outcome<()> {
        self.push(character.encode_utf8(&mut [0; 4]))
    }

    /// Appends this many times.
    pub(super) fn push_times(&mut self, text: &str, times: usize) -> Outcome<()> {
        for _ in 0..times {
            self.meter.steps(1)?;
            self.push(text)?;
        }
        Ok(())
    }

    /// The text alone, which nobody counts any more.
    pub(super) fn into_text(mut self) -> String {
        std::mem::take(&mut self.text)
    }
}

impl Deref for Buffer {
    type Target = str;

    fn deref(&self) -> &str {
        &self.text
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.meter.release(self.held);
    }
}

/// A vector that grows.
#[derive(Debug)]
pub(super) struct Pile<T> {
    items: Vec<T>,
    held: usize,
    meter: Rc<Meter>,
}

impl<T> Pile<T> {
    pub(super) fn new(meter: &Rc<Meter>) -> Outcome<Self> {
        meter.hold(OBJECT_BYTES)?;
        Ok(Self { items: Vec::new(), held: OBJECT_BYTES, meter: meter.clone() })
    }

    /// Appends, in one step.
    pub(super) fn push(&mut self, item: T) -> Outcome<()> {
        self.meter.steps(1)?;
        let room = self.items.capacity();
        if self.items.len() == room {
            let more = room.max(4);
            let bytes = more * size_of::<T>();
            self.meter.hold(bytes)?;
            self.held += bytes;
            self.items.reserve_exact(more);
        }
        self.items.push(item);
        Ok(())
    }

    pub(super) fn as_mut_slice(&mut self) -> &mut [T] {
        &mut self.items
    }
}

impl<T> Deref for Pile<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.items
    }
}

impl<T> Drop for Pile<T> {
    fn drop(&mut self) {
        self.meter.release(self.held);
    }
}
