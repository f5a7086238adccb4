//! What a purge leaves: in no file anything that opens with any key that is left, and a log and a chain that are whole.

use super::{
    erased::{files, keys, keys_of, shows},
    export, told, whole,
};
use crate::{
    forget::holds,
    memory::{applied, forget, found, put},
    model::Owned,
    sample::{Story, told as told_line},
    stage::{Stage, compare, durable},
};
use remit_journal::audit::Detail;
use remit_kernel::ports::{Change, Journal};
use rusqlite::Connection;
use std::{collections::HashSet, path::Path};

const PURGED: &str = "the spring is under the third oak";
const KEPT: &str = "the well behind the mill is dry";

/// Two tenants whose processes are told both texts again and again. The first one's entry 1 and the second one's entry 3 have the same text.
fn story() -> Story {
    let mut story = Story::default();
    let pids = [1, 1, 2].map(|tenant| story.start(tenant, None));
    for round in 0..12 {
        let number = 1 + round * 3;
        story.add(
            None,
            None,
            vec![put(1, number, 1, PURGED), put(1, number + 1, 2, KEPT), put(2, number + 2, 3, PURGED)],
        );
        for pid in &pids[..2] {
            story.add(Some(*pid), Some(found(&[(1, PURGED), (2, KEPT)])), vec![]);
            story.add(Some(*pid), Some(told_line(round)), vec![]);
            story.add(Some(*pid), Some(found(&[(2, &KEPT.repeat(200)), (1, &PURGED.repeat(200))])), vec![]);
        }
        story.add(Some(pids[2]), Some(found(&[(3, PURGED)])), vec![applied(1, number)]);
    }
    story
}

fn staged(records: &[Owned]) -> Stage {
    let stage = Stage::new();
    for part in records.chunks(3) {
        stage.append(part);
        stage.settle();
    }
    stage
}

/// The sealed keys of entries, as the file has them.
fn sealed(folder: &Path) -> Vec<(u64, Vec<u8>)> {
    let db = Connection::open(folder.join("journal.sqlite")).expect("it is a database");
    let mut select = db.prepare("SELECT entry, key FROM memory_keys ORDER BY number").expect("the table is there");
    let rows = select.query_map([], |row| Ok((row.get::<_, i64>(0)?.cast_unsigned(), row.get(1)?)));
    rows.expect("the table is there").map(|row| row.expect("it is a row")).collect()
}

#[test]
fn nothing_of_a_purged_entry_opens_with_any_key_that_is_left() {
    let mut story = story();
    let mut stage = staged(&story.records);
    stage.close();
    let (before, keys_before) = (sealed(stage.folder()), keys(stage.folder()));
    assert!(shows(&files(stage.folder()), &keys_before, PURGED) > 40, "the test finds what is there");
    stage.reopen();
    let from = story.records.len();
    // Of the second tenant nothing is purged; the first one's is told once more, by somebody who had read it before.
    story.add(None, None, vec![forget(1, 100, &[1], true), forget(2, 101, &[1], true)]);
    let pid = story.records[0].pid.expect("it is a process's");
    story.add(Some(pid), Some(found(&[(1, PURGED), (2, KEPT)])), vec![put(1, 102, 1, PURGED)]);
    stage.append(&story.records[from..]);
    // The checkpoint comes behind the purge, and what is asked for after it comes later.
    let file = export(stage.journal(), 1, Detail::Contents).expect("it has a chain");
    let (_, key) = before.iter().find(|(entry, _)| *entry == 1).expect("it had one");
    for closed in [false, true] {
        let (all, left) = (files(stage.folder()), keys(stage.folder()));
        assert_eq!(left.len() + 1, keys_before.len(), "its key is gone");
        let of_second = keys_of(stage.folder(), 2);
        let of_first: Vec<_> = left.iter().filter(|key| !of_second.contains(key)).copied().collect();
        assert_eq!(shows(&all, &of_first, PURGED), 0, "closed: {closed}");
        assert!(shows(&all, &left, PURGED) > 10 && shows(&all, &of_first, KEPT) > 40, "others' are there");
        let bytes: Vec<u8> = all.into_iter().flat_map(|(_, bytes)| bytes).collect();
        assert_eq!(key.chunks_exact(12).find(|part| holds(&bytes, part)), None, "closed: {closed}");
        stage.close();
    }
    // The export is whole, and shows the other entry alone.
    assert_eq!(whole(&file).revealed, told(&file).len() as u64);
    let hex = [PURGED, KEPT].map(hex::encode);
    assert!(!holds(&file, hex[0].as_bytes()) && holds(&file, hex[1].as_bytes()));
    assert_eq!(told(&file), super::expected(&story.records, 1));
    stage.reopen();
    compare(stage.journal(), &story.model);
}

