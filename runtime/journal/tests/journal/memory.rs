//! What memories are written, what processes are told of them, and what is purged: beside the kernel's own journal in memory.

use crate::{
    audit::{export, rows, whole},
    model::{Owned, Plain},
    sample::{SECRET, Story, finished, pid, told, value},
    stage::Stage,
};
use remit_abi::{EntryId, Label, Particulars, Pid, Remembered, TenantId, ValueId};
use remit_journal::audit::{Detail, Expected, Flaw, verify};
use remit_kernel::{
    MemoryJournal,
    ports::{
        Change, Entry, EntryVersion, Journal, JournalError, MemoryAct, MemoryWrite, NodeImage, Note, Record, Told,
    },
};
use rusqlite::Connection;

fn remembered(tenant: u32, number: u64, act: MemoryAct) -> Change {
    Change::Remembered { tenant: TenantId(tenant), write: Box::new(MemoryWrite { number, act }) }
}

/// A version of an entry.
pub(crate) fn put(tenant: u32, number: u64, entry: u64, text: &str) -> Change {
    let particulars =
        Particulars { tags: vec!["water".into()], metadata: Vec::new(), importance: 0.5, expires_ns: None };
    let version = EntryVersion {
        id: EntryId(entry),
        version: 1,
        store: "shared".into(),
        source: Some(pid(tenant, 1)),
        written_ns: 7,
        label: Label::UNTRUSTED,
        content: Remembered { bytes: text.as_bytes().to_vec().into(), media_type: "text/plain".into() },
        particulars,
        vector: Some([0.6, 0.8].into()),
    };
    remembered(tenant, number, MemoryAct::Put(Box::new(version)))
}

pub(crate) fn forget(tenant: u32, number: u64, entries: &[u64], purge: bool) -> Change {
    let entries = entries.iter().copied().map(EntryId).collect();
    remembered(tenant, number, MemoryAct::Forget { entries, purge })
}

pub(crate) fn applied(tenant: u32, number: u64) -> Change {
    Change::RememberedUpTo { tenant: TenantId(tenant), number }
}

/// A reply that brings what entries hold.
pub(crate) fn found(entries: &[(u64, &str)]) -> Entry<'static> {
    let note = |(index, (entry, text)): (u32, &(u64, &str))| {
        Note::Remembered(ValueId { index, generation: 1 }, EntryId(*entry), Some(value(text)))
    };
    let notes = (0..).zip(entries).map(note).chain([Note::Call(4)]).collect();
    match told(1) {
        Entry::Told(told) => Entry::Told(Told { notes, ..told }),
        other => other,
    }
}

/// Records of two processes, of which the first lives in tenant 1: all that can happen to an entry, and what cannot.
pub(crate) fn records() -> Vec<Owned> {
    let [one, two] = [pid(1, 1), pid(2, 2)];
    let changes = |changes| Owned { pid: None, entry: None, changes };
    let line = |pid: Pid, entry, changes| Owned { pid: Some(pid), entry: Some(entry), changes };
    let account = remit_abi::AccountId { index: 1, generation: 1 };
    vec![
        line(one, crate::sample::created(None, account), vec![]),
        line(one, crate::sample::began(0), vec![put(1, 1, 1, SECRET)]),
        line(two, crate::sample::created(None, account), vec![]),
        line(two, crate::sample::began(0), vec![put(2, 2, 2, SECRET), put(2, 3, 3, "")]),
        line(one, found(&[(1, SECRET), (4, "four"), (1, "one")]), vec![]),
        line(two, found(&[(2, SECRET)]), vec![put(1, 4, 4, "four")]),
        changes(vec![applied(2, 2), put(1, 5, 1, "again")]),
        // Another tenant's is another entry.
        changes(vec![forget(2, 6, &[1], true)]),
        changes(vec![forget(2, 7, &[2], false)]),
        line(one, found(&[(4, "four"), (1, SECRET)]), vec![forget(1, 8, &[1], true)]),
        // It was read before, and is told afterwards.
        line(one, found(&[(1, SECRET), (4, "four")]), vec![put(1, 9, 1, "too late")]),
        // Nobody wrote that, and it is purged twice.
        changes(vec![forget(1, 10, &[77, 1], true), forget(1, 11, &[77], true)]),
        changes(vec![applied(1, 8), applied(9, 99)]),
        line(one, found(&[(77, "nothing"), (4, "four")]), vec![put(2, 12, 13, "thirteen")]),
    ]
}

