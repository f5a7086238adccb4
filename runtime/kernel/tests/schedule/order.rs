//! The order inside one tenant.

use remit_abi::{Pid, Priority, TenantId};
use remit_kernel::schedule::{AGING_NS, FairQueue, FairShare, Fifo, Queued, RoundRobin, TURN_NS, TenantPolicy, Weight};

const TENANT: TenantId = TenantId(1);

fn queued(index: u32, priority: Priority) -> Queued<()> {
    Queued { pid: Pid { tenant: TENANT, index, generation: 1 }, priority, item: () }
}

fn normal(index: u32) -> Queued<()> {
    queued(index, Priority::Normal)
}

/// Who runs in so many turns of a millisecond, where three never stop.
fn order_of_three(policy: &mut dyn TenantPolicy<()>, turns: usize) -> Vec<u32> {
    (1..=3).for_each(|index| policy.arrive(normal(index)));
    let mut order = Vec::new();
    for _ in 0..turns {
        let next = policy.next().expect("three can go on");
        order.push(next.pid.index);
        policy.ran(next.pid, TURN_NS, Some(next));
    }
    order
}

#[test]
fn round_robin_and_a_fair_share_of_equals_go_in_a_circle() {
    assert_eq!(order_of_three(&mut RoundRobin::default(), 7), [1, 2, 3, 1, 2, 3, 1]);
    assert_eq!(order_of_three(&mut FairShare::default(), 7), [1, 2, 3, 1, 2, 3, 1]);
}

#[test]
fn who_came_first_goes_on_until_it_waits() {
    let mut fifo = Fifo::default();
    assert_eq!(order_of_three(&mut fifo, 4), [1, 1, 1, 1]);
    let first = fifo.next().expect("the first");
    fifo.ran(first.pid, TURN_NS, None);
    assert_eq!(fifo.next().map(|next| next.pid.index), Some(2));
    fifo.arrive(first);
    assert_eq!(fifo.next().map(|next| next.pid.index), Some(3), "who waited comes last");
}

#[test]
fn a_higher_class_goes_first_and_a_lower_one_is_not_forgotten() {
    let mut policy = FairShare::default();
    policy.arrive(queued(1, Priority::Background));
    policy.arrive(queued(2, Priority::Low));
    policy.arrive(queued(3, Priority::Normal));
    policy.arrive(queued(4, Priority::High));
    let mut waits = [0; 5];
    let mut turns = [0_u64; 5];
    for turn in 0..10_000_u64 {
        let next = policy.next().expect("four can go on");
        let index = next.pid.index as usize;
        let aged = AGING_NS / TURN_NS * (4 - index as u64);
        assert!(turn - waits[index] <= aged + 8, "class {index} waited for {} turns", turn - waits[index]);
        (waits[index], turns[index]) = (turn, turns[index] + 1);
        policy.ran(next.pid, TURN_NS, Some(next));
    }
    assert!(turns[4] > turns[3] && turns[3] > turns[2] && turns[2] > turns[1], "{turns:?}");
}

#[test]
fn short_turns_come_round_sooner() {
    let mut policy = FairShare::default();
    (1..=4).for_each(|index| policy.arrive(normal(index)));
    let mut turns = [0_u64; 5];
    for _ in 0..1000 {
        let next = policy.next().expect("four can go on");
        turns[next.pid.index as usize] += 1;
        policy.ran(next.pid, if next.pid.index == 1 { TURN_NS / 100 } else { TURN_NS }, Some(next));
    }
    assert!(turns[1] > 2 * turns[2], "{turns:?}");
}

#[test]
fn a_short_wait_does_not_pay() {
    let mut policy = FairShare::default();
    (1..=4).for_each(|index| policy.arrive(normal(index)));
    let mut turns = [0_u64; 5];
    for _ in 0..1000 {
        let next = policy.next().expect("four can go on");
        turns[next.pid.index as usize] += 1;
        // The first one waits for a moment after each turn.
        if next.pid.index == 1 {
            policy.ran(next.pid, TURN_NS, None);
            policy.arrive(next);
        } else {
            policy.ran(next.pid, TURN_NS, Some(next));
        }
    }
    assert!(turns.iter().skip(1).all(|count| count.abs_diff(250) <= 1), "{turns:?}");
}

#[test]
fn a_tenants_policy_can_be_changed_while_it_runs() {
    let mut queue = FairQueue::default();
    (1..=3).for_each(|index| queue.push(normal(index)));
    let turn = |queue: &mut FairQueue<()>| {
        let next = queue.pop().expect("three can go on");
        let pid = next.pid;
        queue.push(next);
        queue.ran(pid, TURN_NS);
        pid.index
    };
    assert_eq!([turn(&mut queue), turn(&mut queue)], [1, 2]);
    queue.set(TENANT, Weight::default(), || Box::new(Fifo::default()));
    assert_eq!([turn(&mut queue), turn(&mut queue)], [3, 3]);
    queue.set(TENANT, Weight::default(), || Box::new(RoundRobin::default()));
    assert_eq!([turn(&mut queue), turn(&mut queue), turn(&mut queue)], [3, 1, 2]);
}

#[test]
fn a_turn_that_nobody_has_is_not_counted() {
    let mut queue = FairQueue::default();
    queue.push(normal(1));
    queue.ran(normal(1).pid, TURN_NS);
    queue.ran(normal(2).pid, TURN_NS);
    assert_eq!(queue.pop(), Some(normal(1)));
    assert_eq!(queue.pop(), None);
}
