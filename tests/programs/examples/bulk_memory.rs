//! Fills 1 MiB of memory over and over: long instructions, none of which can be interrupted. It never ends by itself: it
//! stops when its account is empty (`BudgetExhausted`), or when it is killed, and holds nobody up meanwhile.

use remit::prelude::*;
use std::hint::black_box;

#[remit::agent]
fn run(_task: Task) -> Result<Outcome, Failure> {
    let mut block = vec![0_u8; 1 << 20];
    let mut byte = 0_u8;
    loop {
        byte = byte.wrapping_add(1);
        black_box(&mut block).fill(byte);
    }
}
