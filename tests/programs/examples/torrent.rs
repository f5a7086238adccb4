//! Emits a hundred texts of 64 KiB, each a line that begins with its number: more than stands in queues on the way.

use remit::prelude::*;

const TEXTS: u64 = 100;

#[remit::agent]
fn run(_task: Task) -> Result<Outcome, Failure> {
    let filling = "x".repeat(64 << 10);
    for number in 0..TEXTS {
        emit_text(format!("{number} {filling}\n"))?;
    }
    Ok(Outcome::complete())
}
