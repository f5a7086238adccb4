//! Where a process's log is, for all commands that look back.

use crate::exit::CommandError;
use bytes::Bytes;
use remit_abi::Pid;
use remit_assembly::{Home, recording::Recording};
use remit_server::Client;
use std::{convert::Infallible, fs, path::PathBuf, str::FromStr};

/// A process of this data folder, or a file that `remit export` made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Recorded {
    Process(Pid),
    File(PathBuf),
}

impl FromStr for Recorded {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(text.parse().map_or_else(|_| Self::File(text.into()), Self::Process))
    }
}

impl Recorded {
    /// The recording: of a process from the running host, or from the data folder where none runs.
    pub(crate) async fn recording(&self, home: &Home) -> Result<Recording, CommandError> {
        match self {
            Self::File(path) => {
                let said = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
                let bytes = fs::read(path).map_err(|error| CommandError::Usage(said(&error)))?;
                Recording::from_bytes(&bytes.into()).map_err(|error| CommandError::Usage(said(&error)))
            }
            Self::Process(pid) => match Client::find(home).await? {
                Some(host) => from_host(*pid, &host.recording(*pid).await?),
                None => Ok(Recording::of_folder(home, *pid)?),
            },
        }
    }
}

fn from_host(pid: Pid, bytes: &Bytes) -> Result<Recording, CommandError> {
    Recording::from_bytes(bytes).map_err(|error| CommandError::Machine(format!("the log of process {pid}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_process_is_a_file() {
        let read = |text: &str| text.parse::<Recorded>().expect("it is one of the two");
        assert!(matches!(read("0.3.1"), Recorded::Process(Pid { index: 3, generation: 1, .. })));
        for file in ["run.remit", "./0.3.1", "0.3"] {
            assert_eq!(read(file), Recorded::File(file.into()));
        }
    }
}
