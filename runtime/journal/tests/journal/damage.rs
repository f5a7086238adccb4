//! Files that were changed: whoever lies there is told, and nobody else.

use crate::{
    model::{Model, Plain},
    sample::{Story, began, told, told_text},
    stage::Stage,
};
use remit_kernel::ports::{Journal, JournalError};
use rusqlite::Connection;
use std::fs;

const PAGE: usize = 4096;

/// Ten processes, of which each has some lines on a page of its own.
fn story() -> Story {
    let mut story = Story::default();
    let pids: Vec<_> = (0..10).map(|tenant| story.start(tenant % 2, None)).collect();
    for round in 0..3 {
        for pid in &pids {
            story.add(Some(*pid), Some(told_text(&"reed ".repeat(200))), vec![]);
            story.add(Some(*pid), Some(told(round)), vec![]);
        }
    }
    story.add(Some(pids[0]), Some(began(1)), vec![]);
    story
}

/// A journal with that story, closed, many commits old.
fn stage(story: &Story) -> Stage {
    let mut stage = Stage::new();
    for records in story.records.chunks(7) {
        stage.append(records);
        stage.settle();
    }
    stage.close();
    stage
}

/// How many processes cannot be read; all others are as they were, and so is the node.
fn unreadable(stage: &mut Stage, model: &Model) -> usize {
    stage.reopen();
    let mut node = stage.journal().node().expect("it can be read");
    node.living.sort();
    assert_eq!(node, model.node());
    let is_unreadable = |pid: &&remit_abi::Pid| match stage.journal().process(**pid) {
        Ok(process) => {
            assert_eq!(process.map(Plain::from), model.process(**pid));
            false
        }
        Err(JournalError::Unreadable(why)) => {
            assert!(why.contains(&pid.to_string()) && why.contains("from a backup"), "{why}");
            true
        }
        Err(other) => panic!("{other}"),
    };
    let count = model.processes.keys().filter(is_unreadable).count();
    stage.close();
    count
}

#[test]
fn a_damaged_page_of_the_log_is_told_by_those_who_lie_there() {
    let story = story();
    let mut stage = stage(&story);
    let path = stage.folder().join("journal.sqlite");
    let pages: Vec<u32> = {
        let db = Connection::open(&path).expect("it is a database");
        let mut select = db.prepare("SELECT pageno FROM dbstat WHERE name = 'chunks'").expect("SQLite knows its pages");
        let pages = select.query_map([], |row| row.get(0)).expect("SQLite knows its pages");
        pages.map(|page| page.expect("it is a number")).collect()
    };
    assert!(pages.len() > 3, "{pages:?}");
    let whole = fs::read(&path).expect("it is there");
    for damage in [0x00, 0x5a, 0xff] {
        let mut told = 0;
        for page in &pages {
            let mut bytes = whole.clone();
            let end = *page as usize * PAGE;
            bytes[end - PAGE..end].fill(damage);
            fs::write(&path, bytes).expect("it is writable");
            told += unreadable(&mut stage, &story.model);
        }
        assert!(told >= pages.len() / 2, "{told} processes over {} pages", pages.len());
    }
}

#[test]
fn a_value_that_was_put_elsewhere_does_not_open() {
    let story = story();
    let mut stage = stage(&story);
    let path = stage.folder().join("journal.sqlite");
    let change = |sql: &str| {
        let db = Connection::open(&path).expect("it is a database");
        db.execute(sql, []).expect("it can be written");
    };
    assert_eq!(unreadable(&mut stage, &story.model), 0);
    // Two chunks of one process change places, so that all keys are the right ones.
    change(
        "UPDATE chunks SET payload = (SELECT payload FROM chunks AS other
             WHERE other.process = chunks.process AND other.position <> chunks.position LIMIT 1)
         WHERE process = 3",
    );
    assert_eq!(unreadable(&mut stage, &story.model), 1);
    change("UPDATE chunks SET first_sequence = first_sequence + 1 WHERE process = 5");
    assert_eq!(unreadable(&mut stage, &story.model), 2);
    change("UPDATE processes SET key = (SELECT key FROM processes WHERE process = 9) WHERE process = 7");
    assert_eq!(unreadable(&mut stage, &story.model), 3);
    change("DELETE FROM chunks WHERE position = (SELECT last FROM logs WHERE process = 8)");
    assert_eq!(unreadable(&mut stage, &story.model), 4);
}
