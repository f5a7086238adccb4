//! Drops the handle of a grant twice, past the SDK. Its input names the label. The component model keeps each instance's
//! handles in a table of its own and traps on the second drop, before the host is called: `Fault::Protocol`, which says
//! `handle`.

use remit::prelude::*;
use test_programs::{raw, words};

#[remit::agent]
fn run(task: Task) -> Result<Outcome, Failure> {
    let words = words(&task)?;
    let grant = raw::grant(&words[0]).ok_or_else(|| Failure::new("there is no such grant"))?;
    raw::drop_grant(grant);
    raw::drop_grant(grant);
    Err(Failure::new("it dropped a handle twice"))
}
