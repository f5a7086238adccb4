//! Derives a grant with every limit from the grant `chat` (kind `model`), and tries to widen each of them again.
//!
//! Says one line each, `LIMIT: SENTENCE`: for `uses`, `rate`, `window`, `expires`, `tokens`, `ceiling`, `access` and `scope`
//! that it would widen, for `nothing` (all limits left as they are) and `narrower` `ok`. Complete.

use remit::{
    capability::{Grant, Narrowing},
    prelude::*,
    time,
    value::{Integrity, Label},
};
use std::time::Duration;
use test_programs::said;

#[remit::agent]
fn run(_task: Task) -> Result<Outcome, Failure> {
    let chat = Grant::take("chat")?;
    let scope = chat.info()?.scope;
    let scope: Vec<&str> = scope.iter().map(String::as_str).collect();
    let soon = time::since_epoch() + Duration::from_secs(60);
    let label =
        |integrity: Integrity, tags: &[&str]| Label { integrity, tags: tags.iter().map(|&tag| tag.into()).collect() };
    let all = Narrowing::new()
        .scope(&scope)
        .read_only()
        .uses(10)
        .rate(10, Duration::from_secs(1))
        .expires_at(soon)
        .max_tokens_per_call(10)
        .ceiling(label(Integrity::Trusted, &[]));
    let limited = chat.attenuate("limited", &all)?;
    let tries = [
        ("uses", Narrowing::new().uses(11)),
        ("rate", Narrowing::new().rate(11, Duration::from_secs(1))),
        ("window", Narrowing::new().rate(10, Duration::from_millis(999))),
        ("expires", Narrowing::new().expires_at(soon + Duration::from_nanos(1))),
        ("tokens", Narrowing::new().max_tokens_per_call(11)),
        ("ceiling", Narrowing::new().ceiling(label(Integrity::Untrusted, &[]))),
        ("access", Narrowing::new().access(remit::capability::Access::ReadWrite)),
        ("scope", Narrowing::new().scope(&["*"])),
        ("nothing", Narrowing::new()),
        ("narrower", all.clone().uses(9).max_tokens_per_call(9)),
    ];
    for (name, narrowing) in tries {
        emit_text(format!("{name}: {}\n", said(limited.attenuate(name, &narrowing))))?;
    }
    Ok(Outcome::complete())
}
