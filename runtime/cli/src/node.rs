//! What every command that opens a node, or asks a host, begins with.

use crate::{exit::CommandError, text::bytes};
use clap::Args;
use remit_assembly::{
    CompileLimits, CompilerCommand, Home, Node, NodeConfig, PriceList, Schedule, compile_child, models::DeviceChoice,
};
use remit_server::Client;
use std::{path::Path, process::ExitCode};
use tokio::runtime::{Builder, Runtime};

/// Threads for timers, signals and connections, beside those that run guests.
pub(crate) fn runtime(threads: usize) -> Result<Runtime, CommandError> {
    let runtime = Builder::new_multi_thread().worker_threads(threads).enable_all().build();
    runtime.map_err(|error| CommandError::Machine(format!("no threads can be started: {error}")))
}

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
}

/// A node on the data folder.
pub(crate) fn open(home: Home, prices: PriceList, computing: &Computing) -> Result<Node, CommandError> {
    let (compiler, schedule) = (compiler()?, Schedule::default());
    Ok(Node::open(NodeConfig {
        home,
        compiler,
        compile_limits: CompileLimits::default(),
        guest_threads: None,
        guests_max: None,
        weights_bytes_max: computing.weights_max,
        device: computing.device,
        schedule,
        prices,
    })?)
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
fn compiler() -> Result<CompilerCommand, CommandError> {
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
