//! Dies as often as its input says, and then does its work: `fails 2`, `panics 2`, `ends 2` (returns, as one that is always
//! started again may). It counts its lives by the state that it commits. Says `life N` at each start, and at the end its
//! output is `done after N deaths`.

use remit::prelude::*;
use test_programs::{number, words};

#[remit::agent]
fn run(task: Task, resumed: Option<u64>) -> Result<Outcome, Failure> {
    let words = words(&task)?;
    let (deaths, deaths_max) = (resumed.unwrap_or(0), number(&words, 1)?);
    emit_text(format!("life {}\n", deaths + 1))?;
    if deaths == deaths_max {
        return Ok(Outcome::complete().with_output(Value::from_text(&format!("done after {deaths} deaths"))?));
    }
    checkpoint::commit(&(deaths + 1))?;
    match words[0].as_str() {
        "fails" => Err(Failure::retryable("it was told to fail")),
        "ends" => Ok(Outcome::partial()),
        _ => panic!("it was told to panic"),
    }
}
