//! `remit dev`: an agent that is built, tried and run again whenever its source changes.
//!
//! What is run are children of this process, so that a run that hangs, or is out of date, can be ended: the tests as `remit test` runs
//! them, and the agent as `remit run` does, which uses the running host where there is one.

use crate::{build::compile_if_source, exit::CommandError, test::case_files, text::plain};
use clap::Args;
use remit_kit::{
    Project,
    watch::{Snapshot, Watch},
};
use std::{
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode},
    thread,
    time::{Duration, Instant},
};

/// How often the folder is looked at. A look at a project takes less than a millisecond.
const LOOK_EVERY: Duration = Duration::from_millis(150);

/// For how long nothing must have changed: editors write a file in several steps.
const QUIET: Duration = Duration::from_millis(250);

/// Changes that are named, at most.
const NAMED_MAX: usize = 3;

/// Build an agent, try its cases and run it, and do so again whenever a file in its folder changes; until an interrupt.
#[derive(Args)]
pub(crate) struct Dev {
    /// What to run it with, each INPUT a message; without one its cases are tried and it is not run
    input: Vec<String>,
    /// The agent's folder
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    folder: PathBuf,
    /// Build and try it once, and do not wait for changes
    #[arg(long)]
    once: bool,
}

/// How one round ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Round {
    /// All of it went well.
    Well,
    /// Something did not, which was said.
    Badly,
    /// The source changed meanwhile, so that it does not matter.
    OutOfDate,
}

impl Dev {
    pub(crate) fn run(self) -> Result<ExitCode, CommandError> {
        // A folder that is no project is said before anything is watched.
        Project::open(&self.folder)?;
        let mut eye = Eye::open(&self.folder)?;
        loop {
            let round = self.round(&mut eye)?;
            if self.once {
                return Ok(if round == Round::Well { ExitCode::SUCCESS } else { ExitCode::FAILURE });
            }
            if round != Round::OutOfDate {
                eprintln!("remit: waiting for changes in {}", self.folder.display());
                while !eye.looks()? {
                    thread::sleep(LOOK_EVERY);
                }
            }
            eprintln!("remit: {} changed", eye.named());
        }
    }

    fn round(&self, eye: &mut Eye) -> Result<Round, CommandError> {
        let started = Instant::now();
        match compile_if_source(&self.folder) {
            Ok(Some(built)) if built.changed => {
                let took = started.elapsed().as_secs_f64();
                eprintln!("remit: built {} ({} bytes) in {took:.1} s", built.component.display(), built.bytes);
            }
            Ok(_) => {}
            // It is mended by the next change.
            Err(error @ (CommandError::BuildAgent(_) | CommandError::Project(_))) => {
                eprintln!("remit: {error}");
                return Ok(Round::Badly);
            }
            Err(error) => return Err(error),
        }
        let mut round = Round::Well;
        let folder = self.folder.as_os_str();
        if !case_files(&self.folder)?.is_empty() {
            let mut command = this_program()?;
            command.arg("test").arg("--no-compile").arg(folder);
            round = follow(command, eye)?;
        }
        if round != Round::OutOfDate && !self.input.is_empty() {
            let mut command = this_program()?;
            command.arg("run").arg("--").arg(folder).args(&self.input);
            let ran = follow(command, eye)?;
            round = if ran == Round::Well { round } else { ran };
        }
        Ok(round)
    }
}

fn this_program() -> Result<Command, CommandError> {
    let program = std::env::current_exe();
    program
        .map(Command::new)
        .map_err(|error| CommandError::Machine(format!("the program's own file cannot be found: {error}")))
}

/// Runs a command to its end, or until the source changes.
fn follow(mut command: Command, eye: &mut Eye) -> Result<Round, CommandError> {
    let failed = |error| CommandError::Machine(format!("a child of this program cannot be run: {error}"));
    let mut child = Running(command.spawn().map_err(failed)?);
    loop {
        match child.0.try_wait().map_err(failed)? {
            Some(status) if status.success() => return Ok(Round::Well),
            Some(_) => return Ok(Round::Badly),
            None if eye.looks()? => return Ok(Round::OutOfDate),
            None => thread::sleep(LOOK_EVERY),
        }
    }
}

/// A child, which does not outlive whoever waits for it.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // One that has ended cannot be killed, and that is as well.
        let _ended = self.0.kill();
        let _gone = self.0.wait();
    }
}

/// A watch with a clock and a disk.
struct Eye {
    folder: PathBuf,
    watch: Watch,
    zero: Instant,
    changed: Vec<PathBuf>,
}

impl Eye {
    fn open(folder: &Path) -> Result<Self, CommandError> {
        let folder = folder.canonicalize().map_err(|error| failed(folder, &error))?;
        let first = Snapshot::of(&folder).map_err(|error| failed(&folder, &error))?;
        Ok(Self { folder, watch: Watch::new(first, QUIET), zero: Instant::now(), changed: Vec::new() })
    }

    /// Whether something has changed, and come to rest.
    fn looks(&mut self) -> Result<bool, CommandError> {
        let snapshot = Snapshot::of(&self.folder).map_err(|error| failed(&self.folder, &error))?;
        let changes = self.watch.see(snapshot, self.zero.elapsed());
        let is_change = changes.is_some();
        self.changed = changes.unwrap_or_default();
        Ok(is_change)
    }

    /// What changed last, for people.
    fn named(&self) -> String {
        let name = |path: &PathBuf| plain(&path.strip_prefix(&self.folder).unwrap_or(path).display().to_string());
        let names: Vec<String> = self.changed.iter().take(NAMED_MAX).map(name).collect();
        let more = self.changed.len().saturating_sub(NAMED_MAX);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!("{}{more}", names.join(", "))
    }
}

fn failed(path: &Path, error: &std::io::Error) -> CommandError {
    CommandError::Machine(format!("{}: {error}", path.display()))
}
