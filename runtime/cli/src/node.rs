//! What every command that opens a node, or asks a host, begins with.

use crate::{
    exit::CommandError,
    text::{bytes, folder},
};
use clap::{Args, value_parser};
use remit_assembly::{
    CompileLimits, CompilerCommand, Declarations, Home, Node, NodeConfig, PriceList, Schedule, compile_child,
    models::{DeviceChoice, Swapping},
    recorded::RecordedEngine,
};
use remit_server::Client;
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};
use tokio::runtime::{Builder, Runtime};

/// Threads for timers, signals and connections, beside those that run guests.
pub(crate) fn runtime(threads: usize) -> Result<Runtime, CommandError> {
    let runtime = Builder::new_multi_thread().worker_threads(threads).enable_all().build();
    runtime.map_err(|error| CommandError::Machine(format!("no threads can be started: {error}")))
}

/// Tokens outside of where a model is computed, at most: 2^28, which are 6 TB of the smallest model's, and for each block of which
/// something is kept in memory.
const SWAP_TOKENS_MAX: i64 = 1 << 28;

/// Where models are computed, and in how much memory.
#[derive(Args)]
pub(crate) struct Computing {
    /// Memory for the weights of all models together, such as 8GB; three quarters of what there is without this. A running
    /// host has its own
    #[arg(long, value_name = "SIZE", value_parser = bytes)]
    pub(crate) weights_max: Option<u64>,
    /// Where models are computed: cpu, wgpu (a GPU), or auto, which is a GPU where there is one. A running host has its own
    #[arg(long, value_name = "NAME", env = "REMIT_DEVICE", default_value_t)]
    pub(crate) device: DeviceChoice,
    /// Tokens of each model whose keys and values have room outside of where it is computed: what is worth it goes there rather
    /// than to be computed again. On a GPU 65536 without this, on the CPU none. A running host has its own
    #[arg(long, value_name = "COUNT", value_parser = value_parser!(u32).range(..=SWAP_TOKENS_MAX))]
    pub(crate) swap_tokens: Option<u32>,
    /// A folder where they are in a file, on a disk that is faster than computing; the host's memory without this
    #[arg(long, value_name = "FOLDER", value_parser = folder, requires = "swap_tokens")]
    pub(crate) swap_folder: Option<PathBuf>,
    /// Room on the disk, such as 20GB, for keys and values that leave memory: they are kept in the data folder, sealed, where reading
    /// them takes less time than computing them, and are there after the next start too. None without this. A running host has its own
    #[arg(long, value_name = "SIZE", value_parser = bytes)]
    pub(crate) kv_snapshots: Option<u64>,
}

impl Computing {
    /// Where keys and values go that have to leave where they are computed.
    pub(crate) fn swapping(&self) -> Swapping {
        Swapping {
            tokens_max: self.swap_tokens.map(|tokens| tokens as usize),
            folder: self.swap_folder.clone(),
            snapshot_bytes_max: self.kv_snapshots.filter(|bytes| *bytes > 0),
        }
    }

    /// Whether it says anything of memory, of which a running host has its own.
    pub(crate) const fn asks_for_memory(&self) -> bool {
        self.weights_max.is_some() || self.swap_tokens.is_some() || self.kv_snapshots.is_some()
    }
}

/// Whether processes outlive the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outliving {
    /// None does.
    Never,
    /// Those that are asked to; what they are told is kept in the data folder.
    Durable {
        /// How long one of them waits before it leaves memory.
        patience: Duration,
    },
}

impl Outliving {
    const fn patience(self) -> Option<Duration> {
        match self {
            Self::Never => None,
            Self::Durable { patience } => Some(patience),
        }
    }
}

