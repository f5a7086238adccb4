//! A boss and its workers, whose outcome does not depend on who is faster. With the input `boss N` it works season after season, until it is
//! asked to end. In each it starts N workers of its own kind (`workers`, kind `process`), and asks each of them in each of a few rounds for
//! the square of the round's number. For each answer a worker has two tools act (`once` and `keyed`, kind `tool`), with the round and its
//! name. At the season's end each worker sends a note home with the sum of what it answered and with what its tools came to, and ends; and
//! the boss commits what all seasons came to. It shows the number of every round; at its end
//! `R rounds, sum S, notes T, paid P, acted A, uncertain U`, where P is in micro-tokens what its workers spent; and waits to be killed.
//!
//! What would be over at once is followed by a pause, so that a host that is killed at any moment is also killed there.

use remit::{
    ResultError, budget,
    capability::{Grant, Narrowing},
    children::{Child, Plan},
    mailbox::{self, Filter, Outgoing},
    prelude::*,
    process::{self, Signal},
    time,
    tool::{GrantedTool, PendingResult},
};
use std::{hint::black_box, time::Duration};
use test_programs::{number, words};

/// An hour: no host of a test is away for so long.
const PATIENCE: Duration = Duration::from_secs(3600);
const PAUSE: Duration = Duration::from_millis(1);
const ROUNDS: u64 = 3;
/// Each step takes more than four units of fuel, of which a slice has a million.
const SLICE: u32 = 250_000;

/// What all seasons came to so far: rounds, the sum of all answers, that of all notes, micro-tokens, calls of tools that acted, and calls
/// of which that is not known.
type Sums = [u64; 6];

#[remit::agent]
fn run(task: Task, resumed: Option<Sums>) -> Result<Outcome, Failure> {
    let words = words(&task)?;
    match words.first().map(String::as_str) {
        Some("boss") => boss(number(&words, 1)?, resumed.unwrap_or_default()),
        _ => worker(words.get(1).map_or("nobody", String::as_str)),
    }
}

/// Does something, and waits for a timer that was there before: for so long it is the last thing that was done.
fn lingering<T>(does: impl FnOnce() -> T) -> T {
    let pause = time::timer(PAUSE);
    let done = does();
    pause.block();
    done
}

/// More than a slice of fuel pays for.
fn compute() -> u32 {
    (0..SLICE).fold(1, |state, number| black_box(state ^ number).rotate_left(5))
}

fn boss(workers: u64, mut sums: Sums) -> Result<Outcome, Failure> {
    while !lingering(|| process::signals().any(|signal| signal == Signal::Cancel)) {
        let team = (0..workers).map(|worker| hire(worker, workers)).collect::<Result<Vec<_>, _>>()?;
        for _ in 0..ROUNDS {
            round(&team, &mut sums)?;
        }
        for (child, mailbox) in team {
            dismiss(child, mailbox, &mut sums)?;
        }
        lingering(compute);
        lingering(|| checkpoint::commit(&sums))?;
    }
    let [rounds, sum, notes, paid, acted, uncertain] = sums;
    emit_text(format!(
        "{rounds} rounds, sum {sum}, notes {notes}, paid {paid}, acted {acted}, uncertain {uncertain}\n"
    ))?;
    loop {
        time::sleep(PATIENCE);
    }
}

fn hire(worker: u64, workers: u64) -> Result<(Child, Grant), Failure> {
    let grant = Grant::take("workers")?;
    let account = budget::own();
    let funds = lingering(|| account.split(account.remaining() / (2 * workers)))?;
    let home = lingering(process::mailbox)?;
    let mut plan = Plan::new("relay", funds).input(format!("worker {worker}")).grant("home", home);
    // The component is linked for all of them, whoever runs it.
    for label in ["workers", "once", "keyed"] {
        let right = Grant::take(label)?.attenuate(&format!("{label}-{worker}"), &Narrowing::new())?;
        plan = plan.grant(label, right);
    }
    let child = lingering(|| plan.spawn(&grant))?;
    let mailbox = lingering(|| child.mailbox())?;
    Ok((child, mailbox))
}

fn round(team: &[(Child, Grant)], sums: &mut Sums) -> Result<(), Failure> {
    sums[0] += 1;
    let question = sums[0].to_string();
    let ask = |(_, mailbox): &(Child, Grant)| mailbox::call(mailbox, Outgoing::new("square", &*question), PATIENCE);
    let asked = team.iter().map(ask).collect::<Result<Vec<_>, _>>()?;
    for answer in asked {
        sums[1] += answer.get()?.body.text()?.parse::<u64>()?;
        lingering(|| drop(answer));
    }
    lingering(|| emit_text(format!("{question}\n")))?;
    lingering(time::Instant::now);
    Ok(())
}

fn dismiss(child: Child, mailbox: Grant, sums: &mut Sums) -> Result<(), Failure> {
    mailbox::send(&mailbox, Outgoing::new("stop", ""))?;
    let note = mailbox::receive(&Filter::any().topic("note"))?.body.text()?;
    for (total, said) in [2, 4, 5].into_iter().zip(note.split(' ')) {
        sums[total] += said.parse::<u64>()?;
    }
    sums[3] += lingering(|| child.wait())?.paid.micro();
    lingering(|| mailbox.discard());
    lingering(|| drop(child));
    Ok(())
}

fn worker(name: &str) -> Result<Outcome, Failure> {
    let home = Grant::take("home")?;
    let tools = [GrantedTool::take("once")?, GrantedTool::take("keyed")?];
    let (mut sum, mut acted, mut uncertain) = (0_u64, 0_u64, 0_u64);
    loop {
        let message = mailbox::receive(&Filter::any())?;
        let Some(answer) = message.call else { break };
        let number: u64 = message.body.text()?.parse()?;
        let arguments = format!("{{\"round\": {number}, \"worker\": \"{name}\"}}");
        let calls = tools.iter().map(|tool| tool.call(&*arguments)).collect::<Result<Vec<_>, _>>()?;
        for came in calls.iter().map(PendingResult::get) {
            match came {
                Ok(_) => acted += 1,
                Err(ResultError::Uncertain(_)) => uncertain += 1,
                Err(error) => return Err(error.into()),
            }
        }
        sum += number * number;
        lingering(|| answer.reply(Outgoing::new("square", (number * number).to_string())))?;
    }
    mailbox::send(&home, Outgoing::new("note", format!("{sum} {acted} {uncertain}")))?;
    Ok(Outcome::complete())
}
