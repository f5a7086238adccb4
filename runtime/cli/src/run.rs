//! `remit run`: one agent, one task; on the running host of the data folder, or on a node of its own.

use crate::{
    exit::{self, CommandError},
    json::JsonLines,
    ledger,
    node::{self, Computing, Outliving},
    terminal::Terminal,
    tools::declared,
};
use clap::{Args, ValueEnum};
use remit_abi::{Tokens, limits::Limits};
use remit_assembly::{GrantChoice, Home, Node, Running, Task, TaskMessage, open_package};
use remit_server::{
    Client,
    protocol::{Finished, Message, RunLine, RunRequest, Shown},
};
use std::{
    io::{self, Read},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// How results are written to standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// The agent's text as it comes.
    Text,
    /// One JSON object a line: every event, and the end with its ledger.
    Json,
}

/// Run an agent: on the running host of the data folder, where there is one.
#[derive(Args)]
pub(crate) struct Run {
    /// A package's folder, a component's file, or the name of an installed agent
    agent: String,
    /// What to do: each INPUT is a message; `-` reads one from standard input, as untrusted text
    input: Vec<String>,
    /// Spend at most so many tokens instead of what the manifest says
    #[arg(long, value_name = "TOKENS")]
    budget: Option<u64>,
    /// Give only these of the grants that the agent asks for, by label, or `none`; all of them without this
    #[arg(long, value_name = "LABEL")]
    grant: Vec<String>,
    /// Mark the input with a confidentiality tag
    #[arg(long, value_name = "NAME")]
    tag: Vec<String>,
    /// Under which name other agents find it
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// What to write to standard output
    #[arg(short, long, value_enum, default_value = "text")]
    output: Format,
    /// Write the agent's artifacts into this folder
    #[arg(long, value_name = "FOLDER")]
    artifacts: Option<PathBuf>,
    /// Prices instead of the built-in ones, in TOML; a running host has its own
    #[arg(long, value_name = "FILE")]
    prices: Option<PathBuf>,
    /// The file in which tools are declared, in TOML; the data folder's tools.toml without this. A running host has its own
    #[arg(long, value_name = "FILE")]
    tools: Option<PathBuf>,
    #[command(flatten)]
    computing: Computing,
    /// Show at the end what was done and paid
    #[arg(long)]
    ledger: bool,
    /// Show all that the agent logs, not just warnings
    #[arg(short, long)]
    verbose: bool,
    /// Run it in this process, also where a host is running
    #[arg(long)]
    local: bool,
    /// Start it on the running host, print its pid, and leave it alone
    #[arg(long, conflicts_with_all = ["local", "ledger", "artifacts"])]
    detach: bool,
    /// Of a detached one, keep nothing: it ends with the host, instead of going on when the host starts anew
    #[arg(long, requires = "detach")]
    ephemeral: bool,
}

impl Run {
    pub(crate) fn run(self) -> Result<ExitCode, CommandError> {
        let runtime = node::runtime(1)?;
        let result = runtime.block_on(self.run_task());
        runtime.shutdown_background();
        result
    }

    async fn run_task(self) -> Result<ExitCode, CommandError> {
        let started = Instant::now();
        let home = Home::find()?;
        let host = if self.local { None } else { Client::find(&home).await? };
        let mut sink = self.sink();
        let (finished, interrupted) = match host {
            None if self.detach => return Err(remit_server::ClientError::NoHost.into()),
            None => self.run_here(home, &mut sink).await?,
            Some(_) if self.prices.is_some() => {
                let sentence = "a running host has its own prices: give them to `remit up`, or run with --local";
                return Err(CommandError::Usage(sentence.to_owned()));
            }
            Some(_) if self.tools.is_some() => {
                let sentence = "a running host has its own tools: give them to `remit up`, or run with --local";
                return Err(CommandError::Usage(sentence.to_owned()));
            }
            Some(_) if self.computing.asks_for_memory() => {
                let sentence = "a running host has its own memory: give it to `remit up`, or run with --local";
                return Err(CommandError::Usage(sentence.to_owned()));
            }
            Some(host) if self.detach => return self.leave(&host).await,
            Some(host) => self.run_on(&host, &mut sink).await?,
        };
        sink.finished(&finished)?;
        if self.ledger {
            ledger::print(&finished, started.elapsed());
        }
        Ok(exit::code_of(&finished.end, interrupted))
    }

    /// Runs it in this process. An interrupt kills it, and the rest of its events are still shown.
    async fn run_here(&self, home: Home, sink: &mut Sink) -> Result<(Finished, bool), CommandError> {
        let package = open_package(&home, &self.agent)?;
        let RunRequest { grants, messages, tags, name, .. } = self.request()?;
        let (prices, tools) = (node::prices(self.prices.as_deref())?, declared(&home, self.tools.as_deref())?);
        let node = node::open(home, prices, &self.computing, Outliving::Never, tools)?;
        sink.note("loading");
        let agent = node.load(&package, &grants.map_or(GrantChoice::All, GrantChoice::Only))?;
        let messages = messages.into_iter().map(|Message { text, trusted }| TaskMessage { text, trusted }).collect();
        let task = Task { budget: self.budget()?, messages, tags, resumed: None, name, durable: false };
        follow(&node, node.start(&agent, task)?, sink).await
    }

