//! Checks a grant by a handle that it was never given: the number that its input names, as it may be live in another
//! process. A process's handles are numbers in its own table: it ends in `Fault::Protocol`, which says `handle`, and the
//! kernel is asked nothing. The number of the task's own value (1) is a handle, and of another sort: the same fault.

use remit::prelude::*;
use test_programs::{number, raw, words};

#[remit::agent]
fn run(task: Task) -> Result<Outcome, Failure> {
    let guess = u32::try_from(number(&words(&task)?, 0)?)?;
    let mut result = [0_u64; 4];
    raw::check(guess, result.as_mut_ptr());
    Err(Failure::new(format!("handle {guess} is a grant")))
}
