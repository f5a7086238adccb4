//! `remit memory consolidate`: putting stores in order now, seeing what that would be, and taking it back.

use crate::{
    exit::{self, CommandError},
    terminal::Terminal,
    text::plain,
};
use clap::Args;
use remit_abi::{EntryId, LogLevel};
use remit_server::{
    Client,
    protocol::{self, RunLine, Shown},
};
use std::process::ExitCode;

#[derive(Args)]
pub(super) struct Consolidate {
    /// In this store; may be repeated. Those that `remit up --consolidate` names without this
    #[arg(long, value_name = "NAME")]
    store: Vec<String>,
    /// Show what would be done, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Give each entry the version back that it had before this run, and forget what the run wrote
    #[arg(long, value_name = "RUN", conflicts_with_all = ["store", "dry_run"])]
    undo: Option<EntryId>,
    /// Spend at most so many tokens on a store and label, instead of what the agent's manifest says
    #[arg(long, value_name = "TOKENS")]
    budget: Option<u64>,
}

impl Consolidate {
    pub(super) async fn run(self, host: &Client) -> Result<ExitCode, CommandError> {
        let Self { store: stores, dry_run, undo, budget } = self;
        let request = protocol::Consolidate { stores, dry_run, undo, budget_tokens: budget };
        let mut lines = host.consolidate(&request).await?;
        let (mut terminal, mut code) = (Terminal::new(false, None), ExitCode::SUCCESS);
        let (mut is_any, mut is_task) = (false, false);
        while let Some(line) = lines.next().await? {
            is_any = true;
            match line {
                RunLine::Started { .. } => is_task = true,
                // The host's own word, before a task: which store and label it is for, or why there is none.
                RunLine::Shown(Shown::Log { level, message }) if !is_task => {
                    if level == LogLevel::Error {
                        return Err(CommandError::Machine(message.into()));
                    }
                    println!("{}:", plain(&message));
                }
                RunLine::Shown(shown) => terminal.event(&shown)?,
                RunLine::Finished(finished) => {
                    is_task = false;
                    terminal.finished(&finished)?;
                    // Of several the first one that did not do all of its work says how it went.
                    if code == ExitCode::SUCCESS {
                        code = exit::code_of(&finished.end, false);
                    }
                }
            }
        }
        if !is_any {
            println!("there is nothing in it");
        }
        Ok(code)
    }
}
