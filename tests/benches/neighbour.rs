//! What a process notices of a neighbour that misbehaves: how long a call to a third one takes, from the call to its answer,
//! on the caller's own clock.
//!
//! A call is two messages and two turns of other processes. The pair and its neighbour are processes of one tenant, with the
//! same priority, on as many threads as the machine has cores.

#![allow(missing_docs, reason = "a benchmark has no reader of its documentation")]
#![allow(clippy::print_stdout, reason = "a benchmark prints its table")]

mod common;
#[path = "../heavy.rs"]
mod heavy;

use common::{Stage, block_on, message, percentile, program_asking};
use futures::future::join;
use remit_abi::{Event, TenantId, Tokens, limits::TenantLimits};
use remit_assembly::{Ended, GrantChoice, Package, Running, Task};
use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

/// Calls of one measurement, at most: their times fit one event.
const CALLS: usize = 100_000;

/// How long one measurement takes, at most: a few thousand turns of the neighbour.
const TIME_MAX: Duration = Duration::from_secs(3);

/// All processes together: fewer than the host has places for.
const PROCESSES: u64 = 64;

const CHAT: &str = "[[wants.models]]\nlabel = \"chat\"\n";
const PEER: &str = "[[wants.mailboxes]]\nlabel = \"peer\"\nmailboxes = [\"echo_server\"]\n";
const WORKERS: &str = "[[wants.processes]]\nlabel = \"workers\"\nagents = [\"fork_bomb\"]\n";

/// Who misbehaves: program, rights and limits, input.
const NEIGHBOURS: [(&str, &str, &str); 10] = [
    ("spin", "", ""),
    ("bulk_memory", "", ""),
    ("memory_bomb", "[limits]\nmemory_bytes_max = 67108864\n", ""),
    ("table_growth", "", ""),
    ("host_calls", "", "1000000"),
    ("mailbox_flood", PEER, "peer send"),
    ("log_flood", "", ""),
    ("fork_bomb", WORKERS, ""),
    ("handle_leak", CHAT, "chat"),
    ("giant_data", "", "emit 21000"),
];

fn start(stage: &Stage, name: &str, manifest: &str, text: &str) -> Running {
    let agent = stage.load(&program_asking(name, manifest));
    let budget = Tokens::from_whole(1_000_000);
    let task = Task { budget, messages: message(text), name: Some(name.to_owned()), ..Task::default() };
    stage.node.start(&agent, task).expect("it starts")
}

/// A process that is to call, and waits to be told so. It has its place before anybody can take it.
fn caller(stage: &Stage) -> Running {
    let running = start(stage, "ping_times", PEER, &format!("{CALLS} {}", TIME_MAX.as_millis()));
    stage.node.kernel().suspend(running.pid);
    running
}

/// Lets it call; how long each answer took, in nanoseconds.
async fn call(stage: &Stage, Running { pid, mut events, finished }: Running) -> Vec<f64> {
    stage.node.kernel().resume(pid);
    let texts = async {
        let mut all = String::new();
        while let Some(event) = events.recv().await {
            if let Event::Text { text, .. } = event {
                all.push_str(std::str::from_utf8(&text).expect("texts are UTF-8"));
            }
        }
        all
    };
    let (finished, text) = join(finished, texts).await;
    assert!(matches!(finished.ended, Ended::Done(..)), "{:?}", finished.ended);
    text.lines().map(|line| line.parse().expect("a number")).collect()
}

/// Misbehaves over and over, until the others are done.
async fn misbehave(stage: &Stage, (name, manifest, text): (&str, &str, &str), done: &AtomicBool) {
    while !done.load(Ordering::Acquire) {
        let Running { mut events, finished, .. } = start(stage, name, manifest, text);
        join(finished, async { while events.recv().await.is_some() {} }).await;
    }
}

/// Calls beside this neighbour.
fn beside(stage: &Stage, neighbour: (&str, &str, &str)) -> Vec<f64> {
    let (caller, done) = (caller(stage), AtomicBool::new(false));
    let calling = async {
        let times = call(stage, caller).await;
        done.store(true, Ordering::Release);
        let kernel = stage.node.kernel();
        let others = kernel.processes();
        let ends = others.iter().filter(|other| &*other.package != "echo_server");
        ends.for_each(|other| stage.node.kill(other.pid));
        times
    };
    block_on(join(misbehave(stage, neighbour, &done), calling)).1
}

/// Calls while the node is handed this component over and over.
fn beside_refused(stage: &Stage, package: &Package) -> Vec<f64> {
    let (caller, done) = (caller(stage), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Acquire) {
                let refused = stage.node.load(package, &GrantChoice::All);
                assert!(refused.is_err(), "it is no agent");
            }
        });
        let times = block_on(call(stage, caller));
        done.store(true, Ordering::Release);
        times
    })
}

/// The middle and the slow end, in microseconds.
fn row(name: &str, times: &mut [f64]) -> f64 {
    let [p50, p99, most] = [0.5, 0.99, 1.0].map(|share| percentile(times, share) / 1e3);
    println!("{name:16} {:8} {p50:12.1} {p99:12.1} {most:12.1}", times.len());
    p99
}

fn main() {
    let stage = Stage::new();
    let limits = TenantLimits { processes_max: PROCESSES, ..TenantLimits::default() };
    stage.node.kernel().set_limits(TenantId(0), limits);
    common::install("fork_bomb");
    let server = start(&stage, "echo_server", "", "");
    println!("neighbour           calls   median, µs      p99, µs     most, µs");
    // What comes first fills caches and wakes threads.
    block_on(call(&stage, caller(&stage)));
    let quiet = row("none", &mut block_on(call(&stage, caller(&stage))));
    let mut metrics = serde_json::Map::new();
    let mut worst = quiet;
    let mut keep = |name: &str, mut times: Vec<f64>| {
        let p99 = row(name, &mut times);
        metrics.insert(format!("{name}_p99_us"), p99.into());
        worst = worst.max(p99);
    };
    for neighbour in NEIGHBOURS {
        keep(neighbour.0, beside(&stage, neighbour));
    }
    let folder = tempfile::tempdir().expect("there is room");
    keep("large_component", beside_refused(&stage, &heavy::large(folder.path())));
    keep("slow_component", beside_refused(&stage, &heavy::slow(folder.path())));
    drop(server);
    metrics.insert("quiet_p99_us".into(), quiet.into());
    metrics.insert("worst_p99_us".into(), worst.into());
    common::leave(&metrics.into());
}
