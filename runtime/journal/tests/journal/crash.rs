//! Crashes and faults at every change of a file that a small story makes.
//!
//! After each: what was confirmed is there, and what is there is what some prefix of the records says; so are the audit's chains.

use crate::{
    audit::compare_chains,
    disk::{Disk, Fault, Kept, Refusal},
    memory::{applied, forget, found, put},
    model::{Model, Owned, Plain},
    sample::{SECRET, Story, finished, grant, letter, told, told_text},
    stage::{Stage, compare, durable, options, sorted},
};
use futures::executor::block_on;
use remit_abi::{AccountId, GrantId, Tokens};
use remit_journal::{OpenError, Options, SqliteJournal};
use remit_kernel::ports::{Change, Journal, JournalError, Position};
use std::{fs, path::Path, thread::ScopedJoinHandle};
use tempfile::TempDir;

/// More than a story's changes of files: it is over before.
const CHANGES_MAX: usize = 2_000;
/// What may be left of what was not synchronised.
const LEFT: [Kept; 4] = [Kept::Nothing, Kept::Everything, Kept::Some(1), Kept::Some(2)];

/// Records that touch each table, in commits, with checkpoints in between.
pub(crate) fn story() -> Story {
    let mut story = Story::default();
    let account = AccountId { index: 90, generation: 1 };
    story.add(None, None, vec![Change::Deposited { account, amount: Tokens::from_micro(50) }]);
    let one = story.start(1, None);
    let two = story.start(2, Some(one));
    let parent = GrantId { index: 91, generation: 1 };
    story.add(Some(one), Some(told(1)), vec![grant(91, None, false), grant(92, Some(parent), false)]);
    let news = Box::new(letter(one, SECRET, None));
    story.add(Some(one), Some(told(2)), vec![Change::Sent { number: 1, to: two, letter: news }]);
    story.add(Some(one), Some(told_text(&SECRET.repeat(400))), vec![Change::GrantUsed { grant: parent }]);
    story.add(
        Some(two),
        Some(told(3)),
        vec![Change::LetterGone { number: 1 }, Change::Paid { account, amount: Tokens::from_micro(7) }],
    );
    story.add(None, None, vec![Change::Ended { pid: two, finished: finished() }]);
    story.add(Some(one), Some(told(4)), vec![Change::ReportGone { pid: two }]);
    story
}

/// The same, and what memories are written and tell.
fn whole_story() -> Story {
    let mut story = story();
    let [one, two] =
        story.records.iter().filter_map(|record| record.pid).fold([None; 2], |[one, two], pid| match one {
            None => [Some(pid), two],
            Some(_) => [one, Some(pid)],
        });
    story.add(one, Some(found(&[(1, SECRET), (2, SECRET)])), vec![put(1, 1, 1, SECRET), put(1, 2, 2, SECRET)]);
    story.add(two, Some(found(&[(1, &SECRET.repeat(300))])), vec![put(2, 3, 3, SECRET), applied(1, 1)]);
    story.add(None, None, vec![forget(1, 4, &[1], true), forget(2, 5, &[1], true)]);
    story.add(one, Some(found(&[(1, SECRET), (2, SECRET)])), vec![applied(2, 5), put(1, 6, 7, SECRET)]);
    story
}

fn small(vfs: &str) -> Options<'_> {
    Options { checkpoint_frames: 6, ..options(Some(vfs)) }
}

fn open(folder: &Path, disk: &'static Disk) -> Result<SqliteJournal, OpenError> {
    SqliteJournal::open_with(folder, small(disk.vfs()))
}

/// Appends, two records a commit, as long as that goes well. How many were confirmed.
fn tell(journal: &SqliteJournal, records: &[Owned]) -> Result<usize, (usize, JournalError)> {
    let mut confirmed = 0;
    for records in records.chunks(2) {
        let mut last = Position::default();
        for record in records {
            last = journal.append(&[record.record()]).map_err(|error| (confirmed, error))?;
        }
        block_on(journal.durable(last)).map_err(|error| (confirmed, error))?;
        confirmed += records.len();
    }
    Ok(confirmed)
}

fn says(journal: &SqliteJournal, model: &Model) -> bool {
    sorted(journal.node().expect("it can be read")) == model.node()
        && model.processes.iter().all(|(pid, process)| {
            let history = journal.history(*pid, 1, usize::MAX).expect("it can be read");
            let stored = journal.process(*pid).expect("it can be read").map(Plain::from);
            history.into_iter().map(|line| line.entry).eq(process.entries.iter().cloned())
                && stored == model.process(*pid)
        })
}

/// Opens what is left: it is what some prefix of the records says, no shorter than `confirmed`, and it goes on from there.
fn recover(folder: &TempDir, disk: &'static Disk, story: &Story, confirmed: usize, what: &str) {
    let journal = open(folder.path(), disk).unwrap_or_else(|error| panic!("{what}: {error}"));
    let prefixes = (confirmed..=story.records.len()).rev();
    let found = prefixes.map(|count| &story.records[..count]).find(|records| says(&journal, &Model::of(records)));
    let mut so_far =
        found.unwrap_or_else(|| panic!("{what}: {confirmed} were confirmed, and no prefix is there")).to_vec();
    compare_chains(&journal, &so_far);
    let rest = &story.records[so_far.len()..];
    let last = rest.iter().map(|record| journal.append(&[record.record()]).expect("there is room")).last();
    durable(&journal, last.unwrap_or_default());
    drop(journal);
    so_far.extend_from_slice(rest);
    let journal = open(folder.path(), disk).expect("it opens again");
    compare(&journal, &Model::of(&so_far));
    compare_chains(&journal, &so_far);
}

