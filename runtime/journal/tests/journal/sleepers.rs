//! Who sleeps after any records, and what left with them, is what the kernel's own journal in memory says.

use crate::{
    fold::choices,
    model::Owned,
    sample::{SECRET, Story, sleeper, told},
    stage::{Stage, sorted},
};
use proptest::prelude::*;
use remit_abi::{AccountId, TenantId, Tokens};
use remit_kernel::{
    MemoryJournal,
    ports::{Change, Journal, NodeImage, Sleeper},
};
use std::fs;

/// Who sleeps, in the order of their pids, and all others.
fn awake(journal: &dyn Journal) -> (Vec<Sleeper>, NodeImage) {
    let mut sleepers = Vec::new();
    let node = journal.awake(&mut |sleeper| sleepers.push(sleeper)).expect("it can be read");
    sleepers.sort_by_key(|sleeper| sleeper.pid);
    (sleepers, sorted(node))
}

fn compare(journal: &dyn Journal, memory: &MemoryJournal) {
    let ((sleepers, node), (expect, told)) = (awake(journal), awake(memory));
    assert_eq!(sleepers, expect);
    assert_eq!((&node.living, &node.accounts, &node.grants), (&told.living, &told.accounts, &told.grants));
    assert_eq!(node.away, told.away);
    for sleeper in &sleepers {
        let (roused, told) = (journal.rouse(sleeper), memory.rouse(sleeper));
        let (roused, told) = (roused.expect("it can be read"), told.expect("it is in memory"));
        assert_eq!(roused.map(|roused| roused.holdings), told.map(|roused| roused.holdings));
    }
}

fn append(journal: &dyn Journal, record: &Owned) {
    journal.append(&[record.record()]).expect("there is room");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn who_sleeps_is_who_the_kernel_says_sleeps(choices in choices(), slept in prop::collection::vec((0..40_u16, 0..40_u16), 1..9)) {
        let (mut stage, memory) = (Stage::new(), MemoryJournal::default());
        let mut story = Story::of(&choices);
        let mut from = 0;
        for (a, b) in slept {
            story.step((27, a, b));
            if b.is_multiple_of(3) {
                story.step((24, a, b));
                story.step((16, a, b));
            }
            for record in &story.records[from..] {
                append(stage.journal(), record);
                append(&memory, record);
            }
            from = story.records.len();
            compare(stage.journal(), &memory);
        }
        stage.reopen();
        compare(stage.journal(), &memory);
    }
}

/// A process with an account of its own that sleeps.
pub(crate) fn asleep(tenant: u32) -> (Story, Sleeper) {
    let mut story = Story::default();
    let payer = AccountId { index: 190, generation: 1 };
    let account = AccountId { index: 191, generation: 1 };
    let amount = Tokens::from_micro(50);
    story.add(None, None, vec![Change::Deposited { account: payer, amount }]);
    story.add(None, None, vec![Change::Split { from: payer, account, amount }]);
    let pid = story.start(tenant, None);
    let sleeper = sleeper(pid, account, Some(payer), None);
    story.add(Some(pid), None, vec![Change::Slept(Box::new(sleeper.clone()))]);
    (story, sleeper)
}

#[test]
fn whatever_is_written_down_of_a_process_wakes_it() {
    let (story, expect) = asleep(1);
    let pid = expect.pid;
    let letter = Box::new(crate::sample::letter(pid, SECRET, None));
    let changes = [
        Change::Sent { number: 9, to: pid, letter },
        Change::Held { pid, holds: 1 },
        Change::Signalled { pid, signals: 1 },
        Change::Detached { pid },
    ];
    let line = Owned { pid: Some(pid), entry: Some(told(1)), changes: Vec::new() };
    let others = changes.map(|change| Owned { pid: None, entry: None, changes: vec![change] });
    for record in others.into_iter().chain([line]) {
        let stage = Stage::new();
        stage.append(&story.records);
        let (sleepers, node) = awake(stage.journal());
        assert_eq!((&*sleepers, &*node.living, node.accounts.len()), (&[expect.clone()][..], &[][..], 0));
        assert_eq!(node.away.held, Tokens::from_micro(50));
        assert_eq!(stage.journal().node().expect("it can be read").living, [pid], "whoever does not ask is told all");
        stage.append(&[record]);
        let (sleepers, node) = awake(stage.journal());
        assert_eq!((sleepers.len(), &*node.living, node.accounts.len()), (0, &[pid][..], 2));
    }
}

#[test]
fn one_that_sleeps_lives() {
    let (story, sleeper) = asleep(1);
    let mut stage = Stage::new();
    stage.append(&story.records);
    stage.settle();
    assert!(stage.journal().forget_tenant(TenantId(1)).is_err(), "it has not ended");
    stage.journal().forget_before(u64::MAX).expect("it can be forgotten");
    stage.reopen();
    let roused = stage.journal().rouse(&sleeper).expect("it can be read").expect("it lives");
    assert_eq!((roused.process.pid, roused.holdings.accounts.len()), (sleeper.pid, 2));
    assert_eq!(stage.journal().history(sleeper.pid, 1, 9).expect("it can be read").len(), 2);
}

#[test]
fn its_name_is_in_no_file() {
    let (story, sleeper) = asleep(2);
    assert_eq!((sleeper.pid.index, sleeper.name.is_none()), (1, true));
    let mut story = story;
    let pid = story.start(2, None);
    let named = crate::sample::sleeper(pid, AccountId { index: 95, generation: 1 }, None, None);
    assert_eq!(named.name.as_deref(), Some(SECRET));
    story.add(Some(pid), None, vec![Change::Slept(Box::new(named))]);
    let mut stage = Stage::new();
    stage.append(&story.records);
    assert_eq!(awake(stage.journal()).0.len(), 2);
    stage.close();
    for file in fs::read_dir(stage.folder()).expect("it is there").flatten().filter(|file| file.path().is_file()) {
        let bytes = fs::read(file.path()).expect("it can be read");
        assert!(!bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes()), "{:?}", file.path());
    }
}
