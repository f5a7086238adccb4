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
use remit_abi::{Integrity, Role, Tokens, limits::Limits};
use remit_assembly::{Agent, GrantChoice, Home, Node, Running, Task, TaskMessage, open_package};
use remit_server::{
    Client,
    protocol::{End, Finished, Message, RunLine, RunRequest, Shown},
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

/// Who is to do something, and on which terms.
#[derive(Args)]
pub(crate) struct Terms {
    /// A package's folder, a component's file, or the name of an installed agent
    agent: String,
    /// Spend at most so many tokens instead of what the manifest says
    #[arg(long, value_name = "TOKENS")]
    budget: Option<u64>,
    /// Give only these of the grants that the agent asks for, by label, or `none`; all of them without this
    #[arg(long, value_name = "LABEL")]
    grant: Vec<String>,
    /// Mark the input with a confidentiality tag
    #[arg(long, value_name = "NAME")]
    tag: Vec<String>,
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
    /// Show all that the agent logs, not just warnings
    #[arg(short, long)]
    verbose: bool,
    /// Run it in this process, also where a host is running
    #[arg(long)]
    local: bool,
}

/// Run an agent: on the running host of the data folder, where there is one.
#[derive(Args)]
pub(crate) struct Run {
    #[command(flatten)]
    terms: Terms,
    /// What to do: each INPUT is a message; `-` reads one from standard input, as untrusted text
    input: Vec<String>,
    /// Under which name other agents find it
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// What to write to standard output
    #[arg(short, long, value_enum, default_value = "text")]
    output: Format,
    /// Show at the end what was done and paid
    #[arg(long)]
    ledger: bool,
    /// Start it on the running host, print its pid, and leave it alone
    #[arg(long, conflicts_with_all = ["local", "ledger", "artifacts"])]
    detach: bool,
    /// Of a detached one, keep nothing: it ends with the host, instead of going on when the host starts anew
    #[arg(long, requires = "detach")]
    ephemeral: bool,
}

/// Where an agent runs.
pub(crate) enum Stage {
    /// On a node of this process.
    Here(Box<(Node, Agent)>),
    /// On the running host of the data folder.
    There(Client),
}

impl Terms {
    /// The running host of the data folder, or a node of this process with the agent loaded.
    pub(crate) async fn stage(&self, note: impl FnOnce(&str)) -> Result<Stage, CommandError> {
        let home = Home::find()?;
        let host = if self.local { None } else { Client::find(&home).await? };
        let Some(host) = host else {
            let package = open_package(&home, &self.agent)?;
            let (prices, tools) = (node::prices(self.prices.as_deref())?, declared(&home, self.tools.as_deref())?);
            let node = node::open(home, prices, &self.computing, Outliving::Never, tools)?;
            note("loading");
            let agent = node.load(&package, &self.grants().map_or(GrantChoice::All, GrantChoice::Only))?;
            return Ok(Stage::Here(Box::new((node, agent))));
        };
        self.check_for_host()?;
        Ok(Stage::There(host))
    }

    /// What a running host has of its own cannot be asked of it.
    fn check_for_host(&self) -> Result<(), CommandError> {
        let theirs = [
            (self.prices.is_some(), "prices: give them"),
            (self.tools.is_some(), "tools: give them"),
            (self.computing.asks_for_memory(), "memory: give it"),
        ];
        match theirs.into_iter().find(|(is_given, _)| *is_given) {
            Some((_, what)) => {
                let sentence = format!("a running host has its own {what} to `remit up`, or run with --local");
                Err(CommandError::Usage(sentence))
            }
            None => Ok(()),
        }
    }

    /// What is asked of a host.
    pub(crate) fn request(&self, messages: Vec<Message>) -> Result<RunRequest, CommandError> {
        Ok(RunRequest {
            agent: self.agent_elsewhere()?,
            grants: self.grants(),
            budget_tokens: self.budget,
            messages,
            tags: self.tag.clone(),
            ..RunRequest::default()
        })
    }

    /// The same for a node of this process.
    pub(crate) fn task(&self, messages: Vec<Message>) -> Result<Task, CommandError> {
        let message = |Message { text, trusted, role }| TaskMessage { text, trusted, role };
        let messages = messages.into_iter().map(message).collect();
        Ok(Task { budget: self.budget()?, messages, tags: self.tag.clone(), ..Task::default() })
    }

    /// A terminal for one task.
    pub(crate) fn terminal(&self) -> Terminal {
        Terminal::new(self.verbose, self.artifacts.clone()).with_source(Path::new(&self.agent))
    }

    fn grants(&self) -> Option<Vec<String>> {
        match self.grant.as_slice() {
            [] => None,
            [none] if none == "none" => Some(Vec::new()),
            labels => Some(labels.to_vec()),
        }
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
        let mut sink = self.sink();
        // Too large a budget is said before anything is read.
        self.terms.budget()?;
        if self.detach {
            let host = Client::find(&Home::find()?).await?.ok_or(remit_server::ClientError::NoHost)?;
            self.terms.check_for_host()?;
            return self.leave(&host).await;
        }
        let messages = self.messages()?;
        let (finished, interrupted) = match self.terms.stage(|what| sink.note(what)).await? {
            Stage::Here(here) => {
                let (node, agent) = *here;
                let task = Task { name: self.name.clone(), ..self.terms.task(messages)? };
                follow(&node, node.start(&agent, task)?, &mut sink).await?
            }
            Stage::There(host) => {
                let request = self.request(messages)?;
                sink.note("loading");
                follow_on(&host, &request, &mut sink).await?
            }
        };
        sink.finished(&finished)?;
        if self.ledger {
            ledger::print(&finished, started.elapsed());
        }
        Ok(exit::code_of(&finished.end, interrupted))
    }

    /// Starts it on the host, and says which process it is.
    async fn leave(&self, host: &Client) -> Result<ExitCode, CommandError> {
        let mut lines = host
            .run(&RunRequest { detach: true, ephemeral: self.ephemeral, ..self.request(self.messages()?)? })
            .await?;
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
            Format::Text => Sink::Terminal(self.terms.terminal()),
            Format::Json => Sink::Json(JsonLines),
        }
    }

    /// What is asked of a host.
    fn request(&self, messages: Vec<Message>) -> Result<RunRequest, CommandError> {
        Ok(RunRequest { name: self.name.clone(), ..self.terms.request(messages)? })
    }

    /// What the operator typed is trusted; what comes through standard input is not. Reads that where a message is there.
    fn messages(&self) -> Result<Vec<Message>, CommandError> {
        if self.input.iter().filter(|input| *input == "-").count() > 1 {
            return Err(CommandError::Usage("standard input can be read once: give `-` once".to_owned()));
        }
        let message = |input: &String| {
            let (text, trusted) = match input.as_str() {
                "-" => (read_standard_input()?, false),
                text => (text.to_owned(), true),
            };
            Ok(Message { text, trusted, role: Role::User })
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
pub(crate) enum Sink {
    Terminal(Terminal),
    Json(JsonLines),
    /// A terminal, and what was said there.
    Talk(Terminal, Answer),
}

/// What an agent said in a talk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    /// All its text.
    pub(crate) text: Vec<u8>,
    /// Whether some of it comes from outside.
    pub(crate) is_untrusted: bool,
}

impl Sink {
    fn note(&mut self, what: &str) {
        if let Self::Terminal(terminal) | Self::Talk(terminal, _) = self {
            terminal.note(what);
        }
    }

    fn event(&mut self, event: &Shown) -> Result<(), CommandError> {
        match self {
            Self::Terminal(terminal) => terminal.event(event),
            Self::Json(json) => json.event(event),
            Self::Talk(terminal, answer) => {
                if let Shown::Text { content, label } = event {
                    answer.text.extend_from_slice(content.bytes());
                    answer.is_untrusted |= label.integrity == Integrity::Untrusted;
                }
                terminal.event(event)
            }
        }
    }

    pub(crate) fn finished(&mut self, finished: &Finished) -> Result<(), CommandError> {
        match self {
            Self::Terminal(terminal) => terminal.finished(finished),
            Self::Json(json) => json.finished(finished),
            Self::Talk(terminal, answer) => {
                if let End::Complete { output: Some(output) } | End::Partial { output: Some(output) } = &finished.end {
                    answer.text.extend_from_slice(output.bytes());
                    // What it returned has a label that its end does not tell.
                    answer.is_untrusted = true;
                }
                terminal.finished(finished)
            }
        }
    }
}

/// Interrupts from here on, which end nothing by themselves any more.
pub(crate) fn interrupts() -> Result<Signal, CommandError> {
    let failed = |error| CommandError::Machine(format!("interrupts cannot be heard: {error}"));
    signal(SignalKind::interrupt()).map_err(failed)
}

/// Runs a task on a host. An interrupt kills it, and the rest of its events are still shown.
pub(crate) async fn follow_on(
    host: &Client,
    request: &RunRequest,
    sink: &mut Sink,
) -> Result<(Finished, bool), CommandError> {
    let mut interrupts = interrupts()?;
    let mut lines = host.run(request).await?;
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

/// Shows the events of a task of this process until it ends. An interrupt kills it, and the rest of its events are still shown.
pub(crate) async fn follow(node: &Node, running: Running, sink: &mut Sink) -> Result<(Finished, bool), CommandError> {
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
