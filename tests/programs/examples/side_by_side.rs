//! Waits for a child's end, a message, a call's answer and a timer at once, and says which came when: `child`, `message` and `call` in this
//! order, since each of them has the next one come, and `timer` somewhere among them. Its neighbour is a child of its own program, which
//! sends and answers when it is told to; it asks for `workers` (kind `process`, scope `side_by_side` and `sleeper`).

use remit::{
    Tokens, budget,
    capability::{Grant, Narrowing},
    children::Plan,
    mailbox::{self, Filter, Outgoing},
    prelude::*,
    process, time, wait,
};
use std::time::Duration;
use test_programs::words;

/// How long the child sleeps, and how long the timer runs.
const STEP: Duration = Duration::from_millis(200);

const NAMES: [&str; 4] = ["child", "message", "call", "timer"];

#[remit::agent]
fn run(task: Task) -> Result<Outcome, Failure> {
    if words(&task)?.first().is_some_and(|word| word == "neighbour") { neighbour() } else { wait_for_all() }
}

/// Sends when it is told to go on, and answers when it is told so again.
fn neighbour() -> Result<Outcome, Failure> {
    let question = mailbox::receive(&Filter::any().topic("question"))?;
    mailbox::receive(&Filter::any().topic("go"))?;
    mailbox::send(&Grant::take("peer")?, Outgoing::new("news", "hello"))?;
    mailbox::receive(&Filter::any().topic("go"))?;
    let answer = question.call.ok_or_else(|| Failure::new("the question is no call"))?;
    answer.reply(Outgoing::new("answer", "42"))?;
    Ok(Outcome::complete())
}

fn wait_for_all() -> Result<Outcome, Failure> {
    let workers = Grant::take("workers")?;
    let share = budget::remaining() / 3;
    // It is the same program, and is let in with the rights that this one needs.
    let theirs = workers.attenuate("theirs", &Narrowing::new())?;
    let plan = Plan::new("side_by_side", part(share)?).input("neighbour").grant("workers", theirs);
    let neighbour = plan.grant("peer", process::mailbox()?).spawn(&workers)?;
    let to_neighbour = neighbour.mailbox()?;
    let call = mailbox::call(&to_neighbour, Outgoing::new("question", "?"), Duration::from_secs(60))?;
    let sleeper = Plan::new("sleeper", part(share)?).input(STEP.as_millis().to_string()).spawn(&workers)?;
    let (news, timer) = (Filter::any().topic("news"), time::timer(STEP));
    let mut left: Vec<usize> = (0..NAMES.len()).collect();
    while !left.is_empty() {
        let all: [&dyn wait::Waitable; 4] = [&sleeper, &news, &call, &timer];
        let waited: Vec<_> = left.iter().map(|&index| all[index]).collect();
        let index = left.remove(wait::first(&waited));
        emit_text(format!("{} ", NAMES[index]))?;
        if matches!(NAMES[index], "child" | "message") {
            mailbox::send(&to_neighbour, Outgoing::new("go", ""))?;
        }
    }
    sleeper.wait()?;
    call.get()?;
    mailbox::receive(&news)?;
    neighbour.wait()?;
    Ok(Outcome::complete())
}

fn part(amount: Tokens) -> Result<budget::Account, Failure> {
    Ok(budget::own().split(amount)?)
}
