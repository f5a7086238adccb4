//! Gives the kernel a text that is none, past the SDK. Its input says which: `bytes` (not UTF-8), `cut` (a character that is
//! not whole), `outside` (beyond its memory), `huge` (a length that wraps around). `Fault::Protocol` each time, and nothing
//! in the log.

use remit::prelude::*;
use std::ptr;
use test_programs::{raw, words};

#[remit::agent]
fn run(task: Task) -> Result<Outcome, Failure> {
    const INFO: u32 = 2;
    match words(&task)?[0].as_str() {
        "bytes" => raw::log(INFO, [0xff, 0xfe].as_ptr(), 2),
        "cut" => raw::log(INFO, "ü".as_ptr(), 1),
        "outside" => raw::log(INFO, ptr::without_provenance(usize::MAX - 15), 8),
        "huge" => raw::log(INFO, "x".as_ptr(), usize::MAX),
        other => return Err(Failure::new(format!("there is no way {other}"))),
    }
    Err(Failure::new("it was taken for a text"))
}
