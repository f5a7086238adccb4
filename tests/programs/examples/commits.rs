//! Commits a state as often as the state that it begins with names. The bench `durable` measures with it.

use remit::prelude::*;

#[remit::agent]
fn run(_task: Task, resumed: Option<[u8; 4]>) -> Result<Outcome, Failure> {
    for number in 0..resumed.map_or(1, u32::from_le_bytes) {
        checkpoint::commit(&number.to_le_bytes())?;
    }
    Ok(Outcome::complete())
}
