//! Lets its model call a tool, says what it was asked for and does it, tells the model, and emits its answer; the same as a
//! stream. Then it asks for an answer in a form, and emits what it is told of a format beside tools.

use remit::{Tool, ToolCall, ToolChoice, prelude::*, tool};

const TOOLS: &[Tool] = &[Tool {
    name: "add",
    description: "Adds two whole numbers.",
    parameters: r#"{"properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}, "required": ["a", "b"]}"#,
}];

/// The sum of the numbers in an object of two.
fn add(call: &ToolCall) -> String {
    let numbers = call.arguments.split(|character: char| !character.is_ascii_digit());
    numbers.filter_map(|number| number.parse::<u64>().ok()).sum::<u64>().to_string()
}

#[remit::agent]
fn run(task: Task) -> Result<Outcome, Failure> {
    let request = task.request().ok_or_else(|| Failure::new("there is no input"))?;
    let model = Model::take("chat")?;
    let asked = [Message::user(request)];
    let answer = model.chat(&asked).tools(TOOLS).tool_choice(ToolChoice::Required).send()?;
    let calls = answer.calls.as_ref().map_or(Ok(Vec::new()), tool::read)?;
    let mut stream = model.chat(&asked).tools(TOOLS).stream()?;
    let streamed = stream.by_ref().collect::<Result<String, _>>()?;
    let same = stream.take_tool_calls().iter().map(|call| &call.arguments).eq(calls.iter().map(|call| &call.arguments));
    emit_text(format!("{:?}{streamed:?} {same} {:?}\n", answer.text()?, answer.summary.finish))?;
    let mut told = vec![Message::user(request), Message::called(&answer.content, &calls)];
    for call in &calls {
        emit_text(format!("{} of {}\n", call.name, call.arguments))?;
        told.push(Message::result(call, add(call)));
    }
    let last = model.chat(&told).tools(TOOLS).tool_choice(ToolChoice::None);
    emit_text(format!("{}\n", last.regex("[a-z ]+").send()?.text()?))?;
    if let Err(error) = model.chat(&asked).tools(TOOLS).choice(&["yes", "no"]).send() {
        emit_text(format!("{error}"))?;
    }
    Ok(Outcome::complete())
}
