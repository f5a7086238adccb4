//! Panics; its message and place are in the log.

use remit::prelude::*;

#[remit::agent]
fn run(task: Task) -> Result<Outcome, Failure> {
    panic!("there are {} messages, and this program panics on any number", task.conversation.len());
}
