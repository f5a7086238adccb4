//! What fuel and epochs cost a guest that computes.
//!
//! The guest works on integers and half a MiB of memory, for a second and more, and calls nobody. Once it runs as a process:
//! its code counts fuel and looks at the epoch, it buys a slice of fuel from its account every million units, and gives way
//! once a millisecond. Once it runs on raw wasmtime, compiled with neither and with the same settings else, on one thread.

#![allow(missing_docs, reason = "a benchmark has no reader of its documentation")]
#![allow(clippy::print_stdout, reason = "a benchmark prints its table")]

mod common;

use common::{GUESTS, Stage, bindings, block_on, program, state};
use remit_abi::Tokens;
use remit_assembly::{Agent, Ended, Package, Task};
use std::time::{Duration, Instant};
use wasmtime::{
    Store,
    component::{Component, Linker},
};

/// How long a run takes at least, so that its start does not count.
const RUN: Duration = Duration::from_millis(1200);

/// Runs of each, in turns, so that a busy moment of the machine meets both. The work is the same every time, so that the
/// shortest run is the least disturbed one: it counts.
const RUNS: usize = 7;

struct Raw {
    agent: bindings::AgentPre<()>,
}

impl Raw {
    fn new(package: &Package) -> Self {
        let engine = remit_host::unmetered_engine(GUESTS).expect("there is address space");
        let component = Component::from_file(&engine, &package.component).expect("it compiles");
        let mut linker = Linker::new(&engine);
        linker.define_unknown_imports_as_traps(&component).expect("its imports have types");
        let linked = linker.instantiate_pre(&component).expect("it links");
        Self { agent: bindings::AgentPre::new(linked).expect("it is an agent") }
    }

    fn run(&self, rounds: u32) -> f64 {
        let started = Instant::now();
        block_on(async {
            let mut store = Store::new(self.agent.engine(), ());
            let agent = self.agent.instantiate_async(&mut store).await.expect("there is a place");
            let task = bindings::AgentTask { conversation: Vec::new() };
            let end = agent.call_run(&mut store, &task, Some(&state(rounds))).await.expect("it does not trap");
            assert!(end.is_ok(), "{end:?}");
        });
        started.elapsed().as_secs_f64()
    }
}

fn run(stage: &Stage, agent: &Agent, rounds: u32) -> f64 {
    let task = Task { budget: Tokens::from_whole(1_000_000), resumed: Some(state(rounds).into()), ..Task::default() };
    let started = Instant::now();
    let finished = block_on(common::life(&stage.node, agent, task));
    assert!(matches!(finished.ended, Ended::Done(..)), "{:?}", finished.ended);
    started.elapsed().as_secs_f64()
}

fn shortest(runs_s: &[f64]) -> f64 {
    runs_s.iter().copied().fold(f64::INFINITY, f64::min)
}

fn main() {
    let package = program("crunch");
    let (stage, raw) = (Stage::new(), Raw::new(&package));
    let agent = stage.load(&package);
    raw.run(10);
    let rounds = (RUN.as_secs_f64() / (raw.run(50) / 50.0)).ceil() as u32;
    let (bare_s, metered_s): (Vec<_>, Vec<_>) =
        (0..RUNS).map(|_| (raw.run(rounds), run(&stage, &agent, rounds))).unzip();
    let (bare, metered) = (shortest(&bare_s), shortest(&metered_s));
    println!("crunch, {rounds} rounds, shortest of {RUNS} seconds");
    println!("neither fuel nor epochs            {bare:9.3}");
    println!("a process                          {metered:9.3}");
    println!("ratio                              {:9.3}", metered / bare);
    common::leave(&serde_json::json!({ "bare_s": bare, "metered_s": metered, "metering_ratio": metered / bare }));
}
