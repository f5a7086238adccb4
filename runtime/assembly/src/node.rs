//! A node: one kernel on one host, and what it takes to put a task on it.

use crate::{
    adapters::{FairRunQueue, HostRunner, SystemClock, SystemEntropy},
    components,
    deployments::Deploying,
    engines::{EngineLoadError, Engines},
    gate::Gate,
    home::Home,
    journal::FolderJournal,
    memory,
    models::{
        DeviceChoice, ModelFigures, ModelStore, Registry, ResidencyView, SnapshotFigures, Swapping, weights_bytes_max,
    },
    packages::InstalledPackages,
    payment::Payment,
    recall,
    routes::{RouteBook, RouteError},
    schedule::Schedule,
    serving::{Models, serve_one_of},
    wants,
};
use bytes::Bytes;
use parking_lot::Mutex;
use remit_abi::{GrantId, GrantKind, GrantSpec, Integrity, Label, Pid, Priority, Role, TagSet, TenantId, Tokens};
use remit_authority::PriceList;
use remit_host::{CompileLimits, CompilerCommand, Host, HostConfig};
use remit_inference::device::keep_in;
use remit_journal::SqliteJournal;
use remit_kernel::{
    Durability, EphemeralJournal, Finished, GivenMessage, Kernel, Listener, Ports, RestartPolicy, Spawn, SpawnError,
    Spawned,
    ports::{Engine, Journal, Memory, PortFuture, Program},
};
use remit_package::{Manifest, Package};
use remit_tools::{Commands, Declarations, DiskFolders};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tokio::runtime::Handle;

mod errors;

pub use errors::{GrantingError, NodeError, StartError};

/// Whoever runs agents on their own machine is its one tenant.
pub(crate) const LOCAL_TENANT: TenantId = TenantId(0);

/// What a node is made of.
pub struct NodeConfig {
    /// Where data is.
    pub home: Home,
    /// The program that compiles components, and its first arguments: this crate's user calls
    /// [`crate::compile_child`] there.
    pub compiler: CompilerCommand,
    /// What one compilation may use.
    pub compile_limits: CompileLimits,
    /// Threads that run guests; as many as the machine has without this.
    pub guest_threads: Option<usize>,
    /// Guests that live at a time; as many as the machine's address space has room for without this.
    pub guests_max: Option<u32>,
    /// How long a start waits where all places for guests are taken; as long as the host has it without this.
    pub place_wait_max: Option<Duration>,
    /// Bytes of memory for the weights of all models; a part of the machine's without this
    /// ([`Machine::weights_bytes_max`](crate::models::Machine::weights_bytes_max)).
    pub weights_bytes_max: Option<u64>,
    /// Where models are computed.
    pub device: DeviceChoice,
    /// Where keys and values go that have to leave there.
    pub swapping: Swapping,
    /// Whether processes can outlive the host: what they are told is kept in the data folder then.
    pub durable: bool,
    /// How long a durable process waits before it leaves memory; without this none does.
    pub patience: Option<Duration>,
    /// What agents may have act outside the node, and which folders they may read.
    pub tools: Declarations,
    /// Who runs next.
    pub schedule: Schedule,
    /// What turns work into tokens. [`Node::open`] adds what the lists of models say of those that it does not name.
    pub prices: PriceList,
}

/// Which of the grants that an agent asks for it gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GrantChoice {
    /// All of them.
    All,
    /// Those of these labels.
    Only(Vec<String>),
}

/// A message of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskMessage {
    /// What is said.
    pub text: String,
    /// Whether the operator said it, rather than a document or a stranger.
    pub trusted: bool,
    /// Who speaks: the person, unless what was said before is told again.
    pub role: Role,
}

impl Default for TaskMessage {
    /// An empty one of a person, and untrusted.
    fn default() -> Self {
        Self { text: String::new(), trusted: false, role: Role::User }
    }
}

/// An agent that is ready to be started: loaded, linked for its grants, its models served.
#[derive(Clone)]
pub struct Agent {
    program: Program,
    pub(crate) grants: Vec<GrantSpec>,
    budget: Tokens,
    soft_limit: Tokens,
    restart: RestartPolicy,
    priority: Priority,
}

/// Something for an agent to do.
#[derive(Clone, Debug, Default)]
pub struct Task {
    /// For how much; what the manifest says without this.
    pub budget: Option<Tokens>,
    /// What is to be done, oldest message first.
    pub messages: Vec<TaskMessage>,
    /// Confidentiality tags of all messages.
    pub tags: Vec<String>,
    /// The state that the agent committed last, where it is started again.
    pub resumed: Option<Bytes>,
    /// Under which name other processes find its mailbox.
    pub name: Option<String>,
    /// Whether it goes on where it was when the host starts anew.
    pub durable: bool,
}

