//! Versions of entries: written, read, forgotten, restored, expired; in memory and in the tables.

use crate::support::{Memory, ONE, TWO, every_store, lazy, put, text, unembedded};
use futures::executor::block_on;
use remit_abi::{EntryFilter, EntryId, GrantKind, Probe, Scope};
use remit_kernel::ports::{EntryVersion, MemoryStore};
use tempfile::tempdir;

fn numbers(versions: &[EntryVersion]) -> Vec<(u64, u32)> {
    versions.iter().map(|version| (version.id.0, version.version)).collect()
}

#[test]
fn the_newest_version_is_found_and_all_are_kept() {
    let folder = tempdir().unwrap();
    let memory = Memory::open_with(folder.path(), None, lazy());
    memory.put(ONE, 1, text(1, 1, "red apple"));
    memory.put(ONE, 2, text(2, 1, "green pear"));
    memory.put(ONE, 3, text(1, 2, "yellow apple"));
    memory.in_every_state(folder.path(), ONE, |memory| {
        assert_eq!(memory.get(ONE, 1), Some(text(1, 2, "yellow apple")));
        assert_eq!(numbers(&memory.versions(ONE, 1)), [(1, 1), (1, 2)]);
        assert_eq!(numbers(&memory.list(ONE)), [(1, 2), (2, 1)]);
        assert_eq!(memory.words(ONE, "apples"), [1]);
        assert_eq!(memory.words(ONE, "red"), [0_u64; 0]);
        assert_eq!(memory.nearest(ONE, "green pear")[0], 2);
        assert_eq!(memory.get(ONE, 3), None);
        assert_eq!(memory.list(TWO), []);
    });
}

#[test]
fn a_version_over_one_that_is_in_the_tables_hides_it_at_once() {
    let folder = tempdir().unwrap();
    let memory = Memory::open_with(folder.path(), None, lazy());
    memory.put(ONE, 1, text(1, 1, "red apple"));
    memory.put(ONE, 2, text(2, 1, "red pear"));
    memory.flush(ONE);
    memory.put(ONE, 3, text(1, 2, "yellow apple"));
    memory.forget(ONE, 4, &[2], false);
    memory.in_every_state(folder.path(), ONE, |memory| {
        assert_eq!(memory.words(ONE, "red"), [0_u64; 0]);
        assert_eq!(memory.words(ONE, "yellow"), [1]);
        assert_eq!(memory.nearest(ONE, "red pear"), [1]);
        assert_eq!(numbers(&memory.list(ONE)), [(1, 2)]);
        assert_eq!(memory.get(ONE, 2), None);
        assert_eq!(numbers(&memory.versions(ONE, 2)), [(2, 1)]);
    });
}

#[test]
fn what_is_forgotten_can_be_restored_and_what_is_purged_cannot() {
    let folder = tempdir().unwrap();
    let memory = Memory::open_with(folder.path(), None, lazy());
    memory.put(ONE, 1, text(1, 1, "kept"));
    memory.put(ONE, 2, text(2, 1, "gone"));
    memory.flush(ONE);
    memory.forget(ONE, 3, &[1], false);
    memory.forget(ONE, 4, &[2, 99], true);
    memory.flush(ONE);
    memory.put(ONE, 5, text(1, 2, "kept"));
    memory.in_every_state(folder.path(), ONE, |memory| {
        assert_eq!(numbers(&memory.versions(ONE, 1)), [(1, 1), (1, 2)]);
        assert_eq!(memory.versions(ONE, 2), []);
        assert_eq!(numbers(&memory.list(ONE)), [(1, 2)]);
    });
}

#[test]
fn only_stores_of_the_grant_are_seen() {
    let folder = tempdir().unwrap();
    let memory = Memory::open_with(folder.path(), None, lazy());
    for (id, store) in [(1, "team/plans"), (2, "team/notes"), (3, "private")] {
        memory.put(ONE, id, EntryVersion { store: store.into(), ..text(id, 1, "a plan") });
    }
    memory.in_every_state(folder.path(), ONE, |memory| {
        let seen = |entries: &[&str]| {
            let scope = Scope::parse(GrantKind::Memory, entries).unwrap();
            let list = memory.store.list(ONE, scope.clone(), EntryFilter::default(), None, 10, 0);
            let list: Vec<_> = block_on(list).unwrap().iter().map(|version| version.id.0).collect();
            let got = |id: &u64| block_on(memory.store.get(ONE, scope.clone(), EntryId(*id), 0)).unwrap().is_some();
            assert_eq!((1..=3).filter(got).collect::<Vec<_>>(), list);
            list
        };
        assert_eq!(seen(&["team/*"]), [1, 2]);
        assert_eq!(seen(&["team/plans", "private"]), [1, 3]);
        assert_eq!(seen(&["team"]), [0_u64; 0]);
        assert_eq!(seen(&["*"]), [1, 2, 3]);
    });
}

