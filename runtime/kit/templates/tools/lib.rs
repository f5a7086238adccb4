//! Has tools act as the model asks, until the model answers.

use remit::{
    Stop,
    prelude::*,
    tool::{Dialogue, Step, Toolbox},
};

/// What the model goes by in remit.toml.
const CHAT: &str = "chat";

/// How often it has tools act at most.
const TURNS_MAX: usize = 8;

const SYSTEM: &str = "Call a tool where you need to know or to do something, and answer when it is done. Say plainly what failed.";

/// What was called is committed after each turn, and is not called again, whatever ends the host: `resumed` is what was committed last.
#[remit::agent]
fn run(task: Task, resumed: Option<Dialogue>) -> Result<Outcome, Failure> {
    if task.request().is_none_or(Value::is_empty) {
        return Err(Failure::new("there is nothing to do: say what as input"));
    }
    let mut dialogue = resumed.unwrap_or_default();
    match work(&task, &mut dialogue) {
        Ok(FinishReason::Stop) => Ok(Outcome::complete()),
        Ok(_) => Ok(Outcome::partial()),
        Err(Stop::Budget) => {
            emit_text(format!("[The budget is used up after {} turns.]", dialogue.turns()))?;
            Ok(Outcome::partial())
        }
        Err(Stop::Failed(failure)) => Err(failure),
    }
}

fn work(task: &Task, dialogue: &mut Dialogue) -> Result<FinishReason, Stop> {
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
                emit_text(&answer.content)?;
                return Ok(answer.summary.finish);
            }
        }
    }
}