/// A task under way. It runs while `finished` is polled, and stops when that is dropped.
pub struct Running {
    /// The process that does it.
    pub pid: Pid,
    /// What it shows.
    pub events: Listener,
    /// Its end.
    pub finished: PortFuture<'static, Finished>,
}

/// One kernel on one host.
pub struct Node {
    pub(crate) kernel: Kernel,
    pub(crate) host: Arc<Host>,
    /// `None` where the caller brought an engine of their own.
    engines: Option<Arc<Engines>>,
    default_model: String,
    pub(crate) home: Home,
    pub(crate) gate: Arc<Gate>,
    /// Routes that somebody was granted, whose models are open.
    served: Arc<Mutex<BTreeSet<Box<str>>>>,
    /// Whether processes can outlive the host.
    pub(crate) durable: bool,
    /// Where they can: what they are told.
    pub(crate) journal: Option<Arc<SqliteJournal>>,
    /// Where it was started.
    pub(crate) runtime: Handle,
    pub(crate) deploying: Deploying,
}

impl Node {
    /// Starts a node that serves the models of the data folder. Called from a tokio runtime with time enabled, which
    /// then does its timers.
    ///
    /// # Errors
    /// [`NodeError`].
    pub fn open(mut config: NodeConfig) -> Result<Self, NodeError> {
        keep_in(&config.home.cache().join("gpu"));
        config.device = config.device.settle();
        let device = config.device.look()?;
        let weights_bytes_max = config.weights_bytes_max.unwrap_or_else(|| weights_bytes_max(&device));
        let (registry, store) = (Registry::of(&config.home)?, ModelStore::of(&config.home));
        registry.complete(&mut config.prices);
        let engines = Engines::new(registry, store, weights_bytes_max, config.device);
        let engines = Arc::new(engines.swapping(config.swapping.clone()));
        Self::start_with(config, engines.clone(), Some(engines))
    }

    /// Starts a node on another engine, for example a recorded one. Every model that is granted must be one of its own.
    ///
    /// # Errors
    /// [`NodeError`].
    pub fn with_engine(config: NodeConfig, engine: Arc<dyn Engine>) -> Result<Self, NodeError> {
        Self::start_with(config, engine, None)
    }

    fn start_with(
        config: NodeConfig,
        engine: Arc<dyn Engine>,
        engines: Option<Arc<Engines>>,
    ) -> Result<Self, NodeError> {
        let runtime = Handle::try_current().map_err(|_| NodeError::NoRuntime)?;
        let (home, routes) = (config.home.clone(), RouteBook::open(&config.home)?.routes()?);
        let mut host = HostConfig::new(config.home.cache(), config.compiler);
        host.compile_limits = config.compile_limits;
        if let Some(threads) = config.guest_threads {
            host.threads = threads;
        }
        if let Some(guests) = config.guests_max {
            host.instances_max = guests;
        }
        if let Some(place_wait_max) = config.place_wait_max {
            host.place_wait_max = place_wait_max;
        }
        host.run_queue = Box::new(FairRunQueue(config.schedule.queue()));
        let host = Arc::new(Host::new(host)?);
        let kept = config.durable.then(|| SqliteJournal::open(&home.journal()).map(Arc::new)).transpose()?;
        if let Some(kept) = &kept {
            recall::begin(&home, kept, &runtime)?;
            if let Some((engines, bytes_max)) = engines.as_ref().zip(config.swapping.snapshot_bytes_max) {
                engines.keep_in(kept.snapshots(&home.kv(), bytes_max)?);
            }
        }
        let journal: Arc<dyn Journal> = match &kept {
            Some(kept) => Arc::new(FolderJournal::new(kept.clone(), runtime.clone())),
            None => Arc::new(EphemeralJournal),
        };
        let remembers = config.durable.then(|| memory::open(&home, &engine, engines.as_ref())).transpose()?;
        let folders = Arc::new(DiskFolders::new(&config.tools, runtime.clone()));
        let tools = Commands::new(config.tools, runtime.clone());
        // A durable node has the lock there: no other one goes by this name.
        let named = || home.run().canonicalize().unwrap_or_else(|_| home.run()).into_os_string();
        let tools = if config.durable { tools.of_host(named()) } else { tools };
        let gate = Arc::new(Gate::new(home.clone()));
        let installed =
            InstalledPackages::new(config.home, host.clone(), gate.clone(), runtime.clone(), config.durable);
        let ports = Ports {
            runner: Arc::new(HostRunner { host: host.clone() }),
            engine,
            packages: Arc::new(installed),
            journal,
            clock: Arc::new(SystemClock::of_runtime(runtime.clone())),
            entropy: Arc::new(SystemEntropy),
            tools: Arc::new(tools),
            memory: remembers.as_ref().map_or_else(Memory::none, |opened| opened.memory.clone()),
            folders,
        };
        let default_model = Registry::built_in().default_model().name.clone();
        let kernel = Kernel::new(ports, config.prices);
        kernel.set_patience(config.patience.map(|patience| u64::try_from(patience.as_nanos()).unwrap_or(u64::MAX)));
        kernel.set_routes(routes);
        if let Some(opened) = remembers {
            opened.journal.is(kernel.memory_journal());
        }
        let (served, durable) = (Arc::default(), config.durable);
        let deploying = Deploying::default();
        Ok(Self {
            kernel,
            host,
            engines,
            default_model,
            home,
            gate,
            served,
            durable,
            journal: kept,
            runtime,
            deploying,
        })
    }

