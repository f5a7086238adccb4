//! Sets the alarm `tea` so many milliseconds ahead as its input says, and crashes. Started again, with the state that it
//! committed, it finds the alarm, waits for it and unsets it. Says `set`, and then `woke`; fails where the alarm is gone or
//! rings early.

use remit::{alarm, prelude::*, time};
use std::time::Duration;
use test_programs::{number, words};

#[remit::agent]
fn run(task: Task, resumed: Option<Duration>) -> Result<Outcome, Failure> {
    let Some(moment) = resumed else {
        let moment = time::since_epoch() + Duration::from_millis(number(&words(&task)?, 0)?);
        drop(alarm::set("tea", moment)?);
        checkpoint::commit(&moment)?;
        emit_text("set\n")?;
        panic!("it crashes with its alarm set");
    };
    let tea = alarm::take("tea").ok_or_else(|| Failure::new("the alarm is gone"))?;
    if tea.moment() != moment {
        return Err(Failure::new("the alarm is another one"));
    }
    tea.readiness().block();
    if time::since_epoch() < moment {
        return Err(Failure::new("the alarm rang early"));
    }
    tea.cancel();
    if alarm::take("tea").is_some() {
        return Err(Failure::new("the alarm is still set"));
    }
    emit_text("woke\n")?;
    Ok(Outcome::complete())
}
