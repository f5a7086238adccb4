//! Answers a question, and shows the answer as it comes.

use remit::{Stop, prelude::*};

/// What the model goes by in remit.toml.
const CHAT: &str = "chat";

const ANSWER_TOKENS_MAX: u32 = 400;

const SYSTEM: &str = "You are a helpful assistant. Answer in a few sentences.";

#[remit::agent]
fn run(task: Task) -> Result<Outcome, Failure> {
    if task.request().is_none_or(Value::is_empty) {
        return Err(Failure::new("there is no question: give one as input"));
    }
    match answer(&task) {
        Ok(FinishReason::Stop | FinishReason::ToolCalls) => {
            emit_text("\n")?;
            Ok(Outcome::complete())
        }
        // What was shown so far is of use: the outcome says that it is not all.
        Ok(FinishReason::Length | FinishReason::Budget | FinishReason::Cancelled) | Err(Stop::Budget) => {
            emit_text("\n[The answer ends here: there is no room or no budget for more.]\n")?;
            Ok(Outcome::partial())
        }
        Err(Stop::Failed(failure)) => Err(failure),
    }
}

/// Puts the conversation to the model, unread: what the agent has not read cannot mislead it.
fn answer(task: &Task) -> Result<FinishReason, Stop> {
    let model = Model::take(CHAT)?;
    let messages: Vec<Message> = [Message::system(SYSTEM)].into_iter().chain(task.messages()).collect();
    let mut answer = model.chat(&messages).max_tokens(ANSWER_TOKENS_MAX).stream()?;
    for piece in &mut answer {
        emit_text(piece?)?;
    }
    Ok(answer.finish()?.finish)
}
