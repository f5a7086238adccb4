//! `remit replay`, `remit diff` and `remit export`: what a process did and was told, step by step.

use crate::{
    exit::CommandError,
    json,
    node::{compiler, runtime},
    recorded::Recorded,
    text::{moment_in_words, plain, tokens},
};
use clap::Args;
use remit_abi::{Exit, Outcome, Request};
use remit_assembly::{
    Home, Logged, Reran, Step,
    recording::{Asked, Comparison, Note, compare, rerun},
};
use remit_server::protocol::Content;
use serde::Serialize;
use std::{
    fs::OpenOptions,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
    sync::mpsc,
    time::Instant,
};

/// Run a process again, offline: the same component is told what it was told then, and each step is shown. No model is asked, nothing is
/// paid, and nobody else hears of it.
#[derive(Args)]
pub(crate) struct Replay {
    /// A process, as `remit ps` shows it, also one that has ended; or a file of `remit export`
    of: Recorded,
    /// Which of its runs, where it was started again: from 1 on; the last one without this
    #[arg(long, value_name = "N")]
    run: Option<usize>,
    /// The last entry of its log to tell it; all of them without this
    #[arg(long, value_name = "ENTRY")]
    until: Option<u64>,
    /// Show also what follows from the rest: values made and read, logs, fuel
    #[arg(long)]
    all: bool,
    /// Write one JSON object a line
    #[arg(long)]
    json: bool,
}

impl Replay {
    pub(crate) fn run(self) -> Result<ExitCode, CommandError> {
        let home = Home::find()?;
        let runtime = runtime(1)?;
        let recording = runtime.block_on(self.of.recording(&home))?;
        let began = recording.history.run(self.run)?.clone();
        if !self.json {
            let (created, at) = (&recording.history.created, moment_in_words(began.at_ns));
            println!(
                "{} {} began at {at}, at entry {}",
                recording.history.pid,
                plain(&created.package),
                began.sequence
            );
        }
        let (sender, steps) = mpsc::channel();
        let started = Instant::now();
        // Steps are written here, and the guest is not held up by a terminal.
        let (which, compiler) = ((self.run, self.until), compiler()?);
        let running = std::thread::spawn(move || {
            runtime.block_on(rerun(&home, compiler, recording, which, move |step| {
                // Who does not read any more wants no more.
                let _unheard = sender.send(step);
            }))
        });
        let mut page = Page { began_ns: began.at_ns, last_ns: began.at_ns, told: 0, json: self.json, all: self.all };
        for step in steps {
            page.show(&step)?;
        }
        let reran =
            running.join().map_err(|_| CommandError::Machine("it was not run again: a thread ended".into()))??;
        page.end(&reran, started)
    }
}

/// Standard output, so far.
struct Page {
    began_ns: u64,
    last_ns: u64,
    told: usize,
    json: bool,
    all: bool,
}

/// A step, for programs.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Line<'a> {
    Step {
        sequence: Option<u64>,
        at_ns: Option<u64>,
        interface: &'static str,
        request: &'a Request,
        reply: &'a remit_abi::Reply,
        values: Vec<Content>,
        paid_micro_tokens: u64,
    },
    End {
        state: &'static str,
        said: String,
    },
}

impl Page {
    fn show(&mut self, step: &Step) -> Result<(), CommandError> {
        let Step { request, reply, logged } = step;
        if let Some(logged) = logged {
            (self.told, self.last_ns) = (self.told + 1, logged.at_ns);
        }
        let is_minor = logged.is_none() || matches!(request, Request::Fuel(_));
        if is_minor && !self.all {
            return Ok(());
        }
        match self.json {
            true => json::print(&Line::Step {
                sequence: logged.as_ref().map(|logged| logged.sequence),
                at_ns: logged.as_ref().map(|logged| logged.at_ns),
                interface: request.interface(),
                request,
                reply,
                values: logged.as_ref().map(values).unwrap_or_default(),
                paid_micro_tokens: logged.as_ref().map_or(0, |logged| logged.told.paid.micro()),
            }),
            false => {
                let place = logged.as_ref().map_or_else(|| "-".to_owned(), |logged| logged.sequence.to_string());
                let since = logged.as_ref().map_or(self.last_ns, |logged| logged.at_ns).saturating_sub(self.began_ns);
                let (interface, asked) = (request.interface(), inner(&format!("{request:?}")));
                write(&format!("{place:>6} {:>+11.3}s {interface:<10} {asked}", since as f64 / 1e9))?;
                let mut answer = inner(&format!("{reply:?}"));
                for value in logged.iter().flat_map(values) {
                    answer += &format!(" {}", quoted(&value));
                }
                let paid = logged.as_ref().map_or(0, |logged| logged.told.paid.micro());
                let paid = if paid > 0 { format!("  ({} tokens)", tokens(paid)) } else { String::new() };
                write(&format!("{:>30} {answer}{paid}", "->"))
            }
        }
    }

