//! What tenants get of the machine.

use crate::machine::{Life, Machine, TURN_NS_MAX, Then, spinner};
use proptest::prelude::*;
use remit_abi::Priority;

const SECOND_NS: u64 = 1_000_000_000;

/// Turns that last longer than any of these tests.
const ENDLESS: usize = 5_000;

proptest! {
    // Each case is thousands of turns.
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn shares_follow_the_weights(
        tenants in prop::collection::vec((1..=1000_u32, 1..20_usize, 1..=TURN_NS_MAX), 2..6),
        threads in 1..=3_u64,
    ) {
        let mut lives = Vec::new();
        for (tenant, (_, processes, turn_ns)) in (0..).zip(&tenants) {
            // As many as there are threads, or its share can be more than it can use.
            let processes = (*processes).max(usize::try_from(threads).expect("few"));
            lives.extend((0..processes).map(|_| {
                let turns = vec![(*turn_ns, Then::Again); usize::try_from(SECOND_NS / turn_ns).expect("it fits").min(ENDLESS)];
                Life { turns, ..spinner(tenant, 0) }
            }));
        }
        let least = lives.iter().map(|life| life.turns.iter().map(|(ran_ns, _)| ran_ns).sum::<u64>()).min();
        let mut machine = Machine::new(threads, lives);
        for (tenant, (weight, ..)) in (0..).zip(&tenants) {
            machine.weight(tenant, *weight);
        }
        // Nobody has ended by then.
        machine.run_until(least.expect("there are lives") / threads);
        let had = |tenant: u32| {
            let weight = tenants[tenant as usize].0;
            let given_ns = machine.given_ns.get(&tenant).copied().unwrap_or_default();
            (given_ns as f64 / f64::from(weight), TURN_NS_MAX as f64 / f64::from(weight))
        };
        for one in 0..u32::try_from(tenants.len()).expect("few") {
            for other in 0..one {
                let ((first, error), (second, other_error)) = (had(one), had(other));
                let allowed = threads as f64 * (error + other_error);
                prop_assert!((first - second).abs() <= allowed, "{first} {second}: {allowed}");
            }
        }
    }
}

#[test]
fn a_thousand_processes_get_no_more_than_one() {
    let mut lives: Vec<_> = (0..1000).map(|_| spinner(1, ENDLESS)).collect();
    lives.push(spinner(2, ENDLESS));
    let mut machine = Machine::new(1, lives);
    machine.run_until(SECOND_NS);
    assert!(machine.given_ns[&1].abs_diff(machine.given_ns[&2]) <= TURN_NS_MAX, "{:?}", machine.given_ns);
}

#[test]
fn who_slept_has_saved_nothing_up() {
    let late = Life { begins_ns: SECOND_NS, ..spinner(2, ENDLESS) };
    let sleeper = Life { turns: vec![(1, Then::Sleep(SECOND_NS)), (TURN_NS_MAX, Then::Again)], ..spinner(3, 0) };
    let sleeper = Life { turns: [sleeper.turns, spinner(3, ENDLESS).turns].concat(), ..sleeper };
    let mut machine = Machine::new(1, vec![spinner(1, ENDLESS), late, sleeper]);
    machine.run_until(SECOND_NS);
    let first = machine.given_ns[&1];
    machine.run_until(4 * SECOND_NS);
    for tenant in [2, 3] {
        let given_ns = machine.given_ns[&tenant];
        assert!(given_ns.abs_diff(machine.given_ns[&1] - first) <= 3 * TURN_NS_MAX, "{:?}", machine.given_ns);
    }
}

#[test]
fn a_short_sleep_does_not_pay() {
    let naps = Life { turns: vec![(TURN_NS_MAX, Then::Sleep(1)); ENDLESS], ..spinner(2, 0) };
    let mut machine = Machine::new(1, vec![spinner(1, ENDLESS), naps]);
    machine.weight(1, 900);
    machine.run_until(SECOND_NS);
    let share = machine.given_ns[&2] as f64 / SECOND_NS as f64;
    assert!((share - 0.1).abs() < 0.01, "{share}");
}

#[test]
fn tenants_are_forgotten_when_they_have_caught_up() {
    // Each of 1000 comes once, for half a turn, while one is always here.
    let mut lives: Vec<_> = (1..1000)
        .map(|tenant| Life {
            tenant,
            priority: Priority::Normal,
            begins_ns: u64::from(tenant) * TURN_NS_MAX,
            turns: vec![(TURN_NS_MAX / 2, Then::Again)],
        })
        .collect();
    lives.push(spinner(0, ENDLESS));
    let mut machine = Machine::new(1, lives);
    for second in 1..4 {
        machine.run_until(second * SECOND_NS / 2);
        assert!(machine.queue.tenants() < 8, "{} are remembered", machine.queue.tenants());
    }
}

#[test]
fn a_newcomer_has_no_head_start_however_often_others_came_and_went() {
    // The second one's short turns fall into the first one's long ones.
    let naps = Life { turns: vec![(TURN_NS_MAX / 100, Then::Sleep(TURN_NS_MAX * 5 / 2)); ENDLESS], ..spinner(2, 0) };
    let late = Life { begins_ns: SECOND_NS, ..spinner(3, ENDLESS) };
    let mut machine = Machine::new(1, vec![spinner(1, ENDLESS), naps, late]);
    machine.run_until(SECOND_NS);
    let before = machine.given_ns[&1];
    machine.run_until(SECOND_NS + SECOND_NS / 10);
    let since = machine.given_ns[&1] - before;
    assert!(since.abs_diff(machine.given_ns[&3]) <= 3 * TURN_NS_MAX, "{since} {:?}", machine.given_ns);
}
