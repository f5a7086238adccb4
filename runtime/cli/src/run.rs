//! `remit run`: one agent, one task, on this machine.

use crate::{
    exit::{self, CommandError},
    json::JsonLines,
    ledger,
    terminal::Terminal,
};
use clap::{Args, ValueEnum};
use remit_abi::{Event, Tokens, limits::Limits};
use remit_assembly::{
    CompilerCommand, Finished, GrantChoice, Home, Node, NodeConfig, PriceList, Running, Schedule, Task, TaskMessage,
    compile_child, open_package,
};
use std::{
    io::{self, Read},
    path::PathBuf,
    process::ExitCode,
    time::Instant,
};

/// How results are written to standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// The agent's text as it comes.
    Text,
    /// One JSON object a line: every event, and the end with its ledger.
    Json,
}

/// Run an agent.
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
    /// What to write to standard output
    #[arg(short, long, value_enum, default_value = "text")]
    output: Format,
    /// Write the agent's artifacts into this folder
    #[arg(long, value_name = "FOLDER")]
    artifacts: Option<PathBuf>,
    /// Prices instead of the built-in ones, in TOML
    #[arg(long, value_name = "FILE")]
    prices: Option<PathBuf>,
    /// Show at the end what was done and paid
    #[arg(long)]
    ledger: bool,
    /// Show all that the agent logs, not just warnings
    #[arg(short, long)]
    verbose: bool,
}

impl Run {
    pub(crate) fn run(self) -> Result<ExitCode, CommandError> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.map_err(|error| CommandError::Machine(format!("no threads can be started: {error}")))?;
        let result = runtime.block_on(self.run_task());
        runtime.shutdown_background();
        result
    }

    async fn run_task(self) -> Result<ExitCode, CommandError> {
        let started = Instant::now();
        let home = Home::find()?;
        let package = open_package(&home, &self.agent)?;
        let messages = self.messages()?;
        let prices = self.prices()?;
        let budget = self.budget.map(|whole| {
            Tokens::from_whole(whole)
                .ok_or_else(|| CommandError::Usage(format!("--budget {whole} is too large to count")))
        });
        let (compiler, schedule) = (compiler()?, Schedule::default());
        let node = Node::open(NodeConfig { home, compiler, guest_threads: None, guests_max: None, schedule, prices })?;
        let mut sink = self.sink();
        sink.note("loading");
        let agent = node.load(&package, &self.grants())?;
        let task = Task { budget: budget.transpose()?, messages, tags: self.tag.clone(), resumed: None, name: None };
        let running = node.start(&agent, task)?;
        let (finished, interrupted) = follow(&node, running, &mut sink).await?;
        sink.finished(&finished)?;
        if self.ledger {
            ledger::print(&finished, started.elapsed());
        }
        Ok(exit::code_of(&finished.ended, interrupted))
    }

    fn sink(&self) -> Sink {
        match self.output {
            Format::Text => Sink::Terminal(Terminal::new(self.verbose, self.artifacts.clone())),
            Format::Json => Sink::Json(JsonLines),
        }
    }

    fn grants(&self) -> GrantChoice {
        match self.grant.as_slice() {
            [] => GrantChoice::All,
            [none] if none == "none" => GrantChoice::Only(Vec::new()),
            labels => GrantChoice::Only(labels.to_vec()),
        }
    }

    fn prices(&self) -> Result<PriceList, CommandError> {
        let Some(path) = &self.prices else { return Ok(PriceList::built_in()) };
        let text = std::fs::read_to_string(path)
            .map_err(|error| CommandError::Machine(format!("{}: {error}", path.display())))?;
        PriceList::parse(&text).map_err(|error| CommandError::Usage(format!("{}: {error}", path.display())))
    }

    /// What the operator typed is trusted; what comes through standard input is not.
    fn messages(&self) -> Result<Vec<TaskMessage>, CommandError> {
        if self.input.iter().filter(|input| *input == "-").count() > 1 {
            return Err(CommandError::Usage("standard input can be read once: give `-` once".to_owned()));
        }
        let message = |input: &String| match input.as_str() {
            "-" => Ok(TaskMessage { text: read_standard_input()?, trusted: false }),
            text => Ok(TaskMessage { text: text.to_owned(), trusted: true }),
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

/// This program, as the compiler of components.
fn compiler() -> Result<CompilerCommand, CommandError> {
    let program = std::env::current_exe()
        .map_err(|error| CommandError::Machine(format!("the program's own file cannot be found: {error}")))?;
    Ok(CompilerCommand { program, arguments: vec!["compile-component".into()] })
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

    fn event(&mut self, node: &Node, event: &Event) -> Result<(), CommandError> {
        match self {
            Self::Terminal(terminal) => terminal.event(event),
            Self::Json(json) => json.event(node, event),
        }
    }

    fn finished(&mut self, finished: &Finished) -> Result<(), CommandError> {
        match self {
            Self::Terminal(terminal) => terminal.finished(finished),
            Self::Json(json) => json.finished(finished),
        }
    }
}

/// Shows events until the process ends. An interrupt kills the process, and the rest of its events are still shown.
async fn follow(node: &Node, running: Running, sink: &mut Sink) -> Result<(Finished, bool), CommandError> {
    let Running { pid, mut events, mut finished } = running;
    let (mut end, mut interrupted) = (None, false);
    while end.is_none() {
        tokio::select! {
            biased;
            Some(event) = events.recv() => sink.event(node, &event)?,
            ended = &mut finished => end = Some(ended),
            Ok(()) = tokio::signal::ctrl_c(), if !interrupted => {
                interrupted = true;
                node.kill(pid);
            }
        }
    }
    while let Ok(event) = events.try_recv() {
        sink.event(node, &event)?;
    }
    let finished = end.expect("the loop ends with the process");
    Ok((finished, interrupted))
}

/// Compile a component: what a compiling child process does.
#[derive(Args)]
pub(crate) struct CompileComponent {
    /// Handed through to the host
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<std::ffi::OsString>,
}

impl CompileComponent {
    pub(crate) fn run(self) -> Result<ExitCode, CommandError> {
        Ok(compile_child(self.arguments))
    }
}
