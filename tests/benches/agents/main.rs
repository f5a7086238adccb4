//! Many agents on one engine: what batching, shared beginnings and fairness give, beside llama.cpp, and what Wasm costs.
//!
//! | part | what |
//! | --- | --- |
//! | `fleet-1` `fleet-8` `fleet-64` `fleet-250` | so many agents, four ways (below) |
//! | `flood` | the p99 turn latency of a tenant beside one that floods, over the same alone |
//! | `first-token` | the first token of a prompt that is wholly at hand, in steps |
//! | `wasm` | tokens/s of an agent in Wasm, beside the same loop natively |
//!
//! Arguments choose parts; without any, all are run. Numbers of parts that are not run stay in the JSON file as they are.
//!
//! An agent begins with what all are told (some 580 tokens), and in each of five turns says some 45 tokens more and has 32 written;
//! it thinks for half a second between, on average. All agents are there from the beginning, and are programs of one tenant.
//!
//! | way | its engine |
//! | --- | --- |
//! | one by one | computes one turn at a time, in the order of arrival, and shares nothing |
//! | fifo | computes turns side by side, in the order of arrival, and shares nothing |
//! | full | has a prefix tree and fair shares |
//! | llama.cpp | has eight slots, to which what all are told is copied (`run_agents_llama_cpp.py` says what else it does) |
//!
//! Each way is given [`WINDOW`]; what is slower is measured over that time. Throughput is tokens that were drawn over the time until the
//! last one, or the window; a turn that did not end counts in latencies as if it had ended then, so that these are too small for it.
//! `REMIT_TEST_MODEL`, `REMIT_PEER_PYTHON` and `REMIT_BENCH_OUT` are as in the bench `inference`.

#![allow(missing_docs, reason = "a benchmark has no reader of its documentation")]

#[path = "../common/mod.rs"]
mod common;
mod drive;
mod fairness;
mod fleet;
mod peer;
mod random;
mod tax;

use common::made;
use drive::{Driver, Model, Run, said};
use fleet::{Plan, fleet};
use peer::Peer;
use remit_inference::{Limits, PolicyChoice};
use serde_json::{Value, json};
use std::time::Duration;

/// What a way has, at most. Half a minute: with 64 agents each way is busy from the first second on.
const WINDOW: Duration = Duration::from_secs(30);
/// Agents, and their turns. 250 have two, so that the fast ways end within the window.
const FLEETS: [(&str, usize, usize); 4] =
    [("fleet-1", 1, 5), ("fleet-8", 8, 5), ("fleet-64", 64, 5), ("fleet-250", 250, 2)];
/// The fleet whose figures are targets, and these: over the ways before and behind `full`.
const TARGETED: usize = 64;
const TARGETS: [(&str, f64); 3] = [("sequential", 5.0), ("fifo", 2.0), ("llamacpp", 1.5)];
const OTHERS: [&str; 3] = ["flood", "first-token", "wasm"];

const TENANT: u32 = 1;

/// An engine's limits, by the way's name.
fn ways() -> [(&'static str, Limits); 3] {
    let plain = Limits { policy: PolicyChoice::Fifo, shares_prefixes: false, ..Limits::default() };
    [("one by one", Limits { active_sequences_max: 1, ..plain.clone() }), ("fifo", plain), ("full", Limits::default())]
}

#[allow(clippy::print_stdout, reason = "a benchmark prints its table")]
fn show(way: &str, run: &Run) {
    let open = if run.unended.is_empty() { "" } else { "at least " };
    println!(
        "{way:10} {:>6.1} tokens/s; turns: p50 {open}{:.2} s, p99 {open}{:.2} s; {} ended, {} did not",
        run.tokens_per_second(),
        run.percentile(0.5),
        run.percentile(0.99),
        run.turns.len(),
        run.unended.len()
    );
}

/// One fleet, all ways.
#[allow(clippy::print_stdout, reason = "a benchmark prints its table")]
fn compare(model: &Model<'_>, peer: &Peer, agents: usize, turns: usize) -> Value {
    let plans = fleet(agents, turns);
    println!("{agents} agents of {turns} turns");
    let mut numbers = json!({});
    let mut note = |way: &str, run: &Run| {
        show(way, run);
        let name = way.replace(' ', "_");
        numbers[format!("{name}_{agents}_tps")] = run.tokens_per_second().into();
        numbers[format!("{name}_{agents}_p50_s")] = run.percentile(0.5).into();
        numbers[format!("{name}_{agents}_p99_s")] = run.percentile(0.99).into();
        run.tokens_per_second()
    };
    let ours = ways().map(|(way, limits)| note(way, &run(model, limits, &plans)));
    let task = peer::task(&model.engine(Limits::default()), model, &plans, WINDOW);
    let theirs = note("llama.cpp", &peer.run(&task));
    if agents == TARGETED {
        for ((name, target), other) in TARGETS.into_iter().zip([ours[0], ours[1], theirs]) {
            let speedup = ours[2] / other;
            println!("full is {speedup:.2} times as fast as {name} (target: at least {target})");
            numbers[format!("speedup_{name}_{agents}")] = speedup.into();
        }
    }
    numbers
}

#[allow(clippy::print_stdout, reason = "a benchmark prints its table")]
fn run(model: &Model<'_>, limits: Limits, plans: &[Plan]) -> Run {
    let engine = model.engine(limits);
    let driver = Driver::new(model, &engine);
    let run = driver.run(WINDOW, driver.agents(TENANT, plans));
    println!("           {}", said(&engine.figures()[0].totals));
    run
}

fn main() {
    let path = made("REMIT_TEST_MODEL");
    let model = Model::new(&path);
    let all: Vec<&str> = FLEETS.iter().map(|(name, ..)| *name).chain(OTHERS).collect();
    for part in common::chosen(&all) {
        let numbers = match part.as_str() {
            "flood" => fairness::flood(&model),
            "first-token" => fairness::first_token(&model),
            "wasm" => tax::report(&model),
            fleet => {
                let known = FLEETS.iter().find(|(name, ..)| *name == fleet);
                let (_, agents, turns) = known.expect("it was checked");
                compare(&model, &Peer::new(made("REMIT_PEER_PYTHON"), &model), *agents, *turns)
            }
        };
        common::leave_more(&numbers);
    }
}
