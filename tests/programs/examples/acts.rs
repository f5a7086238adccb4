//! Says `begins`, calls the tool at `tool` (kind `tool`) as often as its input says, one call after the other, and says what came of each,
//! one a line.

use remit::{ResultError, prelude::*, tool::GrantedTool};
use test_programs::{number, words};

#[remit::agent]
fn run(task: Task) -> Result<Outcome, Failure> {
    let calls = number(&words(&task)?, 0)?;
    let tool = GrantedTool::take("tool")?;
    emit_text("begins\n")?;
    for call in 1..=calls {
        let came = tool.call(format!("{{\"call\": {call}}}"))?.get();
        let said = match came {
            Ok(said) => format!("done: {}", said.text()?.trim()),
            Err(ResultError::Failed(said)) => format!("failed: {}", said.text()?.trim()),
            Err(error) => format!("error: {error}"),
        };
        emit_text(format!("call {call} {said}\n"))?;
    }
    Ok(Outcome::complete())
}