    /// Ends the node and not its processes: those that outlive it go on where they stand when it starts anew.
    pub fn stop(&self) {
        self.kernel.stop();
    }

    /// Keeps what models have at hand and is worth it, where there is room for that beyond the node's end. Blocks for as long as the disk
    /// takes.
    pub fn keep_snapshots(&self) {
        if let Some(engines) = self.engines.as_ref().filter(|engines| engines.snapshots().is_some()) {
            engines.keep_snapshots();
        }
        if let Some(journal) = &self.journal {
            journal.settle_snapshots();
        }
    }

    /// Loads an agent that this host lets in, with the chosen ones of the grants that it asks for, and the models that these
    /// open. Blocks.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn load(&self, package: &Package, choice: &GrantChoice) -> Result<Agent, StartError> {
        self.gate.admit(package)?;
        let manifest = &package.manifest;
        let grants = wants::granted(&self.kernel, LOCAL_TENANT, manifest, choice, &self.default_model)?;
        self.check_tools(manifest, &grants)?;
        wants::check_folders(&self.kernel.folders(LOCAL_TENANT), manifest, &grants)?;
        self.check_memory(manifest, &grants)?;
        let linked = wants::linked(manifest, grants.iter().map(|grant| grant.kind));
        let image = self.host.load(package.bytes(), &wants::names_of(&linked))?;
        self.serve_models(&grants)?;
        if self.durable {
            components::keep(&self.home, package).map_err(StartError::Keep)?;
        }
        let digest = image.digest().into();
        Ok(Agent {
            program: Program {
                name: manifest.name.as_str().into(),
                digest,
                linked,
                image,
                limits: wants::limits(manifest),
            },
            grants,
            budget: manifest.budget.amount()?,
            soft_limit: manifest.budget.soft_amount()?.unwrap_or_default(),
            restart: wants::restart(&manifest.restart),
            priority: wants::priority(manifest.priority),
        })
    }

    /// Whether every tool that an agent cannot do without is declared.
    fn check_tools(&self, manifest: &Manifest, grants: &[GrantSpec]) -> Result<(), StartError> {
        let names = self.kernel.tools(LOCAL_TENANT);
        let is_optional = |label: &str| manifest.wants.iter().any(|want| want.label == *label && want.optional);
        for grant in grants.iter().filter(|grant| grant.kind == GrantKind::Tool && !is_optional(&grant.label)) {
            let undeclared = grant.scope.entries().iter().find(|tool| !tool.ends_with('*') && !names.contains(*tool));
            if let Some(tool) = undeclared {
                let declared = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
                return Err(StartError::NoSuchTool {
                    label: grant.label.to_string(),
                    tool: tool.to_string(),
                    declared,
                });
            }
        }
        Ok(())
    }

    /// Whether there is a memory for an agent that cannot do without one.
    fn check_memory(&self, manifest: &Manifest, grants: &[GrantSpec]) -> Result<(), StartError> {
        let is_optional = |label: &str| manifest.wants.iter().any(|want| want.label == *label && want.optional);
        let lacks = |grant: &&GrantSpec| grant.kind == GrantKind::Memory && !is_optional(&grant.label);
        match grants.iter().find(lacks) {
            Some(grant) if !self.durable => Err(StartError::NoMemory { label: grant.label.to_string() }),
            _ => Ok(()),
        }
    }

    /// Starts a process of an agent.
    ///
    /// # Errors
    /// [`StartError`]; nothing runs then.
    pub fn start(&self, agent: &Agent, task: Task) -> Result<Running, StartError> {
        let conversation = self.conversation(task.messages, &task.tags)?;
        let budget = task.budget.unwrap_or(agent.budget);
        let payer = self.kernel.deposit(budget).map_err(SpawnError::from)?;
        let spawn = Spawn {
            tenant: LOCAL_TENANT,
            program: agent.program.clone(),
            grants: agent.grants.clone(),
            payer,
            budget,
            conversation,
            resumed: task.resumed,
            name: task.name.map(Into::into),
            soft_limit: agent.soft_limit,
            restart: agent.restart,
            priority: agent.priority,
            durability: if task.durable { Durability::Durable } else { Durability::Ephemeral },
        };
        let payment = Payment { kernel: self.kernel.clone(), payer };
        let Spawned { pid, events, finished } = self.kernel.spawn(spawn)?;
        let finished = Box::pin(async move {
            let finished = finished.await;
            drop(payment);
            finished
        });
        Ok(Running { pid, events, finished })
    }

    /// Gives a live process a grant, and serves the models that it opens. Blocks while they are loaded.
    ///
    /// # Errors
    /// [`GrantingError`].
    pub fn give(&self, pid: Pid, grant: GrantSpec) -> Result<GrantId, GrantingError> {
        self.serve_models(std::slice::from_ref(&grant))?;
        Ok(self.kernel.give(pid, grant)?)
    }

    /// Opens the model by which texts become vectors, where there is one. Blocks.
    ///
    /// # Errors
    /// [`EngineLoadError`].
    pub fn serve_memory(&self) -> Result<(), EngineLoadError> {
        match (&self.engines, self.kernel.memory().model.as_deref()) {
            (Some(engines), Some(model)) => engines.open(model),
            _ => Ok(()),
        }
    }

    /// The models of this node.
    pub(crate) fn models(&self) -> Models {
        Models { kernel: self.kernel.clone(), engines: self.engines.clone(), served: self.served.clone() }
    }

    /// Opens the models that grants name, and those of routes that they name. Blocks.
    pub(crate) fn serve_models(&self, grants: &[GrantSpec]) -> Result<(), EngineLoadError> {
        self.models().serve(grants)
    }

    /// Reads the routes of the data folder again, and opens the models of those that are in use. Blocks.
    ///
    /// # Errors
    /// [`RouteError`]; the routes are as they were then.
    pub fn reload_routes(&self) -> Result<(), RouteError> {
        let routes = RouteBook::open(&self.home)?.routes()?;
        if let Some(engines) = &self.engines {
            let served = self.served.lock().clone();
            for (name, deployed) in routes.deployed.iter().filter(|(name, _)| served.contains(*name)) {
                let models: Vec<Box<str>> =
                    deployed.arms().flat_map(|(_, version)| version.route.models()).map(Into::into).collect();
                if let Err(error) = serve_one_of(engines, &models) {
                    tracing::warn!(route = %name, %error, "no model of the route can be served");
                }
            }
        }
        self.kernel.set_routes(routes);
        Ok(())
    }

    /// Which models' weights are in memory; none where the caller brought an engine of their own.
    #[must_use]
    pub fn residency(&self) -> Option<ResidencyView> {
        self.engines.as_ref().map(|engines| engines.residency())
    }

    /// What each opened model that answers did and does; none where the caller brought an engine of their own.
    #[must_use]
    pub fn figures(&self) -> Vec<ModelFigures> {
        self.engines.as_ref().map(|engines| engines.figures()).unwrap_or_default()
    }

    /// Keys and values that are kept on the disk; none where no room is given for them.
    #[must_use]
    pub fn snapshots(&self) -> Option<SnapshotFigures> {
        self.engines.as_ref()?.snapshots()
    }

    /// The kernel, for what an operator sees and does.
    #[must_use]
    pub fn kernel(&self) -> &Kernel {
        &self.kernel
    }

    /// The sandbox that this node's processes run in, for what is to run beside them.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Stops a process where it stands.
    pub fn kill(&self, pid: Pid) {
        self.kernel.kill(pid);
    }

    /// The names of a label's tags, sorted.
    #[must_use]
    pub fn tag_names(&self, label: Label) -> Vec<Box<str>> {
        self.kernel.tag_names(LOCAL_TENANT, label.tags)
    }

    /// Whether no token was made or lost so far.
    #[must_use]
    pub fn is_conserved(&self) -> bool {
        self.kernel.is_conserved()
    }

    fn conversation(&self, messages: Vec<TaskMessage>, tags: &[String]) -> Result<Vec<GivenMessage>, StartError> {
        let mut set = TagSet::EMPTY;
        for tag in tags {
            set = set.union(self.kernel.tag(LOCAL_TENANT, tag).ok_or(StartError::Tags)?);
        }
        let given = |TaskMessage { text, trusted, role }| GivenMessage {
            role,
            bytes: Bytes::from(text),
            label: Label { integrity: if trusted { Integrity::Trusted } else { Integrity::Untrusted }, tags: set },
        };
        Ok(messages.into_iter().map(given).collect())
    }
}

impl Drop for Node {
    /// Stops every process: none of them runs on without its node.
    fn drop(&mut self) {
        self.kernel.stop();
    }
}
