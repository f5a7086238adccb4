//! What is gone is found no more, and no file has a trace of it; what is damaged is made anew.

use super::{asking, count, on, recall, said, stage, tell, texts};
use crate::{
    audit::{export, whole},
    memory::{forget, found as remembered, put},
    sample::finished,
    stage::Stage,
};
use remit_abi::TenantId;
use remit_journal::{RecallError, audit::Detail};
use remit_kernel::ports::Change;
use rusqlite::Connection;
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

fn index(folder: &Path, tenant: u32) -> PathBuf {
    folder.join(format!("recall/{tenant}.sqlite"))
}

/// All terms that a tenant's index knows.
fn terms(folder: &Path, tenant: u32) -> BTreeSet<String> {
    let db = Connection::open(index(folder, tenant)).expect("it is a database");
    db.execute_batch("CREATE VIRTUAL TABLE temp.terms USING fts5vocab(main, words, 'row')").expect("it can be read");
    let mut select = db.prepare("SELECT term FROM terms").expect("the table is there");
    let rows = select.query_map([], |row| row.get(0)).expect("it can be read");
    rows.map(|row| row.expect("it is text")).collect()
}

/// The bytes of all files of indexes.
fn files(folder: &Path) -> Vec<u8> {
    let entries = fs::read_dir(folder.join("recall")).into_iter().flatten();
    entries.flat_map(|entry| fs::read(entry.expect("it can be listed").path()).expect("it can be read")).collect()
}

/// Whether a file has a part of a term. An index writes terms without what they have in common with the one before, which of digests is
/// little.
fn has(files: &[u8], term: &str) -> bool {
    let end = &term.as_bytes()[4..];
    files.windows(end.len()).any(|window| window == end)
}

/// The terms of some texts, from an index that has nothing else besides.
fn terms_of(stage: &Stage, before: &BTreeSet<String>) -> BTreeSet<String> {
    &terms(stage.folder(), 1) - before
}

fn end(stage: &Stage, pid: remit_abi::Pid) {
    let changes = vec![Change::Ended { pid, finished: finished() }];
    stage.append(&[crate::model::Owned { pid: Some(pid), entry: None, changes }]);
    stage.settle();
}

#[test]
fn no_word_of_anybody_is_in_a_file() {
    let (mut stage, [pid, _]) = stage();
    on(&stage, &[1]);
    tell(&stage, pid, [said("the marmot whistles in the morning")]);
    assert_eq!(recall(stage.journal(), 1, "marmots").len(), 1);
    stage.close();
    let files = files(stage.folder());
    assert!(files.len() > 4_096);
    for word in ["marmot", "whistl", "morn", "heron"] {
        assert!(!files.windows(word.len()).any(|window| window == word.as_bytes()), "{word}");
    }
    // The test finds what it looks for.
    assert!(terms(stage.folder(), 1).iter().all(|term| has(&files, term)));
}

#[test]
fn what_is_forgotten_with_its_history_is_in_no_index() {
    let (mut stage, [ended, _]) = stage();
    on(&stage, &[1]);
    tell(&stage, ended, [said("common words")]);
    recall(stage.journal(), 1, "common");
    let before = terms(stage.folder(), 1);
    tell(&stage, ended, (0..70).map(|number| said(&format!("marmot{number} common"))));
    recall(stage.journal(), 1, "common");
    let gone = terms_of(&stage, &before);
    assert!(gone.len() >= 70, "{}", gone.len());
    end(&stage, ended);
    let living = {
        let mut story = crate::sample::Story::default();
        for _ in 0..5 {
            story.start(1, None);
        }
        stage.append(&story.records[8..]);
        *story.model.processes.keys().last().expect("there are some")
    };
    tell(&stage, living, [said("common words that stay")]);
    recall(stage.journal(), 1, "common");
    stage.journal().forget_before(u64::MAX).expect("it forgets");
    assert_eq!(texts(stage.journal(), 1, "common marmot1"), ["common words that stay"]);
    for closed in [false, true] {
        let (left, files) = (terms(stage.folder(), 1), files(stage.folder()));
        assert!(left.is_disjoint(&gone), "closed: {closed}");
        assert!(gone.iter().all(|term| !has(&files, term)), "closed: {closed}");
        stage.close();
    }
}

#[test]
fn an_index_that_nobody_uses_is_gone_with_what_is_forgotten() {
    let (mut stage, [pid, others]) = stage();
    on(&stage, &[1, 2]);
    tell(&stage, pid, [said("kettle")]);
    tell(&stage, others, [said("kettle")]);
    for tenant in [1, 2] {
        recall(stage.journal(), tenant, "kettle");
    }
    end(&stage, pid);
    stage.reopen();
    assert!(index(stage.folder(), 1).exists() && index(stage.folder(), 2).exists());
    // Nobody has said by now that it is on.
    stage.journal().forget_tenant(TenantId(1)).expect("nobody lives");
    assert!(!index(stage.folder(), 1).exists() && index(stage.folder(), 2).exists());
    stage.journal().forget_before(0).expect("it forgets");
    assert!(!index(stage.folder(), 2).exists());
}

