//! Progress on stderr: a spinner on a terminal, plain lines elsewhere.
//!
//! No colours are used, so `NO_COLOR` holds by construction. A step that finds its result in place prints one line.

use indicatif::{ProgressBar, ProgressStyle};
use std::{
    io::{IsTerminal as _, stderr},
    time::{Duration, Instant},
};

/// The width of the steps' names, so that what they say stands in one column.
const NAME_WIDTH: usize = 16;

/// How often the spinner turns.
const TICK: Duration = Duration::from_millis(120);

/// Says that a step's result was there already.
pub(crate) fn already(name: &str, what: &str) {
    eprintln!("{name:NAME_WIDTH$} {what}");
}

/// A step of the set-up that is under way.
pub(crate) struct Step {
    name: &'static str,
    spinner: Option<ProgressBar>,
    started: Instant,
}

impl Step {
    /// Says what is about to be done.
    pub(crate) fn start(name: &'static str, what: &str) -> Self {
        eprintln!("{name:NAME_WIDTH$} {what}");
        Step { name, spinner: spinner(name), started: Instant::now() }
    }

    /// Says what is done at the moment. On a terminal only the last one stays visible.
    pub(crate) fn note(&self, what: &str) {
        match &self.spinner {
            Some(spinner) => spinner.set_message(what.to_owned()),
            None => eprintln!("{:NAME_WIDTH$}   {what}", self.name),
        }
    }

    /// Like [`Step::note`] for what changes many times in a second: not shown where lines stay.
    pub(crate) fn flicker(&self, what: &str) {
        if let Some(spinner) = &self.spinner {
            spinner.set_message(what.to_owned());
        }
    }

    /// Says what came out, and how long it took.
    pub(crate) fn done(self, what: &str) {
        if let Some(spinner) = &self.spinner {
            spinner.finish_and_clear();
        }
        eprintln!("{:NAME_WIDTH$} {what} ({})", self.name, duration(self.started.elapsed()));
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        if let Some(spinner) = &self.spinner {
            spinner.finish_and_clear();
        }
    }
}

/// A duration as people say it.
pub(crate) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..10 => format!("{:.1} s", duration.as_secs_f64()),
        10..60 => format!("{seconds} s"),
        _ => format!("{} min {:02} s", seconds / 60, seconds % 60),
    }
}

fn spinner(name: &str) -> Option<ProgressBar> {
    if !stderr().is_terminal() {
        return None;
    }
    let style = ProgressStyle::with_template(&format!("{:NAME_WIDTH$} {{spinner}} {{elapsed}} {{wide_msg}}", name))
        .unwrap_or_else(|_| ProgressStyle::default_spinner());
    let spinner = ProgressBar::new_spinner().with_style(style);
    spinner.enable_steady_tick(TICK);
    Some(spinner)
}
