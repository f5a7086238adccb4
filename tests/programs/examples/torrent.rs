//! Emits a thousand texts of 8 KiB, each a line that begins with its number: more than stands in queues on the way.

use remit::prelude::*;

const TEXTS: u64 = 1000;

#[remit::agent]
fn run(_task: Task) -> Result<Outcome, Failure> {
    let filling = "x".repeat(8 << 10);
    for number in 0..TEXTS {
        emit_text(format!("{number} {filling}\n"))?;
    }
    Ok(Outcome::complete())
}
