//! Does what its conversation asks, once, and returns the answer.
//!
//! Both are passed on unread, so that it stays untainted whatever they say.

use remit::{Stop, prelude::*};

/// What it takes its model by.
const GRANT: &str = "chat";

/// A few paragraphs.
const ANSWER_TOKENS_MAX: u32 = 256;

const SYSTEM: &str = "You are a helpful assistant. Answer in a few sentences.";

#[remit::agent]
fn run(task: Task) -> Result<Outcome, Failure> {
    match answer(&task) {
        Ok(outcome) => Ok(outcome),
        Err(Stop::Budget) => Ok(Outcome::partial()),
        Err(Stop::Failed(failure)) => Err(failure),
    }
}

fn answer(task: &Task) -> Result<Outcome, Stop> {
    if task.request().is_none_or(Value::is_empty) {
        return Err(Failure::new("there is nothing to do: give a message as input").into());
    }
    let model = Model::take(GRANT)?;
    let granted = model.max_tokens_per_call().unwrap_or(u32::MAX);
    let mut messages = vec![Message::system(SYSTEM)];
    messages.extend(task.messages());
    let answer = model.chat(&messages).max_tokens(ANSWER_TOKENS_MAX.min(granted)).send()?;
    let outcome = match answer.summary.finish {
        // It has no tools to call.
        FinishReason::Stop | FinishReason::ToolCalls => Outcome::complete(),
        FinishReason::Length | FinishReason::Budget | FinishReason::Cancelled => Outcome::partial(),
    };
    Ok(outcome.with_output(answer.content))
}
