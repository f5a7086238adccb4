//! What the journal says after any records is what plain maps say, now and after it was opened again.

use crate::{
    model::{Model, Owned},
    sample::{Choice, STEPS, Story},
    stage::{Stage, compare},
};
use proptest::prelude::*;
use remit_abi::{AccountId, Tokens};
use remit_kernel::ports::{Change, Journal, Record};

pub(crate) fn choices() -> impl Strategy<Value = Vec<Choice>> {
    let step = (0..STEPS, any::<u16>(), 0..1_000_u16);
    // First some that others are about.
    let first = [0, 6, 6].into_iter().map(|step| (step, 999, 999)).collect::<Vec<_>>();
    prop::collection::vec(step, 0..120).prop_map(move |rest| [first.clone(), rest].concat())
}

/// The records in parts, and a look after each: with the same connections, and with new ones.
fn check(records: &[Owned], cuts: &[usize]) {
    let mut stage = Stage::new();
    let mut model = Model::default();
    let mut from = 0;
    let cuts = cuts.iter().map(|cut| *cut.min(&records.len())).chain([records.len()]);
    for (number, to) in cuts.enumerate() {
        for record in &records[from..to] {
            stage.journal().append(&[record.record()]).expect("there is room");
            model.apply(record);
        }
        if number % 2 == 1 {
            stage.reopen();
        }
        compare(stage.journal(), &model);
        from = to;
    }
    stage.reopen();
    compare(stage.journal(), &model);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn what_is_read_is_what_was_appended(
        choices in choices(),
        mut cuts in prop::collection::vec(0..150_usize, 0..4),
    ) {
        cuts.sort_unstable();
        check(&Story::of(&choices).records, &cuts);
    }
}

#[test]
fn amounts_may_come_before_the_account_that_they_are_of() {
    let ids = [1, 2, 3].map(|index| AccountId { index, generation: 1 });
    let [root, one, two] = ids;
    let amount = Tokens::from_micro(5);
    let told = [
        Change::Deposited { account: root, amount: Tokens::from_micro(100) },
        Change::Split { from: root, account: one, amount },
        Change::Moved { from: root, to: two, amount },
        Change::Paid { account: two, amount: Tokens::from_micro(7) },
        Change::Split { from: one, account: two, amount: Tokens::from_micro(3) },
    ];
    let image = |order: &[usize]| {
        let stage = Stage::new();
        for at in order {
            let changes = std::slice::from_ref(&told[*at]);
            stage.journal().append(&[Record { pid: None, entry: None, changes }]).expect("there is room");
        }
        let mut accounts = stage.journal().node().expect("it can be read").accounts;
        accounts.sort_by_key(|row| row.account);
        accounts
    };
    let expected = image(&[0, 1, 2, 4, 3]);
    assert_eq!(Model::sum(&expected), 100);
    for order in [[0, 1, 2, 3, 4], [3, 2, 4, 1, 0], [4, 3, 2, 1, 0]] {
        assert_eq!(image(&order), expected, "{order:?}");
    }
}

#[test]
fn a_history_is_whole_over_runs_and_after_the_end() {
    let mut stage = Stage::new();
    let mut story = Story::default();
    let pid = story.start(1, None);
    for round in 0..20 {
        story.add(Some(pid), Some(crate::sample::told(round)), vec![]);
        story.add(Some(pid), Some(crate::sample::began(1)), vec![]);
    }
    let finished = crate::sample::finished();
    story.add(Some(pid), None, vec![Change::Ended { pid, finished }]);
    let commits = story.records.chunks(3);
    for records in commits {
        stage.append(records);
        stage.settle();
    }
    let entries = &story.model.processes[&pid].entries;
    stage.reopen();
    let (last, all) = (entries.len() as u64, usize::MAX);
    for (from, limit) in [(0, all), (1, 3), (2, 1), (7, 9), (last, 5), (last + 1, 5), (4, 0)] {
        let lines = stage.journal().history(pid, from, limit).expect("it can be read");
        let lines: Vec<_> = lines.into_iter().map(|line| (line.sequence, line.entry)).collect();
        let expected = (1..).zip(entries.iter().cloned()).filter(|(sequence, _)| *sequence >= from).take(limit);
        assert_eq!(lines, expected.collect::<Vec<_>>(), "{limit} lines from {from} on");
    }
    assert_eq!(stage.journal().process(pid), Ok(None));
}
