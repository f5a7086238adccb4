//! Calls the neighbour `peer` (kind `mailbox`) as often as its input says, one call after the other; says `done`. It fails
//! where an answer is not what it sent.

use remit::{
    capability::Grant,
    mailbox::{self, Outgoing},
    prelude::*,
};
use std::time::Duration;
use test_programs::{number, words};

#[remit::agent]
fn run(task: Task) -> Result<Outcome, Failure> {
    let calls = number(&words(&task)?, 0)?;
    let peer = Grant::take("peer")?;
    for _ in 0..calls {
        let answer = mailbox::call(&peer, Outgoing::new("ping", "ping"), Duration::from_secs(60))?.get()?;
        if answer.topic != "ping" || answer.body.len() != 4 {
            return Err(Failure::new("the neighbour answered something else"));
        }
    }
    emit_text("done")?;
    Ok(Outcome::complete())
}
