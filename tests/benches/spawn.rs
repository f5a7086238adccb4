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

#![allow(missing_docs, reason = "a benchmark has no reader of its documentation")]
#![allow(clippy::print_stdout, reason = "a benchmark prints its table")]

mod common;

use common::{GUESTS, Stage, bindings, block_on, made, median, micros, percentile};
use futures::{StreamExt as _, future::join_all, stream::FuturesUnordered};
use remit_abi::{Dispatch, Door, Fault, FuelReply, Pid, Priority, Reply, Request, Start, TenantId, limits::Limits};
use remit_assembly::{Agent, Ended, Package, Task};
use std::{
    future::Future,
    pin::Pin,
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

/// Lives of one measurement.
const LIVES: usize = 640;

/// Rounds, raw and Remit in turns, so that a busy moment of the machine meets both. The median round counts.
const ROUNDS: usize = 15;

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

    /// Started by so many processes.
    fn by_processes(&self, lives: usize, in_flight: usize) -> Lives {
        let host = self.stage.node.host();
        let parent = std::fs::read(common::program("checkpointer").component).expect("the set-up built it");
        let parent = host.load(&parent, &[]).expect("it is let in");
        let times: Arc<Mutex<Vec<f64>>> = Arc::default();
        let started = Instant::now();
        let parents = (0..in_flight).map(|index| {
            let (remit, times) = (self.clone(), times.clone());
            let door = ParentDoor::new(async move {
                let own = one_after_the_other(lives / in_flight, || remit.life()).await;
                times.lock().expect("nobody panics").extend(own);
            });
            let pid = Pid { tenant: TenantId(1), index: u32::try_from(index).expect("few"), generation: 1 };
            // Its state says that nothing is left to do but to show that.
            let start = Start { resumed: Some(vec![1, 5, 0].into()), ..Start::default() };
            host.run(Arc::new(door), pid, parent.clone(), Priority::default(), Limits::default(), start)
        });
        for exit in block_on(join_all(parents)) {
            assert!(matches!(exit.end, Ok(Ok(_))), "{exit:?}");
        }
        let each_us = micros(started.elapsed()) / (lives / in_flight * in_flight) as f64;
        Lives { each_us, times: std::mem::take(&mut *times.lock().expect("nobody panics")) }
    }
}

/// What a parent does in its first call.
type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Stands behind a process that starts others: its first call that may wait is all the work.
struct ParentDoor(Mutex<Option<Work>>);

impl ParentDoor {
    fn new(work: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(Mutex::new(Some(Box::pin(work))))
    }
}

impl Door for ParentDoor {
    fn try_dispatch(&self, _: Pid, request: &Request) -> Option<Reply> {
        match request {
            Request::Fuel(_) => Some(Reply::Fuel(FuelReply::Granted)),
            other => panic!("a parent does not ask {other:?}"),
        }
    }

    fn dispatch(&self, _: Pid, _: Request) -> Dispatch<'_> {
        Box::pin(async {
            let work = self.0.lock().expect("nobody panics").take();
            if let Some(work) = work {
                work.await;
            }
            Reply::Task(Ok(()))
        })
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
        for _ in 0..ROUNDS {
            row.raw.add(raw.measure(LIVES, threads));
            row.inside.add(remit.by_processes(LIVES, in_flight));
            row.outside.add(remit.by_a_thread(LIVES, in_flight));
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
    for (percent, [raw, inside, outside]) in [("p50", at(0.5)), ("p99", at(0.99))] {
        let (ratio, from_thread) = (inside / raw, outside / raw);
        println!("one at a time, {percent}    {raw:9.1} {inside:16.1} {ratio:10.2} {outside:16.1} {from_thread:10.2}");
        for (name, value) in [("raw", raw), ("spawn", inside), ("from_thread", outside)] {
            metrics.insert(format!("{name}_{percent}_us"), value.into());
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
