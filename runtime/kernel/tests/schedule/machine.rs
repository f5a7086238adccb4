//! A machine of some threads, and processes that are lists of turns.

use remit_abi::{Pid, Priority, TenantId};
use remit_kernel::schedule::{AGING_NS, FairQueue, Queued, TURN_NS, Weight};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
};

/// The longest turn of these tests: a tick.
pub(crate) const TURN_NS_MAX: u64 = TURN_NS;

/// What comes after a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    Again,
    Sleep(u64),
}

/// A process: when it begins, and its turns.
#[derive(Clone, Debug)]
pub(crate) struct Life {
    pub(crate) tenant: u32,
    pub(crate) priority: Priority,
    pub(crate) begins_ns: u64,
    pub(crate) turns: Vec<(u64, Then)>,
}

/// One that never waits.
pub(crate) fn spinner(tenant: u32, turns: usize) -> Life {
    let turns = vec![(TURN_NS_MAX, Then::Again); turns];
    Life { tenant, priority: Priority::Normal, begins_ns: 0, turns }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// A turn is over.
    Over(usize),
    /// A process begins, or what it waited for is there.
    Wakes(usize),
}

/// One wait for a turn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wait {
    pub(crate) process: usize,
    pub(crate) waited_ns: u64,
}

pub(crate) struct Machine {
    pub(crate) queue: FairQueue<usize>,
    threads: u64,
    lives: Vec<Life>,
    weights: BTreeMap<u32, u32>,
    done: Vec<usize>,
    ready_ns: Vec<Option<u64>>,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    now_ns: u64,
    count: u64,
    busy: u64,
    pub(crate) given_ns: BTreeMap<u32, u64>,
    pub(crate) waits: Vec<Wait>,
    /// Processes of a tenant that want to run.
    active: BTreeMap<u32, u64>,
    tenants_max: u64,
    weight_max: u64,
    processes_max: BTreeMap<u32, u64>,
}

impl Machine {
    pub(crate) fn new(threads: u64, lives: Vec<Life>) -> Self {
        let mut machine = Self {
            queue: FairQueue::default(),
            threads,
            weights: BTreeMap::new(),
            done: vec![0; lives.len()],
            ready_ns: vec![None; lives.len()],
            events: BinaryHeap::new(),
            now_ns: 0,
            count: 0,
            busy: 0,
            given_ns: BTreeMap::new(),
            waits: Vec::new(),
            active: BTreeMap::new(),
            tenants_max: 0,
            weight_max: 0,
            processes_max: BTreeMap::new(),
            lives,
        };
        for process in 0..machine.lives.len() {
            machine.at(machine.lives[process].begins_ns, Event::Wakes(process));
        }
        machine
    }

    pub(crate) fn weight(&mut self, tenant: u32, weight: u32) {
        self.weights.insert(tenant, weight);
        let weight = Weight::new(weight).expect("a weight");
        self.queue.set(TenantId(tenant), weight, || Box::new(remit_kernel::schedule::FairShare::default()));
    }

    fn weight_of(&self, tenant: u32) -> u64 {
        self.weights.get(&tenant).copied().unwrap_or(100).into()
    }

    /// Runs until all is done, or that moment.
    pub(crate) fn run_until(&mut self, end_ns: u64) {
        while let Some(&Reverse((at_ns, _, event))) = self.events.peek()
            && at_ns <= end_ns
        {
            self.events.pop();
            self.now_ns = at_ns;
            match event {
                Event::Over(process) => self.over(process),
                Event::Wakes(process) => {
                    *self.active.entry(self.lives[process].tenant).or_default() += 1;
                    self.ready(process);
                }
            }
            // Those that come at the same moment come before the next choice.
            if !matches!(self.events.peek(), Some(Reverse((next_ns, ..))) if *next_ns == at_ns) {
                self.look_around();
                self.take_up();
            }
        }
    }

    pub(crate) fn run(&mut self) {
        self.run_until(u64::MAX);
        for (process, life) in self.lives.iter().enumerate() {
            assert_eq!(self.done[process], life.turns.len(), "turns of process {process}");
        }
        assert!(self.queue.is_empty());
        assert_eq!(self.queue.tenants(), 0, "nobody is remembered where nobody is left");
    }

    /// What [`remit_kernel::schedule`] promises, as time, for a process of one class below `classes_above` others.
    pub(crate) fn wait_ns_max(&self, process: usize, classes_above: u64) -> u64 {
        let turn = u128::from(TURN_NS_MAX);
        let (threads, tenant) = (u128::from(self.threads), self.lives[process].tenant);
        let processes = u128::from(self.processes_max[&tenant]);
        let weight = u128::from(self.weight_of(tenant));
        let least = self.lives.iter().map(|life| self.weight_of(life.tenant)).min().expect("there are tenants");
        let all = u128::from(self.weight_max);
        let inside = u128::from(classes_above * AGING_NS) + (2 * processes + threads) * turn;
        let altogether = all * (inside + threads * turn) / weight
            + all * turn / u128::from(least)
            + (u128::from(self.tenants_max) + 2 * threads) * turn;
        u64::try_from(altogether / threads).expect("it is no eternity")
    }

    fn at(&mut self, at_ns: u64, event: Event) {
        self.events.push(Reverse((at_ns, self.count, event)));
        self.count += 1;
    }

    fn pid(&self, process: usize) -> Pid {
        let index = u32::try_from(process).expect("few processes");
        Pid { tenant: TenantId(self.lives[process].tenant), index, generation: 1 }
    }

    fn ready(&mut self, process: usize) {
        assert_eq!(self.ready_ns[process].replace(self.now_ns), None, "process {process} is queued twice");
        let (pid, priority) = (self.pid(process), self.lives[process].priority);
        self.queue.push(Queued { pid, priority, item: process });
    }

    fn over(&mut self, process: usize) {
        self.busy -= 1;
        let life = &self.lives[process];
        let (ran_ns, then) = life.turns[self.done[process]];
        let tenant = life.tenant;
        self.done[process] += 1;
        let is_last = self.done[process] == life.turns.len();
        *self.given_ns.entry(tenant).or_default() += ran_ns;
        if then == Then::Again && !is_last {
            // As an executor does it: what woke during its turn is queued before the turn is counted.
            self.ready(process);
        } else {
            *self.active.get_mut(&tenant).expect("it was active") -= 1;
        }
        self.queue.ran(self.pid(process), ran_ns);
        if let (Then::Sleep(sleep_ns), false) = (then, is_last) {
            self.at(self.now_ns + sleep_ns, Event::Wakes(process));
        }
    }

    fn take_up(&mut self) {
        while self.busy < self.threads
            && let Some(Queued { item: process, .. }) = self.queue.pop()
        {
            self.busy += 1;
            let ready_ns = self.ready_ns[process].take().expect("it was queued, and only once");
            self.waits.push(Wait { process, waited_ns: self.now_ns - ready_ns });
            let (ran_ns, _) = self.lives[process].turns[self.done[process]];
            self.at(self.now_ns + ran_ns, Event::Over(process));
        }
    }

    /// Remembers how many there are at most.
    fn look_around(&mut self) {
        let active = self.active.iter().filter(|(_, count)| **count > 0);
        let weights: Vec<u64> = active.clone().map(|(tenant, _)| self.weight_of(*tenant)).collect();
        self.tenants_max = self.tenants_max.max(weights.len() as u64);
        self.weight_max = self.weight_max.max(weights.iter().sum());
        for (tenant, count) in active {
            let most = self.processes_max.entry(*tenant).or_default();
            *most = (*most).max(*count);
        }
    }
}
