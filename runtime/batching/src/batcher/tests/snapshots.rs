//! Blocks that leave and come back by their names.

use super::machine::{Machine, request, request_of, words};
use crate::{Config, Fifo, Swap};
use std::time::Duration;

const QUICK: Duration = Duration::from_micros(100);

fn machine(blocks: usize, restore_time: Duration) -> Machine {
    Machine::new(Config { restore_time: Some(restore_time), ..Config::new(blocks) }, Fifo)
}

/// Who is computed now, in a pool that has room for one of them.
fn run(machine: &mut Machine, seed: u32) {
    machine.add(request(words(seed, 200), 5)).expect("it fits");
    machine.run();
}

#[test]
fn what_had_to_go_comes_back_and_is_computed_no_more() {
    let mut machine = machine(16, QUICK);
    run(&mut machine, 1);
    assert_eq!(machine.snapshots.len(), 0);
    run(&mut machine, 2);
    assert!(!machine.snapshots.is_empty());
    run(&mut machine, 3);
    let again = machine.add(request(words(1, 200), 5)).expect("it fits");
    assert_eq!(machine.restore(again), 12);
    machine.run();
    machine.check_end();
    let report = machine.known[&again].ended.expect("it ended");
    // Twelve whole blocks of the prompt; its last one, and four tokens of output, are computed.
    assert_eq!((report.cached, report.computed), (192, 12));
    assert_eq!(machine.batcher.totals().restored, 12);
}

#[test]
fn a_block_is_kept_and_read_where_that_is_cheaper() {
    let mut slow = machine(16, Duration::from_secs(1));
    run(&mut slow, 1);
    run(&mut slow, 2);
    assert_eq!(slow.snapshots.len(), 0);
    // Reading turns out to be quick, and then to be slow.
    (0..60).for_each(|_| slow.batcher.restored(QUICK));
    run(&mut slow, 3);
    assert!(!slow.snapshots.is_empty());
    let again = slow.add(request(words(2, 200), 5)).expect("it fits");
    (0..60).for_each(|_| slow.batcher.restored(Duration::from_secs(1)));
    assert_eq!(slow.restore(again), 0);
    (0..60).for_each(|_| slow.batcher.restored(QUICK));
    assert!(slow.restore(again) > 0);
    slow.run();
    slow.check_end();
    // What was learnt outlives the device.
    slow.batcher.lost(slow.now);
    run(&mut slow, 4);
    let kept = slow.snapshots.len();
    run(&mut slow, 5);
    assert!(slow.snapshots.len() > kept);
}

#[test]
fn nothing_is_kept_where_there_are_no_snapshots() {
    let mut machine = Machine::new(Config::new(16), Fifo);
    (1..4).for_each(|seed| run(&mut machine, seed));
    assert_eq!(machine.snapshots.len(), 0);
    let again = machine.add(request(words(1, 200), 5)).expect("it fits");
    assert_eq!(machine.batcher.restorable(again, |_| true), None);
    assert_eq!(machine.batcher.leaving(), []);
}

#[test]
fn a_snapshot_is_its_own_tenants() {
    let mut machine = machine(16, QUICK);
    let add = |machine: &mut Machine, tenant, seed| {
        let id = machine.add(request_of(tenant, 1, words(seed, 200), 5)).expect("it fits");
        let restored = machine.restore(id);
        machine.run();
        restored
    };
    assert_eq!((add(&mut machine, 1, 1), add(&mut machine, 1, 2), add(&mut machine, 1, 3)), (0, 0, 0));
    assert_eq!(add(&mut machine, 2, 1), 0);
    assert_eq!(add(&mut machine, 1, 1), 12);
    machine.check_end();
}

#[test]
fn what_is_here_is_not_read_and_a_hole_ends_what_is() {
    let mut machine = machine(64, QUICK);
    run(&mut machine, 1);
    for (place, prefix) in machine.batcher.leaving() {
        machine.keep(place, prefix);
    }
    assert_eq!(machine.snapshots.len(), 12);
    let again = machine.add(request(words(1, 200), 5)).expect("it fits");
    assert_eq!(machine.restore(again), 0);
    machine.run();
    machine.batcher.lost(machine.now);
    let again = machine.add(request(words(1, 200), 5)).expect("it fits");
    let all = machine.batcher.restorable(again, |_| true).expect("all of it is kept").prefixes;
    machine.snapshots.remove(&all[5]);
    assert_eq!(machine.restore(again), 5);
    // Nothing enters behind what is not there.
    assert_eq!(machine.batcher.restore(again, 6, machine.now), None);
    assert_eq!(machine.batcher.restore(again, 12, machine.now), None);
    machine.run();
    machine.check_end();
}

#[test]
fn a_program_that_rests_has_its_last_call_kept() {
    let mut machine = machine(64, QUICK);
    machine.add(request_of(1, 7, words(1, 100), 5)).expect("it fits");
    machine.add(request_of(1, 8, words(2, 100), 5)).expect("it fits");
    machine.run();
    let kept = machine.batcher.resting(1, 7);
    assert_eq!(kept.len(), 6);
    assert_eq!(machine.batcher.resting(2, 7), []);
    for (place, prefix) in kept {
        machine.keep(place, prefix);
    }
    machine.batcher.lost(machine.now);
    assert_eq!(machine.batcher.resting(1, 7), []);
    let again = machine.add(request_of(1, 7, words(1, 100), 5)).expect("it fits");
    assert_eq!(machine.restore(again), 6);
    machine.run();
    machine.check_end();
}

#[test]
fn what_leaves_a_full_slot_is_kept_too() {
    let swap = Some(Swap { slots: 14, block_time: QUICK });
    let config = Config { swap, restore_time: Some(QUICK), ..Config::new(16) };
    let mut machine = Machine::new(config, Fifo);
    (1..6).for_each(|seed| run(&mut machine, seed));
    assert!(machine.batcher.totals().swapped_out > 0);
    assert!(!machine.snapshots.is_empty());
    // Whichever lacks blocks that are in no slot has them back.
    for seed in 1..6 {
        let again = machine.add(request(words(seed, 200), 5)).expect("it fits");
        machine.restore(again);
        machine.run();
    }
    assert!(machine.batcher.totals().restored > 0);
    machine.check_end();
}

#[test]
fn a_full_pool_restores_nothing_and_goes_on() {
    let mut machine = machine(16, QUICK);
    (1..4).for_each(|seed| run(&mut machine, seed));
    let long = machine.add(request(words(9, 200), 40)).expect("it fits");
    machine.run_for(3);
    let again = machine.add(request(words(1, 200), 5)).expect("it fits");
    assert!(machine.restore(again) < 12);
    machine.run();
    machine.check_end();
    assert!(machine.known[&long].ended.is_some());
}
