//! The policy on a machine that serves one task at a time.

use super::*;
use crate::SequenceId;
use proptest::prelude::*;

/// A turn, in seconds.
const TURN: f64 = 0.01;

fn task(id: u64, tenant: u64, program: u64, class: Class, weight: u32) -> Task {
    let id = SequenceId(id);
    Task { id, tenant, program, class, weight, deadline: None, seconds_left: 1.0, account: Account::default() }
}

#[derive(Default)]
struct Server {
    fair: Fair,
    tasks: Vec<Task>,
    had: HashMap<u64, f64>,
    now: f64,
}

impl Server {
    fn now(&self) -> Duration {
        Duration::from_secs_f64(self.now)
    }

    fn add(&mut self, mut task: Task) {
        task.account = self.fair.arrive(&task, self.now());
        self.fair.begin(&task);
        self.tasks.push(task);
    }

    fn end(&mut self, id: u64) {
        let place = self.tasks.iter().position(|task| task.id.0 == id).expect("it is here");
        let task = self.tasks.swap_remove(place);
        self.fair.stop(&task);
        self.fair.leave(&task, self.now());
    }

    /// Serves who goes first; who that was.
    fn turn(&mut self) -> u64 {
        let now = self.now();
        let task =
            *self.tasks.iter().min_by_key(|task| (self.fair.rank(task, now), task.id)).expect("somebody is here");
        self.now += TURN;
        self.fair.served(&task, TURN, self.now());
        *self.had.entry(task.tenant).or_default() += TURN;
        task.id.0
    }

    fn turns(&mut self, seconds: f64) {
        for _ in 0..(seconds / TURN) as usize {
            self.turn();
        }
    }
}

/// What tenants of these weights, with so many tasks each, had of 100 s.
fn check_shares(tenants: &[(u32, u64)], expect: &[f64]) {
    let mut server = Server::default();
    for (tenant, (weight, count)) in tenants.iter().enumerate() {
        for number in 0..*count {
            server.add(task(tenant as u64 * 1_000 + number, tenant as u64, number, Class::Normal, *weight));
        }
    }
    server.turns(100.0);
    for (tenant, expect) in expect.iter().enumerate() {
        let had = server.had[&(tenant as u64)];
        assert!((had - expect).abs() < 2.0, "{tenant} had {had} s of {expect} s");
    }
}

#[test]
fn tenants_share_by_weight_however_many_tasks_they_have() {
    check_shares(&[(1, 1), (1, 100)], &[50.0, 50.0]);
    check_shares(&[(3, 10), (1, 10)], &[75.0, 25.0]);
    check_shares(&[(1, 1), (2, 5), (5, 1)], &[12.5, 25.0, 62.5]);
}

#[test]
fn taking_what_nobody_wanted_is_no_debt_for_ever() {
    let mut server = Server::default();
    server.add(task(1, 1, 1, Class::Normal, 1));
    server.turns(100.0);
    server.add(task(2, 2, 2, Class::Normal, 1));
    server.turns(10.0);
    // The newcomer is a lag ahead, at its share of a half.
    let ahead = server.had[&2] - (server.had[&1] - 100.0);
    assert!((ahead - LAG_MAX.as_secs_f64() / 2.0).abs() <= 2.0 * TURN, "{ahead}");
}

/// Who is served next, after a program had so much, a newcomer of another has come, and so much more was served.
#[test]
fn short_programs_pass_long_ones_and_nobody_stays_last() {
    let mut server = Server::default();
    server.add(task(1, 1, 1, Class::Normal, 1));
    server.turns(3.0);
    server.end(1);
    // A later call of the same program counts as what the program had.
    server.add(task(2, 1, 1, Class::Normal, 1));
    server.add(task(3, 1, 2, Class::Normal, 1));
    assert_eq!(server.turn(), 3);
    // The newcomer's lead is what the other had.
    server.turns(2.9);
    assert_eq!(server.turn(), 3);
    server.turns(0.2);
    assert!((0..4).any(|_| server.turn() == 2));
}

#[test]
fn classes_are_a_second_apart() {
    let mut server = Server::default();
    server.add(task(1, 1, 1, Class::Batch, 1));
    server.add(task(2, 1, 2, Class::Interactive, 1));
    let until = (1..).find(|_| server.turn() == 1).expect("it is served");
    let seconds = f64::from(until) * TURN;
    assert!((seconds - 2.0 * AGING.as_secs_f64()).abs() <= 2.0 * TURN, "{seconds}");
}

#[test]
fn who_is_in_danger_goes_first_and_the_earliest_of_those() {
    let mut server = Server::default();
    let with = |id, deadline, seconds_left| {
        let deadline = Some(Duration::from_secs(deadline));
        Task { deadline, seconds_left, ..task(id, 1, id, Class::Batch, 1) }
    };
    server.add(task(1, 1, 1, Class::Interactive, 1));
    server.add(with(2, 10, 9.0));
    server.add(with(3, 5, 4.0));
    // There is time enough.
    server.add(with(4, 100, 1.0));
    assert_eq!(server.turn(), 3);
    server.end(3);
    assert_eq!(server.turn(), 2);
    server.end(2);
    assert_eq!(server.turn(), 1);
    // What has passed is no reason to hurry.
    server.add(with(5, 1, 4.0));
    server.now = 2.0;
    assert_eq!(server.turn(), 1);
}

#[test]
fn places_go_from_who_has_more_to_who_has_less() {
    let mut server = Server::default();
    (0..4).for_each(|id| server.add(task(id, 1, id, Class::Normal, 1)));
    let mut newcomer = task(9, 2, 9, Class::Normal, 1);
    newcomer.account = server.fair.arrive(&newcomer, server.now());
    let running = server.tasks[0];
    assert!(server.fair.preempts(&newcomer, &running, server.now()));
    server.fair.begin(&newcomer);
    // Not back again.
    assert!(!server.fair.preempts(&running, &newcomer, server.now()));
}

proptest! {
    /// Whatever comes and goes, clocks stay near the machine's, nothing is remembered of those who are long gone, and who always has
    /// something to do gets its share of the time but for a lag.
    #[test]
    fn who_stays_gets_its_share(weight in 1..5u32, others in proptest::collection::vec((0..8u64, 1..5u32, 1..40usize), 1..60)) {
        let mut server = Server::default();
        server.add(task(0, 100, 0, Class::Batch, weight));
        let mut share = 0.0;
        for (round, (tenant, other_weight, turns)) in others.into_iter().enumerate() {
            let id = round as u64 + 1;
            server.add(task(id, tenant, id % 3, Class::Interactive, other_weight));
            for _ in 0..turns {
                share += TURN * server.fair.share(&server.tasks[0]);
                server.turn();
                let lag = server.fair.lag_max() + TURN;
                let here = server.fair.tenants.items.iter().flatten().filter(|tenant| tenant.here > 0);
                prop_assert!(here.clone().all(|tenant| tenant.clock <= server.fair.clock + lag));
            }
            if round % 2 == 0 {
                server.end(id);
            }
        }
        let had = server.had.get(&100).copied().unwrap_or(0.0);
        // Each tenant that wakes up may have a lag before it.
        prop_assert!(had >= share - 9.0 * LAG_MAX.as_secs_f64(), "{} of {}", had, share);
        let (tenants, programs) = server.fair.remembered();
        prop_assert!(tenants <= 9 && programs <= 1 + 8 * 3);
        for task in server.tasks.clone() {
            server.end(task.id.0);
        }
        prop_assert_eq!(server.fair.remembered().0, 0);
        prop_assert_eq!(server.fair.active_weight, 0.0);
    }
}
