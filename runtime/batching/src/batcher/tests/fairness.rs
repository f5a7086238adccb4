//! Who is served how soon, on a machine of the speed that is to be reached: SmolLM2-135M on two cores.

use super::machine::{Machine, request_of, words};
use crate::{
    Account, Class, Config, Fair, Fifo, Policy, Rank, SequenceId, Speed, Task,
    policy::{AGING, ATTAINED_MAX},
};
use std::{collections::BTreeMap, time::Duration};

fn speed() -> Speed {
    let micros = Duration::from_micros;
    Speed::new(micros(5_500), micros(770), micros(1_100), Duration::from_nanos(400))
}

fn config() -> Config {
    Config { speed: speed(), ..Config::new(8_192) }
}

/// An agent: a prompt of 600 tokens that its tenant's others have as well, then turns with think times between.
struct Agent {
    tenant: u64,
    program: u64,
    tokens: Vec<u32>,
    turns: usize,
    /// When its next turn comes; none while one is under way.
    next: Option<Duration>,
}

const TURN_INPUT: usize = 40;
const TURN_OUTPUT: usize = 30;

impl Agent {
    fn new(tenant: u64, program: u64, turns: usize, next: Duration) -> Self {
        Self { tenant, program, tokens: words(tenant as u32, 600), turns, next: Some(next) }
    }
}

/// How long the turns of a tenant took, in order of length, while others do what they do.
fn turns_of(tenant: u64, machine: &mut Machine, mut agents: Vec<Agent>) -> Vec<Duration> {
    let mut under_way: BTreeMap<SequenceId, (usize, Duration)> = BTreeMap::new();
    let mut turns = Vec::new();
    let is_open = |agent: &Agent| agent.tenant == tenant && (agent.turns > 0 || agent.next.is_none());
    while agents.iter().any(is_open) {
        for (place, agent) in agents.iter_mut().enumerate() {
            if agent.turns == 0 || agent.next.is_none_or(|next| next > machine.now) {
                continue;
            }
            agent.turns -= 1;
            let fresh = (agent.program * 100 + agent.turns as u64) as u32;
            agent.tokens.extend(words(fresh, TURN_INPUT));
            let request = request_of(agent.tenant, agent.program, agent.tokens.clone(), TURN_OUTPUT);
            let id = machine.add(request).expect("it fits");
            let arrived = agent.next.take().expect("it was due");
            under_way.insert(id, (place, arrived));
        }
        if !machine.batcher.has_work() {
            machine.now = agents.iter().filter_map(|agent| agent.next).min().expect("somebody comes").max(machine.now);
            continue;
        }
        for id in machine.step() {
            let Some((place, arrived)) = under_way.remove(&id) else { continue };
            let agent = &mut agents[place];
            agent.tokens.extend([0; TURN_OUTPUT]);
            agent.next = Some(machine.now + Duration::from_millis(500 + 37 * (agent.program % 11)));
            if agent.tenant == tenant {
                turns.push(machine.now - arrived);
            }
        }
    }
    turns.sort_unstable();
    turns
}

fn p99(turns: &[Duration]) -> f64 {
    turns[(turns.len() * 99).div_ceil(100) - 1].as_secs_f64()
}

/// The p99 of a tenant's turns beside a flood, over that without one.
fn flood_ratio(policy: impl Fn() -> Box<dyn Policy>, quiet_agents: u64) -> f64 {
    let quiet =
        || (0..quiet_agents).map(|program| Agent::new(1, program, 5, Duration::from_millis(900 + 211 * program)));
    // More than can run, that come before, never think for long, and never end before the others.
    let flood = (0..200).map(|program| Agent::new(2, program, 1_000, Duration::ZERO));
    let run = |agents: Vec<Agent>| {
        let mut machine = Machine::with(config(), policy());
        machine.checks = false;
        p99(&turns_of(1, &mut machine, agents))
    };
    run(quiet().chain(flood).collect()) / run(quiet().collect())
}

