//! Consolidation: when the agent `consolidator` is started, on what, and with which rights. What it does there is its own
//! (`agents/consolidator`); to the node it is an agent as any other, with a budget and the lowest priority.
//!
//! | | |
//! | --- | --- |
//! | which stores | those that the operator names; none without that |
//! | when | nothing has happened on the node for as long as the operator says, and a store has entries that no run has seen |
//! | with which rights | to write that one store, and the one of its runs, `consolidation/STORE`: its manifest asks for any, and gets these |
//! | in which label | one process for each that entries of the store have. Its task has it, so that all that it writes has it |
//! | until | its budget is used up, or something else happens: then it is asked to stop, and goes on another time |
//!
//! A process that waits for people, messages or an alarm keeps nobody from being idle; one that runs, or waits for a model, a tool or the
//! memory, does. After each round the time begins anew, so that a budget is spent once in that time at most.
//!
//! It is ephemeral: what it has done is in the memory, what is left to be done is found again, and a host on which it is switched off does not
//! go on with it.

mod idleness;

use crate::{
    home::Home,
    node::{Agent, GrantChoice, LOCAL_TENANT, Node, Running, StartError, Task, TaskMessage},
    opening::{OpenError, open_installed},
};
use idleness::Idleness;
use remit_abi::{
    EntryFilter, EntryId, GrantKind, GrantSpec, Integrity, Label, MemoryError, Pid, Scope, Status, Tokens,
};
use remit_kernel::{Ended, State};
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Deref,
    time::{Duration, Instant},
};
use thiserror::Error;
use tokio::time;

/// The agent's name.
const CONSOLIDATOR: &str = "consolidator";

/// The labels of its grants.
const STORE: &str = "store";
const RUNS: &str = "runs";

/// Before the name of a store: where its runs are written down.
const RUNS_OF: &str = "consolidation/";

/// How often the node is looked at: often enough to hit the time that the operator says by a quarter, and no more often than costs nothing.
const LOOK_MIN: Duration = Duration::from_secs(1);
const LOOK_MAX: Duration = Duration::from_secs(30);

/// Entries that are read at once to find out which labels there are: each comes with its content.
const PAGE: usize = 64;

/// What the operator has switched on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consolidation {
    /// In which stores. None: it is switched off.
    pub stores: Vec<Box<str>>,
    /// For how long nothing must have happened.
    pub idle: Duration,
    /// For how much each process runs; what the agent's manifest says without this.
    pub budget: Option<Tokens>,
}

/// What is to be done with a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consolidating {
    /// All that is new is put in order.
    New,
    /// It is shown what would be done, and nothing is written.
    Plan,
    /// A run is undone.
    Undo(EntryId),
}

/// Consolidation that cannot be had.
#[derive(Debug, Error)]
pub enum ConsolidationError {
    /// The agent is not installed.
    #[error(transparent)]
    Package(#[from] OpenError),
    /// It cannot be started.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The memory cannot be looked at.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// No name of a store.
    #[error("{0:?} is no store that is consolidated: name one, without a * and not below {RUNS_OF}")]
    NoStore(Box<str>),
    /// The installed agent of that name asks for something else.
    #[error(
        "the installed agent {CONSOLIDATOR} asks for no memory under the label {0}: install the one that comes with this host"
    )]
    OtherAgent(&'static str),
    /// Loading it panicked, or the host is about to end.
    #[error("the agent {CONSOLIDATOR} was not loaded")]
    NotLoaded,
    /// No record of a run.
    #[error("{0} is no run of a consolidation: `remit memory ls --store 'consolidation/*' --tag run` shows them")]
    NoRun(EntryId),
}

/// What was looked at of a store.
#[derive(Debug, Default)]
struct Seen {
    /// Up to which entry every one was there for a run that came to its end.
    until: Option<EntryId>,
    /// Processes of this, whose own entries are nothing new.
    own: BTreeSet<Pid>,
}

/// Entries behind those that were looked at.
#[derive(Debug, Default, PartialEq, Eq)]
struct New {
    labels: Vec<Label>,
    last: Option<EntryId>,
}