/// A node on the data folder.
pub(crate) fn open(
    home: Home,
    prices: PriceList,
    computing: &Computing,
    outliving: Outliving,
    tools: Declarations,
) -> Result<Node, CommandError> {
    Ok(Node::open(NodeConfig {
        weights_bytes_max: computing.weights_max,
        device: computing.device,
        swapping: computing.swapping(),
        durable: outliving != Outliving::Never,
        patience: outliving.patience(),
        prices,
        ..plain(home, tools)?
    })?)
}

/// A node on a data folder of its own that loads no model: this engine says what is written. `remembers`: whether it has a memory.
pub(crate) fn open_recorded(
    home: Home,
    engine: Arc<RecordedEngine>,
    remembers: bool,
    tools: Declarations,
) -> Result<Node, CommandError> {
    Ok(Node::with_engine(NodeConfig { durable: remembers, ..plain(home, tools)? }, engine)?)
}

/// What is the same of every node of this program.
fn plain(home: Home, tools: Declarations) -> Result<NodeConfig, CommandError> {
    Ok(NodeConfig {
        home,
        compiler: compiler()?,
        compile_limits: CompileLimits::default(),
        guest_threads: None,
        guests_max: None,
        place_wait_max: None,
        weights_bytes_max: None,
        device: DeviceChoice::Cpu,
        swapping: Swapping::default(),
        durable: false,
        patience: None,
        tools,
        schedule: Schedule::default(),
        prices: PriceList::built_in(),
    })
}

/// A file's prices, or the built-in ones.
pub(crate) fn prices(path: Option<&Path>) -> Result<PriceList, CommandError> {
    let Some(path) = path else { return Ok(PriceList::built_in()) };
    let text =
        std::fs::read_to_string(path).map_err(|error| CommandError::Machine(format!("{}: {error}", path.display())))?;
    PriceList::parse(&text).map_err(|error| CommandError::Usage(format!("{}: {error}", path.display())))
}

/// Does something with the running host of the data folder.
pub(crate) fn ask(what: impl AsyncFnOnce(&Client) -> Result<ExitCode, CommandError>) -> Result<ExitCode, CommandError> {
    let client = Client::of(&Home::find()?)?;
    runtime(1)?.block_on(what(&client))
}

/// This program, as the compiler of components.
pub(crate) fn compiler() -> Result<CompilerCommand, CommandError> {
    let program = std::env::current_exe()
        .map_err(|error| CommandError::Machine(format!("the program's own file cannot be found: {error}")))?;
    Ok(CompilerCommand { program, arguments: vec!["compile-component".into()] })
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
        // Nobody wants the result of a compilation whose host is gone.
        #[cfg(target_os = "linux")]
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
            .map_err(|error| CommandError::Machine(format!("the system does not tell of the host's end: {error}")))?;
        Ok(compile_child(self.arguments))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        computing: Computing,
    }

    #[test]
    fn room_for_keys_and_values_is_read_and_handed_on() {
        let read = |line: &str| Line::try_parse_from(line.split_whitespace()).map(|line| line.computing.swapping());
        let check = |line: &str, tokens_max, folder: Option<&str>| {
            let expect = Swapping { tokens_max, folder: folder.map(Into::into), snapshot_bytes_max: None };
            assert_eq!(read(line).ok(), Some(expect), "{line}");
        };
        check("remit", None, None);
        check("remit --swap-tokens 0", Some(0), None);
        check("remit --swap-tokens 100000", Some(100_000), None);
        check("remit --swap-tokens 100000 --swap-folder /", Some(100_000), Some("/"));
        let snapshots = |line| read(line).ok().and_then(|swapping| swapping.snapshot_bytes_max);
        assert_eq!(snapshots("remit --kv-snapshots 20GB"), Some(20_000_000_000));
        assert_eq!(snapshots("remit --kv-snapshots 0"), None);
        for wrong in
            ["--swap-folder /", "--swap-tokens 1GB", "--swap-tokens 268435457", "--swap-tokens 1 --swap-folder /absent"]
        {
            assert!(read(&format!("remit {wrong}")).is_err(), "{wrong}");
        }
    }
}
