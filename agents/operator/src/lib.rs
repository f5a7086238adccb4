//! Does what it is asked with the tools that it was granted.
//!
//! The model is shown the tools and the conversation, and asks for calls; each is carried out, and the model is told what came of it,
//! until it answers. After each turn the state is committed: what was called is not called again, whatever ends the host.

use remit::{
    Stop,
    prelude::*,
    tool::{Dialogue, Step, Toolbox},
};

/// What it takes its model by.
const CHAT: &str = "chat";

/// How often it has tools act at most.
const TURNS_MAX: usize = 8;

const SYSTEM: &str = "You get things done with tools. Call a tool where you need to know or to do something, and answer when it is \
                      done. Say plainly what was done, what failed, and what is not known.";

#[remit::agent]
fn run(task: Task, resumed: Option<Dialogue>) -> Result<Outcome, Failure> {
    if task.request().is_none_or(Value::is_empty) {
        return Err(Failure::new("there is nothing to do: say what as input"));
    }
    let mut dialogue = resumed.unwrap_or_default();
    match work(&task, &mut dialogue) {
        Ok(outcome) => Ok(outcome),
        Err(Stop::Budget) => {
            emit_text(format!("\n[The budget is used up after {} turns.]\n", dialogue.turns()))?;
            Ok(Outcome::partial())
        }
        Err(Stop::Failed(failure)) => Err(failure),
    }
}

/// Asks the model and carries out its calls, until it answers.
fn work(task: &Task, dialogue: &mut Dialogue) -> Result<Outcome, Stop> {
    let (model, tools) = (Model::take(CHAT)?, Toolbox::granted()?.turns_max(TURNS_MAX));
    if tools.is_empty() {
        return Err(Failure::new("it was granted no tool that this host has declared: see `remit tools`").into());
    }
    let messages: Vec<Message> = [Message::system(SYSTEM)].into_iter().chain(task.messages()).collect();
    loop {
        progress(dialogue.turns() as u64, TURNS_MAX as u64, "thinking")?;
        match tools.step(&model, &messages, dialogue)? {
            Step::Called => checkpoint::commit(&*dialogue)?,
            Step::Answered(answer) => {
                let is_whole = answer.summary.finish == FinishReason::Stop;
                emit_text(&answer.content)?;
                return Ok(if is_whole { Outcome::complete() } else { Outcome::partial() });
            }
        }
    }
}
