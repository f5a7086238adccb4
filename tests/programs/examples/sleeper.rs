//! Waits for the milliseconds that its input names, on the shorter of two timers; says `slept`.

use remit::{prelude::*, time, wait};
use std::time::Duration;

#[remit::agent]
fn run(task: Task) -> Result<Outcome, Failure> {
    let request = task.request().ok_or_else(|| Failure::new("there is no input"))?.text()?;
    let (begin, pause) = (time::Instant::now(), Duration::from_millis(request.trim().parse()?));
    let (short, long) = (time::timer(pause), time::timer(pause + Duration::from_secs(3600)));
    let ready = wait::any(&[&long, &short]);
    if ready != [1] || !short.is_ready() || long.is_ready() {
        return Err(Failure::new(format!("of the two timers, {ready:?} are ready")));
    }
    if begin.elapsed() < pause {
        return Err(Failure::new(format!("it waited {:?} only", begin.elapsed())));
    }
    emit_text("slept")?;
    Ok(Outcome::complete())
}
