//! What is forgotten is nowhere any more, and nothing else is missing.

use crate::{
    model::Model,
    sample::{Story, began, finished, grant, letter, told, told_text},
    stage::{Stage, compare, durable},
};
use remit_abi::{GrantId, Pid, TenantId};
use remit_journal::ForgetError;
use remit_kernel::ports::{CallImage, Change, Entry, Journal, Record};
use rusqlite::Connection;
use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

/// Two tenants with the same to tell: each has a process that ended, and one that may live.
pub(crate) fn story() -> (Story, [Pid; 2]) {
    let mut story = Story::default();
    let mut last = Vec::new();
    for tenant in [1, 2] {
        let [one, two] = [0, 1].map(|_| story.start(tenant, None));
        let mine = format!("tenant {tenant} saw the heron ");
        for round in 0..40 {
            let number = u64::from(tenant) * 1_000 + round;
            story.add(Some(one), Some(told_text(&mine.repeat(30))), vec![]);
            let sent = Change::Sent { number, to: two, letter: Box::new(letter(one, &mine, None)) };
            story.add(Some(one), Some(told(round)), vec![sent]);
            story.add(Some(two), Some(told_text(&mine)), vec![]);
        }
        let number = u64::from(tenant) * 5_000;
        let answer = Box::new(letter(two, &mine, Some(number)));
        let image = CallImage { number, caller: one, receiver: two, deadline_ns: 1 };
        story.add(Some(one), None, vec![Change::Called(image), Change::Answered { number, letter: answer }]);
        story.add(Some(one), None, vec![grant(tenant * 100, None, false)]);
        story.add(None, None, vec![Change::Tagged { tenant: TenantId(tenant), index: 3, name: mine.into() }]);
        story.add(Some(one), None, vec![Change::Ended { pid: one, finished: finished() }]);
        last.push(two);
    }
    (story, [last[0], last[1]])
}

/// The bytes of all files, also of those in folders.
fn files(folder: &Path) -> Vec<u8> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).expect("it is there") {
        let path = entry.expect("it can be listed").path();
        match path.is_dir() {
            true => all.extend(files(&path)),
            false => all.extend(fs::read(&path).expect("it can be read")),
        }
    }
    all
}

pub(crate) fn holds(all: &[u8], part: &[u8]) -> bool {
    all.windows(part.len()).any(|window| window == part)
}

/// What is sealed of a tenant: its key, its processes' keys, and their chunks.
fn sealed(folder: &Path, tenant: u32) -> Vec<Vec<u8>> {
    let db = Connection::open(folder.join("journal.sqlite")).expect("it is a database");
    let mut select = db
        .prepare(
            "SELECT key FROM processes WHERE tenant = ?1
             UNION ALL SELECT payload FROM chunks JOIN processes USING (process) WHERE tenant = ?1
             UNION ALL SELECT payload FROM letters JOIN processes USING (process) WHERE tenant = ?1",
        )
        .expect("the tables are there");
    let rows = select.query_map([tenant], |row| row.get(0)).expect("the tables are there");
    let mut sealed: Vec<Vec<u8>> = rows.map(|row| row.expect("it is a blob")).collect();
    sealed.push(fs::read(folder.join(format!("tenants/{tenant}.key"))).expect("it is there"));
    sealed
}

#[test]
fn a_tenant_that_is_erased_is_in_no_file() {
    let (mut story, [mine, others]) = story();
    let mut stage = Stage::new();
    for records in story.records.chunks(10) {
        stage.append(records);
        stage.settle();
    }
    let refused = stage.journal().forget_tenant(TenantId(1)).expect_err("it lives");
    assert!(matches!(refused, ForgetError::Living { living: 1, .. }), "{refused}");
    let ended = story.records.len();
    story.add(Some(mine), None, vec![Change::Ended { pid: mine, finished: finished() }]);
    stage.append(&story.records[ended..]);
    compare(stage.journal(), &story.model);

    stage.close();
    let [before, kept] = [1, 2].map(|tenant| sealed(stage.folder(), tenant));
    assert!(before.len() > 20, "{} values", before.len());
    let all = files(stage.folder());
    assert!(before.iter().all(|value| holds(&all, &value[..40])), "the test finds what it looks for");
    stage.reopen();
    stage.journal().forget_tenant(TenantId(1)).expect("nobody lives");
    for closed in [false, true] {
        let all = files(stage.folder());
        for text in ["saw the heron", "stands in the reeds"] {
            assert!(!holds(&all, text.as_bytes()), "no text is ever in a file");
        }
        for value in &before {
            let part = value.chunks_exact(16).find(|part| holds(&all, part));
            assert_eq!(part, None, "closed: {closed}");
        }
        assert!(kept.iter().all(|value| holds(&all, &value[..40])), "the other tenant's is there");
        stage.close();
    }
    stage.reopen();
    let of_other = |pid: &Pid| pid.tenant == TenantId(2);
    let mut model = story.model.clone();
    model.processes.retain(|pid, _| of_other(pid));
    model.reports.retain(|pid, _| of_other(pid));
    model.letters.retain(|_, (pid, _)| of_other(pid));
    model.calls.retain(|_, (call, _)| of_other(&call.caller));
    model.grants.remove(&GrantId { index: 100, generation: 1 });
    model.tags.retain(|(tenant, _), _| *tenant == TenantId(2));
    compare(stage.journal(), &model);
    assert_eq!(stage.journal().history(mine, 1, 9), Ok(Vec::new()));
    assert!(stage.journal().process(others).expect("it can be read").is_some());
    // The tenant may come again, with a key of its own.
    let mut again = Story::default();
    again.model = model;
    again.start(1, None);
    stage.append(&again.records);
    compare(stage.journal(), &again.model);
}

