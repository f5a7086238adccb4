//! Emits more events than a listener's queue holds, one number a line, with progress; then one event that is too large,
//! and says why it was not taken.

use remit::prelude::*;

const EVENTS: u64 = 1000;

#[remit::agent]
fn run(_task: Task) -> Result<Outcome, Failure> {
    for number in 0..EVENTS {
        emit_text(format!("{number}\n"))?;
        if number % 100 == 0 {
            progress(number, EVENTS, "emitting")?;
        }
    }
    match emit_text("x".repeat((1 << 20) + 1)) {
        Ok(()) => return Err(Failure::new("an event of more than 1 MiB was taken")),
        Err(error) => emit_text(error.to_string())?,
    }
    artifact("numbers.txt", format!("{EVENTS} numbers"))?;
    Ok(Outcome::complete())
}
