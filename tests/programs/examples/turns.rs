//! Asks its model over and over, and shows each answer as it comes. The first line of the last message has numbers: how many turns,
//! the output tokens of each, and the tokens that are forbidden; the rest is what the model is told each time.

use remit::prelude::*;

#[remit::agent]
fn run(task: Task) -> Result<Outcome, Failure> {
    let request = task.request().ok_or_else(|| Failure::new("there is no input"))?.text()?;
    let (numbers, system) = request.split_once('\n').ok_or_else(|| Failure::new("the input has no second line"))?;
    let numbers = numbers.split_whitespace().map(str::parse).collect::<Result<Vec<u32>, _>>()?;
    let [turns, output, forbidden @ ..] = numbers.as_slice() else { return Err(Failure::new("there are no numbers")) };
    let forbidden: Vec<(u32, f32)> = forbidden.iter().map(|token| (*token, -100.0)).collect();
    let model = Model::take("chat")?;
    for turn in 0..*turns {
        let question = format!("Request number {turn}: what do you do first?");
        let messages = [Message::system(system), Message::user(&question)];
        let mut answer = model.chat(&messages).max_tokens(*output).logit_bias(&forbidden).stream()?;
        for piece in &mut answer {
            emit_text(piece?)?;
        }
        answer.finish()?;
    }
    Ok(Outcome::complete())
}
