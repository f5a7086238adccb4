//! Reads the clocks and draws; says `epoch_s=.. first_ns=.. second_ns=.. u64=.. bytes=..`, bytes in hexadecimal.

use remit::{prelude::*, random, time};

#[remit::agent]
fn run(_task: Task) -> Result<Outcome, Failure> {
    let begin = time::Instant::now();
    let mut bytes = [0; 16];
    random::fill(&mut bytes);
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let first = begin.elapsed().as_nanos();
    let (seconds, number) = (time::since_epoch().as_secs(), random::u64());
    let second = begin.elapsed().as_nanos();
    emit_text(format!("epoch_s={seconds} first_ns={first} second_ns={second} u64={number} bytes={hex}"))?;
    Ok(Outcome::complete())
}
