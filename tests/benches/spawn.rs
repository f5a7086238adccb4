//! What starting an agent costs, beside raw wasmtime on the same component with the same engine settings, in one run.
//!
//! A life is: start, instantiate, call `run`, end. The assistant is given no message, so that it ends at once by itself and
//! no model is asked. Raw wasmtime does it in a loop on one thread, with its imports as traps. Remit does all of it: process
//! table, account, grants, fuel, journal, label, its executor's threads, and the settling at the end.

#![allow(missing_docs, reason = "a benchmark has no reader of its documentation")]
#![allow(clippy::print_stdout, reason = "a benchmark prints its table")]

use futures::future::join_all;
use remit_abi::Fault;
use remit_assembly::{
    Agent, CompilerCommand, Ended, GrantChoice, Home, Node, NodeConfig, Package, PriceList, Running, Schedule, Task,
};
use remit_kernel::ports::{Engine, EngineError, EngineStream, GenerationJob, ModelCard, PromptText};
use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};
use wasmtime::{
    Store,
    component::{Component, Linker},
};

/// The type that a linker gives to resources nobody defined.
#[allow(unreachable_pub, reason = "the generated module re-exports it")]
pub type Nothing = ();

mod bindings {
    #![allow(unused, clippy::all, reason = "generated from wit/")]
    wasmtime::component::bindgen!({
        path: "../wit",
        world: "agent",
        exports: { default: async },
        // What a linker's traps stand in for.
        with: { "remit:kernel/value.value": crate::Nothing },
    });
}

/// Lives before the measurement: caches fill, threads wake.
const WARM_UP: usize = 500;

/// Lives of one measurement.
const LIVES: usize = 5000;

/// Rounds, raw and Remit in turns, so that a busy moment of the machine meets both.
const ROUNDS: usize = 5;

/// Guests that the pool has room for.
const GUESTS: u32 = 256;

/// No model is asked in this benchmark.
struct NoModel;

impl Engine for NoModel {
    fn card(&self, model: &str) -> Result<ModelCard, EngineError> {
        Ok(ModelCard { name: model.into(), family: "none".into(), context_length: 1, digest: "none".into() })
    }

    fn tokenize(&self, _: &str, _: &PromptText) -> Result<Arc<[u32]>, EngineError> {
        Err(EngineError::Stopped("no model is asked here".into()))
    }

    fn generate(&self, _: GenerationJob) -> Result<EngineStream, EngineError> {
        Err(EngineError::Stopped("no model is asked here".into()))
    }
}

fn made(variable: &str) -> PathBuf {
    let path = std::env::var_os(variable).map(PathBuf::from);
    path.unwrap_or_else(|| panic!("{variable} is not set: run `cargo xtask bench spawn`"))
}

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
}

/// Remit, whole.
struct Remit {
    node: Node,
    agent: Agent,
}

impl Remit {
    fn new(package: &Package) -> Self {
        let home = Home::at(made("REMIT_TEST_PROGRAMS").with_file_name("bench-home"));
        let program = made("REMIT_TEST_CLI");
        let compiler = CompilerCommand { program, arguments: vec!["compile-component".into()] };
        let config = NodeConfig {
            home,
            compiler,
            guest_threads: None,
            guests_max: Some(GUESTS),
            schedule: Schedule::default(),
            prices: PriceList::built_in(),
        };
        let node = Node::with_engine(config, Arc::new(NoModel)).expect("the node starts");
        let agent = node.load(package, &GrantChoice::All).expect("it is let in");
        Self { node, agent }
    }

    async fn life(&self) {
        let Running { finished, .. } = self.node.start(&self.agent, Task::default()).expect("it has a budget");
        match finished.await.ended {
            Ended::Failed(_) => {}
            Ended::Faulted(Fault::Host(why)) => panic!("{why}"),
            other => panic!("without a message there is nothing to do: {other:?}"),
        }
    }

    /// Microseconds a life, with so many in flight.
    async fn in_flight(&self, count: usize) -> f64 {
        let started = Instant::now();
        let batches = LIVES / count;
        for _ in 0..batches {
            join_all((0..count).map(|_| self.life())).await;
        }
        micros(started.elapsed()) / (batches * count) as f64
    }
}

async fn measure(lives: usize, life: impl AsyncFn()) -> Vec<f64> {
    let mut times = Vec::with_capacity(lives);
    for _ in 0..lives {
        let started = Instant::now();
        life().await;
        times.push(micros(started.elapsed()));
    }
    times
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

fn percentile(times: &mut [f64], share: f64) -> f64 {
    times.sort_by(f64::total_cmp);
    times[((times.len() - 1) as f64 * share) as usize]
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime.expect("threads can be started").block_on(run());
}

async fn run() {
    let package = Package::open(&made("REMIT_TEST_AGENTS").join("assistant")).expect("the set-up built it");
    let (raw, remit) = (Raw::new(&package), Remit::new(&package));
    measure(WARM_UP, async || raw.life().await).await;
    measure(WARM_UP, async || remit.life().await).await;
    let (mut raw_times, mut remit_times) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        raw_times.extend(measure(LIVES / ROUNDS, async || raw.life().await).await);
        remit_times.extend(measure(LIVES / ROUNDS, async || remit.life().await).await);
    }
    let (raw_p50, raw_p99) = (percentile(&mut raw_times, 0.5), percentile(&mut raw_times, 0.99));
    let (p50, p99) = (percentile(&mut remit_times, 0.5), percentile(&mut remit_times, 0.99));
    println!("assistant, a whole life, µs        p50      p99");
    println!("raw wasmtime, one thread      {raw_p50:8.1} {raw_p99:8.1}");
    println!("remit, one at a time          {p50:8.1} {p99:8.1}");
    for count in [2, 8, 64] {
        println!("remit, {count:2} in flight           {:8.1} each", remit.in_flight(count).await);
    }
    println!("p50 over raw                  {:8.2}", p50 / raw_p50);
    let metrics = serde_json::json!({
        "spawn_p50_us": p50,
        "spawn_p99_us": p99,
        "raw_p50_us": raw_p50,
        "spawn_ratio": p50 / raw_p50,
    });
    let path = made("REMIT_BENCH_OUT");
    std::fs::create_dir_all(path.parent().expect("a file has a folder")).expect("the target folder is writable");
    std::fs::write(path, format!("{metrics:#}\n")).expect("the target folder is writable");
}
