//! Asks its model once. The first line of the last message is the largest number of output tokens; the rest is the prompt.
//! Emits the text; logs how it ended, as `finish=.. input=.. cached=.. output=.. paid=..`. Partial where the budget cut it
//! off.

use remit::prelude::*;

#[remit::agent]
fn run(task: Task) -> Result<Outcome, Failure> {
    let request = task.request().ok_or_else(|| Failure::new("there is no input"))?.text()?;
    let (max_tokens, prompt) = request.split_once('\n').ok_or_else(|| Failure::new("the input has no second line"))?;
    let answer = Model::take("chat")?.chat(&[Message::user(prompt)]).max_tokens(max_tokens.trim().parse()?).send()?;
    emit_text(&answer.content)?;
    let remit::Summary { finish, usage, paid } = answer.summary;
    let (input, cached, output) = (usage.input, usage.cached, usage.output);
    let finished = match finish {
        FinishReason::Stop => "stop",
        FinishReason::ToolCalls => "tool calls",
        FinishReason::Length => "length",
        FinishReason::Budget => "budget",
        FinishReason::Cancelled => "cancelled",
    };
    remit::info!("finish={finished} input={input} cached={cached} output={output} paid={paid}");
    Ok(if finish == FinishReason::Budget { Outcome::partial() } else { Outcome::complete() })
}
