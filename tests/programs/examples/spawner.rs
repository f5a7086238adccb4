//! Starts a program as often as its input says, one after the other, and waits for each: `nothing 100`. It asks for
//! `workers` (kind `process`, with that program in its scope). Says `100 children`, or fails with what a child did not do.

use remit::{
    budget,
    capability::Grant,
    children::{Ended, Plan},
    prelude::*,
};
use test_programs::{number, words};

#[remit::agent]
fn run(task: Task) -> Result<Outcome, Failure> {
    let words = words(&task)?;
    let count = number(&words, 1)?;
    let workers = Grant::take("workers")?;
    let account = budget::own();
    for _ in 0..count {
        let funds = account.split(account.remaining() / 2)?;
        match Plan::new(&words[0], funds).spawn(&workers)?.wait()?.ended {
            Ended::Done { .. } => {}
            Ended::Failed { message, .. } => return Err(Failure::new(message.text()?)),
            Ended::Faulted(why) => return Err(Failure::new(why)),
        }
    }
    emit_text(format!("{count} children"))?;
    Ok(Outcome::complete())
}
