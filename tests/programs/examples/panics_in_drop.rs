//! Panics in a destructor, and there once more while it panics. Nothing is unwound: `Fault::Trap`, with the first message
//! in the log and no second one.

use remit::prelude::*;

struct Panics;

impl Drop for Panics {
    fn drop(&mut self) {
        let _again = PanicsToo;
        panic!("a destructor fails");
    }
}

struct PanicsToo;

impl Drop for PanicsToo {
    fn drop(&mut self) {
        panic!("a destructor fails while a destructor fails");
    }
}

#[remit::agent]
fn run(_task: Task) -> Result<Outcome, Failure> {
    drop(Panics);
    Ok(Outcome::complete())
}
