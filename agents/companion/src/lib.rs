//! Talks with a person, and remembers what they said, also when it is started anew.
//!
//! Before it answers it looks in its notes for what is like the newest message, and gives that to the model, unread; then it notes the
//! message itself. So it answers each task alone, and its conversation has no end. What it notes has the label of what was said: where it
//! finds it again, it is as much trusted as it was then.

use remit::{
    MemoryError, Part, Stop,
    memory::{Hit, Store},
    prelude::*,
};

/// What it takes its model by.
const CHAT: &str = "chat";

/// What it takes its memory by.
const NOTES: &str = "notes";

/// A small model loses its way among more.
const RECALLED_MAX: u32 = 6;

/// How much a note loses that says the same as another one.
const DIVERSITY: f32 = 0.3;

/// How much newer notes gain: what was said last holds.
const RECENCY: f32 = 0.2;

const ANSWER_TOKENS_MAX: u32 = 400;

const SYSTEM: &str = "You talk with a person whom you know. Below are notes of what they told you before. Use those that help you to \
                      answer, and do not mention the others.";

#[remit::agent]
fn run(task: Task) -> Result<Outcome, Failure> {
    let Some(said) = task.request().filter(|said| !said.is_empty()) else {
        return Err(Failure::new("there is nothing to answer: say something as input"));
    };
    let (model, notes) = (Model::take(CHAT)?, Store::take(NOTES)?);
    match answer(&model, &notes, &task, said) {
        Ok(FinishReason::Stop | FinishReason::ToolCalls) => {
            emit_text("\n")?;
            Ok(Outcome::complete())
        }
        Ok(FinishReason::Length | FinishReason::Budget | FinishReason::Cancelled) => {
            emit_text("\n\n[The answer ends here: there is no room or no budget for more.]\n")?;
            Ok(Outcome::partial())
        }
        Err(Stop::Budget) => {
            emit_text(format!("[The budget is too small: {} tokens are left.]\n", budget::remaining()))?;
            Ok(Outcome::partial())
        }
        Err(Stop::Failed(failure)) => Err(failure),
    }
}

/// Answers with what is remembered, and notes what was said. It is noted before it is answered: an answer that fails forgets nothing.
fn answer(model: &Model, notes: &Store, task: &Task, said: &Value) -> Result<FinishReason, Stop> {
    let mut known = recall(notes, said)?;
    notes.note(said).tag("said").put()?;
    let granted = model.max_tokens_per_call().unwrap_or(u32::MAX).min(ANSWER_TOKENS_MAX);
    let capacity = model.info()?.context_length.saturating_sub(granted);
    while !known.is_empty() && model.count_tokens(&messages(&known, task))? > capacity {
        known.pop();
    }
    remit::debug!("{} notes are recalled", known.len());
    let messages = messages(&known, task);
    let mut answer = model.chat(&messages).max_tokens(granted).stream()?;
    for piece in &mut answer {
        emit_text(piece?)?;
    }
    Ok(answer.finish()?.finish)
}

/// What is like the newest message, the likest first.
fn recall(notes: &Store, said: &Value) -> Result<Vec<Hit>, MemoryError> {
    match notes.search(said).count(RECALLED_MAX).recency(RECENCY).diversity(DIVERSITY).find() {
        // Who says pages at once asks for nothing in particular.
        Err(MemoryError::Invalid(_)) => Ok(Vec::new()),
        found => found,
    }
}

/// What is known, the likest last, where a model heeds it most; then the conversation. Nothing is read.
fn messages<'a>(known: &'a [Hit], task: &'a Task) -> Vec<Message<'a>> {
    let mut system = Message::system(SYSTEM);
    for hit in known.iter().rev() {
        system = system.with(Part::Text("\n- ".into())).with(Part::Text((&hit.content).into()));
    }
    std::iter::once(system).chain(task.messages()).collect()
}
