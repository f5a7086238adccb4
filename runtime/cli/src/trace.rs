//! `remit trace`: where a process's time and tokens went.

use crate::{
    exit::CommandError,
    json,
    node::runtime,
    recorded::Recorded,
    table::{Column, Table},
    text::tokens,
};
use clap::Args;
use remit_abi::Pid;
use remit_assembly::{
    Home,
    recording::{Span, Spans, spans},
};
use serde::Serialize;
use std::process::ExitCode;

/// Generations of children that are shown: as many as there can be.
const DEPTH_MAX: usize = 16;

/// Show where a process's time and tokens went: each answer of a model, each call of a tool, each child with its own, and what lies
/// between, from its log. It works for every process that kept one, also after its end.
#[derive(Args)]
pub(crate) struct Trace {
    /// A process, as `remit ps` shows it; or a file of `remit export`
    of: Recorded,
    /// Which of its runs, where it was started again: from 1 on; the last one without this
    #[arg(long, value_name = "N")]
    run: Option<usize>,
    /// Write one JSON object a line
    #[arg(long)]
    json: bool,
}

/// A span, below what it is a part of.
#[derive(Serialize)]
struct Row {
    depth: usize,
    span: String,
    /// In nanoseconds since the beginning of the process that was asked for.
    at_ns: u64,
    took_ns: u64,
    steps: u32,
    input_tokens: u32,
    cached_tokens: u32,
    output_tokens: u32,
    paid_micro_tokens: u64,
}

impl Trace {
    pub(crate) fn run(self) -> Result<ExitCode, CommandError> {
        let home = Home::find()?;
        let mut rows = Rows { home, began_ns: None, rows: Vec::new() };
        runtime(1)?.block_on(rows.add(&self.of, self.run, 0))?;
        if self.json {
            rows.rows.iter().try_for_each(json::print)?;
        } else {
            print!("{}", table(&rows.rows));
        }
        Ok(ExitCode::SUCCESS)
    }
}

struct Rows {
    home: Home,
    /// When the process began that was asked for.
    began_ns: Option<u64>,
    rows: Vec<Row>,
}

impl Rows {
    /// A process with its parts, and its children with theirs.
    async fn add(&mut self, of: &Recorded, run: Option<usize>, depth: usize) -> Result<(), CommandError> {
        let recording = of.recording(&self.home).await?;
        let history = &recording.history;
        let Spans { whole, parts, fuel_slices } = spans(history.run(run)?);
        self.began_ns.get_or_insert(whole.began_ns);
        self.push(depth, format!("{} {}", history.pid, history.created.package), &whole);
        for part in &parts {
            let child = part.child.filter(|_| depth < DEPTH_MAX);
            match (of, child) {
                (Recorded::Process(_), Some(child)) => self.add_child(child, part, depth + 1).await?,
                _ => {
                    let child = part.child.map(|child| format!(" {child}")).unwrap_or_default();
                    self.push(depth + 1, format!("{}{child}", part.name), part);
                }
            }
        }
        if fuel_slices > 0 {
            let bought =
                Span { began_ns: whole.began_ns, ended_ns: whole.began_ns, steps: fuel_slices, ..Span::default() };
            self.push(depth + 1, "slices of fuel".to_owned(), &bought);
        }
        Ok(())
    }

    /// A child with its parts; one whose log is gone, or never was, as its parent saw it.
    async fn add_child(&mut self, child: Pid, part: &Span, depth: usize) -> Result<(), CommandError> {
        match Box::pin(self.add(&Recorded::Process(child), None, depth)).await {
            Err(CommandError::Recording(_) | CommandError::History(_) | CommandError::Client(_)) => {
                self.push(depth, format!("{} {child}", part.name), part);
                Ok(())
            }
            added => added,
        }
    }

    fn push(&mut self, depth: usize, span: String, of: &Span) {
        let began_ns = self.began_ns.unwrap_or(of.began_ns);
        self.rows.push(Row {
            depth,
            span,
            at_ns: of.began_ns.saturating_sub(began_ns),
            took_ns: of.ended_ns.saturating_sub(of.began_ns),
            steps: of.steps,
            input_tokens: of.usage.input,
            cached_tokens: of.usage.cached,
            output_tokens: of.usage.output,
            paid_micro_tokens: of.paid.micro(),
        });
    }
}

fn table(rows: &[Row]) -> Table<8> {
    let mut table = Table::new([
        Column::Words("SPAN"),
        Column::Numbers("AT"),
        Column::Numbers("TOOK"),
        Column::Numbers("STEPS"),
        Column::Numbers("INPUT"),
        Column::Numbers("CACHED"),
        Column::Numbers("OUTPUT"),
        Column::Numbers("PAID"),
    ]);
    let some = |number: u32| if number > 0 { number.to_string() } else { "-".to_owned() };
    for row in rows {
        table.row([
            format!("{:indent$}{}", "", row.span, indent = 2 * row.depth),
            seconds(row.at_ns),
            seconds(row.took_ns),
            row.steps.to_string(),
            some(row.input_tokens),
            some(row.cached_tokens),
            some(row.output_tokens),
            tokens(row.paid_micro_tokens),
        ]);
    }
    table
}

fn seconds(ns: u64) -> String {
    format!("{:.3} s", ns as f64 / 1e9)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_stand_below_what_they_are_parts_of() {
        let span = |began_ns, ended_ns| Span { began_ns, ended_ns, steps: 1, ..Span::default() };
        let mut rows = Rows { home: Home::at("nowhere".into()), began_ns: Some(1_000_000_000), rows: Vec::new() };
        rows.push(0, "0.1.1 x".to_owned(), &span(1_000_000_000, 3_000_000_000));
        rows.push(1, "answer".to_owned(), &span(1_500_000_000, 2_750_000_000));
        let shown = table(&rows.rows).to_string();
        let lines: Vec<Vec<&str>> = shown.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[1], ["0.1.1", "x", "0.000", "s", "2.000", "s", "1", "-", "-", "-", "0"]);
        assert_eq!(lines[2], ["answer", "0.500", "s", "1.250", "s", "1", "-", "-", "-", "0"]);
        assert!(shown.lines().nth(2).is_some_and(|line| line.starts_with("  answer")), "{shown}");
    }
}
