//! Many who append at once, and a queue that is full.

use crate::{
    audit::{export, rows, whole},
    disk::{Disk, Fault, Refusal},
    sample::{pid, told, told_text},
    stage::{Stage, durable, options},
};
use futures::{executor::block_on, future::join_all};
use remit_journal::{SqliteJournal, WAITING_BYTES_MAX, audit::Detail};
use remit_kernel::ports::{Entry, Journal, JournalError, Position, Record};
use rusqlite::Connection;
use std::collections::{BTreeMap, BTreeSet};

const THREADS: u32 = 8;
const LINES: u64 = 500;

fn line(tenant: u32, entry: Entry<'static>) -> Record<'static> {
    Record { pid: Some(pid(tenant, tenant)), entry: Some(entry), changes: &[] }
}

#[test]
fn each_process_has_its_order_and_positions_are_those_that_were_given() {
    let mut stage = Stage::new();
    let journal = stage.journal();
    let append = |tenant: u32| {
        let position = |number| {
            let position = journal.append(&[line(tenant, told(number))]).expect("there is room");
            if number % 64 == 0 {
                durable(journal, position);
            }
            position
        };
        (0..LINES).map(position).collect()
    };
    let given: BTreeMap<u32, Vec<Position>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|tenant| (tenant, scope.spawn(move || append(tenant)))).collect();
        threads.into_iter().map(|(tenant, thread)| (tenant, thread.join().expect("it does not panic"))).collect()
    });
    let all: BTreeSet<_> = given.values().flatten().map(|position| position.0).collect();
    assert!(all.into_iter().eq(1..=u64::from(THREADS) * LINES), "each position is given once");
    stage.reopen();
    for (tenant, positions) in &given {
        assert!(positions.is_sorted());
        let lines = stage.journal().history(pid(*tenant, *tenant), 1, usize::MAX).expect("it can be read");
        let entries = lines.iter().map(|line| (line.sequence, line.entry.clone()));
        assert!(entries.eq((1..).zip((0..LINES).map(told))), "{tenant}");
        assert!(lines.is_sorted_by_key(|line| line.at_ns), "{tenant}");
    }
    for (tenant, positions) in &given {
        let file = export(stage.journal(), *tenant, Detail::Contents).expect("it has a chain");
        let told = rows(&file).into_iter().filter_map(|row| row.get("line")?["position"].as_u64().map(Position));
        assert!(told.eq(positions.iter().copied()), "{tenant}");
        assert_eq!(whole(&file).revealed, LINES);
    }
    stage.close();
    let db = Connection::open(stage.folder().join("journal.sqlite")).expect("it is a database");
    let mut select = db
        .prepare("SELECT tenant, position, first_sequence FROM chunks JOIN processes USING (process)")
        .expect("the tables are there");
    let chunks = select.query_map([], |row| Ok((row.get::<_, u32>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?)));
    for chunk in chunks.expect("the tables are there") {
        let (tenant, position, sequence) = chunk.expect("it is a row");
        assert_eq!(given[&tenant][sequence as usize - 1], Position(position as u64), "{tenant}");
    }
}

#[test]
fn many_who_wait_are_all_told_and_one_who_stops_waiting_is_forgotten() {
    let stage = Stage::new();
    let journal = stage.journal();
    let positions: Vec<_> =
        (0..2_000).map(|number| journal.append(&[line(1, told(number))]).expect("there is room")).collect();
    drop(journal.durable(positions[1_999]));
    let outcomes = block_on(join_all(positions.iter().rev().map(|position| journal.durable(*position))));
    assert!(outcomes.iter().all(Result::is_ok));
    durable(journal, Position(0));
}

#[test]
fn what_is_dropped_is_written_first() {
    let mut stage = Stage::new();
    stage.journal().append(&[line(1, told(1))]).expect("there is room");
    stage.reopen();
    assert_eq!(stage.journal().history(pid(1, 1), 1, 9).expect("it can be read").len(), 1);
}

#[test]
fn whoever_is_faster_than_the_disk_is_held_up_and_not_refused() {
    let stage = Stage::new();
    let (journal, large) = (stage.journal(), told_text(&"x".repeat(1 << 20)));
    let lines = 2 * (WAITING_BYTES_MAX >> 20) as u32 / 4;
    std::thread::scope(|scope| {
        for thread in 1..=4 {
            let large = &large;
            scope.spawn(move || {
                for _ in 0..lines {
                    journal.append(&[line(thread, large.clone())]).expect("the disk writes");
                }
            });
        }
    });
    let history = |thread| journal.history(pid(thread, thread), 1, usize::MAX).expect("it can be read").len();
    assert!((1..=4).all(|thread| history(thread) == lines as usize));
}

#[test]
fn more_than_may_wait_is_refused_until_there_is_room() {
    let disk = Disk::new();
    disk.start(Fault::Never);
    let folder = tempfile::tempdir().expect("there is a folder for such things");
    let journal = SqliteJournal::open_with(folder.path(), options(Some(disk.vfs()))).expect("it opens");
    disk.start(Fault::Always(Refusal::Full, 0));
    let large = told_text(&"x".repeat(1 << 20));
    let mut taken = Vec::new();
    let refusal = loop {
        match journal.append(&[line(1, large.clone())]) {
            Ok(position) => taken.push(position),
            Err(error) => break error,
        }
    };
    assert!(matches!(&refusal, JournalError::Refused(why) if why.contains("64 MiB")), "{refusal}");
    assert_eq!(taken.len(), (WAITING_BYTES_MAX >> 20) - 1);
    disk.heal();
    durable(&journal, taken[taken.len() - 1]);
    journal.append(&[line(1, large)]).expect("there is room again");
    assert_eq!(journal.history(pid(1, 1), 1, usize::MAX).expect("it can be read").len(), taken.len() + 1);
}