/// Keys are on the disk before they are used, by the system's own files: they are made once.
fn give_keys(from: &Path, to: &Path) {
    fs::create_dir(to.join("tenants")).expect("it is writable");
    for key in ["node.key", "audit.key", "audit.pub", "tenants/1.key", "tenants/2.key"] {
        fs::copy(from.join(key), to.join(key)).expect("it was made");
    }
}

/// Runs the story with a fault at each change; `then` sees each that came to it. How many.
fn at_each(
    fault: impl Fn(usize) -> Fault,
    mut then: impl FnMut(&TempDir, &'static Disk, &Story, Result<SqliteJournal, OpenError>, String),
) -> usize {
    let (disk, story) = (Disk::new(), whole_story());
    let keys = Stage::new();
    keys.append(&story.records);
    keys.settle();
    for number in 0..CHANGES_MAX {
        let folder = tempfile::tempdir().expect("there is a folder for such things");
        give_keys(keys.folder(), folder.path());
        disk.start(fault(number));
        let journal = open(folder.path(), disk);
        then(&folder, disk, &story, journal, format!("{:?}", fault(number)));
        if !disk.met() {
            return number;
        }
    }
    panic!("the story is longer than {CHANGES_MAX} changes");
}

/// At once with each that may be left: most of the time is spent waiting for the system's own disk.
fn with_each_left(check: impl Fn(Kept) + Sync) {
    let check = &check;
    std::thread::scope(|scope| LEFT.map(|kept| scope.spawn(move || check(kept))).into_iter().for_each(joined));
}

fn joined(thread: ScopedJoinHandle<'_, ()>) {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

#[test]
fn a_loss_of_power_at_any_change_leaves_what_was_confirmed() {
    with_each_left(|kept| {
        let changes = at_each(Fault::PowerLoss, |folder, disk, story, journal, what| {
            let confirmed = match journal {
                Ok(journal) => tell(&journal, &story.records).unwrap_or_else(|(confirmed, _)| confirmed),
                Err(_) => 0,
            };
            disk.lose_power(kept);
            recover(folder, disk, story, confirmed, &format!("{what}, {kept:?}"));
        });
        assert!(changes > 100, "{changes} changes of files");
    });
}

#[test]
fn a_fault_that_passes_is_not_noticed_and_a_failed_fsync_is_not_believed() {
    for refusal in [Refusal::Broken, Refusal::Full] {
        at_each(
            |number| Fault::Once(refusal, number),
            |folder, disk, story, journal, what| {
                // A journal that could not be made is made again.
                let journal =
                    journal.or_else(|_| open(folder.path(), disk)).unwrap_or_else(|error| panic!("{what}: {error}"));
                let confirmed = tell(&journal, &story.records);
                assert_eq!(confirmed, Ok(story.records.len()), "{what}");
                disk.cut_power();
                drop(journal);
                disk.lose_power(Kept::Nothing);
                recover(folder, disk, story, story.records.len(), &what);
            },
        );
    }
}

#[test]
fn a_disk_that_stays_broken_is_told_to_all_and_keeps_what_was_confirmed() {
    at_each(
        |number| Fault::Always(Refusal::Broken, number),
        |folder, disk, story, journal, what| {
            let confirmed = match journal {
                Err(_) => 0,
                Ok(journal) => match tell(&journal, &story.records) {
                    Ok(confirmed) => confirmed,
                    Err((confirmed, error)) => {
                        assert!(matches!(error, JournalError::Refused(_)), "{what}: {error}");
                        let refused = journal.append(&[story.records[0].record()]);
                        assert!(matches!(refused, Err(JournalError::Refused(_))), "{what}");
                        assert!(matches!(journal.node(), Err(JournalError::Unreadable(_))), "{what}");
                        confirmed
                    }
                },
            };
            disk.cut_power();
            disk.lose_power(Kept::Nothing);
            recover(folder, disk, story, confirmed, &what);
        },
    );
}

#[test]
fn a_full_disk_is_waited_for() {
    at_each(
        |number| Fault::Always(Refusal::Full, number),
        |folder, disk, story, journal, what| {
            let Ok(journal) = journal else {
                disk.heal();
                return recover(folder, disk, story, 0, &what);
            };
            let all: Vec<_> =
                story.records.iter().map(|record| journal.append(&[record.record()]).expect("there is room")).collect();
            let last = *all.last().expect("there are some");
            std::thread::scope(|scope| {
                let waits = scope.spawn(|| block_on(journal.durable(last)));
                // Where the fault lies behind the story's last commit nothing is refused, and nothing has to be waited for.
                while !waits.is_finished() && !disk.refused_at_least(5) {
                    std::thread::yield_now();
                }
                disk.heal();
                assert_eq!(waits.join().expect("it does not panic"), Ok(()), "{what}");
            });
            disk.cut_power();
            drop(journal);
            disk.lose_power(Kept::Nothing);
            recover(folder, disk, story, story.records.len(), &what);
        },
    );
}

#[test]
fn a_lost_fsync_may_lose_records_and_nothing_else() {
    with_each_left(|kept| {
        at_each(Fault::LostSync, |folder, disk, story, journal, what| {
            let journal = journal.expect("nothing is refused");
            tell(&journal, &story.records[..4]).expect("nothing is refused");
            disk.cut_power();
            drop(journal);
            disk.lose_power(kept);
            recover(folder, disk, story, 0, &format!("{what}, {kept:?}"));
        });
    });
}
