//! What a shell and `man` know of the program.

use crate::exit::CommandError;
use clap::{Args, Command};
use clap_complete::Shell;
use std::{fs, io, path::PathBuf, process::ExitCode};

/// Print what completes commands in a shell
#[derive(Args)]
pub(crate) struct Completions {
    /// For which
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(self, mut program: Command) -> ExitCode {
        clap_complete::generate(self.shell, &mut program, "remit", &mut io::stdout());
        ExitCode::SUCCESS
    }
}

/// Write manual pages, one for each command
#[derive(Args)]
pub(crate) struct Man {
    /// Where to; made if need be
    folder: PathBuf,
}

impl Man {
    pub(crate) fn run(self, program: Command) -> Result<ExitCode, CommandError> {
        let written = fs::create_dir_all(&self.folder).and_then(|()| clap_mangen::generate_to(program, &self.folder));
        written.map_err(|error| {
            CommandError::Machine(format!("the pages cannot be written to {}: {error}", self.folder.display()))
        })?;
        Ok(ExitCode::SUCCESS)
    }
}
