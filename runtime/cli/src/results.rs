//! `remit results`: what detached tasks came to.

use crate::{
    exit::{CommandError, code_of},
    json,
    node::ask,
    table::{Column, Table},
    terminal::Terminal,
    text::{moment_in_words, tokens},
};
use clap::{Args, Subcommand};
use remit_abi::Pid;
use remit_server::protocol::{End, TaskResult};
use std::process::ExitCode;

/// See what detached tasks came to, latest first.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Results {
    #[command(subcommand)]
    command: Option<Command>,
    /// Only so many of the latest
    #[arg(long, value_name = "COUNT", default_value_t = 20)]
    limit: usize,
    /// Write one JSON object instead of a table
    #[arg(long)]
    json: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Write what a task returned to standard output, and end as `remit run` would have; `remit replay` shows what it showed before
    Show {
        /// Which, as `remit results` shows it
        pid: Pid,
        /// Write one JSON object with all that is known of it instead
        #[arg(long)]
        json: bool,
    },
    /// Drop results: `remit forget` drops them by age
    Drop {
        /// Which, as `remit results` shows them
        #[arg(required = true)]
        pids: Vec<Pid>,
    },
}

impl Results {
    pub(crate) fn run(self) -> Result<ExitCode, CommandError> {
        match self.command {
            None => list(self.limit, self.json),
            Some(Command::Show { pid, json }) => show(pid, json),
            Some(Command::Drop { pids }) => ask(async |host| {
                for pid in &pids {
                    host.drop_result(*pid).await?;
                }
                Ok(ExitCode::SUCCESS)
            }),
        }
    }
}

fn list(limit: usize, as_json: bool) -> Result<ExitCode, CommandError> {
    ask(async |host| {
        let listed = host.results(limit).await?;
        match as_json {
            true => json::print(&listed)?,
            false if listed.results.is_empty() => println!("no detached task has ended whose result is kept"),
            false => print!("{}", table(&listed.results)),
        }
        Ok(ExitCode::SUCCESS)
    })
}

fn show(pid: Pid, as_json: bool) -> Result<ExitCode, CommandError> {
    ask(async |host| {
        let result = host.result(pid).await?;
        if as_json {
            json::print(&result)?;
            return Ok(ExitCode::SUCCESS);
        }
        Terminal::new(false, None).finished(&result.finished)?;
        Ok(code_of(&result.finished.end, false))
    })
}

fn table(results: &[TaskResult]) -> Table<6> {
    let mut table = Table::new([
        Column::Words("PID"),
        Column::Words("PACKAGE"),
        Column::Words("NAME"),
        Column::Words("ENDED"),
        Column::Words("END"),
        Column::Numbers("SPENT"),
    ]);
    let known = |text: Option<&String>| text.map_or_else(|| "-".to_owned(), Clone::clone);
    for result in results {
        table.row([
            result.pid.to_string(),
            known(result.package.as_ref()),
            known(result.name.as_ref()),
            result.ended_ns.map_or_else(|| "-".to_owned(), moment_in_words),
            end(&result.finished.end).to_owned(),
            tokens(result.finished.paid_micro_tokens),
        ]);
    }
    table
}

const fn end(end: &End) -> &'static str {
    match end {
        End::Complete { .. } => "complete",
        End::Partial { .. } => "partial",
        End::Failed { .. } => "failed",
        End::Faulted { .. } => "ended by the host",
    }
}
