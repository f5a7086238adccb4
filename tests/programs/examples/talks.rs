//! Appends each of its inputs to one context of the model at `chat` (kind `model`), whose window has so many tokens as its first input says,
//! and shows each answer. It takes a snapshot half-way and goes on with what that restores. At its end it shows how many segments went out, and
//! whether it can still read the first one.

use remit::{
    context::{Context, Settings},
    prelude::*,
};

#[remit::agent]
fn run(task: Task) -> Result<Outcome, Failure> {
    let Some((window, said)) = task.conversation.split_first() else {
        return Err(Failure::new("there is no input"));
    };
    let model = Model::take("chat")?;
    let settings = Settings::new().window(window.content.text()?.parse()?);
    let mut context = Context::open(&model, &settings)?;
    context.make_block("task", "You talk.", 20)?;
    let mut out = 0;
    for (place, input) in said.iter().enumerate() {
        if place == said.len() / 2 {
            let snapshot = context.snapshot()?.bytes()?;
            context = Context::restore(&model, &settings, &snapshot)?;
        }
        context.user(&input.content)?;
        let answer = context.chat().max_tokens(10).send()?;
        out += answer.report.paged_out;
        emit_text(format!("{}\n", answer.completion.text()?))?;
    }
    emit_text(format!("{out} out, {}\n", context.read(0)?.text()?))?;
    Ok(Outcome::complete())
}
