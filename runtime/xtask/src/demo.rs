//! `cargo xtask demo`: the whole path on real input, and what happens to those who ask for too much.
//!
//! Each act says beforehand how it has to end; the demo fails when one ends otherwise.

use crate::{
    environment::{Environment, LANGUAGE_MODEL, Prepared},
    installation, progress,
};
use anyhow::{Context as _, Result, bail};
use std::{
    fs::File,
    io::Write as _,
    process::{Command, Stdio},
    time::Instant,
};

/// What to build for the demo: all programs, and nothing of the tests. With `--package remit-cli` alone, cargo would
/// choose fewer features of shared crates, and `cargo xtask test` would build wasmtime a second time.
const PROGRAMS: &[&str] = &["--workspace", "--bins"];

/// How an act has to end, as the exit codes of `remit` say it (`remit --help` lists them).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Ending {
    Success,
    /// The component imports what it was not granted: refused at load.
    Refused,
    /// The account is empty.
    OutOfBudget,
}

impl Ending {
    fn exit_code(self) -> i32 {
        match self {
            Ending::Success => 0,
            Ending::OutOfBudget => 4,
            Ending::Refused => 5,
        }
    }
}

/// One argument of `remit`.
enum Argument {
    Text(&'static str),
    /// The component of a test program.
    Program(&'static str),
}

use Argument::{Program, Text};

/// One thing that is shown.
struct Act {
    heading: &'static str,
    arguments: &'static [Argument],
    /// A file of the workspace that is given as stdin.
    input: Option<&'static str>,
    ending: Ending,
    /// What the demo's last line says was shown.
    shown: &'static str,
}

const ACTS: &[Act] = &[
    Act {
        heading: "A question, answered by a model inside the sandbox, token by token",
        arguments: &[
            Text("run"),
            Text("--ledger"),
            Text("assistant"),
            Text("What is the capital of France, and why is it famous?"),
        ],
        input: None,
        ending: Ending::Success,
        shown: "a question answered",
    },
    Act {
        heading: "A long document, summarised part by part, with a checkpoint after each",
        arguments: &[Text("run"), Text("--ledger"), Text("summarizer"), Text("-")],
        input: Some("tests/documents/us-constitution.txt"),
        ending: Ending::Success,
        shown: "a document summarised",
    },
    Act {
        heading: "An agent that imports what it was not granted: refused before it runs",
        arguments: &[Text("run"), Text("--ledger"), Program("imports_http")],
        input: None,
        ending: Ending::Refused,
        shown: "an ungranted import refused",
    },
    Act {
        heading: "An agent that spins for ever: stopped when its account is empty",
        arguments: &[Text("run"), Text("--ledger"), Text("--budget"), Text("200"), Program("spin")],
        input: None,
        ending: Ending::OutOfBudget,
        shown: "a spinning agent stopped at its budget",
    },
];

/// `cargo xtask demo`.
///
/// # Errors
///
/// Something that the demo needs cannot be had, or an act ends otherwise than it has to.
pub(crate) fn command() -> Result<()> {
    let started = Instant::now();
    let mut environment = Environment::open()?;
    let prepared = environment.prepare(PROGRAMS, &[LANGUAGE_MODEL])?;
    installation::install(&environment.data, &prepared.agent_folders()?)?;
    let set_up = progress::duration(started.elapsed());
    let shown_from = Instant::now();
    for (index, act) in ACTS.iter().enumerate() {
        println!("\n== {}/{}  {}", index + 1, ACTS.len(), act.heading);
        show(act, &environment, &prepared)?;
    }
    let shown: Vec<&str> = ACTS.iter().map(|act| act.shown).collect();
    let acting = progress::duration(shown_from.elapsed());
    println!("\nThe demo is complete: {}. It took {acting}, after {set_up} of set-up.", shown.join(", "));
    Ok(())
}

fn show(act: &Act, environment: &Environment, prepared: &Prepared) -> Result<()> {
    let mut remit = environment.remit(&prepared.cli);
    for argument in act.arguments {
        match argument {
            Text(text) => remit.arg(text),
            Program(name) => remit.arg(prepared.program(name)),
        };
    }
    println!("$ {}{}\n", spell(&remit), act.input.map(|file| format!(" < {file}")).unwrap_or_default());
    // The child writes to the same stdout: what stands before it has to be there first.
    std::io::stdout().flush().context("stdout is closed")?;
    remit.stdin(match act.input {
        Some(name) => {
            let path = environment.workspace.root.join(name);
            Stdio::from(
                File::open(&path).with_context(|| format!("the demo's document {} is missing", path.display()))?,
            )
        }
        None => Stdio::null(),
    });
    let status = remit.status().with_context(|| format!("{} could not be started", prepared.cli.display()))?;
    match status.code() {
        Some(code) if code == act.ending.exit_code() => Ok(()),
        Some(code) => bail!(
            "the demo failed at \"{}\": it had to end with {:?} (exit code {}), and it ended with exit code {code}",
            act.heading,
            act.ending,
            act.ending.exit_code()
        ),
        None => bail!("the demo failed at \"{}\": `remit` was ended by a signal", act.heading),
    }
}

/// The command as a person would type it.
fn spell(command: &Command) -> String {
    let mut line = "remit".to_owned();
    for argument in command.get_args().map(|argument| argument.to_string_lossy()) {
        let plain = argument.chars().all(|character| character.is_ascii_alphanumeric() || "-_./+=".contains(character));
        line += &if plain { format!(" {argument}") } else { format!(" {argument:?}") };
    }
    line
}

#[cfg(test)]
mod unit_tests {
    use super::{ACTS, Ending, spell};

    #[test]
    fn commands_are_spelled_as_typed() {
        let mut command = std::process::Command::new("/t/debug/remit");
        command.args(["run", "--budget", "200", "a question?"]);
        assert_eq!(spell(&command), "remit run --budget 200 \"a question?\"");
    }

    #[test]
    fn every_ending_is_shown() {
        for ending in [Ending::Success, Ending::Refused, Ending::OutOfBudget] {
            assert!(ACTS.iter().any(|act| act.ending == ending), "{ending:?}");
        }
    }
}
