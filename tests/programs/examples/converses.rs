//! Talks in one context of the model at `chat` (kind `model`), whose pages lie in the store at `pages` (kind `memory`). Its first input has
//! numbers: the window, what of it is for an answer and for what is recalled, all in tokens, and after how many lines the model is asked. The second
//! input is what is said, a line each behind `u ` for the user and `a ` for the assistant. Then it waits for the desk at `boss` (kind `person`),
//! and asks each line of its third input in a fork of its own. The bench `recall` looks at the prompts.

use remit::{
    capability::Grant,
    context::{Context, Segment, Settings},
    human::Desk,
    prelude::*,
};

#[remit::agent]
fn run(task: Task) -> Result<Outcome, Failure> {
    let [numbers, said, questions] = task.conversation.as_slice() else {
        return Err(Failure::new("there are not three inputs"));
    };
    let numbers = numbers.content.text()?;
    let numbers = numbers.split_whitespace().map(str::parse).collect::<Result<Vec<u32>, _>>()?;
    let [window, output, recalled, lines] = numbers.as_slice() else {
        return Err(Failure::new("there are not four numbers"));
    };
    let (model, pages) = (Model::take("chat")?, Grant::take("pages")?);
    let settings = Settings::new().window(*window).output_reserve(*output).store(&pages, *recalled);
    let context = Context::open(&model, &settings)?;
    let mut since = 0;
    for line in said.content.text()?.lines() {
        let (role, text) = match line.split_once(' ') {
            Some(("u", text)) => (Role::User, text),
            Some(("a", text)) => (Role::Assistant, text),
            _ => return Err(Failure::new(format!("nobody says {line:?}"))),
        };
        context.append(&Segment::text(role, text))?;
        since += 1;
        if since == *lines {
            context.chat().max_tokens(*output).send()?;
            since = 0;
        }
    }
    Desk::take("boss")?.ask("All is said. Shall I ask?").choices(&["yes", "no"]).get()?;
    for question in questions.content.text()?.lines() {
        let fork = context.fork()?;
        fork.user(question)?;
        let report = fork.chat().max_tokens(*output).send()?.report;
        emit_text(format!("{} {}\n", report.recalled.len(), report.not_stored))?;
    }
    Ok(Outcome::complete())
}
