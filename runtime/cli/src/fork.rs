//! `remit fork` and `remit import`: new processes that go on where others once were.

use crate::{exit::CommandError, node::ask};
use clap::Args;
use remit_abi::Pid;
use remit_server::protocol::{ForkRequest, Recorded};
use std::{path::PathBuf, process::ExitCode};

/// What the new process gets.
#[derive(Args)]
pub(crate) struct Terms {
    /// The last entry of the log that it shares, as `remit replay` shows them; all of them without this
    #[arg(long, value_name = "ENTRY")]
    at: Option<u64>,
    /// Its budget in tokens; what the other one was given without this
    #[arg(long, value_name = "TOKENS")]
    budget: Option<u64>,
    /// Of the agent's grants, only those of these labels
    #[arg(long, value_name = "LABEL", value_delimiter = ',', requires = "agent")]
    grant: Option<Vec<String>>,
}

/// Start a new process that goes on where another one once was: it is told what that one was told, and goes on by itself from there.
#[derive(Args)]
pub(crate) struct Fork {
    /// Which other one, as `remit ps` shows it; also one that has ended
    pid: Pid,
    #[command(flatten)]
    terms: Terms,
    /// Whose grants it gets, such as an installed agent's name; those of the other one without this, which must live then
    #[arg(long, value_name = "AGENT")]
    agent: Option<String>,
}

impl Fork {
    pub(crate) fn run(self) -> Result<ExitCode, CommandError> {
        fork(Recorded::Process(self.pid), self.terms, self.agent)
    }
}

/// Start a process from a file of `remit export`: it goes on where the recorded one was.
#[derive(Args)]
pub(crate) struct Import {
    /// The file
    file: PathBuf,
    #[command(flatten)]
    terms: Terms,
    /// Whose grants it gets, such as an installed agent's name
    #[arg(long, value_name = "AGENT")]
    agent: String,
}

impl Import {
    pub(crate) fn run(self) -> Result<ExitCode, CommandError> {
        fork(Recorded::File(absolute(&self.file)?), self.terms, Some(self.agent))
    }
}

fn fork(of: Recorded, terms: Terms, agent: Option<String>) -> Result<ExitCode, CommandError> {
    let Terms { at, budget: budget_tokens, grant: grants } = terms;
    // A name is the host's to find; a path is this folder's.
    let agent = match agent {
        Some(agent) if agent.contains(std::path::MAIN_SEPARATOR) => Some(absolute(&agent.into())?),
        agent => agent,
    };
    ask(async |host| {
        let forked = host.fork(&ForkRequest { of, at, budget_tokens, agent, grants }).await?;
        println!("{}", forked.pid);
        Ok(ExitCode::SUCCESS)
    })
}

fn absolute(path: &PathBuf) -> Result<String, CommandError> {
    let failed = |error| CommandError::Usage(format!("{}: {error}", path.display()));
    let absolute = std::path::absolute(path).map_err(failed)?;
    Ok(absolute.to_string_lossy().into_owned())
}