#[test]
fn a_tenant_that_is_erased_is_in_no_index_and_begins_anew() {
    let (stage, [pid, others]) = stage();
    on(&stage, &[1, 2]);
    tell(&stage, pid, [said("the marmot of the tenant")]);
    tell(&stage, others, [said("the marmot of another")]);
    for tenant in [1, 2] {
        assert_eq!(recall(stage.journal(), tenant, "marmot").len(), 1);
    }
    let gone = terms(stage.folder(), 1);
    end(&stage, pid);
    stage.journal().forget_tenant(TenantId(1)).expect("nobody lives");
    let left = files(stage.folder());
    assert!(gone.iter().all(|term| !has(&left, term)));
    assert_eq!(recall(stage.journal(), 1, "marmot"), []);
    assert!(!index(stage.folder(), 1).exists(), "nothing of a tenant without a key can be read");
    assert_eq!(texts(stage.journal(), 2, "marmot"), ["the marmot of another"]);
    // The chain has who looked, for ever, and goes on.
    let summary = whole(&export(stage.journal(), 1, Detail::Digests).expect("it has a chain"));
    assert_eq!(summary.recalls.values().map(|total| total.hits).sum::<u64>(), 1);
    let mut story = crate::sample::Story::default();
    let anew = (0..9).map(|_| story.start(1, None)).last().expect("there are some");
    stage.append(&story.records[16..]);
    tell(&stage, anew, [said("another marmot")]);
    assert_eq!(texts(stage.journal(), 1, "marmot"), ["another marmot"]);
    assert!(terms(stage.folder(), 1).is_disjoint(&gone), "it has another key");
}

#[test]
fn an_index_of_another_life_of_the_tenant_is_not_used() {
    let (mut stage, [pid, _]) = stage();
    on(&stage, &[1]);
    tell(&stage, pid, [said("the marmot of the tenant")]);
    recall(stage.journal(), 1, "marmot");
    end(&stage, pid);
    stage.close();
    let old = fs::read(index(stage.folder(), 1)).expect("it is there");
    stage.reopen();
    stage.journal().forget_tenant(TenantId(1)).expect("nobody lives");
    let mut story = crate::sample::Story::default();
    let anew = (0..9).map(|_| story.start(1, None)).last().expect("there are some");
    stage.append(&story.records[16..]);
    tell(&stage, anew, [said("another marmot")]);
    stage.close();
    fs::write(index(stage.folder(), 1), old).expect("it is writable");
    stage.reopen();
    on(&stage, &[1]);
    assert_eq!(texts(stage.journal(), 1, "marmot"), ["another marmot"]);
}

#[test]
fn what_is_purged_of_a_memory_is_in_no_index() {
    let (stage, [pid, _]) = stage();
    on(&stage, &[1]);
    stage.append(&[crate::model::Owned { pid: None, entry: None, changes: vec![put(1, 1, 1, "the marmot sleeps")] }]);
    tell(&stage, pid, [remembered(&[(1, "the marmot sleeps")]), said("awake")]);
    assert_eq!(recall(stage.journal(), 1, "marmot sleeps"), []);
    let before = (terms(stage.folder(), 1), count(stage.folder(), 1));
    stage.append(&[crate::model::Owned { pid: None, entry: None, changes: vec![forget(1, 2, &[1], true)] }]);
    assert_eq!(recall(stage.journal(), 1, "marmot sleeps"), []);
    assert_eq!((terms(stage.folder(), 1), count(stage.folder(), 1)), before);
}

#[test]
fn an_index_that_is_damaged_foreign_or_ahead_is_made_anew() {
    let (mut stage, [pid, _]) = stage();
    on(&stage, &[1]);
    tell(&stage, pid, (0..200).map(|number| said(&format!("kettle number{number}"))));
    assert_eq!(texts(stage.journal(), 1, "number7 number8").len(), 2);
    stage.close();
    let path = index(stage.folder(), 1);
    let whole = fs::read(&path).expect("it is there");
    let sql = |sql: &str| {
        Connection::open(&path).expect("it is a database").execute_batch(sql).expect("it can be written");
        fs::read(&path).expect("it is there")
    };
    let mut wrong: Vec<(String, Vec<u8>)> = vec![
        ("empty".to_owned(), Vec::new()),
        ("no database".to_owned(), b"not a database".repeat(1_000)),
        ("half of it".to_owned(), whole[..whole.len() / 2].to_vec()),
        ("another application's".to_owned(), sql("PRAGMA application_id = 7")),
    ];
    fs::write(&path, &whole).expect("it is writable");
    wrong.push(("a newer version's".to_owned(), sql("PRAGMA user_version = 2")));
    fs::write(&path, &whole).expect("it is writable");
    wrong.push(("ahead".to_owned(), sql("UPDATE state SET position = 1000000")));
    for page in 1..whole.len() / 4_096 {
        let mut damaged = whole.clone();
        damaged[page * 4_096..(page + 1) * 4_096].fill(0xff);
        wrong.push((format!("page {page} overwritten"), damaged));
    }
    for (what, bytes) in wrong {
        fs::write(&path, bytes).expect("it is writable");
        stage.reopen();
        on(&stage, &[1]);
        match stage.journal().recall(&asking(1, "number7 number8")) {
            Ok(found) => assert!(found.iter().all(|found| found.excerpt.starts_with("kettle number")), "{what}"),
            Err(other) => panic!("{what}: {other}"),
        }
        stage.close();
    }
}

#[test]
fn a_folder_that_cannot_be_written_is_one_sentence_and_harms_nothing_else() {
    let (mut stage, [pid, _]) = stage();
    tell(&stage, pid, [said("kettle")]);
    stage.close();
    fs::write(stage.folder().join("recall"), "in the way").expect("it is writable");
    stage.reopen();
    let outcome = stage
        .journal()
        .set_recall(super::all_of(&[1]))
        .and_then(|()| stage.journal().recall(&asking(1, "kettle")).map(drop));
    let refused = outcome.expect_err("there is a file in the place of the folder");
    assert!(matches!(refused, RecallError::Index(_)), "{refused}");
    tell(&stage, pid, [said("the journal goes on")]);
}
