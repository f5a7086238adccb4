//! Says the numbers from 1 on, one a line and one every few milliseconds, until it is asked politely to end: then
//! `asked to end`. With a label as input, it sends a message through that grant, of kind `mailbox`, after each number, and
//! says what came of it whenever that changes: `ok`, or why it was denied.

use remit::{
    capability::Grant,
    mailbox::{self, Outgoing},
    prelude::*,
    process::{self, Signal},
    time,
};
use std::time::Duration;
use test_programs::{said, words};

const PAUSE: Duration = Duration::from_millis(5);

#[remit::agent]
fn run(task: Task) -> Result<Outcome, Failure> {
    let label = words(&task).ok().and_then(|words| words.into_iter().next());
    let mut told = String::new();
    let mut number = 0_u64;
    while !process::signals().any(|signal| signal == Signal::Cancel) {
        number += 1;
        emit_text(format!("{number}\n"))?;
        if let Some(label) = &label {
            let tried = match Grant::take(label) {
                Ok(peer) => said(mailbox::send(&peer, Outgoing::new("chatter", number.to_string()))),
                Err(denied) => denied.to_string(),
            };
            if tried != told {
                emit_text(format!("{tried}\n"))?;
                told = tried;
            }
        }
        time::sleep(PAUSE);
    }
    emit_text("asked to end\n")?;
    Ok(Outcome::complete())
}
