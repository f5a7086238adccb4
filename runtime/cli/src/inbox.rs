//! `remit inbox`: what agents ask people, and what people answer.

use crate::{
    exit::CommandError,
    json,
    node::ask,
    table::{Column, Table},
    text::{age, label, moment_in_words, plain},
};
use clap::{Args, Subcommand};
use remit_server::{
    Client,
    protocol::{AnswerRequest, Approval, Notice, Question, Response, Wanted, WithdrawRequest},
};
use std::{
    process::ExitCode,
    time::{SystemTime, UNIX_EPOCH},
};

/// How much of a text stands in a table, in characters.
const SHOWN_CHARS_MAX: usize = 60;

/// See what agents ask people, and answer.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Inbox {
    #[command(subcommand)]
    command: Option<Command>,
    /// Write one JSON object instead of a table
    #[arg(long)]
    json: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Show all of a question
    Show {
        /// Which, as `remit inbox` shows it
        number: u64,
    },
    /// Answer a question
    Answer(Answer),
    /// Show what agents told people
    Notices {
        /// Write one JSON object instead of a table
        #[arg(long)]
        json: bool,
    },
    /// Show what is approved for good
    Approvals {
        /// Write one JSON object instead of a table
        #[arg(long)]
        json: bool,
    },
    /// Withdraw an approval: agents ask again
    Withdraw {
        /// Which, as `remit inbox approvals` shows it
        number: u64,
        #[command(flatten)]
        signed: Signed,
    },
}

/// Who says it.
#[derive(Args)]
struct Signed {
    /// In whose name; the user of the socket's other end is written down besides
    #[arg(long = "as", value_name = "NAME", env = "USER")]
    by: Option<String>,
}

#[derive(Args)]
struct Answer {
    /// Which question, as `remit inbox` shows it
    number: u64,
    #[command(flatten)]
    response: Said,
    #[command(flatten)]
    signed: Signed,
}

/// What is answered.
#[derive(Args)]
#[group(required = true, multiple = false)]
struct Said {
    /// In words
    text: Option<String>,
    /// One of the choices, by its place or its text
    #[arg(long, value_name = "CHOICE")]
    choice: Option<String>,
    /// It may be done this time
    #[arg(long)]
    approve: bool,
    /// It may be done now, and whenever the same agent asks for the same
    #[arg(long)]
    always: bool,
    /// It may not be done; why
    #[arg(long, value_name = "REASON")]
    reject: Option<String>,
}

impl Inbox {
    pub(crate) fn run(self) -> Result<ExitCode, CommandError> {
        ask(async |host| {
            match self.command {
                None => list(host, self.json).await?,
                Some(Command::Show { number }) => print!("{}", whole(&find(host, number).await?)),
                Some(Command::Answer(answer)) => answer.give(host).await?,
                Some(Command::Notices { json }) => notices(host, json).await?,
                Some(Command::Approvals { json }) => approvals(host, json).await?,
                Some(Command::Withdraw { number, signed: Signed { by } }) => {
                    let Approval { action, package, .. } =
                        host.withdraw_approval(number, &WithdrawRequest { by }).await?;
                    println!("{} has to ask again for {}", plain(&package), plain(&action));
                }
            }
            Ok(ExitCode::SUCCESS)
        })
    }
}

async fn list(host: &Client, as_json: bool) -> Result<(), CommandError> {
    let inbox = host.inbox().await?;
    match (as_json, inbox.questions.as_slice()) {
        (true, _) => json::print(&inbox)?,
        (false, []) => println!("nobody asks anything"),
        (false, questions) => print!("{}", table(questions)),
    }
    Ok(())
}

async fn notices(host: &Client, as_json: bool) -> Result<(), CommandError> {
    let told = host.notices().await?;
    match as_json {
        true => json::print(&told)?,
        false => told.notices.iter().for_each(|notice| print!("{}", line(notice))),
    }
    Ok(())
}

async fn approvals(host: &Client, as_json: bool) -> Result<(), CommandError> {
    let standing = host.approvals().await?;
    match as_json {
        true => json::print(&standing)?,
        false => print!("{}", standing_table(&standing.approvals)),
    }
    Ok(())
}

async fn find(host: &Client, number: u64) -> Result<Question, CommandError> {
    let questions = host.inbox().await?.questions;
    let found = questions.into_iter().find(|question| question.number == number);
    found.ok_or_else(|| {
        CommandError::Usage(format!("no question {number} is open; `remit inbox` shows those that wait"))
    })
}

impl Answer {
    async fn give(self, host: &Client) -> Result<(), CommandError> {
        let Self { number, response, signed: Signed { by } } = self;
        let response = match response {
            Said { text: Some(text), .. } => Response::Words(text),
            Said { choice: Some(choice), .. } => Response::Choice(place(&find(host, number).await?, &choice)?),
            Said { reject: Some(why), .. } => Response::Reject(why),
            Said { always: true, .. } => Response::ApproveAlways,
            Said { .. } => Response::ApproveOnce,
        };
        host.answer(number, &AnswerRequest { by, response }).await?;
        println!("{number} is answered");
        Ok(())
    }
}