/// Writes, and the next numbers.
fn writes(node: NodeImage) -> (Vec<(TenantId, MemoryWrite)>, u64, u64) {
    (node.memory, node.next.memory_write, node.next.memory_entry)
}

/// A journal has of memories what the kernel's own has.
pub(crate) fn compare(journal: &dyn Journal, model: &MemoryJournal) {
    let [kept, expect] = [journal, model].map(|journal: &dyn Journal| writes(journal.node().expect("it can be read")));
    assert_eq!(kept, expect);
    for pid in [pid(1, 1), pid(2, 2)] {
        let entries = |journal: &dyn Journal| {
            let lines = journal.history(pid, 1, usize::MAX).expect("it can be read").into_iter();
            lines.map(|line| (line.sequence, line.entry)).collect::<Vec<_>>()
        };
        assert_eq!(entries(journal), entries(model), "{pid}");
        // The kernel's own has no process before its first run.
        if let Ok(process) = model.process(pid) {
            assert_eq!(
                journal.process(pid).expect("it can be read").map(Plain::from),
                process.map(Plain::from),
                "{pid}"
            );
        }
    }
}

#[test]
fn writes_and_what_was_told_are_kept_as_the_kernel_says_it() {
    let (mut stage, model) = (Stage::new(), MemoryJournal::default());
    for record in records() {
        stage.journal().append(&[record.record()]).expect("there is room");
        model.append(&[record.record()]).expect("it takes everything");
        // Each in a commit of its own.
        stage.settle();
        compare(stage.journal(), &model);
    }
    // And all in one.
    let (at_once, records) = (Stage::new(), records());
    let all: Vec<Record<'_>> = records.iter().map(Owned::record).collect();
    at_once.journal().append(&all).expect("there is room");
    compare(at_once.journal(), &model);
    stage.reopen();
    compare(stage.journal(), &model);
    let left = writes(model.node().expect("it is in memory")).0;
    assert_eq!(left.iter().map(|(_, write)| write.number).collect::<Vec<_>>(), [3, 6, 7, 10, 11, 12]);
}

#[test]
fn no_number_is_given_twice_though_nothing_is_left() {
    let mut stage = Stage::new();
    let changes = [put(1, 6, 9, "nine"), applied(1, 6)];
    stage.journal().append(&[Record { pid: None, entry: None, changes: &changes }]).expect("there is room");
    stage.reopen();
    let node = stage.journal().node().expect("it can be read");
    assert_eq!(writes(node), (Vec::new(), 7, 10));
}

#[test]
fn the_memory_of_a_tenant_that_is_erased_is_gone_and_that_of_others_is_there() {
    let mut story = Story::default();
    let [mine, other] = [1, 2].map(|tenant| story.start(tenant, None));
    story.add(Some(mine), Some(found(&[(1, SECRET)])), vec![put(1, 1, 1, SECRET)]);
    story.add(Some(other), Some(found(&[(2, SECRET)])), vec![put(2, 2, 2, SECRET)]);
    // One that writes by an operator's hand alone has a key too.
    story.add(None, None, vec![put(3, 3, 3, SECRET), forget(1, 4, &[9], true)]);
    story.add(None, None, vec![Change::Ended { pid: mine, finished: finished() }]);
    let mut stage = Stage::new();
    stage.append(&story.records);
    stage.settle();
    stage.journal().forget_tenant(TenantId(1)).expect("nobody lives");
    stage.journal().forget_tenant(TenantId(3)).expect("nobody lives");
    stage.reopen();
    let (left, ..) = writes(stage.journal().node().expect("it can be read"));
    assert_eq!(left.into_iter().map(|(tenant, _)| tenant).collect::<Vec<_>>(), [TenantId(2)]);
    let lines = stage.journal().history(other, 1, 9).expect("it can be read");
    assert_eq!(lines.last().map(|line| &line.entry), story.model.processes[&other].entries.last());
    stage.close();
    for table in ["memory_keys", "memory_writes", "remembered"] {
        assert_eq!(count(&stage, table), 1, "{table}");
    }
}

