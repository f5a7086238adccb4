//! `remit up`: the headless host.

use crate::{
    exit::CommandError,
    node::{self, Computing, Outliving},
    text::duration,
    tools::declared,
};
use clap::{Args, ValueEnum};
use remit_abi::Tokens;
use remit_assembly::{Consolidation, Home, RunawayPolicy};
use remit_server::Server;
use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};
use tokio::signal::unix::{SignalKind, signal};

/// Threads for connections, beside those that run guests.
const THREADS: usize = 2;

/// Run a host: it runs agents until it is stopped, and other commands ask it.
#[derive(Args)]
pub(crate) struct Up {
    /// How long processes have to end by themselves when the host is stopped; asked twice, it does not wait
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration)]
    grace: Duration,
    /// How long a durable process waits for something before it leaves memory, to come back when it is there
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration)]
    patience: Duration,
    /// What becomes of an agent that asks a model the same again and again, or whose turns come to nothing: `signal` asks it to finish
    /// politely, `park` besides takes its turns away where it goes on, until `remit resume`
    #[arg(long, value_name = "WHAT", value_enum, default_value_t)]
    runaway: Runaway,
    /// Prices instead of the built-in ones, in TOML
    #[arg(long, value_name = "FILE")]
    prices: Option<PathBuf>,
    /// The file in which tools are declared that agents may have act, in TOML; the data folder's tools.toml without this
    #[arg(long, value_name = "FILE")]
    tools: Option<PathBuf>,
    /// Put this store of the memory in order when nothing else happens: merge what is there twice, summarise, write down facts. May be
    /// repeated; `remit memory consolidate` does it now, shows what would be done, and takes it back
    #[arg(long, value_name = "STORE")]
    consolidate: Vec<String>,
    /// For how long nothing must have happened before
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = duration)]
    consolidate_after: Duration,
    /// Spend at most so many tokens on a store and label each time, instead of what the agent's manifest says
    #[arg(long, value_name = "TOKENS")]
    consolidate_budget: Option<u64>,
    #[command(flatten)]
    computing: Computing,
}

/// What becomes of agents that run in circles.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Runaway {
    Ignore,
    Signal,
    #[default]
    Park,
}

impl Runaway {
    fn policy(self) -> Option<RunawayPolicy> {
        match self {
            Self::Ignore => None,
            Self::Signal => Some(RunawayPolicy { parks: false, ..RunawayPolicy::default() }),
            Self::Park => Some(RunawayPolicy::default()),
        }
    }
}

impl Up {
    fn consolidation(&self) -> Result<Consolidation, CommandError> {
        let amount = |whole| {
            let sentence = || CommandError::Usage(format!("--consolidate-budget {whole} is too large to count"));
            Tokens::from_whole(whole).ok_or_else(sentence)
        };
        Ok(Consolidation {
            stores: self.consolidate.iter().map(|store| store.as_str().into()).collect(),
            idle: self.consolidate_after,
            budget: self.consolidate_budget.map(amount).transpose()?,
        })
    }

    pub(crate) fn run(self) -> Result<ExitCode, CommandError> {
        let runtime = node::runtime(THREADS)?;
        let result = runtime.block_on(self.serve());
        runtime.shutdown_background();
        result
    }

    async fn serve(self) -> Result<ExitCode, CommandError> {
        let failed = |error: io::Error| CommandError::Machine(format!("the host cannot be told to stop: {error}"));
        let home = Home::find()?;
        let lock = home.lock()?;
        let prices = node::prices(self.prices.as_deref())?;
        let tools = declared(&home, self.tools.as_deref())?;
        let consolidation = self.consolidation()?;
        let outliving = Outliving::Durable { patience: self.patience };
        // From here on a signal is an orderly end.
        let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
        let node = node::open(home.clone(), prices, &self.computing, outliving, tools)?;
        node.kernel().set_runaway(self.runaway.policy());
        let server = Server::bind(node, home, lock, consolidation)?;
        let ready = format!("listening on {}\n", server.path().display());
        io::stdout()
            .write_all(ready.as_bytes())
            .and_then(|()| io::stdout().flush())
            .map_err(|error| CommandError::Machine(format!("standard output cannot be written: {error}")))?;
        server
            .serve(self.grace, async || {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
            })
            .await;
        Ok(ExitCode::SUCCESS)
    }
}
