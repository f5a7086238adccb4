//! `remit logs`: what a process showed.

use crate::{exit::CommandError, json, node::ask, text::plain};
use clap::Args;
use remit_abi::Pid;
use remit_server::protocol::{Numbered, Shown};
use std::{
    io::{self, Write},
    process::ExitCode,
};

/// Show what a process showed lately: its text, and lines about the rest.
#[derive(Args)]
pub(crate) struct Logs {
    /// Which, as `remit ps` shows it
    pid: Pid,
    /// Wait for more until the process ends
    #[arg(short, long)]
    follow: bool,
    /// Only events with higher numbers than this
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    after: u64,
    /// Write one JSON object a line
    #[arg(long)]
    json: bool,
}

impl Logs {
    pub(crate) fn run(self) -> Result<ExitCode, CommandError> {
        ask(async |host| {
            let mut lines = host.events(self.pid, self.after, self.follow).await?;
            let mut page = Page { last: self.after, mid_line: false };
            while let Some(event) = lines.next().await? {
                match self.json {
                    true => json::print(&event)?,
                    false => page.show(&event).map_err(|error| failed(&error))?,
                }
            }
            page.end_line().map_err(|error| failed(&error))?;
            Ok(ExitCode::SUCCESS)
        })
    }
}

fn failed(error: &io::Error) -> CommandError {
    CommandError::Machine(format!("standard output cannot be written: {error}"))
}

/// Standard output, so far.
struct Page {
    /// The number of the event before.
    last: u64,
    /// Whether it ends in the middle of a line.
    mid_line: bool,
}

impl Page {
    fn show(&mut self, event: &Numbered) -> io::Result<()> {
        let missing = event.number.saturating_sub(self.last).saturating_sub(1);
        if missing > 0 {
            self.line(&format!("({missing} events are no longer kept)"))?;
        }
        self.last = event.number;
        match &event.shown {
            Shown::Text { content, .. } => {
                let bytes = content.bytes();
                self.mid_line = bytes.last().map_or(self.mid_line, |last| *last != b'\n');
                write(bytes)
            }
            Shown::Progress { done, total: Some(total), note } => {
                self.line(&format!("progress: {done}/{total} {note}"))
            }
            Shown::Progress { done, total: None, note } => self.line(&format!("progress: {done} {note}")),
            Shown::Artifact { name, content, .. } => {
                self.line(&format!("artifact: {name} ({} bytes)", content.bytes().len()))
            }
            Shown::Log { level, message } => self.line(&format!("{}: {message}", crate::terminal::name_of(*level))),
        }
    }

    fn line(&mut self, line: &str) -> io::Result<()> {
        self.end_line()?;
        write(format!("{}\n", plain(line)).as_bytes())
    }

    fn end_line(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.mid_line) { write(b"\n") } else { Ok(()) }
    }
}

fn write(bytes: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes).and_then(|()| stdout.flush())
}