#[test]
fn old_history_is_forgotten_and_what_is_needed_is_kept() {
    let (mut story, [living, _]) = story();
    let began_again = story.records.len();
    story.add(Some(living), Some(began(1)), vec![]);
    story.add(Some(living), Some(told(9)), vec![]);
    let mut stage = Stage::new();
    stage.append(&story.records[..began_again]);
    stage.settle();
    stage.append(&story.records[began_again..]);
    stage.settle();
    let gone = stage.journal().forget_before(u64::MAX).expect("it forgets");
    assert!(gone > 0);
    stage.reopen();
    let Model { processes, .. } = &story.model;
    for (pid, process) in processes {
        let lines = stage.journal().history(*pid, 1, usize::MAX).expect("it can be read");
        match process.ended {
            true => assert_eq!(lines, Vec::new(), "{pid}"),
            false => {
                assert!(matches!(lines[0].entry, Entry::Created(_)), "{pid}");
                assert_eq!(lines.last().map(|line| line.sequence), Some(process.entries.len() as u64), "{pid}");
            }
        }
        let stored = stage.journal().process(*pid).expect("it can be read").map(crate::model::Plain::from);
        assert_eq!(stored, story.model.process(*pid), "{pid}");
    }
    assert_eq!(stage.journal().results(None, 9), Ok(Vec::new()), "an operator's results are history");
    // Reports of children are kept until they are taken; then nothing is left of those who left them.
    let reports = story.model.reports.keys().map(|pid| Change::ReportGone { pid: *pid });
    let calls = story.model.calls.keys().map(|number| Change::CallGone { number: *number });
    let mut taken = Story::default();
    taken.add(None, None, reports.chain(calls).collect());
    stage.append(&taken.records);
    assert_eq!(stage.journal().forget_before(u64::MAX).expect("it forgets"), 0);
    stage.close();
    let db = Connection::open(stage.folder().join("journal.sqlite")).expect("it is a database");
    let rows: i64 = db.query_row("SELECT count(*) FROM processes", [], |row| row.get(0)).expect("the table is there");
    assert_eq!(rows, 2, "those who live");
}

#[test]
fn what_takes_many_slices_is_forgotten_whole_while_others_append() {
    let mut stage = Stage::new();
    let mut story = Story::default();
    let mine: Vec<_> = (0..50).map(|_| story.start(1, None)).collect();
    let other = story.start(2, None);
    stage.append(&story.records);
    // A chunk of each in each commit: more than two slices.
    for round in 0..45 {
        let from = story.records.len();
        mine.iter().for_each(|pid| story.add(Some(*pid), Some(told(round)), vec![]));
        stage.append(&story.records[from..]);
        stage.settle();
    }
    let from = story.records.len();
    for pid in mine {
        story.add(Some(pid), None, vec![Change::Ended { pid, finished: finished() }, Change::ReportGone { pid }]);
    }
    stage.append(&story.records[from..]);
    let (done, line) = (AtomicBool::new(false), told(1));
    let appended = std::thread::scope(|scope| {
        let appends = scope.spawn(|| {
            let record = || Record { pid: Some(other), entry: Some(line.clone()), changes: &[] };
            let append = || durable(stage.journal(), stage.journal().append(&[record()]).expect("there is room"));
            (0..).inspect(|_| append()).find(|_| done.load(Ordering::Relaxed))
        });
        // Half of it for its age, and then the tenant.
        let middle = stage.journal().history(story.records[0].pid.expect("it is a process's"), 24, 1);
        let gone = stage.journal().forget_before(middle.expect("it can be read")[0].at_ns).expect("it forgets");
        assert!(gone > 1_000, "{gone} chunks");
        stage.journal().forget_tenant(TenantId(1)).expect("nobody lives");
        done.store(true, Ordering::Relaxed);
        appends.join().expect("it does not panic")
    });
    assert!(appended.is_some());
    stage.reopen();
    let lines = stage.journal().history(other, 1, usize::MAX).expect("it can be read");
    assert!(lines.len() > 3 && lines.iter().map(|line| line.sequence).eq(1..=lines.len() as u64));
    stage.close();
    let db = Connection::open(stage.folder().join("journal.sqlite")).expect("it is a database");
    let foreign = "SELECT count(*) FROM chunks WHERE process NOT IN (SELECT process FROM processes WHERE tenant = 2)";
    assert_eq!(db.query_row(foreign, [], |row| row.get(0)), Ok(0));
    for (table, rows) in [("processes", 1), ("logs", 1), ("reports", 0), ("letters", 0)] {
        let count = db.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get::<_, i64>(0));
        assert_eq!(count, Ok(rows), "{table}");
    }
}
