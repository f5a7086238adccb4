//! What starting an agent costs, beside raw wasmtime on the same component with the same engine settings, in one run.
//!
//! A life is: start, instantiate, call `run`, end. The assistant is given no message, so that it ends at once by itself and
//! no model is asked. Raw wasmtime does it in a loop, with its imports as traps. Remit does all of it: process table,
//! account, grants, fuel, journal, label, run queue, and the settling at the end.
//!
//! | who starts Remit's | how | what is in it besides |
//! | --- | --- | --- |
//! | a process | on the executor's own threads, awaiting each one's end, as a process does that starts others | nothing |
//! | a thread | outside, which blocks until the end | a wake-up of another thread, and one back |
//!
//! So many in flight are: so many processes that start one after the other, or one thread that keeps so many going. Raw
//! wasmtime has as many threads as there are in flight, and as the executor has at most.
//!
//! What limits both is what a life does to the address space, which all threads share: one scan of the page map to clean
//! the instance's memory, and two changes of protection where the guest's memory grows, which only one thread can make at a
//! time, and which interrupt the others. So two raw threads are not twice as fast as one. What Remit adds is some 6 µs of
//! tables, mostly small allocations and the run queue's order; and to a life that a thread starts from outside, two wake-ups
//! of 20 to 50 µs each.
//!
//! What was tried against these 6 µs, which were 9 (perf, 100,000 lives, the fastest tenth): a hash that does not defend
//! itself against keys that the kernel chose itself; no channel for events, but one memory that they are taken from;
//! tables that take memory only with their first row, which saved sixteen allocations a life; grants that are moved. An
//! allocator with larger per-thread caches changed nothing.

#![allow(missing_docs, reason = "a benchmark has no reader of its documentation")]
#![allow(clippy::print_stdout, reason = "a benchmark prints its table")]

mod common;

use common::{GUESTS, Stage, bindings, block_on, made, median, micros, percentile};
use futures::{StreamExt as _, channel::oneshot, future::join_all, stream::FuturesUnordered};
use remit_abi::{Fault, Pid, Priority, TenantId};
use remit_assembly::{Agent, Ended, Package, Task};
use std::{
    future::Future,
    sync::{Arc, Mutex},
    thread,
    time::Instant,
};
use wasmtime::{
    Store,
    component::{Component, Linker},
};

/// Lives before the measurement: caches fill, threads wake.
const WARM_UP: usize = 500;

/// Lives of each, in all rounds together.
const LIVES: usize = 9_600;

/// Lives of one round. Raw and Remit are measured in turns, of a few milliseconds, so that a busy moment of the machine
/// meets both; and with enough lives that beginning and end of a round do not count.
const fn lives_of_a_round(in_flight: usize) -> usize {
    if in_flight < 8 { 96 } else { 10 * in_flight }
}

/// How many are in flight.
const IN_FLIGHT: [usize; 4] = [1, 2, 8, 64];

/// Raw wasmtime with the host's engine.
struct Raw {
    agent: bindings::AgentPre<()>,
}

impl Raw {
    fn new(package: &Package) -> Self {
        let engine = remit_host::guest_engine(GUESTS).expect("there is address space");
        let component = Component::from_file(&engine, &package.component).expect("it compiles");
        let mut linker = Linker::new(&engine);
        linker.define_unknown_imports_as_traps(&component).expect("its imports have types");
        let linked = linker.instantiate_pre(&component).expect("it links");
        Self { agent: bindings::AgentPre::new(linked).expect("it is an agent") }
    }

    async fn life(&self) {
        let mut store = Store::new(self.agent.engine(), ());
        store.set_fuel(u64::MAX >> 1).expect("fuel is on");
        store.set_epoch_deadline(1 << 40);
        let agent = self.agent.instantiate_async(&mut store).await.expect("there is a place");
        let task = bindings::AgentTask { conversation: Vec::new() };
        let end = agent.call_run(&mut store, &task, None).await.expect("it does not trap");
        assert!(end.is_err(), "without a message there is nothing to do");
    }

    /// One after the other, on so many threads.
    fn measure(&self, lives: usize, threads: usize) -> Lives {
        let started = Instant::now();
        let times = thread::scope(|scope| {
            let all: Vec<_> = (0..threads)
                .map(|_| scope.spawn(|| block_on(one_after_the_other(lives / threads, || self.life()))))
                .collect();
            all.into_iter().flat_map(|thread| thread.join().expect("it does not panic")).collect::<Vec<_>>()
        });
        Lives { each_us: micros(started.elapsed()) / times.len() as f64, times }
    }
}

/// What a measurement saw.
struct Lives {
    /// Wall time, divided by the number of lives.
    each_us: f64,
    times: Vec<f64>,
}

async fn one_after_the_other<F: Future<Output = ()>>(lives: usize, life: impl Fn() -> F) -> Vec<f64> {
    let mut times = Vec::with_capacity(lives);
    for _ in 0..lives {
        let started = Instant::now();
        life().await;
        times.push(micros(started.elapsed()));
    }
    times
}

/// Remit, whole.
#[derive(Clone)]
struct Remit {
    stage: Arc<Stage>,
    agent: Agent,
}

impl Remit {
    async fn life(&self) {
        match common::life(&self.stage.node, &self.agent, Task::default()).await.ended {
            Ended::Failed(_) => {}
            Ended::Faulted(Fault::Host(why)) => panic!("{why}"),
            other => panic!("without a message there is nothing to do: {other:?}"),
        }
    }