#[test]
fn what_has_expired_is_not_found() {
    let folder = tempdir().unwrap();
    let memory = Memory::open_with(folder.path(), None, lazy());
    for (id, expires_ns) in [(1, Some(100)), (2, Some(101)), (3, None)] {
        let mut version = text(id, 1, "a plan");
        version.particulars.expires_ns = expires_ns;
        memory.put(ONE, id, version);
    }
    memory.in_every_state(folder.path(), ONE, |memory| {
        let list = |now_ns| {
            let list = memory.store.list(ONE, every_store(), EntryFilter::default(), None, 10, now_ns);
            numbers(&block_on(list).unwrap())
        };
        assert_eq!(list(99), [(1, 1), (2, 1), (3, 1)]);
        assert_eq!(list(100), [(2, 1), (3, 1)]);
        assert_eq!(list(u64::MAX), [(3, 1)]);
        assert_eq!(block_on(memory.store.get(ONE, every_store(), EntryId(1), 100)).unwrap(), None);
    });
}

#[test]
fn pages_of_a_list_follow_one_another() {
    let folder = tempdir().unwrap();
    let memory = Memory::open_with(folder.path(), None, lazy());
    for id in 1..=20 {
        memory.put(ONE, id, text(id, 1, "a line"));
        if id == 10 {
            memory.flush(ONE);
        }
    }
    let mut seen = Vec::new();
    loop {
        let after = seen.last().map(|id| EntryId(*id));
        let page = block_on(memory.store.list(ONE, every_store(), EntryFilter::default(), after, 7, 0)).unwrap();
        if page.is_empty() {
            break;
        }
        seen.extend(page.iter().map(|version| version.id.0));
    }
    assert_eq!(seen, (1..=20).collect::<Vec<_>>());
}

#[test]
fn writes_that_come_again_do_nothing() {
    let folder = tempdir().unwrap();
    let memory = Memory::open(folder.path());
    let writes = [put(1, text(1, 1, "one")), put(2, text(1, 2, "two")), put(3, text(2, 1, "three"))];
    for write in &writes {
        memory.store.accept(ONE, write.clone());
        memory.store.accept(ONE, write.clone());
    }
    memory.flush(ONE);
    assert_eq!(memory.told(ONE), 3);
    drop(memory);
    let memory = Memory::open(folder.path());
    for write in writes {
        memory.store.accept(ONE, write);
    }
    memory.flush(ONE);
    assert_eq!(numbers(&memory.list(ONE)), [(1, 2), (2, 1)]);
    assert_eq!(numbers(&memory.versions(ONE, 1)), [(1, 1), (1, 2)]);
    assert_eq!(memory.told(ONE), 3);
    let figures = block_on(memory.store.figures(ONE)).unwrap();
    assert_eq!((figures.entries, figures.versions, figures.pending), (2, 3, 0));
}

#[test]
fn what_is_erased_is_gone_and_others_stay() {
    let folder = tempdir().unwrap();
    let memory = Memory::open(folder.path());
    for tenant in [ONE, TWO] {
        memory.put(tenant, 1, text(1, 1, "a plan"));
        memory.flush(tenant);
    }
    memory.put(ONE, 2, text(2, 1, "pending"));
    block_on(memory.store.erase(ONE)).unwrap();
    assert_eq!(memory.list(ONE), []);
    assert!(!folder.path().join("tenants/1").exists());
    assert_eq!(numbers(&memory.list(TWO)), [(1, 1)]);
    memory.put(ONE, 3, text(3, 1, "anew"));
    memory.flush(ONE);
    assert_eq!(numbers(&memory.list(ONE)), [(3, 1)]);
}

#[test]
fn contents_that_are_no_text_are_kept_and_not_searched() {
    let folder = tempdir().unwrap();
    let memory = Memory::open_with(folder.path(), None, lazy());
    let mut version = unembedded(1, 1, "plan");
    version.content.media_type = "image/png".into();
    memory.put(ONE, 1, version.clone());
    memory.put(ONE, 2, unembedded(2, 1, "plan"));
    memory.in_every_state(folder.path(), ONE, |memory| {
        assert_eq!(memory.get(ONE, 1), Some(version.clone()));
        assert_eq!(memory.words(ONE, "plan"), [2]);
        let vector = Probe::Vector(crate::support::hashed("plan", crate::support::WIDTH).into());
        assert_eq!(memory.search(ONE, vector, 3).len(), 0);
    });
}
