//! Says the label of a value of its own before and after it reads its input: `trusted -> untrusted`.

use remit::{prelude::*, value::Integrity};

#[remit::agent]
fn run(task: Task) -> Result<Outcome, Failure> {
    let before = own_label()?;
    if let Some(request) = task.request() {
        request.bytes()?;
    }
    let after = own_label()?;
    emit_text(format!("{before} -> {after}"))?;
    Ok(Outcome::complete())
}

fn own_label() -> Result<&'static str, Failure> {
    Ok(match Value::from_text("its own")?.label().integrity {
        Integrity::Trusted => "trusted",
        Integrity::Untrusted => "untrusted",
    })
}
