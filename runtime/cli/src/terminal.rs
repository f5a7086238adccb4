//! A task on a terminal: its text on standard output, all else on standard error.

use crate::exit::CommandError;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use remit_abi::LogLevel;
use remit_kit::panics::source_line;
use remit_server::protocol::{End, Finished, Shown};
use std::{
    io::{self, IsTerminal, Write},
    path::{Path, PathBuf},
    time::Duration,
};

/// How often the progress line moves while nothing happens.
const TICK: Duration = Duration::from_millis(120);

/// Shows one task.
pub(crate) struct Terminal {
    verbose: bool,
    artifacts: Option<PathBuf>,
    /// Where the agent's source may be, for the lines that its panics name.
    source: Option<PathBuf>,
    /// On a terminal; elsewhere progress is plain lines.
    bar: Option<ProgressBar>,
    /// Whether the text so far ends in the middle of a line.
    mid_line: bool,
}

impl Terminal {
    pub(crate) fn new(verbose: bool, artifacts: Option<PathBuf>) -> Self {
        let bar = io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            bar.set_style(ProgressStyle::with_template("{spinner} {msg}").expect("the template is tested"));
            bar.enable_steady_tick(TICK);
            bar
        });
        Self { verbose, artifacts, source: None, bar, mid_line: false }
    }

    /// Shows the lines of source that the agent's panics name, where they are in this folder.
    pub(crate) fn with_source(self, folder: &Path) -> Self {
        Self { source: folder.is_dir().then(|| folder.to_owned()), ..self }
    }

    /// Says what is going on until the next event.
    pub(crate) fn note(&mut self, what: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(what.to_owned());
        }
    }

    pub(crate) fn event(&mut self, event: &Shown) -> Result<(), CommandError> {
        match event {
            Shown::Text { content, .. } => self.text(content.bytes()),
            Shown::Progress { done, total, note } => {
                self.progress(*done, *total, note);
                Ok(())
            }
            Shown::Artifact { name, content, .. } => self.artifact(name, content.bytes()),
            Shown::Log { level, message } => {
                if self.verbose || *level >= LogLevel::Warn {
                    self.line(&format!("{}: {message}", name_of(*level)));
                    if let Some(line) = self.source.as_deref().and_then(|folder| source_line(folder, message)) {
                        line.to_string().lines().for_each(|line| self.line(line));
                    }
                }
                Ok(())
            }
        }
    }

    pub(crate) fn finished(&mut self, finished: &Finished) -> Result<(), CommandError> {
        if let End::Complete { output: Some(output) } | End::Partial { output: Some(output) } = &finished.end {
            self.end_line()?;
            self.text(output.bytes())?;
        }
        self.end_line()?;
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        if finished.logs_dropped > 0 {
            self.line(&format!(
                "{} log lines were dropped: the agent wrote them faster than they were read",
                finished.logs_dropped
            ));
        }
        match &finished.end {
            End::Complete { .. } | End::Partial { .. } => {}
            End::Failed { message, .. } => self.line(&format!("the agent could not: {message}")),
            End::Faulted { message, .. } => self.line(message),
        }
        Ok(())
    }

    fn text(&mut self, text: &[u8]) -> Result<(), CommandError> {
        let write = || {
            let mut stdout = io::stdout().lock();
            stdout.write_all(text).and_then(|()| stdout.flush())
        };
        let written = match self.bar.take() {
            // A moving line and a growing text do not share a terminal: the first text ends the line.
            Some(bar) => {
                bar.finish_and_clear();
                write()
            }
            None => write(),
        };
        if let Some(last) = text.last() {
            self.mid_line = *last != b'\n';
        }
        written.map_err(|error| CommandError::Machine(format!("standard output cannot be written: {error}")))
    }

    fn end_line(&mut self) -> Result<(), CommandError> {
        if self.mid_line { self.text(b"\n") } else { Ok(()) }
    }

    fn progress(&mut self, done: u64, total: Option<u64>, note: &str) {
        let message = match total {
            Some(total) => format!("{done}/{total} {note}"),
            None => format!("{done} {note}"),
        };
        match &self.bar {
            Some(bar) => bar.set_message(message),
            None if self.mid_line => {}
            None => eprintln!("{message}"),
        }
    }

    fn line(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln!("remit: {line}")),
            None => eprintln!("remit: {line}"),
        }
    }

    fn artifact(&mut self, name: &str, bytes: &[u8]) -> Result<(), CommandError> {
        let Some(folder) = &self.artifacts else {
            self.line(&format!(
                "the artifact {name} ({} bytes) was not kept: run with --artifacts FOLDER",
                bytes.len()
            ));
            return Ok(());
        };
        let path = artifact_path(folder, name)?;
        keep(folder, &path, bytes)
            .map_err(|error| CommandError::Machine(format!("the artifact {}: {error}", path.display())))?;
        self.line(&format!("wrote {}", path.display()));
        Ok(())
    }
}

/// Where an artifact goes. Its name is the agent's allegation: it must not lead out of the folder.
fn artifact_path(folder: &Path, name: &str) -> Result<PathBuf, CommandError> {
    let plain = !name.is_empty()
        && !name.starts_with('.')
        && !name.chars().any(|c| c.is_control() || matches!(c, '/' | '\\' | ':'));
    match plain {
        true => Ok(folder.join(name)),
        false => {
            Err(CommandError::Machine(format!("the agent's artifact {name:?} was not kept: that is no file name")))
        }
    }
}

/// Whole or not at all, and never over a file that was there.
fn keep(folder: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist_noclobber(path).map_err(|error| error.error)?;
    Ok(())
}

pub(crate) fn name_of(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Trace => "trace",
        LogLevel::Debug => "debug",
        LogLevel::Info => "info",
        LogLevel::Warn => "warning",
        LogLevel::Error => "error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_artifact_stays_in_its_folder() {
        let folder = Path::new("out");
        assert_eq!(artifact_path(folder, "summary.md").expect("a plain name"), folder.join("summary.md"));
        for name in ["", "..", "../x", "/etc/passwd", "a/b", "a\\b", ".bashrc", "a\nb", "c:x"] {
            assert!(artifact_path(folder, name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn an_artifact_never_replaces_a_file() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let path = folder.path().join("a.txt");
        keep(folder.path(), &path, b"first").expect("it is writable");
        assert!(keep(folder.path(), &path, b"second").is_err());
        assert_eq!(std::fs::read(&path).expect("it is there"), b"first");
    }
}
