//! Never ends, and asks for nothing: only its account stops it.

use remit::prelude::*;
use std::hint::black_box;

#[remit::agent]
fn run(_task: Task) -> Result<Outcome, Failure> {
    let mut turns = 0_u64;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
}
