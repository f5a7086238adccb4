//! Moves amounts that no account has: none, one too many, the largest number.
//!
//! Says one line each, `WHAT: SENTENCE`: every one is refused but `to itself`, which is `ok` and moves nothing. `unchanged:
//! true` says that nothing but what it ran for is gone; a soft limit of the largest number changes nothing either. Complete;
//! paid and refunded are its budget.

use remit::{Tokens, prelude::*};
use test_programs::said;

#[remit::agent]
fn run(_task: Task) -> Result<Outcome, Failure> {
    let own = budget::own();
    let part = own.split(Tokens::from_micro(10))?;
    let before = own.remaining();
    let (none, eleven, most) = (Tokens::from_micro(0), Tokens::from_micro(11), Tokens::from_micro(u64::MAX));
    let ten = Tokens::from_micro(10);
    let lines = [
        ("split none", said(own.split(none))),
        ("split the most", said(own.split(most))),
        ("split one too many", said(part.split(eleven))),
        ("move none", said(own.transfer(&part, none))),
        ("move the most", said(own.transfer(&part, most))),
        ("move one too many", said(part.transfer(&own, eleven))),
        ("to itself", said(part.transfer(&part, ten))),
        ("the most to itself", said(part.transfer(&part, most))),
        ("merge its own", said(budget::own().merge())),
    ];
    for (what, sentence) in lines {
        emit_text(format!("{what}: {sentence}\n"))?;
    }
    own.set_soft_limit(most);
    let is_unchanged = part.remaining() == ten && own.remaining() <= before && own.remaining() > before / 2;
    emit_text(format!("unchanged: {is_unchanged}\n"))?;
    Ok(Outcome::complete())
}