#[test]
fn what_was_told_is_forgotten_with_the_history_that_it_was_told_in() {
    let mut story = Story::default();
    let [ended, lives] = [1, 1].map(|tenant| story.start(tenant, None));
    for pid in [ended, lives] {
        story.add(Some(pid), Some(found(&[(1, SECRET), (2, "two")])), vec![]);
    }
    story.add(None, None, vec![Change::Ended { pid: ended, finished: finished() }]);
    let mut stage = Stage::new();
    stage.append(&story.records);
    stage.settle();
    stage.journal().forget_before(u64::MAX).expect("it forgets");
    let stored = stage.journal().process(lives).expect("it can be read").map(Plain::from);
    assert_eq!(stored, story.model.process(lives));
    stage.close();
    assert_eq!(count(&stage, "remembered"), 2);
}

fn count(stage: &Stage, table: &str) -> i64 {
    let db = Connection::open(stage.folder().join("journal.sqlite")).expect("it is a database");
    db.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).expect("the table is there")
}

#[test]
fn what_was_told_and_is_lost_or_another_is_damage_and_not_a_purge() {
    let mut story = Story::default();
    let pids = [0; 3].map(|_| story.start(1, None));
    for pid in pids {
        story.add(Some(pid), Some(found(&[(1, SECRET), (1, "the heron sleeps in the reeds")])), vec![]);
    }
    let mut stage = Stage::new();
    for records in story.records.chunks(1) {
        stage.append(records);
        stage.settle();
    }
    stage.close();
    let path = stage.folder().join("journal.sqlite");
    let change = |sql: &str| {
        let db = Connection::open(&path).expect("it is a database");
        assert!(db.execute(sql, []).expect("it can be written") > 0, "{sql}");
    };
    // A row that is gone; two rows, both of one key, that change places.
    change("DELETE FROM remembered WHERE place = 1");
    change(
        "UPDATE remembered SET payload = (SELECT payload FROM remembered AS other
             WHERE other.position = remembered.position AND other.ordinal <> remembered.ordinal)
         WHERE place IN (3, 4)",
    );
    stage.reopen();
    for pid in &pids[..2] {
        let refused = stage.journal().process(*pid).expect_err("it is damaged");
        assert!(matches!(&refused, JournalError::Unreadable(why) if why.contains(&pid.to_string())), "{refused}");
    }
    let stored = stage.journal().process(pids[2]).expect("it can be read").map(Plain::from);
    assert_eq!(stored, story.model.process(pids[2]));
}

#[test]
fn an_export_shows_what_was_told_and_nobody_can_show_anything_else() {
    let stage = Stage::new();
    stage.append(&records()[..6]);
    let file = export(stage.journal(), 1, Detail::Contents).expect("it has a chain");
    assert_eq!(whole(&file).revealed, 3);
    let text = String::from_utf8(file.clone()).expect("it is text");
    let shown: Vec<_> = rows(&file)
        .iter()
        .filter_map(|row| row["line"]["says"]["entry"]["content"]["remembered"].as_array().cloned())
        .flatten()
        .collect();
    assert_eq!(shown.len(), 3);
    let item = |at: usize| format!(r#"{{"secret":{},"content":{}}}"#, shown[at]["secret"], shown[at]["content"]);
    assert!((0..3).all(|at| text.contains(&item(at))));
    let secret = shown[0]["secret"].as_str().expect("a text");
    let other = format!("{}{}", if secret.starts_with('0') { "1" } else { "0" }, &secret[1..]);
    let is_found = |text: String, what: &str| {
        let flaw = verify(text.as_bytes(), &Expected::default()).expect_err(what);
        assert!(matches!(flaw, Flaw::OtherContent { number: 3, .. }), "{what}: {flaw}");
    };
    // The second of three, told with the words of the first.
    is_found(text.replace(&item(1), &item(0)), "another content");
    is_found(text.replace(secret, &other), "another secret");
    is_found(text.replace(&format!(",{}", item(2)), ""), "one too few");
    is_found(text.replace(&item(2), &format!("{0},{0}", item(2))), "one too many");
    let purged = text.replace(&item(1), "null");
    assert!(verify(purged.as_bytes(), &Expected::default()).is_ok(), "what is not shown says nothing");
}