fn is_store(store: &str) -> bool {
    remit_abi::is_name(store) && !store.starts_with(RUNS_OF)
}

/// The agent for one store. Blocks.
///
/// # Errors
/// [`ConsolidationError`].
fn load(node: &Node, home: &Home, store: &str) -> Result<Agent, ConsolidationError> {
    if !is_store(store) {
        return Err(ConsolidationError::NoStore(store.into()));
    }
    let package = open_installed(home, CONSOLIDATOR)?;
    let mut agent = match node.load(&package, &GrantChoice::All) {
        // What is there word by word twice is merged without a model.
        Err(StartError::Engine(error)) => {
            tracing::info!(%store, %error, "the store is consolidated without a model");
            node.load(&package, &GrantChoice::Only(vec![STORE.to_owned(), RUNS.to_owned()]))?
        }
        loaded => loaded?,
    };
    narrow(&mut agent.grants, STORE, store)?;
    narrow(&mut agent.grants, RUNS, &format!("{RUNS_OF}{store}"))?;
    Ok(agent)
}

/// Leaves a grant one store of those that it opens.
fn narrow(grants: &mut [GrantSpec], label: &'static str, store: &str) -> Result<(), ConsolidationError> {
    let grant = grants.iter_mut().find(|grant| &*grant.label == label && grant.kind == GrantKind::Memory);
    let grant = grant.filter(|grant| grant.scope.contains(store)).ok_or(ConsolidationError::OtherAgent(label))?;
    grant.scope = Scope::parse(GrantKind::Memory, &[store]).map_err(StartError::Scope)?;
    Ok(())
}

/// Consolidates what is new whenever nothing has happened for a while. It never ends by itself; whoever drops it ends what it has started.
pub async fn consolidate_while_idle<N>(node: N, wanted: Consolidation)
where
    N: Deref<Target = Node> + Clone + Send + 'static,
{
    if wanted.stores.is_empty() {
        return std::future::pending().await;
    }
    let (begun, mut idleness, mut seen) = (Instant::now(), Idleness::default(), BTreeMap::<&str, Seen>::new());
    loop {
        time::sleep((wanted.idle / 4).clamp(LOOK_MIN, LOOK_MAX)).await;
        let (there, is_busy) = node.activity(None);
        if idleness.look(begun.elapsed(), there, is_busy) < wanted.idle {
            continue;
        }
        for store in &wanted.stores {
            if let Err(error) = consolidate_new(&node, store, wanted.budget, seen.entry(store).or_default()).await {
                tracing::warn!(%store, %error, "the store is not consolidated");
            }
        }
        idleness.wait_again(begun.elapsed());
    }
}

/// Consolidates what is new in one store, label by label, until something happens.
async fn consolidate_new<N>(
    node: &N,
    store: &str,
    budget: Option<Tokens>,
    seen: &mut Seen,
) -> Result<(), ConsolidationError>
where
    N: Deref<Target = Node> + Clone + Send + 'static,
{
    let new = node.new_in(store, seen).await?;
    if new.labels.is_empty() {
        seen.own.clear();
    }
    for label in new.labels {
        let (starting, store) = (node.clone(), store.to_owned());
        let start = move || starting.consolidate(&store, label, Consolidating::New, budget);
        let running = tokio::task::spawn_blocking(start).await.map_err(|_| ConsolidationError::NotLoaded)??;
        seen.own.insert(running.pid);
        if !node.is_whole(running).await {
            return Ok(());
        }
    }
    // What was there is in order now; whoever wrote something meanwhile has a higher number.
    seen.until = seen.until.max(new.last);
    Ok(())
}

impl Node {
    /// Which labels the entries of a store have, in the order in which they are put in order.
    ///
    /// # Errors
    /// [`ConsolidationError`].
    pub async fn labels_of_store(&self, store: &str) -> Result<Vec<Label>, ConsolidationError> {
        Ok(self.new_in(store, &Seen::default()).await?.labels)
    }

