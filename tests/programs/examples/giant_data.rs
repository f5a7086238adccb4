//! Gives the kernel something as large as its input says, and says what became of it. The input is a way and a number of
//! KiB: `emit 2048`, `log 4096`, `value 1025`, `commit 17000`, `label 300`, `topic 1`, `message 1100`, `scope 100` (names of
//! a derived grant, by the thousand; it needs the grant `chat`).
//!
//! Over an interface's own limit it says the error's sentence, with the limit in it, and is complete; a log line is cut
//! and is `ok`. More than 20 MiB in one call (`emit 21000`, `scope 3000`) end it in `Fault::Limit`.

use remit::{
    alarm,
    capability::{Grant, Narrowing},
    log::{Level, log},
    mailbox::{self, Outgoing},
    prelude::*,
    process,
};
use test_programs::{number, said, words};

#[remit::agent]
fn run(task: Task) -> Result<Outcome, Failure> {
    let words = words(&task)?;
    let kib = usize::try_from(number(&words, 1)?)?;
    let large = || "x".repeat(kib << 10);
    let became = match words[0].as_str() {
        "emit" => said(emit_text(large())),
        "log" => {
            log(Level::Info, format_args!("{}", large()));
            said(Ok::<_, Failure>(()))
        }
        "value" => said(Value::from_text(&large())),
        "commit" => said(checkpoint::commit(&large())),
        "label" => said(alarm::set(&large(), remit::time::since_epoch())),
        "topic" => said(mailbox::try_send(&process::mailbox()?, Outgoing::new(&large(), ""))),
        "message" => said(mailbox::try_send(&process::mailbox()?, Outgoing::new("large", large()))),
        "scope" => {
            let scope = vec!["x"; kib * 1000];
            said(Grant::take("chat")?.attenuate("narrow", &Narrowing::new().scope(&scope)))
        }
        other => return Err(Failure::new(format!("there is no way {other}"))),
    };
    emit_text(format!("\n{became}"))?;
    Ok(Outcome::complete())
}
