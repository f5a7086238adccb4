//! Sends messages for ever, to itself or to the grant `peer`. Its input is `own` or `peer`, and `try` or `send`.
//!
//! `try` is told that the mailbox is full: it says `N messages, then SENTENCE` and is complete; to itself, N is
//! `MESSAGES_QUEUED_MAX`. `own send` is told at the same place that it would wait for itself. `peer send` waits for its
//! receiver whenever it is behind: it goes on until its receiver ends (says so, complete), or until it is killed or its
//! account is empty, and never has more than the mailbox holds on the way.

use remit::{
    capability::Grant,
    mailbox::{self, Outgoing},
    prelude::*,
    process,
};
use test_programs::words;

#[remit::agent]
fn run(task: Task) -> Result<Outcome, Failure> {
    let words = words(&task)?;
    let ["own" | "peer", "try" | "send"] = [words[0].as_str(), words[1].as_str()] else {
        return Err(Failure::new("the input is `own` or `peer`, and `try` or `send`"));
    };
    let to = if words[0] == "own" { process::mailbox()? } else { Grant::take("peer")? };
    let send = if words[1] == "try" { mailbox::try_send } else { mailbox::send };
    let mut messages = 0_u64;
    let error = loop {
        match send(&to, Outgoing::new("flood", "drop")) {
            Ok(()) => messages += 1,
            Err(error) => break error,
        }
    };
    emit_text(format!("{messages} messages, then {error}"))?;
    Ok(Outcome::complete())
}