#[test]
fn a_flood_is_its_own_tenants_matter() {
    for agents in [1, 4] {
        let ratio = flood_ratio(|| Box::new(Fair::new()), agents);
        let plain = flood_ratio(|| Box::new(Fifo), agents);
        assert!(ratio <= 2.0, "{agents} agents: {ratio}");
        assert!(plain > 2.0 * ratio, "{agents} agents: {plain} first come, first served");
    }
}

/// One program has one sequence at a time, one after the other, and a sequence of another class or program comes; after how much
/// service of the tenant it ends.
fn service_until_end(class: Class, others: u64, other_class: Class) -> f64 {
    let mut config = config();
    config.running_max = 4;
    // Not by the rule on the oldest.
    config.patience = Duration::from_secs(3_600);
    let mut machine = Machine::new(config, Fair::new());
    machine.checks = false;
    let flood = |machine: &mut Machine, program: u64| {
        let mut request = request_of(1, program, words(program as u32, 100), 20);
        request.class = other_class;
        machine.add(request).expect("it fits");
    };
    (0..others).for_each(|program| flood(&mut machine, program));
    machine.run_for(5);
    let mut request = request_of(1, u64::MAX, words(7, 100), 20);
    request.class = class;
    let id = machine.add(request).expect("it fits");
    let begin = machine.now;
    let mut next = others;
    while machine.known[&id].ended.is_none() {
        for _ in machine.step() {
            flood(&mut machine, next);
            next += 1;
        }
        assert!(machine.now < begin + Duration::from_secs(60), "it starves");
    }
    (machine.now - begin).as_secs_f64()
}

#[test]
fn nobody_waits_beyond_the_bound_in_its_tenant() {
    // Newcomers that never end coming, each of a new program: 2 × AGING + ATTAINED_MAX of service, those that came before, of whom
    // each takes less than 200 ms, and its own.
    let bound = 2.0 * AGING.as_secs_f64() + ATTAINED_MAX.as_secs_f64() + 20.0 * 0.2;
    for class in [Class::Interactive, Class::Normal, Class::Batch] {
        for other in [Class::Interactive, Class::Normal, Class::Batch] {
            let waited = service_until_end(class, 20, other);
            assert!(waited <= bound, "{class:?} beside {other:?}: {waited}");
        }
    }
}

/// The worst policy for who came first.
struct Newest;

impl Policy for Newest {
    fn arrive(&mut self, _: &Task, _: Duration) -> Account {
        Account::default()
    }

    fn rank(&self, task: &Task, _: Duration) -> Rank {
        Rank(-(task.id.0 as i64), 0)
    }

    fn preempts(&self, waiting: &Task, running: &Task, _: Duration) -> bool {
        waiting.id > running.id
    }

    fn leave(&mut self, _: &Task, _: Duration) {}
}

#[test]
fn whatever_the_policy_the_oldest_goes_on() {
    // Few places, few blocks, and many newcomers in each step.
    let config = Config { blocks: 24, running_max: 3, ..config() };
    let (patience, longest) = (config.patience, Duration::from_millis(200));
    let mut machine = Machine::new(config, Newest);
    machine.checks = false;
    let id = machine.add(request_of(1, 1, words(1, 100), 40)).expect("it fits");
    let mut last = machine.now;
    let mut seed = 2;
    while machine.known[&id].ended.is_none() {
        // Some are refused: the queue is full.
        for _ in 0..3 {
            let _ = machine.add(request_of(2, 1, words(seed, 90), 60));
            seed += 1;
        }
        let before = machine.batcher.computed(id).unwrap_or(0);
        machine.step();
        if machine.batcher.computed(id).is_none_or(|computed| computed > before) {
            last = machine.now;
        }
        assert!(machine.now - last <= patience + 2 * longest, "{:?}", machine.now - last);
    }
}
