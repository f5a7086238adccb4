//! `remit ps` and `remit inspect`: what runs.

use crate::{
    caps,
    exit::CommandError,
    json,
    node::ask,
    table::{Column, Table},
    text::{age, label, moment_in_words, plain, tokens},
};
use clap::Args;
use remit_abi::Pid;
use remit_server::protocol::{Process, ProcessState};
use std::process::ExitCode;

/// List the processes of the running host, each below the one that started it.
#[derive(Args)]
pub(crate) struct Ps {
    /// Write one JSON object instead of a table
    #[arg(long)]
    json: bool,
}

impl Ps {
    pub(crate) fn run(self) -> Result<ExitCode, CommandError> {
        ask(async |host| {
            let listed = host.processes().await?;
            match self.json {
                true => json::print(&listed)?,
                false => print!("{}", table(&listed.processes)),
            }
            Ok(ExitCode::SUCCESS)
        })
    }
}

fn table(processes: &[Process]) -> Table<10> {
    let mut table = Table::new([
        Column::Words("PID"),
        Column::Words("PACKAGE"),
        Column::Words("STATE"),
        Column::Words("KEPT"),
        Column::Words("PARENT"),
        Column::Words("LABEL"),
        Column::Numbers("MESSAGES"),
        Column::Numbers("SPENT"),
        Column::Numbers("LEFT"),
        Column::Numbers("AGE"),
    ]);
    for (depth, process) in tree(processes) {
        table.row([
            format!("{:indent$}{}", "", process.pid, indent = 2 * depth),
            process.package.clone(),
            state(&process.state),
            kept(process).to_owned(),
            process.parent.map_or_else(|| "-".to_owned(), |parent| parent.to_string()),
            label(&process.label),
            process.messages.to_string(),
            tokens(process.ledger.paid_micro_tokens),
            tokens(process.remaining_micro_tokens),
            age(process.age_ms),
        ]);
    }
    table
}

/// Each process behind the one that started it, with how many stand above it.
fn tree(processes: &[Process]) -> Vec<(usize, &Process)> {
    let lives = |pid: Pid| processes.iter().any(|process| process.pid == pid);
    // Who outlived its parent stands at the top, and so is every process reached.
    let is_root = |process: &&Process| process.parent.is_none_or(|parent| !lives(parent));
    let mut open: Vec<_> = processes.iter().filter(is_root).rev().map(|process| (0, process)).collect();
    let mut sorted = Vec::with_capacity(processes.len());
    while let Some((depth, process)) = open.pop() {
        sorted.push((depth, process));
        let children = processes.iter().filter(|child| child.parent == Some(process.pid));
        open.extend(children.rev().map(|child| (depth + 1, child)));
    }
    sorted
}

/// What a process is doing, in a word or two.
pub(crate) fn state(state: &ProcessState) -> String {
    match state {
        ProcessState::Running => "running".to_owned(),
        ProcessState::Waiting { waits_in } => format!("waiting ({waits_in})"),
        ProcessState::Asleep => "asleep".to_owned(),
        ProcessState::Suspended => "suspended".to_owned(),
        ProcessState::Frozen => "frozen".to_owned(),
        ProcessState::Parked { .. } => "parked".to_owned(),
    }
}

/// What becomes of it when the host ends.
const fn kept(process: &Process) -> &'static str {
    match process.durable {
        true => "durable",
        false => "ephemeral",
    }
}

/// Why a process is parked, where it is.
fn parked(process: &Process) -> &str {
    match &process.state {
        ProcessState::Parked { why } => why,
        _ => "no",
    }
}

/// Say all about one process.
#[derive(Args)]
pub(crate) struct Inspect {
    /// Which, as `remit ps` shows it
    pid: Pid,
    /// Write one JSON object instead
    #[arg(long)]
    json: bool,
}

impl Inspect {
    pub(crate) fn run(self) -> Result<ExitCode, CommandError> {
        ask(async |host| {
            let process = host.process(self.pid).await?;
            if self.json {
                json::print(&process)?;
                return Ok(ExitCode::SUCCESS);
            }
            let grants = host.grants(Some(self.pid)).await?;
            let denials = host.denials(Some(self.pid)).await?.denials.len();
            print!("{}", facts(&process));
            println!("\ngrants");
            print!("{}", caps::tree::table(&grants.grants));
            if denials > 0 {
                println!("\n{denials} denials: `remit caps explain {}` says why", self.pid);
            }
            Ok(ExitCode::SUCCESS)
        })
    }
}

fn facts(process: &Process) -> String {
    let worth = |micro: u64, money: &Option<String>| match money {
        Some(money) => format!("{} tokens ({money})", tokens(micro)),
        None => format!("{} tokens", tokens(micro)),
    };
    let Process { ledger, .. } = process;
    let facts = [
        ("pid", process.pid.to_string()),
        ("package", process.package.clone()),
        ("sha256", process.digest.clone()),
        ("name", process.name.clone().unwrap_or_else(|| "none".to_owned())),
        ("parent", process.parent.map_or_else(|| "the operator".to_owned(), |parent| parent.to_string())),
        ("state", state(&process.state)),
        ("parked", parked(process).to_owned()),
        ("kept", kept(process).to_owned()),
        ("priority", format!("{:?}", process.priority).to_lowercase()),
        ("restarts", process.restarts.to_string()),
        ("started", format!("{} ({} ago)", moment_in_words(process.started_ns), age(process.age_ms))),
        ("label", label(&process.label)),
        ("given", worth(process.funds_micro_tokens, &None)),
        ("spent", worth(ledger.paid_micro_tokens, &ledger.paid_money)),
        ("left", worth(process.remaining_micro_tokens, &process.remaining_money)),
        (
            "tokens",
            format!("{} in, {} cached, {} out", ledger.input_tokens, ledger.cached_tokens, ledger.output_tokens),
        ),
        ("fuel", ledger.fuel.to_string()),
        ("cited", format!("{} that stand, {} that do not", ledger.supported_citations, ledger.unsupported_citations)),
        ("messages", process.messages.to_string()),
        ("children", process.children.to_string()),
        ("values", format!("{} bytes", process.value_bytes)),
    ];
    facts.iter().map(|(name, fact)| format!("{name:9} {}\n", plain(fact))).collect()
}