    /// Runs it on the host. An interrupt kills it, and the rest of its events are still shown.
    async fn run_on(&self, host: &Client, sink: &mut Sink) -> Result<(Finished, bool), CommandError> {
        let request = self.request()?;
        let mut interrupts = interrupts()?;
        sink.note("loading");
        let mut lines = host.run(&request).await?;
        let (mut pid, mut interrupted) = (None, false);
        loop {
            let line = tokio::select! {
                biased;
                line = lines.next() => line?,
                Some(()) = interrupts.recv(), if !interrupted => {
                    interrupted = true;
                    if let Some(pid) = pid {
                        host.kill(pid).await?;
                    }
                    continue;
                }
            };
            match line {
                Some(RunLine::Started { pid: started }) => {
                    pid = Some(started);
                    if interrupted {
                        host.kill(started).await?;
                    }
                }
                Some(RunLine::Shown(shown)) => sink.event(&shown)?,
                Some(RunLine::Finished(finished)) => return Ok((*finished, interrupted)),
                None => return Err(CommandError::Machine("the host went away before the agent's end".to_owned())),
            }
        }
    }

    /// Starts it on the host, and says which process it is.
    async fn leave(&self, host: &Client) -> Result<ExitCode, CommandError> {
        let mut lines = host.run(&RunRequest { detach: true, ephemeral: self.ephemeral, ..self.request()? }).await?;
        match lines.next().await? {
            Some(RunLine::Started { pid }) => {
                println!("{pid}");
                Ok(ExitCode::SUCCESS)
            }
            _ => Err(CommandError::Machine("the host does not say which process does the task".to_owned())),
        }
    }

    fn sink(&self) -> Sink {
        match self.output {
            Format::Text => Sink::Terminal(Terminal::new(self.verbose, self.artifacts.clone())),
            Format::Json => Sink::Json(JsonLines),
        }
    }

    /// What is asked for. Reads standard input where a message is there.
    fn request(&self) -> Result<RunRequest, CommandError> {
        // Too large a budget is said before anything is read.
        self.budget()?;
        Ok(RunRequest {
            agent: self.agent_elsewhere()?,
            grants: match self.grant.as_slice() {
                [] => None,
                [none] if none == "none" => Some(Vec::new()),
                labels => Some(labels.to_vec()),
            },
            budget_tokens: self.budget,
            messages: self.messages()?,
            tags: self.tag.clone(),
            name: self.name.clone(),
            ..RunRequest::default()
        })
    }

    /// The agent's name or path as a process in another folder understands it.
    fn agent_elsewhere(&self) -> Result<String, CommandError> {
        let path = Path::new(&self.agent);
        if path.components().count() == 1 && !path.exists() {
            return Ok(self.agent.clone());
        }
        let path = std::path::absolute(path)
            .map_err(|error| CommandError::Machine(format!("the current folder has no path: {error}")))?;
        path.into_os_string().into_string().map_err(|path| {
            CommandError::Usage(format!("the path {} is no UTF-8 text: run with --local", path.display()))
        })
    }

    fn budget(&self) -> Result<Option<Tokens>, CommandError> {
        let amount = |whole| {
            Tokens::from_whole(whole)
                .ok_or_else(|| CommandError::Usage(format!("--budget {whole} is too large to count")))
        };
        self.budget.map(amount).transpose()
    }

    /// What the operator typed is trusted; what comes through standard input is not.
    fn messages(&self) -> Result<Vec<Message>, CommandError> {
        if self.input.iter().filter(|input| *input == "-").count() > 1 {
            return Err(CommandError::Usage("standard input can be read once: give `-` once".to_owned()));
        }
        let message = |input: &String| match input.as_str() {
            "-" => Ok(Message { text: read_standard_input()?, trusted: false }),
            text => Ok(Message { text: text.to_owned(), trusted: true }),
        };
        self.input.iter().map(message).collect()
    }
}

fn read_standard_input() -> Result<String, CommandError> {
    let most = Limits::default().value_bytes_max;
    let mut bytes = Vec::new();
    io::stdin()
        .lock()
        .take(most + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| CommandError::Machine(format!("standard input cannot be read: {error}")))?;
    if bytes.len() as u64 > most {
        return Err(CommandError::Usage(format!("standard input holds more than {most} bytes: give less at a time")));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        CommandError::Usage(format!(
            "standard input is not UTF-8 text (at byte {at}): convert it first, for example with iconv"
        ))
    })
}

/// Where events go.
enum Sink {
    Terminal(Terminal),
    Json(JsonLines),
}

impl Sink {
    fn note(&mut self, what: &str) {
        if let Self::Terminal(terminal) = self {
            terminal.note(what);
        }
    }

    fn event(&mut self, event: &Shown) -> Result<(), CommandError> {
        match self {
            Self::Terminal(terminal) => terminal.event(event),
            Self::Json(json) => json.event(event),
        }
    }

    fn finished(&mut self, finished: &Finished) -> Result<(), CommandError> {
        match self {
            Self::Terminal(terminal) => terminal.finished(finished),
            Self::Json(json) => json.finished(finished),
        }
    }
}

/// Interrupts from here on, which end nothing by themselves any more.
fn interrupts() -> Result<Signal, CommandError> {
    let failed = |error| CommandError::Machine(format!("interrupts cannot be heard: {error}"));
    signal(SignalKind::interrupt()).map_err(failed)
}

/// Shows events until the process ends.
async fn follow(node: &Node, running: Running, sink: &mut Sink) -> Result<(Finished, bool), CommandError> {
    let Running { pid, mut events, mut finished } = running;
    let (mut interrupts, mut interrupted) = (interrupts()?, false);
    let end = loop {
        tokio::select! {
            biased;
            Some(event) = events.recv() => sink.event(&remit_server::shown(node, event))?,
            end = &mut finished => break end,
            Some(()) = interrupts.recv(), if !interrupted => {
                interrupted = true;
                node.kill(pid);
            }
        }
    };
    while let Some(event) = events.recv().await {
        sink.event(&remit_server::shown(node, event))?;
    }
    Ok((remit_server::finished(node, end, false), interrupted))
}