/// The place of a choice, counted from 0: people count from 1, or say it.
fn place(question: &Question, choice: &str) -> Result<u32, CommandError> {
    let Wanted::Choice { choices } = &question.wanted else {
        return Err(CommandError::Usage(format!("question {} has no choices", question.number)));
    };
    let said = choices.iter().position(|text| text == choice);
    let counted = || choice.parse::<usize>().ok().and_then(|place| place.checked_sub(1));
    let place = said.or_else(counted).filter(|place| *place < choices.len());
    place.and_then(|place| u32::try_from(place).ok()).ok_or_else(|| {
        let listed = (1..).zip(choices).map(|(place, text)| format!("{place}: {}", plain(text))).collect::<Vec<_>>();
        CommandError::Usage(format!("{} is none of its choices, which are {}", plain(choice), listed.join(", ")))
    })
}

fn table(questions: &[Question]) -> Table<8> {
    let mut table = Table::new([
        Column::Numbers("NUMBER"),
        Column::Words("DESK"),
        Column::Words("PACKAGE"),
        Column::Words("PID"),
        Column::Words("WANTS"),
        Column::Words("LABEL"),
        Column::Numbers("LEFT"),
        Column::Words("TEXT"),
    ]);
    let now_ns = now_ns();
    for question in questions {
        table.row([
            question.number.to_string(),
            question.desk.clone(),
            question.package.clone(),
            question.asker.to_string(),
            wanted(&question.wanted),
            label(&question.label),
            age(question.expires_ns.saturating_sub(now_ns) / 1_000_000),
            cut(&question.text),
        ]);
    }
    table
}

fn wanted(wanted: &Wanted) -> String {
    match wanted {
        Wanted::Words => "words".to_owned(),
        Wanted::Choice { choices } => format!("1 of {}", choices.len()),
        Wanted::Approval { action } => format!("approval of {action}"),
    }
}

/// The first line of a text, or as much of it as fits.
fn cut(text: &str) -> String {
    let line = text.trim().lines().next().unwrap_or_default();
    let mut shown: String = line.chars().take(SHOWN_CHARS_MAX).collect();
    if shown.len() < text.trim().len() {
        shown.push('…');
    }
    shown
}

/// All of a question.
fn whole(question: &Question) -> String {
    let mut text = format!(
        "{}  {} ({}, {}) asks {}\n   wants    {}\n   label    {}\n   asked    {}\n   until    {}\n",
        question.number,
        question.asker,
        plain(&question.package),
        question.digest,
        plain(&question.desk),
        plain(&wanted(&question.wanted)),
        label(&question.label),
        moment_in_words(question.asked_ns),
        moment_in_words(question.expires_ns),
    );
    if let Wanted::Choice { choices } = &question.wanted {
        text.extend((1..).zip(choices).map(|(place, choice)| format!("   {place:<8} {}\n", plain(choice))));
    }
    text.push('\n');
    text.extend(question.text.lines().map(|line| format!("{}\n", plain(line))));
    text
}

fn line(notice: &Notice) -> String {
    let (when, whose) = (moment_in_words(notice.at_ns), plain(&notice.package));
    let mut text =
        format!("{when}  {} ({whose}) tells {}, {}\n", notice.sender, plain(&notice.desk), label(&notice.label));
    text.extend(notice.text.lines().map(|line| format!("   {}\n", plain(line))));
    text
}

fn standing_table(approvals: &[Approval]) -> Table<7> {
    let mut table = Table::new([
        Column::Numbers("NUMBER"),
        Column::Words("DESK"),
        Column::Words("ACTION"),
        Column::Words("PACKAGE"),
        Column::Words("LABEL"),
        Column::Words("BY"),
        Column::Words("SINCE"),
    ]);
    for approval in approvals {
        table.row([
            approval.number.to_string(),
            approval.desk.clone(),
            approval.action.clone(),
            format!("{} {}", approval.package, approval.digest.get(..12).unwrap_or(&approval.digest)),
            label(&approval.label),
            approval.by.clone(),
            moment_in_words(approval.at_ns),
        ]);
    }
    table
}

fn now_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use remit_abi::{Pid, TenantId};

    fn question(wanted: Wanted, text: &str) -> Question {
        Question {
            number: 7,
            asker: Pid { tenant: TenantId(0), index: 3, generation: 1 },
            package: "clerk".to_owned(),
            digest: "0123".to_owned(),
            desk: "boss".to_owned(),
            wanted,
            text: text.to_owned(),
            label: remit_server::protocol::Marking::default(),
            asked_ns: 0,
            expires_ns: 1_000_000_000,
        }
    }

    #[test]
    fn a_choice_is_said_or_counted_from_one() {
        let choices = ["2".to_owned(), "tea".to_owned(), "coffee".to_owned()].to_vec();
        let asked = question(Wanted::Choice { choices }, "Which?");
        for (choice, expect) in
            [("tea", Some(1)), ("3", Some(2)), ("2", Some(0)), ("0", None), ("4", None), ("x", None)]
        {
            assert_eq!(place(&asked, choice).ok(), expect, "{choice}");
        }
        assert!(place(&question(Wanted::Words, "Why?"), "1").is_err());
    }

    #[test]
    fn what_an_agent_says_cannot_move_the_cursor() {
        let text = whole(&question(Wanted::Words, "one\n\u{1b}[2Jtwo\r\n"));
        assert!(!text.contains('\u{1b}') && !text.contains('\r'), "{text:?}");
        assert_eq!(
            (cut("one"), cut("one\ntwo"), cut(&"x".repeat(61)).chars().count()),
            ("one".into(), "one…".into(), 61)
        );
    }
}
