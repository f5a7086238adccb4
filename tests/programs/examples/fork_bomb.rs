//! Starts itself as often as it may, and so does each of its children, with a right to start more. It asks for `workers`
//! (kind `process`, scope `fork_bomb`).
//!
//! Each process goes on until it is refused (too many children, processes or generations; no money), waits for its children,
//! and says `N children, then SENTENCE`. The first one ends complete, or in `BudgetExhausted`; in both cases no process is
//! left, and what all of them paid and gave back is its budget.

use remit::{
    Stop, budget,
    capability::{Grant, Narrowing},
    children::{Child, Plan},
    prelude::*,
};

#[remit::agent]
fn run(_task: Task) -> Result<Outcome, Failure> {
    let mut children = Vec::new();
    let stop = loop {
        match another(children.len()) {
            Ok(child) => children.push(child),
            Err(stop) => break stop,
        }
    };
    let why = match stop {
        Stop::Budget => "the budget is used up".to_owned(),
        Stop::Failed(failure) => failure.message,
    };
    emit_text(format!("{} children, then {why}", children.len()))?;
    for child in &children {
        child.wait()?;
    }
    Ok(Outcome::complete())
}

fn another(index: usize) -> Result<Child, Stop> {
    let workers = Grant::take("workers")?;
    let theirs = workers.attenuate(&format!("workers-{index}"), &Narrowing::new())?;
    let account = budget::own();
    let funds = account.split(account.remaining() / 4)?;
    Ok(Plan::new("fork_bomb", funds).grant("workers", theirs).spawn(&workers)?)
}
