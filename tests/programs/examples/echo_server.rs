//! A neighbour that behaves: answers each call with its own body, unread, and ends when a message about `stop` comes. Says
//! nothing. With the input `N`, it ends after N answers.

use remit::{
    mailbox::{self, Filter, Outgoing},
    prelude::*,
};
use test_programs::{number, words};

#[remit::agent]
fn run(task: Task) -> Result<Outcome, Failure> {
    let answers_max = words(&task).and_then(|words| number(&words, 0)).unwrap_or(u64::MAX);
    let mut answers = 0;
    while answers < answers_max {
        let message = mailbox::receive(&Filter::any())?;
        if message.topic == "stop" {
            break;
        }
        if let Some(answer) = message.call {
            answer.reply(Outgoing::new(&message.topic, &message.body))?;
            answers += 1;
        }
    }
    Ok(Outcome::complete())
}
