//! Waits for odd sets of things, past the SDK. Its input says which:
//!
//! - `empty`: for nothing. `Fault::Protocol`.
//! - `many N`: for N timers at once. Up to 1024 it says `ready`; with 2000, `Fault::Limit`.
//! - `twice`: for one timer under two places. Says `ready: 2`.
//! - `dropped`: for a timer that it dropped. `Fault::Protocol`, which says `handle`.

use remit::prelude::*;
use test_programs::{number, raw, words};

#[remit::agent]
fn run(task: Task) -> Result<Outcome, Failure> {
    let words = words(&task)?;
    match words[0].as_str() {
        "empty" => drop(poll(&[])),
        "many" => {
            let timers: Vec<u32> = (0..number(&words, 1)?).map(|_| raw::timer(1)).collect();
            poll(&timers);
            emit_text("ready")?;
        }
        "twice" => {
            let timer = raw::timer(1);
            emit_text(format!("ready: {}", poll(&[timer, timer])))?;
        }
        "dropped" => {
            let timer = raw::timer(1);
            raw::drop_pollable(timer);
            poll(&[timer]);
        }
        other => return Err(Failure::new(format!("there is no way {other}"))),
    }
    Ok(Outcome::complete())
}

/// How many are ready.
fn poll(pollables: &[u32]) -> u64 {
    let mut result = 0;
    raw::poll(pollables.as_ptr(), pollables.len(), &raw mut result);
    // An address, and then a length.
    result >> 32
}
