//! Asks what is left of its budget as often as its input says, a million times for example. Says `N calls`. What it paid is
//! at least what so many syscalls cost (`SYSCALL_FUEL` each), and its neighbours go on meanwhile.

use remit::prelude::*;
use std::hint::black_box;
use test_programs::{number, words};

#[remit::agent]
fn run(task: Task) -> Result<Outcome, Failure> {
    let calls = number(&words(&task)?, 0)?;
    let account = budget::own();
    for _ in 0..calls {
        black_box(account.remaining());
    }
    emit_text(format!("{calls} calls"))?;
    Ok(Outcome::complete())
}
