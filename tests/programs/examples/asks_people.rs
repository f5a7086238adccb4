//! Asks people at `boss` (kind `person`) for a colour in words, and for a drink of two, and then, as often as its input says,
//! whether it may send a letter; tells them that it begins and ends. Says each answer, one a line, with who gave it.

use remit::{
    human::{Desk, Reply, Verdict},
    prelude::*,
};
use test_programs::{number, words};

#[remit::agent]
fn run(task: Task) -> Result<Outcome, Failure> {
    let letters = number(&words(&task)?, 0)?;
    let boss = Desk::take("boss")?;
    boss.notify("I begin.")?;
    let colour = boss.ask("Which colour?").get()?;
    if let Reply::Words(words) = colour.reply {
        emit_text(format!("{} by {}\n", words.text()?, colour.by))?;
    }
    let drink = boss.ask("Which drink?").choices(&["tea", "coffee"]).get()?;
    if let Reply::Choice(choice) = drink.reply {
        emit_text(format!("choice {choice} by {}\n", drink.by))?;
    }
    for letter in 1..=letters {
        let decision = boss.propose("mail/send").details(format!("Letter {letter}\nDear all,")).get()?;
        let said = match decision.verdict {
            Verdict::ApprovedOnce => "once".to_owned(),
            Verdict::ApprovedAlways => "always".to_owned(),
            Verdict::Rejected(why) => format!("rejected: {}", why.text()?),
        };
        emit_text(format!("letter {letter} {said} by {}\n", decision.by))?;
    }
    boss.notify("I end.")?;
    Ok(Outcome::complete())
}
