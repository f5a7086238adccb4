//! Speaks to a child that has ended. It starts the program that its input names (`nothing`) under `workers`, takes its
//! mailbox, waits for its end, and then does all that one can do to a child.
//!
//! Says one line each: `send: ..` and `call: ..`, both that nobody is there; `wait: ..`, that its report was taken; `orders:
//! ok`; and `filter: ok`, where a filter on its name, or on a name that nobody has, lets nothing through. Complete.

use remit::{
    budget,
    capability::Grant,
    children::Plan,
    mailbox::{self, Filter, Outgoing},
    prelude::*,
};
use std::time::Duration;
use test_programs::{said, words};

#[remit::agent]
fn run(task: Task) -> Result<Outcome, Failure> {
    let words = words(&task)?;
    let account = budget::own();
    let funds = account.split(account.remaining() / 2)?;
    let child = Plan::new(&words[0], funds).spawn(&Grant::take("workers")?)?;
    let mailbox = child.mailbox()?;
    child.wait()?;
    let message = || Outgoing::new("late", "too late");
    emit_text(format!("send: {}\n", said(mailbox::send(&mailbox, message()))))?;
    emit_text(format!("call: {}\n", said(mailbox::call(&mailbox, message(), Duration::from_secs(1)))))?;
    emit_text(format!("wait: {}\n", said(child.wait())))?;
    child.cancel();
    child.suspend();
    child.resume();
    child.kill();
    emit_text("orders: ok\n")?;
    for nobody in [child.id().as_str(), "0.0.0", "4294967295.4294967295.4294967295", "", "../1", "nobody"] {
        if mailbox::try_receive(&Filter::any().sender(nobody))?.is_some() {
            return Err(Failure::new(format!("there is a message from {nobody:?}")));
        }
    }
    emit_text("filter: ok\n")?;
    Ok(Outcome::complete())
}
