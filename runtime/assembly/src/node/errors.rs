//! Why a node, a task or a grant is not had.

use crate::{
    engines::EngineLoadError,
    gate::GateError,
    memory::MemoryOpenError,
    models::{DeviceError, RegistryError},
    recall::RecallRulesError,
    routes::RouteError,
};
use remit_abi::{ScopeError, TagSet};
use remit_host::{HostError, LoadError};
use remit_journal::OpenError;
use remit_kernel::{GiveError, SpawnError, ports::JournalError};
use remit_package::ManifestError;
use std::{io, sync::Arc};
use thiserror::Error;

/// A node that cannot start.
#[derive(Debug, Error)]
pub enum NodeError {
    /// The sandbox.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The operator's list of models.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The operator's routes.
    #[error(transparent)]
    Routes(#[from] RouteError),
    /// Where models are to be computed.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The journal cannot be opened.
    #[error(transparent)]
    Journal(#[from] OpenError),
    /// The memories of the data folder cannot be opened.
    #[error(transparent)]
    Memory(#[from] MemoryOpenError),
    /// The operator's rules of what can be recalled.
    #[error(transparent)]
    Recall(#[from] RecallRulesError),
    /// The journal cannot be read.
    #[error(transparent)]
    Unreadable(#[from] JournalError),
    /// Not called from a tokio runtime.
    #[error("the node needs a tokio runtime with time enabled; please report this")]
    NoRuntime,
}

/// A task that cannot be started.
#[derive(Debug, Error)]
pub enum StartError {
    /// The component is refused.
    #[error(transparent)]
    Load(Arc<LoadError>),
    /// A model that it was granted cannot be served.
    #[error(transparent)]
    Engine(#[from] EngineLoadError),
    /// This host does not let it in.
    #[error(transparent)]
    Gate(#[from] GateError),
    /// A label that the manifest does not have.
    #[error("the agent asks for no grant {label:?}: it asks for {wanted}")]
    NoSuchWant {
        /// What was named.
        label: String,
        /// What there is.
        wanted: String,
    },
    /// The manifest's budget.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A tool that nobody declared.
    #[error(
        "the agent asks for the tool {tool} by its grant {label}, and this host has declared {declared}: declare it in the file of \
         tools, or leave the grant out with --grant"
    )]
    NoSuchTool {
        /// The grant's label.
        label: String,
        /// What it opens.
        tool: String,
        /// What there is.
        declared: String,
    },
    /// A folder that nobody declared.
    #[error(
        "the agent asks for the folder {folder} by its grant {label}, and this host has declared {declared}: declare it in the file of \
         tools, or leave the grant out with --grant"
    )]
    NoSuchFolder {
        /// The grant's label.
        label: String,
        /// The first part of a path that it opens.
        folder: String,
        /// What there is.
        declared: String,
    },
    /// A memory, of a node that keeps none.
    #[error(
        "the agent asks for a memory by its grant {label}, and only a host that runs on keeps one: start it with `remit up`, or leave the \
         grant out with --grant"
    )]
    NoMemory {
        /// The grant's label.
        label: String,
    },
    /// The default model's name.
    #[error("the default model cannot be granted: {0}")]
    Scope(ScopeError),
    /// Its component could not be kept.
    #[error("the component cannot be kept for the process to outlive the host: {0}")]
    Keep(io::Error),
    /// More tags than a tenant has.
    #[error("there are more than {} different tags: use fewer", TagSet::CAPACITY)]
    Tags,
    /// The kernel refuses it.
    #[error(transparent)]
    Spawn(#[from] SpawnError),
}

impl From<LoadError> for StartError {
    fn from(error: LoadError) -> Self {
        Self::Load(Arc::new(error))
    }
}

impl From<Arc<LoadError>> for StartError {
    fn from(error: Arc<LoadError>) -> Self {
        Self::Load(error)
    }
}

impl StartError {
    /// Whether the agent, not the machine or the command line, is the reason.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Load(error) => blames_component(error),
            Self::Manifest(_) | Self::Gate(GateError::Denied(_)) => true,
            _ => false,
        }
    }

    /// Whether the command line is the reason.
    #[must_use]
    pub const fn is_usage(&self) -> bool {
        match self {
            Self::Spawn(error) => !matches!(error, SpawnError::Journal(_)),
            _ => matches!(
                self,
                Self::NoSuchWant { .. }
                    | Self::NoSuchTool { .. }
                    | Self::NoSuchFolder { .. }
                    | Self::NoMemory { .. }
                    | Self::Tags
            ),
        }
    }
}

/// Whether a component, not the machine, is why it was not loaded.
fn blames_component(error: &LoadError) -> bool {
    !matches!(error, LoadError::Read { .. } | LoadError::CompilerMissing { .. } | LoadError::Cache { .. })
}

/// A grant that a live process cannot be given.
#[derive(Debug, Error)]
pub enum GrantingError {
    /// A model that it opens cannot be served.
    #[error(transparent)]
    Engine(#[from] EngineLoadError),
    /// The kernel refuses.
    #[error(transparent)]
    Give(#[from] GiveError),
}
