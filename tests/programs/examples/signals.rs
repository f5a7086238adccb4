//! Waits for a signal, and says which: `Cancel`, `BudgetLow` or `ChildFailed`. With the input `budget` it sets a soft limit
//! just below what it has, and runs until it hears of it; with `child` it starts `panics` under `workers`, and hears of its
//! end; with anything else it waits for what comes, such as a polite request to end.

use remit::{
    Tokens, budget,
    capability::Grant,
    children::Plan,
    prelude::*,
    process::{self, Signal},
};
use test_programs::words;

#[remit::agent]
fn run(task: Task) -> Result<Outcome, Failure> {
    let account = budget::own();
    let words = words(&task)?;
    let mut signals = process::signals();
    let signal = match words.first().map(String::as_str) {
        Some("budget") => {
            account.set_soft_limit(account.remaining().saturating_sub(Tokens::from_micro(1)));
            loop {
                if let Some(signal) = signals.next() {
                    break signal;
                }
            }
        }
        Some("child") => {
            let funds = account.split(account.remaining() / 2)?;
            let child = Plan::new("panics", funds).spawn(&Grant::take("workers")?)?;
            let signal = signals.wait();
            child.wait()?;
            signal
        }
        _ => signals.wait(),
    };
    emit_text(match signal {
        Signal::Cancel => "Cancel",
        Signal::BudgetLow => "BudgetLow",
        Signal::ChildFailed => "ChildFailed",
    })?;
    Ok(Outcome::complete())
}
