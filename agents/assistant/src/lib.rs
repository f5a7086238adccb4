//! Answers the conversation, and shows the answer as it comes.
//!
//! The conversation is passed to the model unread. Where it is longer than the model's context, its oldest messages are
//! left out. Where the budget or the answer's length ends it early, it says so, and the outcome is partial.

use remit::{Stop, prelude::*};

/// What it takes its model by.
const GRANT: &str = "chat";

const SYSTEM: &str = "You are a helpful assistant.";

/// An answer of a page. A small model that has not ended by then seldom does.
const ANSWER_TOKENS_MAX: u32 = 512;

/// Older messages make room for an answer of this length at least.
const ANSWER_TOKENS_MIN: u32 = 128;

#[remit::agent]
fn run(task: Task) -> Result<Outcome, Failure> {
    if task.request().is_none_or(Value::is_empty) {
        return Err(Failure::new("there is no question: give one as input"));
    }
    let model = Model::take(GRANT)?;
    let granted = model.max_tokens_per_call().unwrap_or(u32::MAX);
    match answer(&model, &task, ANSWER_TOKENS_MAX.min(granted)) {
        Err(Stop::Budget) => {
            emit_text(format!("[The budget is too small for an answer: {} tokens are left.]\n", budget::remaining()))?;
            Ok(Outcome::partial())
        }
        Err(Stop::Failed(failure)) => Err(failure),
        // It has no tools to call.
        Ok(FinishReason::Stop | FinishReason::ToolCalls) => {
            emit_text("\n")?;
            Ok(Outcome::complete())
        }
        Ok(FinishReason::Budget) => {
            emit_text("\n\n[The budget ended the answer here.]\n")?;
            Ok(Outcome::partial())
        }
        Ok(FinishReason::Length | FinishReason::Cancelled) => {
            emit_text("\n\n[The answer is longer than fits, and ends here.]\n")?;
            Ok(Outcome::partial())
        }
    }
}

fn answer(model: &Model, task: &Task, max_tokens: u32) -> Result<FinishReason, Stop> {
    let messages = fitting(model, task, max_tokens.min(ANSWER_TOKENS_MIN))?;
    remit::debug!("{} messages, budget {}", messages.len(), budget::remaining());
    let mut answer = model.chat(&messages).max_tokens(max_tokens).stream()?;
    for piece in &mut answer {
        emit_text(piece?)?;
    }
    Ok(answer.finish()?.finish)
}

/// The system's message and as many of the newest as leave `room` tokens for the answer; the last one in any case.
fn fitting<'a>(model: &Model, task: &'a Task, room: u32) -> Result<Vec<Message<'a>>, LlmError> {
    let capacity = model.info()?.context_length.saturating_sub(room);
    let mut messages: Vec<Message<'_>> = task.messages().collect();
    if messages.first().is_none_or(|first| first.role != Role::System) {
        messages.insert(0, Message::system(SYSTEM));
    }
    while messages.len() > 2 && model.count_tokens(&messages)? > capacity {
        messages.remove(1);
    }
    Ok(messages)
}
