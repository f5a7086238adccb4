//! Takes handles on the grant that its input names, over and over, and lets go of none. It ends in `Fault::Limit`, which
//! names the handles that it may hold.

use remit::{capability::Grant, prelude::*};
use std::mem::forget;
use test_programs::words;

#[remit::agent]
fn run(task: Task) -> Result<Outcome, Failure> {
    let words = words(&task)?;
    let label = words.first().ok_or_else(|| Failure::new("the input names no label"))?;
    loop {
        forget(Grant::take(label)?);
    }
}
