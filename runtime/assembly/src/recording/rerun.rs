//! Running a recording again on this machine: in a sandbox of its own, without a model, a journal or a network.

use super::Recording;
use crate::{
    adapters::{HostRunner, SystemClock, SystemEntropy},
    home::Home,
};
use remit_host::{CompilerCommand, Host, HostConfig, HostError, LoadError, PLACES_OF_ONE_MAX};
use remit_kernel::{
    Reran, Rerun, Step,
    ports::{Program, Runner},
};
use std::sync::Arc;
use thiserror::Error;
use tokio::runtime::Handle;

/// A recording that cannot be run again.
#[derive(Debug, Error)]
pub enum RerunError {
    /// The sandbox.
    #[error(transparent)]
    Host(#[from] HostError),
    /// Its component.
    #[error("its component cannot be loaded: {0}")]
    Load(#[from] LoadError),
    /// Its log.
    #[error(transparent)]
    Rerun(#[from] remit_kernel::RerunError),
}

/// Runs a recording again, from the beginning of one of its runs (the last one, where none is named) to an entry of its log (the last
/// one, where none is named), and shows each step. Called from a tokio runtime with time enabled; blocks while it compiles.
///
/// # Errors
/// [`RerunError`].
pub async fn rerun(
    home: &Home,
    compiler: CompilerCommand,
    recording: Recording,
    (run, until): (Option<usize>, Option<u64>),
    show: impl FnMut(Step) + Send + 'static,
) -> Result<Reran, RerunError> {
    let Recording { history, component, .. } = recording;
    // Of a host for many, making and unmaking the pool takes as long as all else here.
    let config = HostConfig { instances_max: PLACES_OF_ONE_MAX, threads: 1, ..HostConfig::new(home.cache(), compiler) };
    let host = Arc::new(Host::new(config)?);
    let kinds: Vec<&str> = history.created.kinds.iter().map(|kind| kind.name()).collect();
    let image = host.load(&component, &kinds)?;
    let program = Program {
        name: history.created.package.clone(),
        digest: image.digest().into(),
        linked: history.created.kinds.clone(),
        image,
        limits: history.created.limits,
    };
    let runner: Arc<dyn Runner> = Arc::new(HostRunner { host });
    let (clock, entropy) = (Arc::new(SystemClock::of_runtime(Handle::current())), Arc::new(SystemEntropy));
    Ok(Rerun { runner, clock, entropy, program, history, run, until }.go(show).await?)
}
