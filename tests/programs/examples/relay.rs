//! A boss and its workers, whose outcome does not depend on who is faster. With the input `boss N` it starts N workers of its own kind
//! (`workers`, kind `process`), and asks each of them in each round for the square of the round's number, until it is asked to end. It shows
//! the number of every round. Then each worker sends a note home with the sum of what it answered, and ends. The
//! boss shows `R rounds, sum S, notes T, paid P`, where P is in micro-tokens what its workers spent, and waits to be killed.

use remit::{
    budget,
    capability::{Grant, Narrowing},
    children::{Child, Plan},
    mailbox::{self, Filter, Outgoing},
    prelude::*,
    process::{self, Signal},
    time,
};
use std::time::Duration;
use test_programs::{number, words};

/// An hour: no host of a test is away for so long.
const PATIENCE: Duration = Duration::from_secs(3600);
const PAUSE: Duration = Duration::from_millis(1);

#[remit::agent]
fn run(task: Task) -> Result<Outcome, Failure> {
    let words = words(&task)?;
    match words.first().map(String::as_str) {
        Some("boss") => boss(number(&words, 1)?),
        _ => worker(),
    }
}

fn boss(workers: u64) -> Result<Outcome, Failure> {
    let grant = Grant::take("workers")?;
    let account = budget::own();
    let mut team = Vec::new();
    for worker in 0..workers {
        // The component is linked for it, whoever runs it.
        let right = grant.attenuate(&format!("workers-{worker}"), &Narrowing::new())?;
        let funds = account.split(account.remaining() / (2 * workers))?;
        let plan = Plan::new("relay", funds).input("worker").grant("home", process::mailbox()?).grant("workers", right);
        let child = plan.spawn(&grant)?;
        let mailbox = child.mailbox()?;
        team.push((child, mailbox));
    }
    let (mut round, mut sum) = (0_u64, 0_u64);
    while !process::signals().any(|signal| signal == Signal::Cancel) {
        round += 1;
        let question = round.to_string();
        let ask = |(_, mailbox): &(Child, Grant)| mailbox::call(mailbox, Outgoing::new("square", &*question), PATIENCE);
        let asked = team.iter().map(ask).collect::<Result<Vec<_>, _>>()?;
        for answer in asked {
            sum += answer.get()?.body.text()?.parse::<u64>()?;
        }
        emit_text(format!("{round}\n"))?;
        time::sleep(PAUSE);
    }
    let (mut notes, mut paid) = (0_u64, 0_u64);
    for (child, mailbox) in &team {
        mailbox::send(mailbox, Outgoing::new("stop", ""))?;
        notes += mailbox::receive(&Filter::any().topic("note"))?.body.text()?.parse::<u64>()?;
        paid += child.wait()?.paid.micro();
    }
    emit_text(format!("{round} rounds, sum {sum}, notes {notes}, paid {paid}\n"))?;
    loop {
        time::sleep(PATIENCE);
    }
}

fn worker() -> Result<Outcome, Failure> {
    let home = Grant::take("home")?;
    let mut sum = 0_u64;
    loop {
        let message = mailbox::receive(&Filter::any())?;
        let Some(answer) = message.call else { break };
        let number: u64 = message.body.text()?.parse()?;
        sum += number * number;
        answer.reply(Outgoing::new("square", (number * number).to_string()))?;
    }
    mailbox::send(&home, Outgoing::new("note", sum.to_string()))?;
    Ok(Outcome::complete())
}
