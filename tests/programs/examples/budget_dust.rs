//! Splits its budget into parts of one micro-token, as many as it may: side by side with the input `wide`, each off the one
//! before with `deep`. Says `N parts, then SENTENCE`, drops them, and says `back: true` where all of them came back.
//! Complete; paid and refunded are its budget.

use remit::{Tokens, prelude::*};
use test_programs::words;

#[remit::agent]
fn run(task: Task) -> Result<Outcome, Failure> {
    let is_deep = words(&task)?.first().is_some_and(|word| word == "deep");
    let own = budget::own();
    // The deepest has one micro-token, the next two, and so on; the rest stays above.
    let mut parts = vec![own.split(Tokens::from_micro(1_000_000))?];
    let mut amount = 1_000_000;
    let error = loop {
        amount -= 1;
        let (from, amount) = if is_deep { (parts.last(), amount) } else { (parts.first(), 1) };
        match from.unwrap_or(&own).split(Tokens::from_micro(amount)) {
            Ok(part) => parts.push(part),
            Err(error) => break error,
        }
    };
    emit_text(format!("{} parts, then {error}\n", parts.len()))?;
    let before = own.remaining();
    // The last one first: a part goes back to where it was split from.
    while parts.pop().is_some() {}
    let back = own.remaining();
    emit_text(format!("back: {}\n", back > before))?;
    Ok(Outcome::complete())
}
