//! `cargo xtask`: what a fresh machine needs, and the project's own commands on top of it.
//!
//! Principles:
//! - Each command does the set-up that it needs, once, and says what it does. What is there already costs nothing.
//! - Nothing is installed into the system: what has to be fetched lies in the data folder (`data_folder`), and what is
//!   built lies below the cargo target folder. The one exception is rustup's own wasm target, where rustup works.
//! - What cannot be had is an error of one sentence with a way out. Nothing is skipped.
//! - Small and quick to compile: it stands before everything else, and it imports no crate of the workspace.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command of the project's developers: it talks to a person"
)]

mod agents;
mod arguments;
mod benches;
mod build;
mod command;
mod component;
mod data_folder;
mod debian;
mod demo;
mod dist;
mod doctor;
mod environment;
mod fuzz;
mod guest_compiler;
mod guest_std;
mod host_rustc;
mod installation;
mod licences;
mod peer;
mod progress;
mod protoc;
mod suite;
mod tests;
mod vulkan;
mod workspace;

use arguments::Task;
use std::process::ExitCode;

/// The exit code for a command line that makes no sense; every other failure is 1.
const EXIT_USAGE: u8 = 2;

fn main() -> ExitCode {
    let task = match arguments::parse(std::env::args().skip(1)) {
        Ok(task) => task,
        Err(error) => {
            eprintln!("error: {error}; `cargo xtask --help` lists what there is");
            return ExitCode::from(EXIT_USAGE);
        }
    };
    match perform(task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn perform(task: Task) -> anyhow::Result<()> {
    match task {
        Task::Help => {
            println!("{}", arguments::HELP);
            Ok(())
        }
        Task::Agents => agents::command(),
        Task::Bench { name, parts } => benches::command(&name, &parts),
        Task::Demo => demo::command(),
        Task::Dist { dev } => dist::command(dev),
        Task::Doctor => doctor::command(),
        Task::Fuzz { seconds } => fuzz::command(seconds),
        Task::Lint => tests::lint_command(),
        Task::Soak { kills } => tests::soak_command(kills),
        Task::Suite { name } => suite::command(&name),
        Task::Test { lints, extra } => tests::command(lints, &extra),
    }
}
