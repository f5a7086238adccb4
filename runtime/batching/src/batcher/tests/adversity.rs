//! Whatever may happen, in any order.

use super::machine::{Machine, request_of, words};
use crate::{Class, Config, Fair, Fifo, Policy, RoundRobin, Swap};
use proptest::prelude::*;
use std::time::Duration;

/// What happens between two steps.
#[derive(Clone, Debug)]
enum Event {
    /// Tenant, program, class and length of a prompt that begins like others, and of the output.
    Add(u64, u64, usize, usize, usize),
    Cancel(usize),
    Pause(usize),
    Resume(usize),
    Alone(usize, bool),
    Propose(usize, usize, bool),
    Speculate(usize),
    Lost,
    /// A plan is taken, and then something else happens before it is computed.
    Meanwhile(Box<Event>),
    Keep(u64, u64, u64),
    Steps(usize),
}

fn event() -> impl Strategy<Value = Event> {
    let simple = prop_oneof![
        8 => (0..3u64, 0..4u64, 0..3usize, 1..90usize, 1..60usize).prop_map(|(a, b, c, d, e)| Event::Add(a, b, c, d, e)),
        1 => any::<usize>().prop_map(Event::Cancel),
        2 => any::<usize>().prop_map(Event::Pause),
        2 => any::<usize>().prop_map(Event::Resume),
        1 => (any::<usize>(), any::<bool>()).prop_map(|(which, is_alone)| Event::Alone(which, is_alone)),
        4 => (any::<usize>(), 0..20usize, any::<bool>()).prop_map(|(a, b, c)| Event::Propose(a, b, c)),
        4 => any::<usize>().prop_map(Event::Speculate),
        1 => (0..3u64, 0..4u64, 0..100u64).prop_map(|(a, b, c)| Event::Keep(a, b, c)),
        10 => (1..8usize).prop_map(Event::Steps),
    ];
    let simple = simple.boxed();
    prop_oneof![
        30 => simple.clone(),
        5 => simple.prop_map(|event| Event::Meanwhile(Box::new(event))),
        1 => Just(Event::Lost),
    ]
}

impl Machine {
    fn happen(&mut self, event: &Event) {
        let pick = |machine: &Self, which: usize| machine.live.get(which % machine.live.len().max(1)).copied();
        match event {
            Event::Add(tenant, program, class, prompt, output) => {
                let class = [Class::Interactive, Class::Normal, Class::Batch][*class];
                // Few beginnings, of which some have whole blocks in common.
                let mut tokens = words(1, prompt / 2);
                tokens.extend(words(*program as u32, prompt - prompt / 2));
                let mut request = request_of(*tenant, *program, tokens, *output);
                request.class = class;
                request.weight = 1 + *tenant as u32;
                request.deadline = (prompt % 5 == 0).then(|| self.now + Duration::from_millis(*output as u64 * 20));
                // The queue may be full.
                let _ = self.add(request);
            }
            Event::Cancel(which) => pick(self, *which).into_iter().for_each(|id| self.cancel(id)),
            Event::Pause(which) => pick(self, *which).into_iter().for_each(|id| self.batcher.pause(id, self.now)),
            Event::Resume(which) => pick(self, *which).into_iter().for_each(|id| self.batcher.resume(id, self.now)),
            Event::Alone(which, is_alone) => {
                pick(self, *which).into_iter().for_each(|id| self.batcher.set_alone(id, *is_alone));
            }
            Event::Propose(which, count, is_wrong) => {
                pick(self, *which).into_iter().for_each(|id| self.propose(id, *count, *is_wrong));
            }
            Event::Speculate(which) => pick(self, *which).into_iter().for_each(|id| self.speculate(id)),
            Event::Lost => {
                self.batcher.lost(self.now);
            }
            Event::Keep(tenant, program, seconds) => {
                self.batcher.keep(*tenant, *program, Duration::from_secs(*seconds), self.now);
            }
            Event::Meanwhile(event) => {
                let plan = self.plan();
                if plan.is_empty() || matches!(**event, Event::Steps(_) | Event::Lost) {
                    // It has to be computed first.
                    if !plan.is_empty() {
                        self.compute(&plan);
                    }
                    return;
                }
                self.happen(event);
                self.compute(&plan);
            }
            Event::Steps(count) => self.run_for(*count),
        }
    }
}

fn any_policy(which: usize) -> Box<dyn Policy> {
    match which {
        0 => Box::new(Fifo),
        1 => Box::new(RoundRobin::default()),
        _ => Box::new(Fair::new()),
    }
}

fn adversity(policy: usize, blocks: usize, running: usize, slots: usize, shares: bool, events: &[Event]) {
    let swap = (slots > 0).then_some(Swap { slots, block_time: Duration::from_millis(3) });
    let config = Config { swap, running_max: running, rows_max: 64, shares_prefixes: shares, ..Config::new(blocks) };
    let mut machine = Machine::with(config, any_policy(policy));
    events.iter().for_each(|event| machine.happen(event));
    for id in machine.live.clone() {
        machine.batcher.resume(id, machine.now);
    }
    machine.run();
    machine.check_end();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever happens: what is read is what was computed, each text depends on its prompt alone, all end, and all blocks come
    /// back.
    #[test]
    fn whatever_happens_all_end(
        policy in 0..3usize,
        blocks in 10..40usize,
        running in 1..9usize,
        slots in prop_oneof![Just(0usize), 1..30usize],
        shares in prop_oneof![4 => Just(true), 1 => Just(false)],
        events in proptest::collection::vec(event(), 1..60),
    ) {
        adversity(policy, blocks, running, slots, shares, &events);
    }
}