    /// Started by a thread, which keeps so many going.
    fn by_a_thread(&self, lives: usize, in_flight: usize) -> Lives {
        let timed = || async {
            let started = Instant::now();
            self.life().await;
            micros(started.elapsed())
        };
        let started = Instant::now();
        let times = block_on(async {
            let mut running: FuturesUnordered<_> = (0..in_flight).map(|_| timed()).collect();
            let mut times = Vec::with_capacity(lives);
            while let Some(time) = running.next().await {
                times.push(time);
                if times.len() + running.len() < lives {
                    running.push(timed());
                }
            }
            times
        });
        Lives { each_us: micros(started.elapsed()) / times.len() as f64, times }
    }

    /// Started on the host's own run queue, where a process's syscalls run too, by so many at once.
    fn by_processes(&self, lives: usize, in_flight: usize) -> Lives {
        let times: Arc<Mutex<Vec<f64>>> = Arc::default();
        let started = Instant::now();
        let parents = (0..in_flight).map(|index| {
            let (remit, times) = (self.clone(), times.clone());
            let (ended, end) = oneshot::channel();
            let pid = Pid { tenant: TenantId(1), index: u32::try_from(index).expect("few"), generation: 1 };
            self.stage.node.host().spawn(pid, Priority::default(), async move {
                let own = one_after_the_other(lives / in_flight, || remit.life()).await;
                times.lock().expect("nobody panics").extend(own);
                ended.send(()).expect("it is waited for");
            });
            end
        });
        for end in block_on(join_all(parents)) {
            end.expect("it runs to its end");
        }
        let each_us = micros(started.elapsed()) / (lives / in_flight * in_flight) as f64;
        Lives { each_us, times: std::mem::take(&mut *times.lock().expect("nobody panics")) }
    }
}

/// What all rounds saw.
#[derive(Default)]
struct Series {
    each_us: Vec<f64>,
    times: Vec<f64>,
}

impl Series {
    fn add(&mut self, round: Lives) {
        self.each_us.push(round.each_us);
        self.times.extend(round.times);
    }
}

/// Raw wasmtime, Remit from processes, Remit from a thread.
#[derive(Default)]
struct Row {
    raw: Series,
    inside: Series,
    outside: Series,
}

impl Row {
    fn measure(raw: &Raw, remit: &Remit, in_flight: usize) -> Self {
        let threads = in_flight.min(thread::available_parallelism().map_or(1, usize::from));
        let mut row = Self::default();
        let lives = lives_of_a_round(in_flight);
        for _ in 0..LIVES / lives {
            row.raw.add(raw.measure(lives, threads));
            row.inside.add(remit.by_processes(lives, in_flight));
            row.outside.add(remit.by_a_thread(lives, in_flight));
        }
        row
    }
}

fn main() {
    let package = Package::open(&made("REMIT_TEST_AGENTS").join("assistant")).expect("the set-up built it");
    let stage = Arc::new(Stage::new());
    let agent = stage.load(&package);
    let (raw, remit) = (Raw::new(&package), Remit { stage, agent });
    raw.measure(WARM_UP, 1);
    remit.by_a_thread(WARM_UP, 1);
    remit.by_processes(WARM_UP, 1);
    println!("assistant, µs a life         raw   from a process      ratio    from a thread      ratio");
    let mut metrics = serde_json::Map::new();
    for in_flight in IN_FLIGHT {
        let mut row = Row::measure(&raw, &remit, in_flight);
        if in_flight == 1 {
            one_at_a_time(&mut row, &mut metrics);
        } else {
            side_by_side(&mut row, in_flight, &mut metrics);
        }
    }
    common::leave(&metrics.into());
}

type Metrics = serde_json::Map<String, serde_json::Value>;

/// One at a time, it is the median life that counts.
fn one_at_a_time(row: &mut Row, metrics: &mut Metrics) {
    let mut at = |share| {
        let Row { raw, inside, outside } = &mut *row;
        [raw, inside, outside].map(|series| percentile(&mut series.times, share))
    };
    for (percent, [raw, inside, outside]) in [("p10", at(0.1)), ("p50", at(0.5)), ("p99", at(0.99))] {
        let (ratio, from_thread) = (inside / raw, outside / raw);
        println!("one at a time, {percent}    {raw:9.1} {inside:16.1} {ratio:10.2} {outside:16.1} {from_thread:10.2}");
        for (name, value) in [("raw", raw), ("spawn", inside), ("from_thread", outside)] {
            metrics.insert(format!("{name}_{percent}_us"), value.into());
        }
        // What nobody else disturbs is in the fastest tenth.
        if percent == "p10" {
            metrics.insert("undisturbed_spawn_ratio".into(), ratio.into());
        }
        if percent == "p50" {
            metrics.insert("spawn_ratio".into(), ratio.into());
            metrics.insert("from_thread_ratio".into(), from_thread.into());
        }
    }
}

/// With more than one, it is the wall time of the median round, divided by its lives; and the median of the rounds' ratios.
fn side_by_side(row: &mut Row, in_flight: usize, metrics: &mut Metrics) {
    let Row { raw, inside, outside } = row;
    let ratio = |series: &Series| {
        median(&mut series.each_us.iter().zip(&raw.each_us).map(|(remit, raw)| remit / raw).collect::<Vec<_>>())
    };
    let (inside_ratio, outside_ratio) = (ratio(inside), ratio(outside));
    let [raw, inside, outside] = [raw, inside, outside].map(|series| median(&mut series.each_us));
    println!(
        "{in_flight:2} in flight, each     {raw:9.1} {inside:16.1} {inside_ratio:10.2} {outside:16.1} {outside_ratio:10.2}"
    );
    metrics.insert(format!("spawn_ratio_{in_flight}"), inside_ratio.into());
    metrics.insert(format!("from_thread_ratio_{in_flight}"), outside_ratio.into());
}
