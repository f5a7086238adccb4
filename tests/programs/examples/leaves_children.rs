//! Starts the program that its input names (`spin`, or `sleeper`, which sleeps for an hour) three times under `workers`, and
//! ends while they run. Complete at once; no child outlives it, and what they had is in what it gives back.

use remit::{budget, capability::Grant, children::Plan, prelude::*};
use std::mem::forget;
use test_programs::words;

#[remit::agent]
fn run(task: Task) -> Result<Outcome, Failure> {
    let words = words(&task)?;
    let workers = Grant::take("workers")?;
    let account = budget::own();
    for _ in 0..3 {
        let funds = account.split(account.remaining() / 4)?;
        let child = Plan::new(&words[0], funds).input("3600000").spawn(&workers)?;
        emit_text(format!("{}\n", child.id()))?;
        forget(child);
    }
    Ok(Outcome::complete())
}
