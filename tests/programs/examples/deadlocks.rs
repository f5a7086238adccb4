//! Two that wait for each other. It starts itself as its child under `workers` (kind `process`, scope `deadlocks`), and
//! lends it its own mailbox. With the input `calls`, each calls the other and waits for the answer; with `waits`, it waits
//! for the child's end while the child waits for its answer.
//!
//! Nobody hangs: whoever would close the circle is told so. Says `parent: SENTENCE` and, from the child's output,
//! `child: SENTENCE`; at least one of them says that neither would ever go on. Complete.

use remit::{
    budget,
    capability::{Grant, Narrowing},
    children::{Child, Ended, Plan},
    mailbox::{self, Filter, Outgoing},
    prelude::*,
    process, wait,
};
use std::time::Duration;
use test_programs::{said, words};

/// Longer than the test waits.
const LONG: Duration = Duration::from_secs(600);

#[remit::agent]
fn run(task: Task) -> Result<Outcome, Failure> {
    let words = words(&task)?;
    match words[0].as_str() {
        "child" => {
            let answer = said(ask(&Grant::take("peer")?)?.get());
            Ok(Outcome::complete().with_output(Value::from_text(&answer)?))
        }
        "calls" => {
            let child = start()?;
            let answer = said(ask(&child.mailbox()?)?.get());
            report(&child, &answer)
        }
        "waits" => {
            let child = start()?;
            match child.wait() {
                Err(deadlock) => report(&child, &deadlock.to_string()),
                Ok(report) => show("ok", report.ended),
            }
        }
        other => Err(Failure::new(format!("there is no way {other}"))),
    }
}

fn start() -> Result<Child, Failure> {
    let account = budget::own();
    let funds = account.split(account.remaining() / 2)?;
    let workers = Grant::take("workers")?;
    // It is the same program, and is let in with the rights that this one needs.
    let theirs = workers.attenuate("theirs", &Narrowing::new())?;
    let plan = Plan::new("deadlocks", funds).input("child").grant("peer", process::mailbox()?).grant("workers", theirs);
    Ok(plan.spawn(&workers)?)
}

fn ask(other: &Grant) -> Result<mailbox::Pending, Failure> {
    Ok(mailbox::call(other, Outgoing::new("question", "?"), LONG)?)
}

/// Answers what the child asks, so that it can end, and waits for it.
fn report(child: &Child, parent: &str) -> Result<Outcome, Failure> {
    let questions = Filter::any().topic("question");
    while wait::first(&[child, &questions]) != 0 {
        if let Some(answer) = mailbox::try_receive(&questions)?.and_then(|question| question.call) {
            answer.reply(Outgoing::new("question", "!"))?;
        }
    }
    show(parent, child.wait()?.ended)
}

fn show(parent: &str, child: Ended) -> Result<Outcome, Failure> {
    let child = match child {
        Ended::Done { output: Some(output), .. } => output.text()?,
        Ended::Done { output: None, .. } => "nothing".to_owned(),
        Ended::Failed { message, .. } => message.text()?,
        Ended::Faulted(why) => why,
    };
    emit_text(format!("parent: {parent}\nchild: {child}"))?;
    Ok(Outcome::complete())
}
