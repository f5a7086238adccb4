//! What a syscall costs, beside a call into the bare host.
//!
//! The guest makes the same call a million times. Once it is a process: the call goes through the kernel's dispatcher, its
//! four steps and its journal. Once its import is a function of wasmtime's own `func_wrap` that returns a constant, on the
//! same engine settings. A life without calls is taken off both. Beside the time stands how often a call takes memory from
//! the heap, anywhere in the program: the host's path has no need to.

#![allow(missing_docs, reason = "a benchmark has no reader of its documentation")]
#![allow(clippy::print_stdout, reason = "a benchmark prints its table")]

mod common;

use common::{GUESTS, Stage, bindings, block_on, median, program, state};
use remit_abi::Tokens;
use remit_assembly::{Agent, Ended, Package, Task};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};
use wasmtime::{
    Store, StoreContextMut,
    component::{Component, Linker},
};

/// The import behind the call of the program `calls`: its interface and its name.
const CALL: (&str, &str) = ("wasi:clocks/monotonic-clock@0.2.12", "now");

/// Calls of one life.
const CALLS: u32 = 1_000_000;

/// Lives of each, in turns, so that a busy moment of the machine meets both. The work is the same every time, so that the
/// shortest is the least disturbed one: it counts.
const RUNS: usize = 9;

/// Allocations of the whole program.
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

/// The system's allocator, counted.
struct Counting;

#[allow(unsafe_code, reason = "an allocator cannot be written without it")]
// SAFETY: it hands everything on to the system's.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps what the trait asks of it.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps what the trait asks of it.
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps what the trait asks of it.
        unsafe { System.realloc(place, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What one call costs.
#[derive(Clone, Copy)]
struct Cost {
    ns: f64,
    allocations: f64,
}

/// Of a life with many calls, less one with none.
fn cost(life: impl Fn(u32)) -> Cost {
    let measured = |calls| {
        let (before, started) = (ALLOCATIONS.load(Ordering::Relaxed), Instant::now());
        life(calls);
        (started.elapsed().as_secs_f64() * 1e9, (ALLOCATIONS.load(Ordering::Relaxed) - before) as f64)
    };
    let (empty, full) = (measured(0), measured(CALLS));
    Cost { ns: (full.0 - empty.0) / f64::from(CALLS), allocations: (full.1 - empty.1) / f64::from(CALLS) }
}

struct Raw {
    agent: bindings::AgentPre<()>,
}

impl Raw {
    fn new(package: &Package) -> Self {
        let engine = remit_host::guest_engine(GUESTS).expect("there is address space");
        let component = Component::from_file(&engine, &package.component).expect("it compiles");
        let mut linker = Linker::new(&engine);
        linker.allow_shadowing(true);
        linker.define_unknown_imports_as_traps(&component).expect("its imports have types");
        let mut interface = linker.instance(CALL.0).expect("a name of an interface");
        let constant = |_: StoreContextMut<'_, ()>, (): ()| Ok((1_u64,));
        interface.func_wrap(CALL.1, constant).expect("a name of a function");
        let linked = linker.instantiate_pre(&component).expect("it links");
        Self { agent: bindings::AgentPre::new(linked).expect("it is an agent") }
    }

    fn life(&self, calls: u32) {
        block_on(async {
            let mut store = Store::new(self.agent.engine(), ());
            store.set_fuel(u64::MAX >> 1).expect("fuel is on");
            store.set_epoch_deadline(1 << 40);
            let agent = self.agent.instantiate_async(&mut store).await.expect("there is a place");
            let task = bindings::AgentTask { conversation: Vec::new() };
            let end = agent.call_run(&mut store, &task, Some(&state(calls))).await.expect("it does not trap");
            assert!(end.is_ok(), "{end:?}");
        });
    }
}

fn life(stage: &Stage, agent: &Agent, calls: u32) {
    let task = Task { budget: Tokens::from_whole(1_000_000), resumed: Some(state(calls).into()), ..Task::default() };
    let finished = block_on(common::life(&stage.node, agent, task));
    assert!(matches!(finished.ended, Ended::Done(..)), "{:?}", finished.ended);
}

fn main() {
    let package = program("calls");
    let (stage, raw) = (Stage::new(), Raw::new(&package));
    let agent = stage.load(&package);
    let both = || (cost(|calls| raw.life(calls)), cost(|calls| life(&stage, &agent, calls)));
    both();
    let (raw, remit): (Vec<_>, Vec<_>) = (0..RUNS).map(|_| both()).unzip();
    let ns = |costs: &[Cost]| costs.iter().map(|cost| cost.ns).fold(f64::INFINITY, f64::min);
    let allocations = |costs: &[Cost]| median(&mut costs.iter().map(|cost| cost.allocations).collect::<Vec<_>>());
    let (raw_ns, syscall_ns) = (ns(&raw), ns(&remit));
    println!("{} of {}        ns   allocations", CALL.1, CALL.0);
    println!("a host call that returns a constant {raw_ns:9.1} {:13.2}", allocations(&raw));
    println!("a syscall                           {syscall_ns:9.1} {:13.2}", allocations(&remit));
    println!("ratio                               {:9.2}", syscall_ns / raw_ns);
    common::leave(&serde_json::json!({
        "syscall_ns": syscall_ns,
        "raw_ns": raw_ns,
        "syscall_ratio": syscall_ns / raw_ns,
        "syscall_allocations": allocations(&remit),
        "raw_allocations": allocations(&raw),
    }));
}
