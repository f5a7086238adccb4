//! A process that is killed at any moment, and one whose files can be no larger, lose nothing that the journal would hand over again: the
//! path to the disk is Lance's own here.

#![allow(clippy::print_stdout, reason = "a child tells its parent how far it is")]

use crate::{
    model::{Model, writes},
    support::{Memory, ONE, options, text},
};
use futures::executor::block_on;
use remit_kernel::ports::MemoryStore;
use remit_memory::{CommitPoint, CommitPoints, Options};
use std::{
    env,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
};
use tempfile::tempdir;

/// Where a child finds the folder that it writes to.
const FOLDER: &str = "REMIT_MEMORY_TEST_FOLDER";

/// What a child says when a state of a table is visible, which its parent may wait for.
const STATE: &str = "a state of a table is visible";

/// This program anew, with one of its tests, which does the work where it finds the folder. `before` is what its shell does first.
fn child(test: &str, folder: &Path, before: &str) -> Child {
    Command::new("sh")
        .args(["-c", &format!("{before} exec \"$0\" \"$@\"")])
        .arg(env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads", "1"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn small(points: CommitPoints) -> Options {
    Options { unindexed_rows_max: 8, vector_index_rows_min: 16, commit_points: points, ..options() }
}

/// The work of a child that is killed: nothing, where nobody asks for it.
#[test]
fn writes_until_it_is_killed() {
    let Some(folder) = env::var_os(FOLDER) else { return };
    let tell = |point, _: &Path| {
        if point == CommitPoint::Named {
            println!("{STATE}");
        }
        Ok(())
    };
    let memory = Memory::open_with(Path::new(&folder), None, small(CommitPoints(Some(Arc::new(tell)))));
    for batch in writes(11, 48).chunks(8) {
        for write in batch {
            memory.store.accept(ONE, write.clone());
        }
        memory.flush(ONE);
        block_on(memory.store.optimize(ONE)).unwrap();
    }
}

#[test]
fn a_process_that_is_killed_at_any_moment_loses_nothing() {
    let writes = writes(11, 48);
    let model = Model::of(&writes);
    for states in [2, 5, 9, 16, 24] {
        let folder = tempdir().unwrap();
        let mut child = child("killed::writes_until_it_is_killed", folder.path(), "");
        let output = BufReader::new(child.stdout.take().unwrap());
        let seen = output.lines().map_while(Result::ok).filter(|line| line.contains(STATE)).take(states).count();
        // It has gone on meanwhile, to wherever it is by now.
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(seen, states);
        let memory = Memory::open_with(folder.path(), None, small(CommitPoints::default()));
        for write in &writes {
            memory.store.accept(ONE, write.clone());
        }
        model.check_list(&memory, &format!("killed after {states} states, pending"));
        memory.flush(ONE);
        model.check(&memory, &format!("killed after {states} states, applied"));
    }
}

const LINES: u64 = 24;

/// Letters that no encoding makes much shorter.
fn line(id: u64) -> String {
    let mut state = id;
    let letter = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b'a' + ((state >> 33) % 26) as u8)
    };
    format!("line{id} {}", (0..8000).map(letter).collect::<String>())
}

/// The work of a child whose files can have some 50 KB: nothing, where nobody asks for it.
#[test]
fn compacts_where_no_file_can_be_that_large() {
    let Some(folder) = env::var_os(FOLDER) else { return };
    let memory = Memory::open(Path::new(&folder));
    for id in 1..=LINES {
        memory.put(ONE, id, text(id, 1, &line(id)));
        if id % 4 == 0 {
            memory.flush(ONE);
        }
    }
    let error = block_on(memory.store.optimize(ONE)).unwrap_err();
    println!("it says: {error}");
    assert_eq!(memory.list(ONE).len() as u64, LINES);
    assert_eq!(memory.words(ONE, "line7"), [7]);
    memory.put(ONE, LINES + 1, text(LINES + 1, 1, "one more"));
    memory.flush(ONE);
    assert_eq!(memory.told(ONE), LINES + 1);
    println!("it goes on");
}

#[test]
fn a_disk_that_is_full_in_the_middle_of_a_compaction_loses_nothing() {
    let folder = tempdir().unwrap();
    // A block has 512 bytes (POSIX.1-2017, XCU, ulimit), or 1024 in some shells.
    let limit = "trap '' XFSZ; ulimit -f 96;";
    let child = child("killed::compacts_where_no_file_can_be_that_large", folder.path(), limit);
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("it goes on"), "{said}");
    let memory = Memory::open(folder.path());
    block_on(memory.store.optimize(ONE)).unwrap();
    assert_eq!(memory.list(ONE).len() as u64, LINES + 1);
    assert_eq!(memory.words(ONE, "line7"), [7]);
    assert_eq!(memory.get(ONE, 9), Some(text(9, 1, &line(9))));
}
