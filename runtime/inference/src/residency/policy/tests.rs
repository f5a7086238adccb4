//! The policy on a simulated machine: each model is a thread that does what it is told, half a second at a time.

use super::*;
use proptest::prelude::*;
use std::collections::VecDeque;

const STEP: Duration = Duration::from_millis(500);

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A model's thread.
struct Thread {
    id: Id,
    load: Duration,
    /// Lengths of requests to come.
    queue: VecDeque<Duration>,
    active_until: Option<Duration>,
    loading_until: Option<Duration>,
    /// While it is away: since when somebody waits.
    waits_since: Option<Duration>,
    longest_wait: Duration,
    served: usize,
}

struct Machine {
    policy: Policy,
    threads: Vec<Thread>,
    now: Duration,
    /// When each load began.
    loads: Vec<Duration>,
}

impl Machine {
    fn new(rules: Rules, models: &[(u64, Duration)]) -> Self {
        let mut policy = Policy::new(rules);
        let thread = |(bytes, load): &(u64, Duration)| Thread {
            id: policy.add(*bytes, Duration::ZERO).expect("it fits"),
            load: *load,
            queue: VecDeque::new(),
            active_until: None,
            loading_until: None,
            waits_since: None,
            longest_wait: Duration::ZERO,
            served: 0,
        };
        let threads = models.iter().map(thread).collect();
        Self { policy, threads, now: Duration::ZERO, loads: Vec::new() }
    }

    fn ask(&mut self, model: usize, length: Duration) {
        self.threads[model].queue.push_back(length);
    }

    fn step(&mut self) {
        self.now += STEP;
        for thread in &mut self.threads {
            thread.step(&mut self.policy, self.now, &mut self.loads);
            assert!(self.policy.held() <= self.policy.rules().bytes_max, "more is held than there may be");
        }
    }

    /// Until `end`, as seconds since the beginning.
    fn run(&mut self, end: u64) {
        while self.now < seconds(end) {
            self.step();
        }
    }

    fn place(&self, model: usize) -> Place {
        self.policy.models()[&self.threads[model].id].place
    }
}

impl Thread {
    fn step(&mut self, policy: &mut Policy, now: Duration, loads: &mut Vec<Duration>) {
        if let Some(until) = self.loading_until {
            if until > now {
                return;
            }
            self.loading_until = None;
            policy.loaded(self.id, now);
        }
        if self.active_until.is_some_and(|until| until <= now) {
            self.active_until = None;
            self.served += 1;
        }
        let demand = Demand { active: usize::from(self.active_until.is_some()), waiting: self.queue.len() };
        match policy.report(self.id, demand, now) {
            Order::Serve if self.active_until.is_none() => {
                self.active_until = self.queue.pop_front().map(|length| now + length);
            }
            Order::Serve => {}
            Order::Finish => assert!(self.active_until.is_some(), "there is nothing to finish"),
            Order::Leave => {
                assert!(self.active_until.is_none(), "taken away in the middle");
                policy.left(self.id, now);
            }
            Order::Load => {
                loads.push(now);
                self.loading_until = Some(now + self.load);
            }
            Order::Wait => {}
        }
        let is_away = policy.models()[&self.id].place == Place::Away;
        self.waits_since = (is_away && !self.queue.is_empty()).then(|| self.waits_since.unwrap_or(now));
        self.longest_wait = self.longest_wait.max(self.waits_since.map_or(Duration::ZERO, |since| now - since));
    }
}

fn rules(bytes_max: u64) -> Rules {
    Rules { bytes_max, stay_min: seconds(10), patience: seconds(30) }
}

#[test]
fn models_that_fit_stay() {
    let mut machine = Machine::new(rules(10), &[(5, seconds(1)), (5, seconds(1))]);
    for second in 1..100 {
        machine.ask(second as usize % 2, seconds(1));
        machine.run(second);
    }
    assert_eq!(machine.loads.len(), 2);
    assert_eq!([0, 1].map(|model| machine.place(model)), [Place::In; 2]);
}

