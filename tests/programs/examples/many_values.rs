//! Makes values until it may not, by number or, with the input `large`, by size; says how many, and why no more.

use remit::prelude::*;

#[remit::agent]
fn run(task: Task) -> Result<Outcome, Failure> {
    let is_large = task.request().map(Value::text).transpose()?.is_some_and(|text| text.trim() == "large");
    let bytes = vec![b'x'; if is_large { 1 << 20 } else { 1 }];
    let mut held = Vec::new();
    let error = loop {
        match Value::from_bytes(&bytes, "text/plain") {
            Ok(value) => held.push(value),
            Err(error) => break error,
        }
    };
    let count = held.len();
    drop(held);
    emit_text(format!("{count}: {error}"))?;
    Ok(Outcome::complete())
}
