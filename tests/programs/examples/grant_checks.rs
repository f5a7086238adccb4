//! Checks the grant `chat` as often as its state names: the call is one line here, and one in the bench `syscall`.

use remit::{capability::Grant, prelude::*};
use std::hint::black_box;

#[remit::agent]
fn run(_task: Task, resumed: Option<[u8; 4]>) -> Result<Outcome, Failure> {
    let grant = Grant::take("chat")?;
    for _ in 0..resumed.map_or(1, u32::from_le_bytes) {
        black_box(grant.check())?;
    }
    Ok(Outcome::complete())
}