#[test]
fn what_can_never_fit_is_not_entered() {
    let mut policy = Policy::new(rules(10));
    assert!(policy.add(11, Duration::ZERO).is_none());
    assert!(policy.add(10, Duration::ZERO).is_some());
}

#[test]
fn a_model_grows_into_what_is_free() {
    let mut policy = Policy::new(rules(10));
    let [first, second] = [4, 4].map(|bytes| policy.add(bytes, Duration::ZERO).expect("it fits"));
    let wants = Demand { active: 0, waiting: 1 };
    assert_eq!(policy.grow(first, 7, Duration::ZERO), Err(6), "it could never come in");
    assert_eq!(policy.grow(first, 2, Duration::ZERO), Ok(()));
    assert_eq!((policy.report(first, wants, Duration::ZERO), policy.held()), (Order::Load, 6));
    policy.loaded(first, Duration::ZERO);
    assert_eq!((policy.report(second, wants, Duration::ZERO), policy.held()), (Order::Load, 10));
    assert_eq!(policy.grow(first, 1, Duration::ZERO), Err(0), "the rest is another's");
    policy.shrink(first, 2, Duration::ZERO);
    assert_eq!((policy.grow(second, 2, Duration::ZERO), policy.held()), (Ok(()), 10));
}

#[test]
fn the_least_recently_used_idle_model_goes() {
    let mut machine = Machine::new(rules(10), &[(4, seconds(1)), (4, seconds(1)), (4, seconds(1))]);
    machine.ask(0, seconds(1));
    machine.ask(1, seconds(1));
    machine.run(20);
    machine.ask(0, seconds(1));
    machine.run(30);
    machine.ask(2, seconds(1));
    machine.run(40);
    assert_eq!([0, 1, 2].map(|model| machine.place(model)), [Place::In, Place::Away, Place::In]);
}

#[test]
fn no_more_leave_than_are_needed() {
    let mut machine = Machine::new(rules(10), &[(2, seconds(1)), (8, seconds(1)), (8, seconds(1))]);
    machine.ask(0, seconds(1));
    machine.ask(1, seconds(5));
    machine.run(30);
    // The small one was used less recently, and is in nobody's way.
    machine.ask(2, seconds(1));
    machine.run(40);
    assert_eq!([0, 1, 2].map(|model| machine.place(model)), [Place::In, Place::Away, Place::In]);
}

#[test]
fn one_that_works_is_left_alone_until_the_others_patience_ends() {
    let mut machine = Machine::new(rules(10), &[(10, seconds(1)), (10, seconds(1))]);
    (0..100).for_each(|_| machine.ask(0, seconds(7)));
    machine.run(5);
    machine.ask(1, seconds(1));
    machine.run(34);
    assert_eq!(machine.place(0), Place::In);
    // Thirty seconds of patience, what is under way, and loading.
    machine.run(5 + 30 + 7 + 3);
    assert_eq!([0, 1].map(|model| machine.place(model)), [Place::Away, Place::In]);
    // It is idle soon, stays for its ten seconds, and the other comes back.
    machine.run(60);
    assert_eq!([0, 1].map(|model| machine.place(model)), [Place::In, Place::Away]);
    assert_eq!(machine.loads.len(), 3);
}

#[test]
fn who_was_told_to_finish_goes_on_where_nobody_asks_any_more() {
    let mut policy = Policy::new(rules(10));
    let ids = [(); 2].map(|()| policy.add(10, Duration::ZERO).expect("it fits"));
    let [works, waits] = [Demand { active: 1, waiting: 1 }, Demand { active: 0, waiting: 1 }];
    assert_eq!(policy.report(ids[0], waits, seconds(0)), Order::Load);
    policy.loaded(ids[0], seconds(1));
    assert_eq!(policy.report(ids[1], waits, seconds(2)), Order::Wait);
    assert_eq!(policy.report(ids[0], works, seconds(31)), Order::Serve);
    assert_eq!(policy.report(ids[0], works, seconds(32)), Order::Finish);
    assert_eq!(policy.report(ids[1], Demand::default(), seconds(33)), Order::Wait);
    assert_eq!(policy.report(ids[0], works, seconds(34)), Order::Serve);
}