/// Changes of nobody's own, several a record.
fn records(changes: &[Change]) -> Vec<Owned> {
    let record = |part: &[Change]| Owned { pid: None, entry: None, changes: part.to_vec() };
    changes.chunks(40).map(record).collect()
}

#[test]
fn of_many_keys_none_that_is_destroyed_has_a_copy_in_any_page() {
    let mut stage = Stage::new();
    let (mut destroyed, mut number, mut entry) = (HashSet::new(), 0, 0_u64);
    let mut next = || {
        number += 1;
        number
    };
    for round in 0..8_u64 {
        let mut changes = Vec::new();
        for _ in 0..700 {
            entry += 1;
            changes.push(put(1 + (entry % 3) as u32, next(), entry, "short"));
        }
        stage.append(&records(&changes));
        stage.close();
        let known = sealed(stage.folder());
        stage.reopen();
        // Some of all that there ever were, in no order.
        let chosen =
            known.iter().filter(|(entry, key)| (entry * 7919 + round) % 5 == 0 && key.iter().any(|byte| *byte != 0));
        let mut changes = Vec::new();
        for (entry, key) in chosen {
            destroyed.insert(key[..12].to_vec());
            changes.push(forget(1 + (entry % 3) as u32, next(), &[*entry], true));
        }
        changes.extend((1..4).map(|tenant| applied(tenant, entry)));
        stage.append(&records(&changes));
    }
    assert!(destroyed.len() > 2_000, "{} keys", destroyed.len());
    stage.settle();
    // Of a tenant that has no process there is nothing to export, and this is asked behind the checkpoint.
    assert_eq!(export(stage.journal(), 1, Detail::Digests), None);
    for closed in [false, true] {
        for (path, bytes) in files(stage.folder()) {
            let copies = bytes.windows(12).filter(|nonce| destroyed.contains(*nonce)).count();
            assert_eq!(copies, 0, "{}, closed: {closed}", path.display());
        }
        stage.close();
    }
}

#[test]
fn a_reader_of_an_old_state_delays_no_commit_and_the_wal_is_emptied_when_it_is_gone() {
    let mut stage = staged(&story().records);
    stage.close();
    let known = sealed(stage.folder());
    stage.reopen();
    let wal = stage.folder().join("journal.sqlite-wal");
    stage.append(&records(&[put(1, 200, 50, KEPT)]));
    stage.settle();
    let reader = Connection::open(stage.folder().join("journal.sqlite")).expect("it is a database");
    reader.execute_batch("BEGIN").expect("it reads");
    let rows: i64 = reader.query_row("SELECT count(*) FROM memory_keys", [], |row| row.get(0)).expect("it reads");
    assert_eq!(rows, known.len() as i64 + 1);
    durable(stage.journal(), stage.append(&records(&[forget(1, 201, &[1], true)])));
    durable(stage.journal(), stage.append(&records(&[put(1, 202, 51, KEPT)])));
    assert!(std::fs::metadata(&wal).expect("it is there").len() > 0, "somebody reads it");
    drop(reader);
    // A try that began before may end behind the first of these.
    for _ in 0..2 {
        export(stage.journal(), 1, Detail::Digests).expect("it has a chain");
    }
    let (_, key) = known.iter().find(|(entry, _)| *entry == 1).expect("it had one");
    for (path, bytes) in files(stage.folder()) {
        assert!(!holds(&bytes, &key[..12]), "{}", path.display());
    }
    let left = stage.journal().node().expect("it can be read").memory;
    assert!(left.iter().any(|(_, write)| write.number == 201), "the store is still to be told");
}
