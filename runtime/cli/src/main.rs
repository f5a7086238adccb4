//! `remit`: runs agents on this machine.
//!
//! Results go to standard output, everything else to standard error. What goes wrong is one sentence and an exit code
//! that stays what it is (see [`exit`]).

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command-line program speaks to its user")]

mod audit;
mod build;
mod caps;
mod carry;
mod chat;
mod check;
mod control;
mod deploy;
mod dev;
mod doctor;
mod eval;
mod exit;
mod figures;
mod fork;
mod inbox;
mod install;
mod json;
mod keys;
mod ledger;
mod logs;
mod memory;
mod models;
mod new;
mod node;
mod passphrase;
mod past;
mod ps;
mod recall;
mod recorded;
mod replay;
mod results;
mod routes;
mod run;
mod shell;
mod sign;
mod table;
mod terminal;
mod test;
mod text;
mod tools;
mod top;
mod trace;
mod trust;
mod up;

use clap::{CommandFactory, Parser, Subcommand};
use exit::CommandError;
use remit_assembly::models::DeviceChoice;
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
    /// Begin an agent of your own
    New(new::New),
    /// Run an agent
    Run(run::Run),
    /// Talk with an agent
    Chat(chat::Chat),
    /// Try an agent on a model whose replies are written down
    Test(test::Test),
    /// Build, try and run an agent again whenever its source changes
    Dev(dev::Dev),
    /// Say what an agent could do, without running it
    Check(check::Check),
    /// Compile an agent, and make one file of its folder
    Build(build::Build),
    /// Make, keep and revoke keys that sign packages
    #[command(subcommand)]
    Keys(keys::Keys),
    /// Sign a package
    Sign(sign::Sign),
    /// Say whether a package would be installed, and why
    Verify(sign::Verify),
    /// Check the policy that says whose packages run
    #[command(subcommand)]
    Trust(trust::Trust),
    /// Install a package that the policy takes
    Install(install::Install),
    /// Send a package to a registry
    Push(carry::Push),
    /// Get a package from a registry into a file
    Pull(carry::Pull),
    /// Remove an installed package
    Uninstall(install::Uninstall),
    /// Have a name mean the version that it meant before; of a deployment, go back to it
    Rollback(install::Rollback),
    /// Keep agents running as a file says, and see those that are
    Deploy(deploy::Deploy),
    /// Go to another version of a deployment
    Upgrade(deploy::Upgrade),
    /// List installed packages, and revoke them
    Packages(install::Packages),
    /// Get, list and delete models
    #[command(subcommand)]
    Models(models::Models),
    /// See routes, try new versions of them, and go back
    #[command(subcommand)]
    Routes(routes::Routes),
    /// List the tools that agents can be granted
    Tools(tools::Tools),
    /// Ask recorded tasks again, and compare who answers
    Eval(eval::Eval),
    /// Say what this machine has and lacks
    Doctor {
        /// Where models would be computed: cpu, wgpu (a GPU), or auto
        #[arg(long, value_name = "NAME", env = "REMIT_DEVICE", default_value_t)]
        device: DeviceChoice,
    },
    /// Print the JSON Schema of remit.toml
    ManifestSchema,
    /// Run a host: it runs agents until it is stopped, and other commands ask it
    Up(up::Up),
    /// Say how the running host is
    Status,
    /// List the processes of the running host
    Ps(ps::Ps),
    /// Watch who spends most
    Top(top::Top),
    /// Say all about one process
    Inspect(ps::Inspect),
    /// Show what a process showed
    Logs(logs::Logs),
    /// See what detached tasks came to
    Results(results::Results),
    /// Run a process again, offline, from its log
    Replay(replay::Replay),
    /// Show where a process's time and tokens went
    Trace(trace::Trace),
    /// Compare two runs by their logs
    Diff(replay::Diff),
    /// Write a process's log and component to a file
    Export(replay::Export),
    /// Start a process that goes on where another one once was
    Fork(fork::Fork),
    /// Start a process that goes on where an exported one was
    Import(fork::Import),
    /// Stop a process where it stands
    Kill(control::Kill),
    /// Ask a process to end politely
    Cancel(control::One),
    /// Let a process take no more turns
    Suspend(control::One),
    /// Let a suspended process go on
    Resume(control::One),
    /// Let processes take no more turns, and start none like them
    Freeze(control::Selection),
    /// Undo a freeze
    Thaw(control::Selection),
    /// Say what is frozen
    Frozen,
    /// See, give and take back grants; see why something was denied
    #[command(subcommand)]
    Caps(caps::Caps),
    /// Export a tenant's audit, and check exports
    #[command(subcommand)]
    Audit(audit::Audit),
    /// Forget history that is old
    Forget(past::Forget),
    /// Erase all that is kept of a tenant
    Erase(past::Erase),
    /// See what agents ask people, and answer
    Inbox(inbox::Inbox),
    /// See, search and change what agents remember
    Memory(memory::Memory),
    /// Look through what processes were told
    Recall(recall::Recall),
    Completions(shell::Completions),
    Man(shell::Man),
    /// Compile a component: what a compiling child process does
    #[command(hide = true)]
    CompileComponent(node::CompileComponent),
}

