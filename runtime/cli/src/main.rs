//! `remit`: runs agents on this machine.
//!
//! Results go to standard output, everything else to standard error. What goes wrong is one sentence and an exit code
//! that stays what it is (see [`exit`]).

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command-line program speaks to its user")]

mod check;
mod doctor;
mod exit;
mod json;
mod ledger;
mod models;
mod run;
mod terminal;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Runs LLM agents the way an operating system runs programs that it does not trust.
#[derive(Parser)]
#[command(version, after_help = exit::HELP)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run an agent
    Run(run::Run),
    /// Say what an agent could do, without running it
    Check(check::Check),
    /// Get, list and delete models
    #[command(subcommand)]
    Models(models::Models),
    /// Say what this machine has and lacks
    Doctor,
    /// Compile a component: what a compiling child process does
    #[command(hide = true)]
    CompileComponent(run::CompileComponent),
}

fn main() -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_env("REMIT_LOG").unwrap_or_else(|_| "error".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let result = match Arguments::parse().command {
        Command::Run(run) => run.run(),
        Command::Check(check) => check.run(),
        Command::Models(models) => models.run(),
        Command::Doctor => doctor::run(),
        Command::CompileComponent(compile) => compile.run(),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("remit: {error}");
            error.code()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_commands_do_not_contradict_each_other() {
        Arguments::command().debug_assert();
    }
}
