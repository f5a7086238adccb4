//! Indexes, compaction and expiry change how long a search takes, and not what it finds.

use crate::support::{Memory, ONE, WIDTH, every_store, hashed, ids, options, text};
use futures::executor::block_on;
use lance::Dataset;
use remit_abi::{Condition, EntryFilter, Probe, Search, Weighting};
use remit_kernel::ports::MemoryStore;
use remit_memory::Options;
use std::time::Duration;
use tempfile::tempdir;

const NEWER: u64 = 3000;

#[test]
fn a_target_under_many_newer_rows_is_found() {
    let folder = tempdir().unwrap();
    let small = Options { unindexed_rows_max: 500, vector_index_rows_min: 1000, ..options() };
    let memory = Memory::open_with(folder.path(), None, small);
    memory.put(ONE, 1, text(1, 1, "where the silver key lies buried"));
    let check = |what: &str| {
        let vector = hashed("where the silver key lies buried", WIDTH).into();
        let hits = memory.search(ONE, Probe::Vector(vector), 1);
        assert_eq!(hits[0].entry.id.0, 1, "{what}: {hits:?}");
        assert_eq!(memory.words(ONE, "silver keys"), [1], "{what}");
    };
    for id in 2..=NEWER {
        memory.put(ONE, id, text(id, 1, &format!("a newer line with number{id} and other{}", id * 7 % 1000)));
        if id % 250 == 0 {
            memory.flush(ONE);
            check(&format!("under {id} rows"));
        }
    }
    memory.flush(ONE);
    block_on(memory.store.optimize(ONE)).unwrap();
    check("indexed");
    let figures = block_on(memory.store.figures(ONE)).unwrap();
    assert_eq!((figures.entries, figures.pending, figures.unindexed), (NEWER, 0, 0));
    assert!(figures.disk_bytes > 0);
    memory.put(ONE, NEWER + 1, text(NEWER + 1, 1, "the newest line"));
    check("one more");
}

#[test]
fn what_few_rows_have_is_found_past_the_index() {
    let folder = tempdir().unwrap();
    let small = Options { unindexed_rows_max: 500, vector_index_rows_min: 1000, ..options() };
    let memory = Memory::open_with(folder.path(), None, small);
    let rare = [7, 1101, 2222];
    for id in 1..=2500 {
        let mut version = text(id, 1, &format!("line number{id} and other{}", id * 7 % 1000));
        // What has no vector is near to nothing.
        if id % 10 == 0 {
            version.vector = None;
        }
        version.particulars.tags = rare.contains(&id).then(|| "rare".into()).into_iter().collect();
        memory.put(ONE, id, version);
    }
    memory.flush(ONE);
    block_on(memory.store.optimize(ONE)).unwrap();
    let filter = EntryFilter(vec![vec![Condition::Tagged("rare".into())]]);
    // Far from all of them, and near to one.
    for asked in ["something else entirely", "line number7 and other49"] {
        let vector = hashed(asked, WIDTH).into();
        for probe in [Probe::Vector(vector), Probe::Words("line and other".into())] {
            let search = Search { probe, filter: filter.clone(), weighting: Weighting::default(), count: 10 };
            let hits = block_on(memory.store.search(ONE, every_store(), search, 0)).unwrap();
            let mut found = ids(&hits);
            found.sort_unstable();
            assert_eq!(found, rare, "{asked}");
        }
    }
}

#[test]
fn what_expired_long_ago_leaves_its_table() {
    let folder = tempdir().unwrap();
    let clock = || 10_000 * 1_000_000_000;
    let memory = Memory::open_with(folder.path(), None, Options { clock, ..options() });
    for (id, expires_s) in [(1, Some(100)), (2, Some(9_000)), (3, None)] {
        let mut version = text(id, 1, "a plan");
        version.particulars.expires_ns = expires_s.map(|expires_s| expires_s * 1_000_000_000);
        memory.put(ONE, id, version);
    }
    memory.flush(ONE);
    block_on(memory.store.optimize(ONE)).unwrap();
    let figures = block_on(memory.store.figures(ONE)).unwrap();
    // The second expired within the last hour, but goes along with the first.
    assert_eq!(figures.entries, 1);
}

#[test]
fn pieces_of_the_tables_do_not_pile_up() {
    let folder = tempdir().unwrap();
    let memory = Memory::open_with(folder.path(), None, Options { apply_after: Duration::ZERO, ..options() });
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let path = folder.path().join("tenants/1/entries.lance");
    let pieces = || runtime.block_on(Dataset::open(&path.to_string_lossy())).unwrap().fragments().len();
    for id in 1..=50 {
        memory.put(ONE, id, text(id, 1, "a line"));
        memory.flush(ONE);
    }
    assert!(pieces() < 40, "{} pieces", pieces());
    block_on(memory.store.optimize(ONE)).unwrap();
    assert_eq!(pieces(), 1);
    assert_eq!(memory.list(ONE).len(), 50);
}
