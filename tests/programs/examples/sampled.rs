//! Asks its model with every parameter at a value of its own, whole and as a stream, and emits both answers; then with one
//! out of its range, and emits what it is told.

use remit::{Call, ChatPrompt, prelude::*};

fn set_up<'a>(model: &'a Model, messages: &'a [Message<'a>]) -> Call<'a, ChatPrompt<'a>> {
    let call = model.chat(messages).max_tokens(3).temperature(0.7).seed(7);
    let call = call.top_k(40).typical_p(0.95).top_p(0.9).min_p(0.05);
    let call = call.repetition_penalty(1.1).frequency_penalty(0.5).presence_penalty(-0.5).penalty_window(128);
    call.logit_bias(&[(5, -100.0), (6, 2.5)]).stop(&["\n\n"]).stop_tokens(&[7, 8]).logprobs(2).speculate()
}

#[remit::agent]
fn run(task: Task) -> Result<Outcome, Failure> {
    let request = task.request().ok_or_else(|| Failure::new("there is no input"))?;
    let model = Model::take("chat")?;
    let messages = [Message::user(request)];
    let answer = set_up(&model, &messages).send()?;
    emit_text(&answer.content)?;
    let told = answer.tokens()?.len();
    let mut stream = set_up(&model, &messages).stream()?;
    for piece in &mut stream {
        emit_text(piece?)?;
    }
    emit_text(format!("\n{told} and {} tokens were told", stream.take_tokens().len()))?;
    if let Err(error) = set_up(&model, &messages).min_p(f32::NAN).send() {
        emit_text(format!("\n{error}"))?;
    }
    Ok(Outcome::complete())
}
