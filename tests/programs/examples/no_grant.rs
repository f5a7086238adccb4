//! Takes a label that nobody granted; says how many grants it has, and what it was told. It imports no model, so that it
//! starts without a grant.

use remit::{
    capability::{self, Grant},
    prelude::*,
};

#[remit::agent]
fn run(_task: Task) -> Result<Outcome, Failure> {
    match Grant::take("vault") {
        Ok(_) => Err(Failure::new("the label was taken without a grant")),
        Err(denied) => {
            emit_text(format!("{} grants; {denied}", capability::list().len()))?;
            Ok(Outcome::complete())
        }
    }
}
