//! Logs lines of 8 KiB for ever. Nobody waits for logs: they are dropped and counted where the listener is behind, and it
//! goes on until its account is empty (`BudgetExhausted`), or until it is killed.

use remit::{
    log::{Level, log},
    prelude::*,
};

#[remit::agent]
fn run(_task: Task) -> Result<Outcome, Failure> {
    let line = "x".repeat(8 << 10);
    loop {
        log(Level::Info, format_args!("{line}"));
    }
}
