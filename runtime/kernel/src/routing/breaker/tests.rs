use super::*;
use proptest::prelude::*;
use remit_abi::TenantId;

const RULES: BreakerRules = BreakerRules { failures: 3, window_ns: 100, pause_ns: 50 };

fn pid(index: u32) -> Pid {
    Pid { tenant: TenantId(0), index, generation: 1 }
}

/// A breaker that three failures of the engine at `now_ns` opened.
fn opened(now_ns: u64) -> Breaker {
    let mut breaker = Breaker::new(RULES);
    for _ in 0..3 {
        let admission = breaker.admit(now_ns).expect("it is closed");
        breaker.failed(admission, Cause::Engine, now_ns);
    }
    assert_eq!(breaker.state(), BreakerState::Open);
    breaker
}

/// What is seen after failures at these moments.
fn check(failures: &[(u64, Cause)], expect: BreakerState) {
    let mut breaker = Breaker::new(RULES);
    for (now_ns, cause) in failures {
        let admission = breaker.admit(*now_ns).expect("it is closed so far");
        breaker.failed(admission, *cause, *now_ns);
    }
    assert_eq!(breaker.state(), expect, "{failures:?}");
}

#[test]
fn failures_within_the_window_open_it() {
    let engine = Cause::Engine;
    check(&[(0, engine), (50, engine)], BreakerState::Closed);
    check(&[(0, engine), (50, engine), (99, engine)], BreakerState::Open);
    check(&[(0, engine), (50, engine), (100, engine)], BreakerState::Closed);
}

#[test]
fn requests_of_one_process_that_fail_by_themselves_do_not_open_it() {
    let by = |index| Cause::Request(pid(index));
    check(&[(0, by(1)), (1, by(1)), (2, by(1)), (3, by(1))], BreakerState::Closed);
    check(&[(0, by(1)), (1, by(2)), (2, by(1)), (3, by(3))], BreakerState::Open);
    check(&[(0, by(1)), (1, Cause::Engine), (2, Cause::Engine)], BreakerState::Open);
}

#[test]
fn one_probe_goes_through_after_the_pause() {
    let mut breaker = opened(10);
    assert_eq!((breaker.admit(59), breaker.rests_ns(59)), (None, Some(1)));
    let probe = breaker.admit(60).expect("the pause is over");
    assert_eq!(probe, Admission::Probe { number: 1 });
    assert_eq!(breaker.admit(60), None, "one at a time");
    breaker.succeeded(probe);
    assert_eq!((breaker.state(), breaker.rests_ns(60)), (BreakerState::Closed, None));
}

#[test]
fn a_probe_that_fails_opens_it_again_and_one_that_is_given_up_lets_the_next_try() {
    let mut breaker = opened(0);
    let probe = breaker.admit(50).expect("the pause is over");
    breaker.failed(probe, Cause::Engine, 60);
    assert_eq!(breaker.rests_ns(60), Some(50));
    let probe = breaker.admit(110).expect("the pause is over");
    breaker.given_up(probe, 111);
    assert_eq!(breaker.admit(111), Some(Admission::Probe { number: 3 }));
}

#[test]
fn a_probe_that_says_nothing_is_not_waited_for() {
    let mut breaker = opened(0);
    let silent = breaker.admit(50).expect("the pause is over");
    assert_eq!(breaker.admit(99), None);
    let next = breaker.admit(100).expect("a pause is long enough");
    breaker.succeeded(silent);
    assert_eq!(breaker.state(), BreakerState::HalfOpen, "its word comes too late");
    breaker.succeeded(next);
    assert_eq!(breaker.state(), BreakerState::Closed);
}

#[test]
fn what_began_before_it_opened_is_not_counted_after_it_closed() {
    let mut breaker = Breaker::new(RULES);
    let early: Vec<_> = (0..5).map(|_| breaker.admit(0).expect("it is closed")).collect();
    early[..3].iter().for_each(|admission| breaker.failed(*admission, Cause::Engine, 1));
    let probe = breaker.admit(51).expect("the pause is over");
    breaker.succeeded(probe);
    for _ in 0..2 {
        breaker.failed(early[3], Cause::Engine, 52);
        breaker.failed(early[4], Cause::Engine, 52);
    }
    assert_eq!(breaker.state(), BreakerState::Closed);
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Wait(u64),
    Admit,
    Succeed(usize),
    Fail(usize, Option<u32>),
    GiveUp(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => (0_u64..40).prop_map(Step::Wait),
        3 => Just(Step::Admit),
        1 => (0_usize..8).prop_map(Step::Succeed),
        3 => (0_usize..8, prop::option::of(0_u32..3)).prop_map(|(which, by)| Step::Fail(which, by)),
        1 => (0_usize..8).prop_map(Step::GiveUp),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_it_lets_one_through_after_a_pause_and_no_two_probes_within_one(
        steps in prop::collection::vec(step(), 0..200),
    ) {
        let (mut breaker, mut now_ns, mut under_way) = (Breaker::new(RULES), 0_u64, Vec::new());
        // When the probe that is under way was let through.
        let mut probe: Option<(u64, u64)> = None;
        for step in steps {
            match step {
                Step::Wait(ns) => now_ns += ns,
                Step::Admit => {
                    let could = breaker.rests_ns(now_ns).is_none();
                    let admission = breaker.admit(now_ns);
                    prop_assert_eq!(admission.is_some(), could, "the question and the act agree");
                    if let Some(Admission::Probe { number }) = admission {
                        if let Some((earlier, since_ns)) = probe {
                            prop_assert!(number > earlier);
                            prop_assert!(now_ns >= since_ns + RULES.pause_ns);
                        }
                        probe = Some((number, now_ns));
                    }
                    under_way.extend(admission);
                }
                Step::Succeed(which) | Step::Fail(which, _) | Step::GiveUp(which) => {
                    if under_way.is_empty() {
                        continue;
                    }
                    let admission = under_way.swap_remove(which % under_way.len());
                    match step {
                        Step::Succeed(_) => breaker.succeeded(admission),
                        Step::GiveUp(_) => breaker.given_up(admission, now_ns),
                        Step::Fail(_, by) => {
                            let cause = by.map_or(Cause::Engine, |index| Cause::Request(pid(index)));
                            breaker.failed(admission, cause, now_ns);
                        }
                        Step::Wait(_) | Step::Admit => {}
                    }
                    if matches!((admission, probe), (Admission::Probe { number }, Some((last, _))) if number == last) {
                        probe = None;
                    }
                }
            }
            prop_assert!(breaker.recent.len() < RULES.failures as usize);
            prop_assert!(breaker.rests_ns(now_ns).is_none_or(|rest| rest <= RULES.pause_ns));
            prop_assert_eq!(breaker.rests_ns(now_ns + RULES.pause_ns), None, "it never stays shut");
        }
    }
}
