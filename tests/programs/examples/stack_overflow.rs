//! Calls itself until the stack ends. Its frames hold next to nothing in linear memory, so that it is the call stack that
//! ends.

use remit::prelude::*;
use std::hint::black_box;

#[remit::agent]
fn run(task: Task) -> Result<Outcome, Failure> {
    emit_text(deeper(task.conversation.len() as u64).to_string())?;
    Ok(Outcome::complete())
}

fn deeper(depth: u64) -> u64 {
    if black_box(depth) == u64::MAX {
        return 0;
    }
    black_box(deeper(depth + 1)) + 1
}
