//! Uses a grant after it was revoked. It derives twice from the grant that its input names, one from the other, and revokes
//! the first.
//!
//! Says one line each: `before: ok`, `revoked: 2`, `first: ..` and `second: ..`, both that they were revoked, `derive: ..`,
//! the same, `again: 0`, and `root: ok`. Complete.

use remit::{
    capability::{Grant, Narrowing},
    prelude::*,
};
use test_programs::{said, words};

#[remit::agent]
fn run(task: Task) -> Result<Outcome, Failure> {
    let words = words(&task)?;
    let root = Grant::take(&words[0])?;
    let first = root.attenuate("first", &Narrowing::new())?;
    let second = first.attenuate("second", &Narrowing::new())?;
    emit_text(format!("before: {}\n", said(first.check().and(second.check()))))?;
    emit_text(format!("revoked: {}\n", root.revoke_derived("first")))?;
    emit_text(format!("first: {}\n", said(first.check())))?;
    emit_text(format!("second: {}\n", said(second.check())))?;
    emit_text(format!("derive: {}\n", said(second.attenuate("third", &Narrowing::new()))))?;
    emit_text(format!("again: {}\n", root.revoke_derived("first")))?;
    emit_text(format!("root: {}\n", said(root.check())))?;
    Ok(Outcome::complete())
}
