//! Nobody waits for longer than is promised, whoever else comes.

use crate::machine::{Life, Machine, TURN_NS_MAX, Then, spinner};
use proptest::prelude::*;
use remit_abi::Priority;

fn priority() -> impl Strategy<Value = Priority> {
    prop_oneof![Just(Priority::Background), Just(Priority::Low), Just(Priority::Normal), Just(Priority::High)]
}

/// A turn: whole ones and short ones, most of them with another one behind it.
fn turn() -> impl Strategy<Value = (u64, Then)> {
    let ran_ns = prop_oneof![Just(TURN_NS_MAX), 1..=TURN_NS_MAX, 1..=TURN_NS_MAX / 50];
    let then = prop_oneof![3 => Just(Then::Again), 1 => (1..20 * TURN_NS_MAX).prop_map(Then::Sleep)];
    (ran_ns, then)
}

fn life(tenants: u32) -> impl Strategy<Value = Life> {
    let begins_ns = prop_oneof![Just(0), 0..100 * TURN_NS_MAX];
    (0..tenants, priority(), begins_ns, prop::collection::vec(turn(), 1..40))
        .prop_map(|(tenant, priority, begins_ns, turns)| Life { tenant, priority, begins_ns, turns })
}

fn check(machine: &mut Machine, lives: &[Life]) -> Result<(), TestCaseError> {
    machine.run();
    for wait in &machine.waits {
        let classes_above = Priority::High as u64 - lives[wait.process].priority as u64;
        let max_ns = machine.wait_ns_max(wait.process, classes_above);
        prop_assert!(wait.waited_ns <= max_ns, "{wait:?}, and {max_ns} was promised");
    }
    Ok(())
}

proptest! {
    // Each case is thousands of turns.
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_process_has_its_turns_and_waits_no_longer_than_promised(
        lives in prop::collection::vec(life(8), 1..60),
        weights in prop::collection::vec(prop_oneof![Just(100_u32), 1..=1000_u32], 8),
        threads in 1..=4_u64,
    ) {
        let mut machine = Machine::new(threads, lives.clone());
        for (tenant, weight) in (0..).zip(weights) {
            machine.weight(tenant, weight);
        }
        check(&mut machine, &lives)?;
    }

    #[test]
    fn newcomers_without_end_do_not_keep_anybody_waiting(
        at_a_time in 1..20_u32,
        gap_ns in 1..=TURN_NS_MAX,
        turn_ns in 1..=TURN_NS_MAX,
        same_tenant in any::<bool>(),
    ) {
        // One process that wants to go on, and strangers that come faster than they can be served for a while.
        let mut lives = vec![spinner(0, 20)];
        lives.extend((1..2000_u32).map(|number| Life {
            tenant: if same_tenant { 0 } else { number },
            priority: Priority::Normal,
            begins_ns: u64::from(number / at_a_time) * gap_ns * u64::from(at_a_time),
            turns: vec![(turn_ns, Then::Again)],
        }));
        let mut machine = Machine::new(1, lives.clone());
        check(&mut machine, &lives)?;
    }
}

#[test]
fn equal_tenants_wait_for_each_other_and_no_longer() {
    let tenants = 50;
    let mut machine = Machine::new(1, (0..tenants).map(|tenant| spinner(tenant, 20)).collect());
    machine.run();
    let longest = machine.waits.iter().map(|wait| wait.waited_ns).max().expect("there were waits");
    assert_eq!(longest, u64::from(tenants - 1) * TURN_NS_MAX);
}
