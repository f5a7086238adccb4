//! How long contexts take: `cargo bench -p remit-context --bench plan`.
//!
//! | row | does |
//! | --- | --- |
//! | `fits` | plans where nothing has to leave: what each turn costs |
//! | `out` | plans where the window is full: 40 % of it leave |
//! | `fork` | makes a fork |
//! | `fork, append` | makes one and appends a segment, which copies what they no longer share |
//! | `recall` | chooses from 50 candidates |
//! | `restore` | makes a context of its snapshot |
//!
//! *Shown* is how many segments are in the window; all others are out. The last table is of 1,000 contexts with windows of 2,048 tokens that
//! have their turns one after the other: each appends two messages, plans, and does what was planned.

#![allow(clippy::print_stdout, reason = "a benchmark says what it measured")]
#![allow(clippy::unwrap_used, reason = "it ends where it cannot go on")]

use remit_abi::Role;
use remit_context::{Budget, Candidate, Config, Context, InPlace, NewSegment, Order, Policy, SegmentId};
use std::{
    hint::black_box,
    time::{Duration, Instant},
};

const ROUNDS: usize = 200;
/// A message.
const TOKENS: u32 = 40;
const CONTEXTS: usize = 1_000;
const TURNS: usize = 100;

/// One of so many segments, of which the last so many are shown.
fn context(count: usize, shown: usize) -> Context<u64> {
    let mut context = Context::new(Config::default());
    for number in 0..count {
        let role = if number.is_multiple_of(2) { Role::User } else { Role::Assistant };
        let id = context.append(NewSegment::new(role, TOKENS, number as u64)).unwrap();
        // An order that is not that of age.
        context.set_importance(id, (number * 97 % 251) as u8).unwrap();
        context.end_turn(&Policy::default());
    }
    let window = shown as u32 * TOKENS + Config::default().stub_tokens;
    let policy = Policy { low_percent: 100, ..Policy::default() };
    let plan = context.plan(budget(window), &policy).unwrap();
    context.apply(plan, Vec::new()).unwrap();
    context
}

fn budget(window: u32) -> Budget {
    Budget { window, output_reserve: 0, recall_budget: 0 }
}

/// Median and 99th percentile, in microseconds.
fn measure(mut act: impl FnMut() -> Duration) -> (f64, f64) {
    let mut times: Vec<_> = (0..ROUNDS).map(|_| act().as_secs_f64() * 1e6).collect();
    times.sort_unstable_by(f64::total_cmp);
    (times[ROUNDS / 2], times[ROUNDS * 99 / 100])
}

fn timed<T>(act: impl FnOnce() -> T) -> Duration {
    let start = Instant::now();
    black_box(act());
    start.elapsed()
}

fn print(name: &str, count: usize, shown: usize, (median, long): (f64, f64)) {
    println!("{name:22} {count:>9} {shown:>7} {median:>12.1} {long:>9.1}");
}

fn plans(count: usize, shown: usize) {
    let context = context(count, shown);
    let (full, fits) = (budget(shown as u32 * TOKENS), budget(u32::MAX));
    print("fits", count, shown, measure(|| timed(|| context.plan(fits, &Policy::default()).unwrap())));
    let given = Order::Given((0..count as u64).step_by(7).map(SegmentId).collect());
    for (name, order, in_place) in [
        ("out, by use", Order::LeastRecentlyUsed, InPlace::Stub),
        ("out, by importance", Order::Importance, InPlace::Stub),
        ("out, as the agent says", given, InPlace::Stub),
        ("out, with a summary", Order::LeastRecentlyUsed, InPlace::Summary),
    ] {
        let policy = Policy { order, in_place, high_percent: 99, ..Policy::default() };
        print(name, count, shown, measure(|| timed(|| context.plan(full, &policy).unwrap())));
    }
    print("fork", count, shown, measure(|| timed(|| context.fork())));
    let append = || {
        let mut fork = context.fork();
        fork.append(NewSegment::new(Role::User, TOKENS, 0)).unwrap();
        fork
    };
    print("fork, append", count, shown, measure(|| timed(append)));
    let found: Vec<_> =
        (0..50).map(|hit| Candidate { id: SegmentId(hit * 13 % count as u64), score: hit as f32 }).collect();
    let recall = || {
        let mut fork = context.fork();
        timed(|| fork.recall(&found, 500))
    };
    print("recall", count, shown, measure(recall));
    let restore = || {
        let snapshot = context.snapshot();
        timed(|| Context::restore(snapshot).unwrap())
    };
    print("restore", count, shown, measure(restore));
}

fn side_by_side(in_place: InPlace) -> (f64, f64) {
    let mut contexts: Vec<_> = (0..CONTEXTS).map(|_| Context::new(Config::default())).collect();
    let (room, policy) =
        (Budget { window: 2_048, output_reserve: 256, recall_budget: 256 }, Policy { in_place, ..Policy::default() });
    let mut times = Vec::new();
    for turn in 0..TURNS {
        for (number, context) in contexts.iter_mut().enumerate() {
            let tokens = 10 + (number * 31 + turn * 17) as u32 % 90;
            let start = Instant::now();
            context.append(NewSegment::new(Role::User, tokens, 0)).unwrap();
            let plan = context.plan(room, &policy).unwrap();
            let written = plan
                .summaries
                .iter()
                .map(|task| Some(remit_context::Written { tokens: task.tokens_max, body: 0 }))
                .collect();
            context.apply(plan, written).unwrap();
            context.mark_sent();
            context.append(NewSegment::new(Role::Assistant, tokens, 0)).unwrap();
            context.end_turn(&policy);
            times.push(start.elapsed().as_secs_f64() * 1e6);
        }
    }
    times.sort_unstable_by(f64::total_cmp);
    (times[times.len() / 2], times[times.len() * 99 / 100])
}

fn main() {
    println!("{:22} {:>9} {:>7} {:>12} {:>9}", "in µs", "segments", "shown", "median", "p99");
    for (count, shown) in [(1_000, 40), (10_000, 40), (10_000, 1_000), (10_000, 10_000)] {
        plans(count, shown);
    }
    println!("\na turn of one of {CONTEXTS} contexts, in µs");
    for (name, in_place) in [("stubs", InPlace::Stub), ("summaries", InPlace::Summary)] {
        let (median, long) = side_by_side(in_place);
        println!("{name:22} median {median:6.1}, p99 {long:6.1}");
    }
}
