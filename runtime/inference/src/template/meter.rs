//! What a rendering may make and read, counted where it does.
//!
//! Nothing is given back: a rendering that made [`MEMORY_BYTES_MAX`] bytes in all never held more. The counts belong to the thread,
//! which renders one template at a time from begin to end.

use super::{MEMORY_BYTES_MAX, READ_BYTES_MAX};
use minijinja::{Error, ErrorKind};
use std::cell::Cell;

thread_local! {
    static MADE: Cell<usize> = const { Cell::new(0) };
    static READ: Cell<usize> = const { Cell::new(0) };
}

/// A failure in words.
pub(super) fn failed(why: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, why.into())
}

/// Begins a rendering.
pub(super) fn begin() {
    MADE.set(0);
    READ.set(0);
}

/// Counts bytes of a value that is about to be made.
pub(super) fn make(bytes: usize) -> Result<(), Error> {
    let made = MADE.get().saturating_add(bytes);
    MADE.set(made);
    if made <= MEMORY_BYTES_MAX {
        return Ok(());
    }
    Err(failed(format!("it takes too much memory, more than {MEMORY_BYTES_MAX} bytes; shorten the conversation")))
}

/// Counts bytes that are about to be copied, compared or searched.
pub(super) fn read(bytes: usize) -> Result<(), Error> {
    let read = READ.get().saturating_add(bytes);
    READ.set(read);
    if read <= READ_BYTES_MAX {
        return Ok(());
    }
    Err(failed(format!("it works through more than {READ_BYTES_MAX} bytes; shorten the conversation")))
}