impl Command {
    fn run(self) -> Result<ExitCode, CommandError> {
        match self {
            Self::New(new) => new.run(),
            Self::Run(run) => run.run(),
            Self::Chat(chat) => chat.run(),
            Self::Test(test) => test.run(),
            Self::Dev(dev) => dev.run(),
            Self::Check(check) => check.run(),
            Self::Build(build) => build.run(),
            Self::Keys(keys) => keys.run(),
            Self::Sign(sign) => sign.run(),
            Self::Verify(verify) => verify.run(),
            Self::Trust(trust) => trust.run(),
            Self::Install(install) => install.run(),
            Self::Push(push) => push.run(),
            Self::Pull(pull) => pull.run(),
            Self::Uninstall(uninstall) => uninstall.run(),
            Self::Rollback(rollback) => rollback.run(),
            Self::Deploy(deploy) => deploy.run(),
            Self::Upgrade(upgrade) => upgrade.run(),
            Self::Packages(packages) => packages.run(),
            Self::Models(models) => models.run(),
            Self::Routes(routes) => routes.run(),
            Self::Tools(tools) => tools.run(),
            Self::Eval(eval) => eval.run(),
            Self::Doctor { device } => doctor::run(device),
            Self::ManifestSchema => {
                print!("{}", remit_assembly::json_schema());
                Ok(ExitCode::SUCCESS)
            }
            Self::Up(up) => up.run(),
            Self::Status => control::status(),
            Self::Ps(ps) => ps.run(),
            Self::Top(top) => top.run(),
            Self::Inspect(inspect) => inspect.run(),
            Self::Logs(logs) => logs.run(),
            Self::Replay(replay) => replay.run(),
            Self::Trace(trace) => trace.run(),
            Self::Diff(diff) => diff.run(),
            Self::Export(export) => export.run(),
            Self::Fork(fork) => fork.run(),
            Self::Import(import) => import.run(),
            Self::Kill(kill) => kill.run(),
            Self::Cancel(one) => one.cancel(),
            Self::Suspend(one) => one.suspend(),
            Self::Resume(one) => one.resume(),
            Self::Freeze(selection) => selection.freeze(),
            Self::Thaw(selection) => selection.thaw(),
            Self::Frozen => control::frozen(),
            Self::Caps(caps) => caps.run(),
            Self::Audit(audit) => audit.run(),
            Self::Forget(forget) => forget.run(),
            Self::Erase(erase) => erase.run(),
            Self::Inbox(inbox) => inbox.run(),
            Self::Memory(memory) => memory.run(),
            Self::Recall(recall) => recall.run(),
            Self::Results(results) => results.run(),
            Self::Completions(completions) => Ok(completions.run(Arguments::command())),
            Self::Man(man) => man.run(Arguments::command()),
            Self::CompileComponent(compile) => compile.run(),
        }
    }
}

fn main() -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_env("REMIT_LOG").unwrap_or_else(|_| "error".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    match Arguments::parse().command.run() {
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

    #[test]
    fn the_commands_do_not_contradict_each_other() {
        Arguments::command().debug_assert();
    }
}
