//! Emits its input, and returns it as output, both unread.

use remit::prelude::*;

#[remit::agent]
fn run(mut task: Task) -> Result<Outcome, Failure> {
    let input = task.conversation.pop().ok_or_else(|| Failure::new("there is no input"))?;
    emit_text(&input.content)?;
    Ok(Outcome::complete().with_output(input.content))
}
