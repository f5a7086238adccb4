//! `remit top`: what the models do, and who spends most.

use crate::{
    exit::CommandError,
    figures::Looks,
    node::ask,
    ps::state,
    table::{Column, Table},
    text::{age, duration, tokens},
};
use clap::{Args, ValueEnum};
use console::Term;
use remit_server::protocol::Process;
use std::{
    cmp::Reverse,
    process::ExitCode,
    time::{Duration, Instant},
};

/// What the list is sorted by, the most first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Sort {
    /// All that a process paid.
    Spending,
    /// Instructions of the guest.
    Fuel,
}

/// Watch what the models do, and who spends most. Where standard output is no terminal, look once.
#[derive(Args)]
pub(crate) struct Top {
    /// What comes first
    #[arg(long, value_enum, default_value = "spending")]
    sort: Sort,
    /// How often to look
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = duration)]
    interval: Duration,
}

impl Top {
    pub(crate) fn run(self) -> Result<ExitCode, CommandError> {
        let failed = |error| CommandError::Machine(format!("standard output cannot be written: {error}"));
        ask(async |host| {
            let terminal = Term::stdout();
            let (mut looks, mut last) = (Looks::default(), None::<Instant>);
            loop {
                let (models, now) = (host.models().await?, Instant::now());
                let models = looks.screen(&models, last.replace(now).map(|last| now - last));
                let screen = models + &self.screen(host.processes().await?.processes);
                if !terminal.is_term() {
                    print!("{screen}");
                    return Ok(ExitCode::SUCCESS);
                }
                let rows = usize::from(terminal.size().0).saturating_sub(1);
                let visible: String = screen.lines().take(rows).flat_map(|line| [line, "\n"]).collect();
                terminal.clear_screen().and_then(|()| terminal.write_str(&visible)).map_err(failed)?;
                tokio::select! {
                    () = tokio::time::sleep(self.interval) => {}
                    _ = tokio::signal::ctrl_c() => return Ok(ExitCode::SUCCESS),
                }
            }
        })
    }

    fn screen(&self, mut processes: Vec<Process>) -> String {
        processes.sort_by_key(|process| {
            let most = match self.sort {
                Sort::Spending => process.ledger.paid_micro_tokens,
                Sort::Fuel => process.ledger.fuel,
            };
            (Reverse(most), process.pid)
        });
        let spent = processes.iter().fold(0_u64, |sum, process| sum.saturating_add(process.ledger.paid_micro_tokens));
        format!("{} processes, {} tokens spent\n\n{}", processes.len(), tokens(spent), table(&processes))
    }
}

fn table(processes: &[Process]) -> Table<10> {
    let mut table = Table::new([
        Column::Words("PID"),
        Column::Words("PACKAGE"),
        Column::Words("STATE"),
        Column::Numbers("SPENT"),
        Column::Numbers("MONEY"),
        Column::Numbers("LEFT"),
        Column::Numbers("FUEL"),
        Column::Numbers("IN"),
        Column::Numbers("OUT"),
        Column::Numbers("AGE"),
    ]);
    for process in processes {
        let ledger = &process.ledger;
        table.row([
            process.pid.to_string(),
            process.package.clone(),
            state(&process.state),
            tokens(ledger.paid_micro_tokens),
            ledger.paid_money.clone().unwrap_or_else(|| "-".to_owned()),
            tokens(process.remaining_micro_tokens),
            ledger.fuel.to_string(),
            ledger.input_tokens.saturating_add(ledger.cached_tokens).to_string(),
            ledger.output_tokens.to_string(),
            age(process.age_ms),
        ]);
    }
    table
}
