//! What a syscall costs, beside a call into the bare host.
//!
//! The guest makes the same call a million times. Once it is a process: the call goes through the kernel's dispatcher, its
//! four steps and its journal. Once its import is a function of wasmtime's own `func_wrap` that returns a constant, on the
//! same engine settings. A life without calls is taken off both. Beside the time stands how often a call takes memory from
//! the heap, anywhere in the program: the host's path has no need to.
//!
//! | call | what is in it |
//! | --- | --- |
//! | `grant.check` | a handle; the grant is looked up among the process's, and checked with all that it derives from |
//! | `monotonic-clock.now` | no handle and no grant; the clock is read |

#![allow(missing_docs, reason = "a benchmark has no reader of its documentation")]
#![allow(clippy::print_stdout, reason = "a benchmark prints its table")]

mod common;

use common::{GUESTS, Stage, bindings, block_on, median, program_asking, state};
use remit_abi::Tokens;
use remit_assembly::{Agent, Ended, Package, Task};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};
use wasmtime::{
    Store, StoreContextMut,
    component::{Component, Linker, Resource, ResourceType},
};

use bindings::remit::kernel::types::Denial;

/// A grant of the bare host, which is none.
struct NoGrant;

/// A program that makes one call over and over, and what the bare host does instead.
struct Call {
    name: &'static str,
    program: &'static str,
    manifest: &'static str,
    define: fn(&mut Linker<()>) -> wasmtime::Result<()>,
}

const CALLED: [Call; 2] = [
    Call {
        name: "grant.check",
        program: "grant_checks",
        manifest: "[[wants.models]]\nlabel = \"chat\"\n",
        define: |linker| {
            let mut interface = linker.instance("remit:kernel/capability@0.1.0")?;
            interface.resource("grant", ResourceType::host::<NoGrant>(), |_, _| Ok(()))?;
            let take =
                |_: StoreContextMut<'_, ()>, _: (String,)| Ok((Ok::<Resource<NoGrant>, Denial>(Resource::new_own(1)),));
            interface.func_wrap("take", take)?;
            let check = |_: StoreContextMut<'_, ()>, _: (Resource<NoGrant>,)| Ok((Ok::<(), Denial>(()),));
            interface.func_wrap("[method]grant.check", check)
        },
    },
    Call {
        name: "monotonic-clock.now",
        program: "calls",
        manifest: "",
        define: |linker| {
            let mut interface = linker.instance("wasi:clocks/monotonic-clock@0.2.12")?;
            interface.func_wrap("now", |_: StoreContextMut<'_, ()>, (): ()| Ok((1_u64,)))
        },
    },
];

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
    fn new(package: &Package, call: &Call) -> Self {
        let engine = remit_host::guest_engine(GUESTS).expect("there is address space");
        let component = Component::from_file(&engine, &package.component).expect("it compiles");
        let mut linker = Linker::new(&engine);
        linker.allow_shadowing(true);
        linker.define_unknown_imports_as_traps(&component).expect("its imports have types");
        (call.define)(&mut linker).expect("names of an interface and its functions");
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

/// One call's row, and its numbers: time of the bare host's and of the syscall, and how much oftener the latter takes memory.
/// (wasmtime itself takes some for a call that lends a handle.)
fn measure(stage: &Stage, call: &Call) -> [f64; 3] {
    let package = program_asking(call.program, call.manifest);
    let (raw, agent) = (Raw::new(&package, call), stage.load(&package));
    let both = || (cost(|calls| raw.life(calls)), cost(|calls| life(stage, &agent, calls)));
    both();
    let (raw, remit): (Vec<_>, Vec<_>) = (0..RUNS).map(|_| both()).unzip();
    let ns = |costs: &[Cost]| costs.iter().map(|cost| cost.ns).fold(f64::INFINITY, f64::min);
    let allocations = |costs: &[Cost]| median(&mut costs.iter().map(|cost| cost.allocations).collect::<Vec<_>>());
    let (raw_ns, syscall_ns, allocations) = (ns(&raw), ns(&remit), allocations(&remit) - allocations(&raw));
    println!("{:20} {raw_ns:13.1} {syscall_ns:12.1} {:9.2} {allocations:18.2}", call.name, syscall_ns / raw_ns);
    [raw_ns, syscall_ns, allocations]
}

fn main() {
    let stage = Stage::new();
    println!("                     bare host, ns  syscall, ns     ratio   allocations more");
    let [[raw_ns, syscall_ns, allocations], [raw_clock_ns, clock_ns, _]] = CALLED.map(|call| measure(&stage, &call));
    common::leave(&serde_json::json!({
        "syscall_ns": syscall_ns,
        "raw_ns": raw_ns,
        "syscall_ratio": syscall_ns / raw_ns,
        "syscall_allocations": allocations,
        "clock_syscall_ns": clock_ns,
        "clock_raw_ns": raw_clock_ns,
        "clock_syscall_ratio": clock_ns / raw_clock_ns,
    }));
}
