//! Starts a long generation, reads two pieces of it, and drops it. Says what was left before it, while it ran, and after
//! it, in micro-tokens: `before=.. during=.. after=..`.

use remit::prelude::*;

#[remit::agent]
fn run(task: Task) -> Result<Outcome, Failure> {
    let model = Model::take("chat")?;
    let messages: Vec<Message> = task.messages().collect();
    let before = budget::remaining().micro();
    let mut generation = model.chat(&messages).max_tokens(500).stream()?;
    for piece in generation.by_ref().take(2) {
        piece?;
    }
    let during = budget::remaining().micro();
    drop(generation);
    let after = budget::remaining().micro();
    emit_text(format!("before={before} during={during} after={after}"))?;
    Ok(Outcome::complete())
}
