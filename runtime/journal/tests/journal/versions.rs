//! Journals that older versions wrote are read, and brought up to this version, wherever that is cut off.
//!
//! `REMIT_JOURNAL_GOLDEN=FOLDER cargo test -p remit-journal versions` writes one of this version.

use crate::{
    audit::{acts, compare_older_chains, export, told, whole},
    crash::story,
    deployments,
    disk::{Disk, Fault, Kept},
    memory,
    model::{Model, Plain},
    people,
    sample::{Story, finished},
    sleepers::asleep,
    stage::{Stage, compare, options},
    tool_calls,
};
use remit_journal::{SqliteJournal, audit::Detail};
use remit_kernel::{
    Citations, Finished, Ledger, MemoryJournal,
    ports::{Beginning, Change, Entry, Journal, Record},
};
use serde_json::json;
use std::{fs, path::Path};
use tempfile::TempDir;

pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("it is writable");
    for entry in fs::read_dir(from).expect("it is there") {
        let from = entry.expect("it can be listed").path();
        let to = to.join(from.file_name().expect("it has a name"));
        match from.is_dir() {
            true => copy(&from, &to),
            false => drop(fs::copy(&from, &to).expect("it can be copied")),
        }
    }
}

/// Git keeps no such modes.
fn hide(key: &Path) {
    #[cfg(unix)]
    fs::set_permissions(key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("it is ours");
}

/// A journal of a version, with [`story`] in it.
fn golden(version: u32) -> TempDir {
    let folder = tempfile::tempdir().expect("there is a folder for such things");
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/versions/{version}")), folder.path());
    let keys = ["node.key", "audit.key"].map(|name| folder.path().join(name));
    keys.iter().filter(|key| key.exists()).for_each(|key| hide(key));
    folder
}

/// The story, and what comes after it.
fn gone_on() -> (Story, usize) {
    let mut story = story();
    let from = story.records.len();
    story.start(3, None);
    story.start(1, None);
    (story, from)
}

#[test]
fn a_journal_of_version_1_is_read_and_goes_on_and_its_chains_say_what_is_not_in_them() {
    let stage = Stage::at(golden(1));
    let (story, from) = gone_on();
    compare(stage.journal(), &self::story().model);
    stage.append(&story.records[from..]);
    compare(stage.journal(), &story.model);
    let began = json!({ "began": { "after": from } });
    for (tenant, lines, is_old) in [(1, 2, true), (2, 0, true), (3, 2, false)] {
        let file = export(stage.journal(), tenant, Detail::Contents).expect("it has a chain");
        let summary = whole(&file);
        assert_eq!((told(&file).len(), summary.revealed), (lines, lines as u64), "tenant {tenant}");
        assert_eq!(acts(&file), is_old.then(|| began.clone()).as_slice(), "tenant {tenant}");
        assert_eq!(summary.begins_after, if is_old { from as u64 } else { 0 });
    }
}

#[test]
fn a_journal_of_version_2_is_read_and_goes_on() {
    let stage = Stage::at(golden(2));
    let (story, from) = gone_on();
    compare(stage.journal(), &self::story().model);
    compare_older_chains(stage.journal(), &story.records[..from], from);
    stage.append(&story.records[from..]);
    compare(stage.journal(), &story.model);
    compare_older_chains(stage.journal(), &story.records, from);
}

#[test]
fn a_journal_of_version_3_is_read_and_goes_on_with_what_people_are_asked() {
    let people = people::changes();
    let people = Record { pid: None, entry: None, changes: &people };
    let stage = Stage::at(golden(3));
    let (story, from) = gone_on();
    compare_older_chains(stage.journal(), &story.records[..from], from);
    stage.append(&story.records[from..]);
    for tenant in 1..=3 {
        whole(&export(stage.journal(), tenant, Detail::Contents).expect("it has a chain"));
    }
    let model = MemoryJournal::default();
    model.append(&[people]).expect("it takes everything");
    let inbox = |journal: &dyn Journal| people::inbox(journal.node().expect("it can be read"));
    assert_eq!(inbox(stage.journal()), inbox(&model));
}

#[test]
fn a_journal_of_version_4_is_read_and_goes_on_with_who_sleeps_and_the_calls_of_tools() {
    let (_, sleeper) = asleep(4);
    let calls = tool_calls::changes();
    let record = |changes| Record { pid: None, entry: None, changes };
    let stage = Stage::at(golden(4));
    let asleep = || {
        let mut sleepers = Vec::new();
        stage.journal().awake(&mut |sleeper| sleepers.push(sleeper)).expect("it can be read");
        sleepers
    };
    assert_eq!(asleep(), std::slice::from_ref(&sleeper));
    let roused = stage.journal().rouse(&sleeper).expect("it can be read").expect("it lives");
    assert_eq!((roused.process.pid, roused.holdings.accounts.len()), (sleeper.pid, 2));
    let pid = Some(sleeper.pid);
    stage.journal().append(&[Record { pid, entry: Some(crate::sample::told(1)), changes: &[] }]).expect("it is open");
    assert_eq!(asleep(), []);
    for tenant in [1, 2, 4] {
        whole(&export(stage.journal(), tenant, Detail::Contents).expect("it has a chain"));
    }
    let model = MemoryJournal::default();
    model.append(&[record(&calls)]).expect("it takes everything");
    let kept = |journal: &dyn Journal| tool_calls::calls(journal.node().expect("it can be read"));
    assert_eq!(kept(stage.journal()), kept(&model));
}

#[test]
fn a_journal_of_version_5_is_read_and_goes_on_with_what_memories_are_written_and_tell() {
    let memories = memory::records();
    let stage = Stage::at(golden(5));
    let model = MemoryJournal::default();
    for record in &memories {
        model.append(&[record.record()]).expect("it takes everything");
    }
    memory::compare(stage.journal(), &model);
    for tenant in [1, 2, 4] {
        whole(&export(stage.journal(), tenant, Detail::Contents).expect("it has a chain"));
    }
    // What is purged from here on is purged in what was told before.
    let purge = [memory::forget(1, 20, &[4], true)];
    let purge = [Record { pid: None, entry: None, changes: &purge }];
    stage.journal().append(&purge).expect("there is room");
    model.append(&purge).expect("it takes everything");
    memory::compare(stage.journal(), &model);
}

/// A process of a tenant of its own that cited, and one that ended and did too.
fn cited() -> Story {
    let citations = Citations { supported: 300, unsupported: 2 };
    let ledger = Ledger { citations, ..Ledger::default() };
    let mut story = Story::default();
    for _ in 0..5 {
        story.start(1, None);
    }
    // Those only take the numbers that others have.
    (story.records, story.model) = (Vec::new(), Model::default());
    let [lives, ended] = [0, 1].map(|_| story.start(5, None));
    for pid in [lives, ended] {
        let began = Beginning { ledger, ..Beginning::default() };
        story.add(Some(pid), Some(Entry::Began(Box::new(began))), vec![]);
    }
    let finished = Box::new(Finished { ledger, ..*finished() });
    story.add(Some(ended), None, vec![Change::Ended { pid: ended, finished }]);
    story
}

#[test]
fn a_journal_of_version_6_is_read_and_goes_on_with_what_was_cited() {
    let story = cited();
    let stage = Stage::at(golden(6));
    for (pid, process) in &story.model.processes {
        let stored = stage.journal().process(*pid).expect("it can be read").map(Plain::from);
        assert_eq!(stored, story.model.process(*pid));
        let history = stage.journal().history(*pid, 1, usize::MAX).expect("it can be read");
        assert_eq!(history.into_iter().map(|line| line.entry).collect::<Vec<_>>(), process.entries);
    }
    let results = stage.journal().results(None, usize::MAX).expect("they can be read");
    let counted: Vec<_> = results.iter().map(|result| result.finished.ledger.citations).collect();
    assert_eq!(counted, [Citations { supported: 300, unsupported: 2 }]);
    for tenant in [1, 2, 4, 5] {
        whole(&export(stage.journal(), tenant, Detail::Contents).expect("it has a chain"));
    }
}

#[test]
fn a_journal_of_version_7_is_read_and_goes_on_with_what_is_kept_running() {
    let deployed = deployments::changes();
    if let Some(folder) = std::env::var_os("REMIT_JOURNAL_GOLDEN") {
        let journal = SqliteJournal::open_with(Path::new(&folder), options(None)).expect("it opens");
        let (people, calls, memories) = (people::changes(), tool_calls::changes(), memory::records());
        let record = |changes| Record { pid: None, entry: None, changes };
        for record in memories.iter().chain(&asleep(4).0.records).chain(&cited().records) {
            journal.append(&[record.record()]).expect("there is room");
        }
        journal.append(&[record(&people), record(&calls), record(&deployed)]).expect("there is room");
    }
    let stage = Stage::at(golden(7));
    let model = MemoryJournal::default();
    model.append(&[Record { pid: None, entry: None, changes: &deployed }]).expect("it takes everything");
    assert_eq!(deployments::kept(stage.journal()), deployments::kept(&model));
    for tenant in [1, 2, 4, 5] {
        whole(&export(stage.journal(), tenant, Detail::Contents).expect("it has a chain"));
    }
}

#[test]
fn a_loss_of_power_while_it_is_brought_up_changes_nothing() {
    for kept in [Kept::Nothing, Kept::Everything, Kept::Some(3)] {
        let disk = Disk::new();
        let mut cut = 0;
        loop {
            let folder = golden(1);
            disk.start(Fault::PowerLoss(cut));
            drop(SqliteJournal::open_with(folder.path(), options(Some(disk.vfs()))));
            let met = disk.met();
            disk.lose_power(kept);
            let stage = Stage::at(folder);
            compare(stage.journal(), &story().model);
            let file = export(stage.journal(), 1, Detail::Digests).expect("it has a chain");
            assert_eq!(acts(&file).len(), 1, "at change {cut}");
            if !met {
                break;
            }
            cut += 1;
        }
        assert!(cut > 10, "{cut} changes of files");
    }
}
