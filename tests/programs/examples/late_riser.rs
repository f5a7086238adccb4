//! Reads the clock some ninety times, computes for about half a millisecond, and sleeps until the moment that its input names, in milliseconds
//! since 1970. The bench `durable` measures with it how fast sleepers wake.

use remit::{prelude::*, time};
use std::{hint::black_box, time::Duration};

/// Entries of its log before it sleeps.
const CALLS: usize = 90;
/// Steps of a linear congruential generator: about half a millisecond.
const STEPS: u64 = 400_000;

#[remit::agent]
fn run(task: Task) -> Result<Outcome, Failure> {
    let until = task.request().ok_or_else(|| Failure::new("there is no input"))?.text()?;
    let until = Duration::from_millis(until.trim().parse()?);
    for _ in 0..CALLS {
        black_box(time::Instant::now());
    }
    let random = (0..STEPS).fold(1_u64, |state, _| state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
    black_box(random);
    time::sleep(until.saturating_sub(time::since_epoch()));
    Ok(Outcome::complete())
}
