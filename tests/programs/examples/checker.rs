//! Checks a grant as often as its input says: `chat 1000`. Says `1000 checks`, or after how many it was denied and why.

use remit::{capability::Grant, prelude::*};
use test_programs::{number, words};

#[remit::agent]
fn run(task: Task) -> Result<Outcome, Failure> {
    let words = words(&task)?;
    let count = number(&words, 1)?;
    let grant = Grant::take(&words[0])?;
    for done in 0..count {
        if let Err(denied) = grant.check() {
            emit_text(format!("{done} checks, then {denied}"))?;
            return Ok(Outcome::partial());
        }
    }
    emit_text(format!("{count} checks"))?;
    Ok(Outcome::complete())
}
