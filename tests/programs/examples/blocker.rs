//! Waits for messages, and answers `ping` with `pong`. It does nothing else, and takes as little as a process can: many of
//! them say how many processes fit a machine.

use remit::{
    mailbox::{self, Filter, Outgoing},
    prelude::*,
};

#[remit::agent]
fn run(_task: Task) -> Result<Outcome, Failure> {
    loop {
        let message = mailbox::receive(&Filter::any().topic("ping"))?;
        if let Some(answer) = message.call {
            answer.reply(Outgoing::new("pong", "pong"))?;
        }
    }
}