    /// The store and the label that a run was for.
    ///
    /// # Errors
    /// [`ConsolidationError`].
    pub async fn consolidated_by(&self, run: EntryId) -> Result<(Box<str>, Label), ConsolidationError> {
        let runs = Scope::parse(GrantKind::Memory, &[format!("{RUNS_OF}*")]).map_err(StartError::Scope)?;
        let versions = self.kernel.memory().store.versions(LOCAL_TENANT, runs, run).await;
        let versions = versions.map_err(|error| MemoryError::Unavailable(error.to_string().into()))?;
        let head = versions.last().ok_or(ConsolidationError::NoRun(run))?;
        let store = head.store.strip_prefix(RUNS_OF).ok_or(ConsolidationError::NoRun(run))?;
        Ok((store.into(), head.label))
    }

    /// Starts the agent on what a store has of one label. Blocks while it is loaded.
    ///
    /// # Errors
    /// [`ConsolidationError`].
    pub fn consolidate(
        &self,
        store: &str,
        label: Label,
        what: Consolidating,
        budget: Option<Tokens>,
    ) -> Result<Running, ConsolidationError> {
        let agent = load(self, &self.home, store)?;
        let text = match what {
            Consolidating::New => "consolidate".to_owned(),
            Consolidating::Plan => "plan".to_owned(),
            Consolidating::Undo(run) => format!("undo {run}"),
        };
        let message = TaskMessage { text, trusted: label.integrity == Integrity::Trusted, ..TaskMessage::default() };
        let tags = self.tag_names(label).into_iter().map(Into::into).collect();
        Ok(self.start(&agent, Task { budget, messages: vec![message], tags, ..Task::default() })?)
    }

    /// Waits for a process of consolidation, and asks it to stop when something happens; whether it did all that there was.
    async fn is_whole(&self, running: Running) -> bool {
        let Running { pid, events, mut finished } = running;
        events.leave();
        let (before, _) = self.activity(Some(pid));
        let ended = loop {
            tokio::select! {
                finished = &mut finished => break finished.ended,
                () = time::sleep(LOOK_MIN) => {
                    let (there, is_busy) = self.activity(Some(pid));
                    if is_busy || there != before {
                        self.kernel.cancel(pid);
                    }
                }
            }
        };
        match ended {
            Ended::Done(status, _) => status == Status::Complete,
            Ended::Failed(failure) => {
                tracing::warn!(%pid, message = %failure.message, "a consolidation failed");
                false
            }
            Ended::Faulted(fault) => {
                tracing::warn!(%pid, %fault, "a consolidation was ended");
                false
            }
        }
    }

    /// What processes have paid, and whether one of them works; but for one.
    fn activity(&self, but: Option<Pid>) -> (BTreeMap<Pid, Tokens>, bool) {
        let processes = self.kernel.processes();
        let others = || processes.iter().filter(|process| Some(process.pid) != but);
        let works = |state| match state {
            State::Running => true,
            State::Waiting(interface) => matches!(interface, "context" | "files" | "llm" | "memory" | "tool"),
            State::Asleep | State::Suspended | State::Frozen | State::Parked => false,
        };
        let is_busy = others().any(|process| works(process.state));
        (others().map(|process| (process.pid, process.ledger.paid)).collect(), is_busy)
    }

    /// The labels of what is new in a store.
    async fn new_in(&self, store: &str, seen: &Seen) -> Result<New, ConsolidationError> {
        if !is_store(store) {
            return Err(ConsolidationError::NoStore(store.into()));
        }
        let stores = Scope::parse(GrantKind::Memory, &[store]).map_err(StartError::Scope)?;
        let (mut labels, mut after) = (Vec::new(), seen.until);
        loop {
            let page =
                self.kernel.list_memory(LOCAL_TENANT, stores.clone(), EntryFilter::default(), after, PAGE).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.id);
            for entry in page.iter().filter(|entry| entry.source.is_none_or(|source| !seen.own.contains(&source))) {
                if !labels.contains(&entry.label) {
                    labels.push(entry.label);
                }
            }
        }
        Ok(New { labels, last: after })
    }
}
