//! How long the batcher takes for one step of a full machine: `cargo bench -p remit-batching`.
//!
//! 64 sequences run and 1,000 wait, of 16 tenants with 16 programs each; every prompt has 600 tokens, of which 400 are its tenant's.
//! Reading the clock and making outcomes are not measured.

#![allow(clippy::print_stdout, reason = "a benchmark says what it measured")]
#![allow(clippy::unwrap_used, reason = "all requests fit")]

use remit_batching::{Batcher, Class, Config, Fair, Fifo, Namespace, Outcome, Policy, Request, RoundRobin};
use std::time::{Duration, Instant};

const RUNNING: usize = 64;
const WAITING: usize = 1_000;
/// Steps that are measured, after as many that are not: those before have prompts in them.
const STEPS: usize = 2_000;

fn request(number: u32) -> Request {
    let (tenant, program) = (number % 16, number / 16 % 16);
    let own = (0..200).map(|place| number * 1_000 + place);
    let class = [Class::Interactive, Class::Normal, Class::Batch][number as usize % 3];
    Request {
        namespace: Namespace { tenant: tenant.into(), model: 0 },
        tenant: tenant.into(),
        program: program.into(),
        class,
        weight: 1 + tenant,
        deadline: None,
        prompt: (0..400).map(|place| tenant * 1_000 + place).chain(own).collect(),
        output_max: 100_000,
    }
}

/// Microseconds of a step's decisions: the median, and one of a hundred is longer than the second.
fn measure(policy: Box<dyn Policy>) -> (f64, f64) {
    let mut batcher =
        Batcher::new(Config { running_max: RUNNING, waiting_max: RUNNING + WAITING, ..Config::new(1 << 15) }, policy);
    let mut now = Duration::ZERO;
    for number in 0..(RUNNING + WAITING) as u32 {
        batcher.add(request(number), now).unwrap();
    }
    let mut times = Vec::new();
    for _ in 0..2 * STEPS {
        let begin = Instant::now();
        let plan = batcher.plan(now);
        let planned = begin.elapsed();
        let drawing = plan.spans.iter().filter(|span| span.draws);
        let outcomes: Vec<_> =
            drawing.map(|span| Outcome { id: span.id, drawn: vec![now.subsec_nanos()], ended: false }).collect();
        let took = plan.predicted;
        now += took;
        let begin = Instant::now();
        batcher.finish(&plan, &outcomes, took, now);
        times.push((planned + begin.elapsed()).as_secs_f64() * 1e6);
    }
    let mut times = times.split_off(STEPS);
    times.sort_unstable_by(f64::total_cmp);
    (times[STEPS / 2], times[STEPS * 99 / 100])
}

fn main() {
    println!("plan and finish, {RUNNING} running and {WAITING} waiting, in µs");
    let policies: [(&str, Box<dyn Policy>); 3] =
        [("fifo", Box::new(Fifo)), ("round robin", Box::<RoundRobin>::default()), ("fair", Box::new(Fair::new()))];
    for (name, policy) in policies {
        let (median, long) = measure(policy);
        println!("{name:12} median {median:6.1}, p99 {long:6.1}");
    }
}
