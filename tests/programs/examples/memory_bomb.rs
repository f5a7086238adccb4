//! Takes memory until there is no more, and uses each page.

use remit::prelude::*;
use std::hint::black_box;

#[remit::agent]
fn run(_task: Task) -> Result<Outcome, Failure> {
    let mut held = Vec::new();
    loop {
        held.push(black_box(vec![1_u8; 1 << 20]));
    }
}
