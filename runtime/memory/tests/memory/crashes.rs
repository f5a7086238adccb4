//! A disk that fails at any write, and what is there afterwards.

use crate::{
    disk::Disk,
    model::{Model, SECRET, story, writes},
    purge::having,
    support::{Memory, ONE, options, text},
};
use futures::executor::block_on;
use remit_kernel::ports::{MemoryStore, StoreError};
use remit_memory::Options;
use std::{path::Path, sync::Arc, time::Duration};
use tempfile::tempdir;

/// Indexes and compacts as early as can be.
fn on(disk: &Arc<Disk>) -> Options {
    Options {
        store_wrapper: disk.wrapper(),
        unindexed_rows_max: 2,
        maintain_every: Duration::from_secs(3600),
        apply_after: Duration::from_secs(3600),
        ..options()
    }
}

/// Writes everything, into tables that have indexes; ends where the disk does.
fn live(memory: &Memory) -> Result<(), StoreError> {
    for (place, batch) in story().into_iter().enumerate() {
        for write in batch {
            memory.store.accept(ONE, write);
        }
        block_on(memory.store.flush(ONE))?;
        if place == 0 {
            block_on(memory.store.optimize(ONE))?;
        }
    }
    Ok(())
}

/// Dies at one write, and is opened again on a sound disk, with what the journal still has.
fn die(folder: &Path, disk: &Arc<Disk>, what: &str) {
    let writes = story().concat();
    let memory = Memory::open_with(folder, None, on(disk));
    let lived = live(&memory);
    let told = memory.told(ONE);
    drop(memory);
    let memory = Memory::open(folder);
    let (kept, pending) = writes.split_at(writes.partition_point(|write| write.number <= told));
    // What was said to be on the disk is there without the journal, where no more is: a commit that was made need not have been told.
    memory.list(ONE);
    if memory.told(ONE) == told {
        Model::of(kept).check(&memory, &format!("{what}, {lived:?}: kept"));
    }
    for write in pending {
        memory.store.accept(ONE, write.clone());
    }
    let model = Model::of(&writes);
    model.check_list(&memory, &format!("{what}: pending"));
    memory.flush(ONE);
    model.check(&memory, &format!("{what}: applied"));
    assert_eq!(memory.told(ONE), writes[writes.len() - 1].number, "{what}");
    assert_eq!(having(folder, SECRET.as_bytes()), [""; 0], "{what}, told {told}");
}

#[test]
fn from_any_write_at_which_a_host_dies_everything_comes_back_once() {
    let all = {
        let (folder, disk) = (tempdir().unwrap(), Disk::sound());
        die(folder.path(), &disk, "a sound disk");
        disk.writes()
    };
    assert!(all > 60, "{all} writes");
    for number in 1..=all {
        let (folder, disk) = (tempdir().unwrap(), Disk::failing_from(number));
        die(folder.path(), &disk, &format!("write {number} of {all}"));
    }
}

#[test]
fn a_disk_that_is_full_loses_nothing_and_goes_on_when_there_is_room() {
    let (folder, disk) = (tempdir().unwrap(), Disk::sound());
    let writes = writes(5, 40);
    let (before, later) = writes.split_at(28);
    let memory = Memory::open_with(folder.path(), None, on(&disk));
    for batch in before.chunks(4) {
        for write in batch {
            memory.store.accept(ONE, write.clone());
        }
        memory.flush(ONE);
    }
    let model = Model::of(before);
    // In the middle of indexing and of compaction, at several places.
    for more in [0, 1, 2, 4, 7, 11, 16] {
        disk.fail_after(more);
        let outcome = block_on(memory.store.optimize(ONE));
        if disk.has_failed() {
            assert!(matches!(outcome, Err(StoreError::Io { tenant: ONE, .. })), "after {more} writes: {outcome:?}");
        }
        disk.mend();
        model.check(&memory, &format!("full after {more} writes"));
    }
    disk.fail_after(0);
    for write in later {
        memory.store.accept(ONE, write.clone());
    }
    let full = block_on(memory.store.flush(ONE));
    assert!(matches!(full, Err(StoreError::Io { tenant: ONE, .. })), "{full:?}");
    let model = Model::of(&writes);
    model.check(&memory, "full, and pending");
    assert_eq!(memory.words(ONE, "nothing"), [0_u64; 0]);
    disk.mend();
    memory.flush(ONE);
    block_on(memory.store.optimize(ONE)).unwrap();
    model.check_list(&memory, "room again");
    drop(memory);
    model.check(&Memory::open(folder.path()), "opened anew");
}

#[test]
fn whoever_writes_to_a_full_disk_is_told_when_there_is_no_room_in_memory_either() {
    let (folder, disk) = (tempdir().unwrap(), Disk::failing_from(1));
    let memory = Memory::open_with(folder.path(), None, Options { store_wrapper: disk.wrapper(), ..options() });
    // Each has as many bytes as an entry may have.
    let large = "x".repeat(1 << 20);
    let mut id = 0;
    let told = loop {
        id += 1;
        assert!(id < 200, "there is room for everything");
        if let Err(error) = block_on(memory.store.room(ONE)) {
            break error;
        }
        memory.put(ONE, id, text(id, 1, &large));
    };
    assert!(matches!(told, StoreError::Io { tenant: ONE, .. }), "{told}");
    disk.mend();
    memory.flush(ONE);
    block_on(memory.store.room(ONE)).unwrap();
    assert_eq!(memory.list(ONE).len() as u64, id - 1);
}
