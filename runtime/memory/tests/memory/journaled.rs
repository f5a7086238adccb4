//! The journal has it first: what it may still lose, the store's files do not have.

use crate::support::{Durable, Memory, ONE, text};
use futures::executor::block_on;
use remit_kernel::ports::{MemoryStore, StoreError};
use std::path::Path;
use tempfile::tempdir;

/// A memory with two entries, of which the journal has one for good, and whose task waits for it to have the other.
fn waiting(folder: &Path) -> Memory {
    let memory = Memory::open(folder);
    memory.put(ONE, 1, text(1, 1, "a plan"));
    memory.flush(ONE);
    memory.told.durable.send_replace(Durable::NotYet);
    memory.put(ONE, 2, text(2, 1, "another plan"));
    assert_eq!(memory.list(ONE).len(), 2, "it is found from the start");
    while memory.told.durable.receiver_count() == 0 {
        std::thread::yield_now();
    }
    memory
}

#[test]
fn what_a_crash_takes_from_the_journal_is_not_in_the_files() {
    let folder = tempdir().unwrap();
    drop(waiting(folder.path()));
    let after = Memory::open(folder.path());
    assert_eq!(after.list(ONE).len(), 1);
    // The number is given out again, for something else.
    after.put(ONE, 2, text(3, 1, "a third plan"));
    after.flush(ONE);
    assert!(after.get(ONE, 3).is_some());
}

#[test]
fn what_the_journal_has_gets_into_the_files() {
    let folder = tempdir().unwrap();
    let memory = waiting(folder.path());
    assert_eq!(memory.told(ONE), 1);
    memory.told.durable.send_replace(Durable::Yes);
    memory.flush(ONE);
    assert_eq!(memory.told(ONE), 2);
    drop(memory);
    assert_eq!(Memory::open(folder.path()).list(ONE).len(), 2);
}

#[test]
fn a_journal_that_fails_is_told_and_nothing_is_lost() {
    let folder = tempdir().unwrap();
    let memory = Memory::open(folder.path());
    memory.told.durable.send_replace(Durable::Never);
    memory.put(ONE, 1, text(1, 1, "a plan"));
    let error = block_on(memory.store.flush(ONE)).unwrap_err();
    assert!(
        matches!(&error, StoreError::Io { tenant, reason } if *tenant == ONE && reason.contains("is full")),
        "{error}"
    );
    assert_eq!((memory.told(ONE), memory.list(ONE).len()), (0, 1));
    memory.told.durable.send_replace(Durable::Yes);
    memory.flush(ONE);
    assert_eq!(memory.told(ONE), 1);
}