#[test]
fn sleepers_are_woken_once() {
    let mut policy = Policy::new(rules(10));
    let ids = [(); 2].map(|()| policy.add(10, Duration::ZERO).expect("it fits"));
    let (waits, idle) = (Demand { active: 0, waiting: 1 }, Demand::default());
    assert!(policy.prefetch(ids[0], seconds(0)));
    assert!(!policy.prefetch(ids[1], seconds(0)));
    policy.loaded(ids[0], seconds(1));
    assert_eq!(policy.report(ids[0], idle, seconds(2)), Order::Serve);
    assert_eq!(policy.report(ids[1], waits, seconds(5)), Order::Wait);
    assert!(policy.take_to_wake().is_empty());
    assert_eq!(policy.report(ids[1], waits, seconds(12)), Order::Wait);
    assert_eq!(policy.report(ids[1], waits, seconds(13)), Order::Wait);
    assert_eq!(policy.take_to_wake(), [ids[0]]);
    assert_eq!(policy.report(ids[0], idle, seconds(14)), Order::Leave);
    policy.left(ids[0], seconds(15));
    assert_eq!(policy.take_to_wake(), [ids[1]]);
    assert_eq!(policy.report(ids[1], waits, seconds(15)), Order::Load);
}

/// A request: after how many half seconds, for which model, for how many half seconds.
fn requests(models: usize) -> impl Strategy<Value = Vec<(u32, usize, u32)>> {
    proptest::collection::vec((0..20u32, 0..models, 1..20u32), 1..120)
}

fn play(machine: &mut Machine, requests: &[(u32, usize, u32)]) {
    for (gap, model, length) in requests {
        (0..*gap).for_each(|_| machine.step());
        machine.ask(*model, STEP * *length);
    }
    let begin = machine.now;
    while machine.threads.iter().any(|thread| !thread.queue.is_empty() || thread.active_until.is_some()) {
        machine.step();
        assert!(machine.now < begin + seconds(10_000), "somebody waits for ever");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever is asked for: never above the limit, nothing is taken away in the middle (both are asserted in each step),
    /// all is served, and nobody waits longer than for each of the others once.
    #[test]
    fn nobody_starves(
        models in proptest::collection::vec((1..10u64, 1..20u32), 2..6),
        requests in requests(6),
    ) {
        let models: Vec<_> = models.into_iter().map(|(bytes, load)| (bytes, STEP * load)).collect();
        let mut machine = Machine::new(rules(10), &models);
        let requests: Vec<_> =
            requests.into_iter().map(|(gap, model, length)| (gap, model % models.len(), length)).collect();
        play(&mut machine, &requests);
        let served: usize = machine.threads.iter().map(|thread| thread.served).sum();
        prop_assert_eq!(served, requests.len());
        // Loading takes ten seconds at most, and so do a stay and a request; a step for each change of hands.
        let one = seconds(30 + 10 + 10 + 10) + STEP * 6;
        for thread in &machine.threads {
            prop_assert!(thread.longest_wait <= one * models.len() as u32, "{:?}", thread.longest_wait);
        }
    }

    /// Two that do not fit together: however they are asked for, ten seconds lie between two loads.
    #[test]
    fn there_is_no_storm_of_loads(requests in requests(2), load in 1..10u32) {
        let mut machine = Machine::new(rules(10), &[(6, STEP * load), (7, STEP * load)]);
        play(&mut machine, &requests);
        let gaps = machine.loads.windows(2).map(|pair| pair[1] - pair[0]);
        prop_assert!(gaps.into_iter().all(|gap| gap >= seconds(10) + STEP * load), "{:?}", machine.loads);
    }
}
