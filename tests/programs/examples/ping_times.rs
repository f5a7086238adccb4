//! Calls the neighbour `peer` (kind `mailbox`) as often as its input says, one call after the other, and for no more than so
//! many milliseconds: `1000 4000`. Says how long each answer took, one number of nanoseconds a line. A bench reads them.

use remit::{
    capability::Grant,
    mailbox::{self, Outgoing},
    prelude::*,
    time::Instant,
};
use std::{fmt::Write as _, time::Duration};
use test_programs::{number, words};

#[remit::agent]
fn run(task: Task) -> Result<Outcome, Failure> {
    let words = words(&task)?;
    let (calls, time_max) = (number(&words, 0)?, Duration::from_millis(number(&words, 1)?));
    let peer = Grant::take("peer")?;
    let (started, mut times) = (Instant::now(), Vec::new());
    for _ in 0..calls {
        if started.elapsed() >= time_max {
            break;
        }
        let begin = Instant::now();
        mailbox::call(&peer, Outgoing::new("ping", "ping"), Duration::from_secs(60))?.get()?;
        times.push(begin.elapsed().as_nanos());
    }
    let mut text = String::new();
    for time in times {
        writeln!(text, "{time}")?;
    }
    emit_text(text)?;
    Ok(Outcome::complete())
}
