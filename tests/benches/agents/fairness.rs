//! What a tenant notices of another one that floods, and of a beginning that is at hand.

use super::{
    common::median,
    drive::{Driver, Model, Seat, block_on},
    fleet::{Conversation, OUTPUT_TOKENS, Plan, fleet},
};
use futures::future::select;
use remit_inference::Limits;
use remit_kernel::ports::EngineEvent;
use serde_json::{Value, json};
use std::{
    pin::pin,
    time::{Duration, Instant},
};
use tokio::sync::Semaphore;

/// Agents of the tenant that is looked at, and their turns: with 100 turns the p99 is the slowest but one.
const QUIET_AGENTS: usize = 10;
const QUIET_TURNS: usize = 10;
/// Agents that never stop.
const FLOODING: usize = 64;
/// Longer than ten turns take.
const WINDOW: Duration = Duration::from_secs(120);
/// How often the first token is waited for.
const FIRSTS: usize = 20;

const QUIET: u32 = 1;
const LOUD: u32 = 2;

/// p99 turn latency of a tenant beside one that floods, over the same alone.
#[allow(clippy::print_stdout, reason = "a benchmark prints its table")]
pub(crate) fn flood(model: &Model<'_>) -> Value {
    let mut plans = fleet(2 * QUIET_AGENTS + FLOODING, QUIET_TURNS);
    let loud = plans.split_off(2 * QUIET_AGENTS);
    // The same pace, and other words: those of the first run are at hand.
    let words = plans.split_off(QUIET_AGENTS);
    let again = plans.iter().zip(words).map(|(plan, other)| Plan { thinks: plan.thinks.clone(), turns: other.turns });
    let again: Vec<Plan> = again.collect();
    let engine = model.engine(Limits::default());
    let (driver, noise) = (Driver::new(model, &engine), Driver::new(model, &engine));
    // What all agents are told is at hand in both runs.
    block_on(driver.agents(QUIET, &fleet(1, 1)));
    let alone = driver.run(WINDOW, driver.agents(QUIET, &plans));
    let risen = Semaphore::new(0);
    let beside = driver.run(WINDOW, async {
        let quiet = pin!(async {
            // The flood has all that it can have when each of it is being answered.
            risen.acquire_many(FLOODING as u32).await.expect("nobody closes it").forget();
            driver.agents(QUIET, &again).await;
        });
        select(pin!(noise.flood(LOUD, &loud, &risen)), quiet).await;
    });
    let [quiet, flooded] = [&alone, &beside].map(|run| run.percentile(0.99));
    println!("{QUIET_AGENTS} agents alone: p50 {:.2} s, p99 {quiet:.2} s", alone.percentile(0.5));
    println!("beside {FLOODING} of another tenant: p50 {:.2} s, p99 {flooded:.2} s", beside.percentile(0.5));
    println!("p99 is {:.2} times as long (target: at most 2)", flooded / quiet);
    json!({ "flood_p99_ratio": flooded / quiet })
}

/// The first token of a prompt that is wholly at hand, in steps of one token.
#[allow(clippy::print_stdout, reason = "a benchmark prints its table")]
pub(crate) fn first_token(model: &Model<'_>) -> Value {
    let engine = model.engine(Limits::default());
    let driver = Driver::new(model, &engine);
    let mut conversation = Conversation::new();
    conversation.ask("Where is order 417203?");
    let prompt = driver.tokens(&conversation);
    let times = || {
        let begin = Instant::now();
        let mut stream = driver.ask(Seat { tenant: QUIET, program: 1 }, prompt.clone());
        let mut next = || stream.events.blocking_recv().expect("a stream has an end");
        let mut first = None;
        loop {
            match next() {
                EngineEvent::Text(_) => drop(first.get_or_insert_with(|| begin.elapsed().as_secs_f64())),
                EngineEvent::End(_) => break,
                other => panic!("{other:?}"),
            }
        }
        let first = first.expect("it writes something");
        (first, (begin.elapsed().as_secs_f64() - first) / f64::from(OUTPUT_TOKENS - 1))
    };
    let (cold, _) = times();
    let (mut firsts, mut steps): (Vec<f64>, Vec<f64>) = (0..FIRSTS).map(|_| times()).unzip();
    let (first, step) = (median(&mut firsts), median(&mut steps));
    println!("first of {} tokens: {:.0} ms, at hand {:.1} ms", prompt.len(), cold * 1e3, first * 1e3);
    println!("a step: {:.1} ms; the first token takes {:.2} of these (target: at most 2)", step * 1e3, first / step);
    json!({ "prefix_ttft_steps": first / step })
}
