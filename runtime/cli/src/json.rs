//! Answers as JSON. A task is one object a line: every event, and the end with its ledger, as the protocol has them.
//!
//! `type` says what a line is: `text`, `progress`, `artifact`, `log`, and last `finished`. Bytes that are not UTF-8 text
//! stand in `hex` instead of `text`.

use crate::exit::CommandError;
use remit_server::protocol::{Finished, RunLine, Shown};
use serde::Serialize;
use std::io::{self, Write};

/// Shows one task.
pub(crate) struct JsonLines;

impl JsonLines {
    pub(crate) fn event(&mut self, shown: &Shown) -> Result<(), CommandError> {
        print(shown)
    }

    pub(crate) fn finished(&mut self, finished: &Finished) -> Result<(), CommandError> {
        print(&RunLine::Finished(Box::new(finished.clone())))
    }
}

/// Writes one line.
pub(crate) fn print<T: Serialize>(line: &T) -> Result<(), CommandError> {
    let mut stdout = io::stdout().lock();
    let written = serde_json::to_writer(&mut stdout, line)
        .map_err(io::Error::from)
        .and_then(|()| writeln!(stdout))
        .and_then(|()| stdout.flush());
    written.map_err(|error| CommandError::Machine(format!("standard output cannot be written: {error}")))
}