    fn end(&self, reran: &Reran, started: Instant) -> Result<ExitCode, CommandError> {
        let (state, said) = match reran {
            Reran::Until => ("until", "it is where it was to be".to_owned()),
            Reran::LogEnds { asks, exit } => {
                let ended = exit.as_ref().map(|exit| format!("; then {}", in_words(exit))).unwrap_or_default();
                ("log-ends", format!("the log ends here: it asks {}{ended}", inner(&format!("{asks:?}"))))
            }
            Reran::Ended(exit) => ("ended", format!("it ends as it did then: {}", in_words(exit))),
            Reran::Diverged(why) => ("diverged", format!("it does something else than it did: {why}")),
        };
        match self.json {
            true => json::print(&Line::End { state, said })?,
            false => {
                let then = self.last_ns.saturating_sub(self.began_ns) as f64 / 1e9;
                let took = started.elapsed().as_secs_f64();
                write(&plain(&said))?;
                write(&format!("{} answers of the log in {took:.3} s; then it took {then:.3} s", self.told))?;
            }
        }
        Ok(if matches!(reran, Reran::Diverged(_)) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

fn in_words(exit: &Exit) -> String {
    match &exit.end {
        Ok(Ok(Outcome { status, .. })) => format!("done, {status:?}").to_lowercase(),
        Ok(Err(failure)) => format!("failed: {}", failure.message),
        Err(fault) => format!("ended: {fault}"),
    }
}

/// How much of a request or an answer a line shows, in bytes.
const SHOWN_BYTES_MAX: usize = 160;

/// What stands inside of the name of an interface, shortened, on one line.
fn inner(debug: &str) -> String {
    let inner = debug.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).unwrap_or(debug);
    shortened(inner)
}

fn shortened(text: &str) -> String {
    match text.len() > SHOWN_BYTES_MAX {
        true => plain(&text[..text.floor_char_boundary(SHOWN_BYTES_MAX)]) + "...",
        false => plain(text),
    }
}

/// The data that came with an answer.
fn values(logged: &Logged) -> Vec<Content> {
    let value = |note: &Note| match note {
        Note::Value(_, value) => Some(Content::from(&*value.bytes)),
        _ => None,
    };
    logged.told.notes.iter().filter_map(value).collect()
}

fn quoted(value: &Content) -> String {
    match value {
        Content::Text(text) => shortened(&format!("{text:?}")),
        Content::Hex(bytes) => format!("({} bytes)", bytes.len()),
    }
}

fn write(line: &str) -> Result<(), CommandError> {
    let mut stdout = io::stdout().lock();
    let written = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
    written.map_err(|error| CommandError::Machine(format!("standard output cannot be written: {error}")))
}

/// Compare two runs: what each asked and was told, up to where they ask something different. Ends with 1 where they do.
#[derive(Args)]
pub(crate) struct Diff {
    /// A process, or a file of `remit export`: its last run
    left: Recorded,
    /// The other one
    right: Recorded,
}

impl Diff {
    pub(crate) fn run(self) -> Result<ExitCode, CommandError> {
        let home = Home::find()?;
        let (left, right) = runtime(1)?.block_on(async {
            Ok::<_, CommandError>((self.left.recording(&home).await?, self.right.recording(&home).await?))
        })?;
        let Comparison { shared, told, parted } = compare(left.history.run(None)?, right.history.run(None)?);
        for difference in &told {
            write(&format!("told differently: {}", difference.left.as_ref().map(asked).unwrap_or_default()))?;
            write(&format!("  < {}", side(difference.left.as_ref(), answer)))?;
            write(&format!("  > {}", side(difference.right.as_ref(), answer)))?;
        }
        match &parted {
            Some(difference) => {
                write(&format!("they part after {shared} questions:"))?;
                write(&format!("  < {}", side(difference.left.as_ref(), asked)))?;
                write(&format!("  > {}", side(difference.right.as_ref(), asked)))?;
                Ok(ExitCode::FAILURE)
            }
            None => {
                write(&format!("they ask the same {shared} questions; {} were answered otherwise", told.len()))?;
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}

fn side(logged: Option<&Logged>, what: impl Fn(&Logged) -> String) -> String {
    match logged {
        Some(logged) => format!("{:>6} {}", logged.sequence, what(logged)),
        None => "it asked nothing more".to_owned(),
    }
}

fn asked(logged: &Logged) -> String {
    match (logged.told.asked.request(), &logged.told.asked) {
        (Some(request), _) => format!("{} {}", request.interface(), inner(&format!("{request:?}"))),
        (None, Asked::Digest { size, digest, .. }) => {
            let digest: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
            format!("a request of {size} bytes (SHA-256 {digest}...)")
        }
        (None, Asked::Whole(bytes)) => format!("a request of {} bytes", bytes.len()),
    }
}

fn answer(logged: &Logged) -> String {
    let mut answer = inner(&format!("{:?}", logged.told.reply));
    for value in values(logged) {
        answer += &format!(" {}", quoted(&value));
    }
    answer
}

/// Write a process's whole log and its component to one file: for `remit replay`, `remit diff` and `remit import`, on this machine or
/// another. All that the process was told is in it.
#[derive(Args)]
pub(crate) struct Export {
    /// Which, as `remit ps` shows it; also one that has ended
    of: Recorded,
    /// The file; it must not be there yet
    file: PathBuf,
}

impl Export {
    pub(crate) fn run(self) -> Result<ExitCode, CommandError> {
        let home = Home::find()?;
        let recording = runtime(1)?.block_on(self.of.recording(&home))?;
        let failed = |error: io::Error| CommandError::Machine(format!("{}: {error}", self.file.display()));
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&self.file).map_err(failed)?;
        file.write_all(&recording.to_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
        println!("{} is in {}", recording.history.pid, self.file.display());
        Ok(ExitCode::SUCCESS)
    }
}
