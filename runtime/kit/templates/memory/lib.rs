//! Answers with the help of what it was told before, and keeps what it is told now.

use remit::{
    MemoryError, Part, Stop,
    memory::{Hit, Store},
    prelude::*,
};

/// What the model goes by in remit.toml.
const CHAT: &str = "chat";

/// What the memory goes by in remit.toml.
const NOTES: &str = "notes";

const RECALLED_MAX: u32 = 4;

const ANSWER_TOKENS_MAX: u32 = 400;

const SYSTEM: &str = "Answer in a few sentences. Below are notes of what you were told before; use those that help.";

#[remit::agent]
fn run(task: Task) -> Result<Outcome, Failure> {
    let Some(said) = task.request().filter(|said| !said.is_empty()) else {
        return Err(Failure::new("there is nothing to answer: say something as input"));
    };
    match answer(&task, said) {
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

/// Looks for notes, keeps what was said, and answers. What was said is kept first: an answer that fails forgets nothing.
fn answer(task: &Task, said: &Value) -> Result<FinishReason, Stop> {
    let (model, notes) = (Model::take(CHAT)?, Store::take(NOTES)?);
    let known = recall(&notes, said)?;
    notes.note(said).tag("said").put()?;
    remit::debug!("{} notes are recalled", known.len());
    let mut system = Message::system(SYSTEM);
    for hit in &known {
        system = system.with(Part::Text("\n- ".into())).with(Part::Text((&hit.content).into()));
    }
    let messages: Vec<Message> = std::iter::once(system).chain(task.messages()).collect();
    let mut answer = model.chat(&messages).max_tokens(ANSWER_TOKENS_MAX).stream()?;
    for piece in &mut answer {
        emit_text(piece?)?;
    }
    Ok(answer.finish()?.finish)
}

/// What is like the newest message, by its words and by what it means.
fn recall(notes: &Store, said: &Value) -> Result<Vec<Hit>, MemoryError> {
    match notes.search(said).count(RECALLED_MAX).find() {
        // Who says pages at once asks for nothing in particular.
        Err(MemoryError::Invalid(_)) => Ok(Vec::new()),
        found => found,
    }
}
