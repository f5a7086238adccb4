//! The process table: starting processes, and taking down what is left of them.
//!
//! | a process is | from | until |
//! | --- | --- | --- |
//! | alive | [`Kernel::spawn`] | its runner reports an exit, or its future is dropped |
//! | reaped | then | for ever: its pid is stale, its work is settled, its funds are back |

use crate::{
    bill::{Bill, Ledger},
    ports::{Clock, Engine, Entropy, Entry, Journal, Program, Runner},
    process::{Process, TEXT, Value, Values},
    tags::Tags,
};
use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use remit_abi::{
    AccountId, Event, Exit, Failure, Fault, Input, Label, Outcome, Pid, Role, Start, Status, TagSet, TenantId, Tokens,
    ValueError, limits,
};
use remit_authority::{AccountError, Accounts, Arena, GrantKind, GrantLimits, Grants, PriceList};
use std::{future::Future, sync::Arc};
use thiserror::Error;
use tokio::sync::mpsc;

/// What the kernel stands on.
pub struct Ports {
    /// Runs guests.
    pub runner: Arc<dyn Runner>,
    /// Serves models.
    pub engine: Arc<dyn Engine>,
    /// Remembers what processes were told.
    pub journal: Arc<dyn Journal>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Draws bytes.
    pub entropy: Arc<dyn Entropy>,
}

/// Slot and generation of a process, without its tenant.
#[derive(Clone, Copy)]
struct Slot(u32, u32);

impl From<(u32, u32)> for Slot {
    fn from((index, generation): (u32, u32)) -> Self {
        Self(index, generation)
    }
}

impl From<Slot> for (u32, u32) {
    fn from(Slot(index, generation): Slot) -> Self {
        (index, generation)
    }
}

/// An entry of the process table.
struct Entered {
    tenant: TenantId,
    process: Arc<Mutex<Process>>,
}

/// What all syscalls work on.
pub(crate) struct Shared {
    pub(crate) ports: Ports,
    pub(crate) prices: Arc<PriceList>,
    pub(crate) grants: Mutex<Grants>,
    pub(crate) tags: Tags,
    accounts: Arc<Mutex<Accounts>>,
    processes: RwLock<Arena<Slot, Entered>>,
}

impl Shared {
    pub(crate) fn process(&self, pid: Pid) -> Option<Arc<Mutex<Process>>> {
        let processes = self.processes.read();
        let entered = processes.get(Slot(pid.index, pid.generation))?;
        (entered.tenant == pid.tenant).then(|| entered.process.clone())
    }
}

/// The kernel of one node.
#[derive(Clone)]
pub struct Kernel {
    pub(crate) shared: Arc<Shared>,
}

/// A right that the operator gives to a new process.
#[derive(Clone, Debug)]
pub struct GivenGrant {
    /// Under which name the process finds it.
    pub label: Arc<str>,
    /// What it opens.
    pub kind: GrantKind,
    /// How far.
    pub limits: GrantLimits,
}

/// A message of the conversation that a process is started with.
#[derive(Clone, Debug)]
pub struct GivenMessage {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub bytes: Bytes,
    /// Where it comes from, and whose secrets are in it.
    pub label: Label,
}

/// A process to start.
pub struct Spawn {
    /// Whose it is.
    pub tenant: TenantId,
    /// What it runs.
    pub program: Program,
    /// What it may do: nothing besides.
    pub grants: Vec<GivenGrant>,
    /// Whose account pays.
    pub payer: AccountId,
    /// How much it may spend of it.
    pub budget: Tokens,
    /// What it is to do.
    pub conversation: Vec<GivenMessage>,
    /// The state that it committed last, where it is started again.
    pub resumed: Option<Bytes>,
}

/// A process that could not be started.
#[derive(Debug, Error)]
pub enum SpawnError {
    /// The payer has less than the budget, or is closed.
    #[error("the process cannot be given its budget: {0}")]
    Budget(#[from] AccountError),
    /// The conversation is larger than a process may hold.
    #[error("the task's input is too large: {0}")]
    Input(#[from] ValueError),
}

/// A process that was started. It runs while [`Spawned::finished`] is polled, and stops when that is dropped.
pub struct Spawned<F> {
    /// Its name.
    pub pid: Pid,
    /// What it shows.
    pub events: mpsc::Receiver<Event>,
    /// Its end.
    pub finished: F,
}

/// A result that a process returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// The content.
    pub bytes: Bytes,
    /// RFC 6838.
    pub media_type: Arc<str>,
    /// What went into it.
    pub label: Label,
}

/// How a process ended, for whoever started it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It did its work, or a usable part of it.
    Done(Status, Option<Output>),
    /// It could not.
    Failed(Failure),
    /// It was ended.
    Faulted(Fault),
}

/// What is left of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// How it ended.
    pub ended: Ended,
    /// What it did and paid.
    pub ledger: Ledger,
    /// What went back to its payer.
    pub refunded: Tokens,
    /// The state that it committed last.
    pub checkpoint: Option<Bytes>,
    /// Log lines that its listener was too slow for.
    pub logs_dropped: u64,
}

impl Kernel {
    /// A kernel without processes, accounts or grants.
    #[must_use]
    pub fn new(ports: Ports, prices: PriceList) -> Self {
        Self {
            shared: Arc::new(Shared {
                ports,
                prices: Arc::new(prices),
                grants: Mutex::default(),
                tags: Tags::default(),
                accounts: Arc::default(),
                processes: RwLock::default(),
            }),
        }
    }

    /// Opens a root account: the operator's act, the only one that makes tokens.
    ///
    /// # Errors
    /// [`AccountError::Overflow`].
    pub fn deposit(&self, amount: Tokens) -> Result<AccountId, AccountError> {
        self.shared.accounts.lock().deposit(amount)
    }

    /// Closes a root account and takes what it holds out of the tree: a deposit, undone. A closed account holds nothing.
    pub fn withdraw(&self, account: AccountId) -> Tokens {
        self.shared.accounts.lock().close(account).unwrap_or_default()
    }

    /// Whether no token was made or lost so far.
    #[must_use]
    pub fn is_conserved(&self) -> bool {
        self.shared.accounts.lock().is_conserved()
    }

    /// The set of one confidentiality tag; `None` where the tenant has too many others.
    #[must_use]
    pub fn tag(&self, tenant: TenantId, name: &str) -> Option<TagSet> {
        self.shared.tags.intern(tenant, name)
    }

    /// The names of a label's tags, sorted.
    #[must_use]
    pub fn tag_names(&self, tenant: TenantId, set: TagSet) -> Vec<Box<str>> {
        self.shared.tags.names(tenant, set)
    }

    /// Stops a process where it stands. A stale pid is no error: it is dead already.
    pub fn kill(&self, pid: Pid) {
        self.shared.ports.runner.kill(pid);
    }

    /// Starts a process.
    ///
    /// # Errors
    /// [`SpawnError`]; nothing was started or charged then.
    pub fn spawn(&self, spawn: Spawn) -> Result<Spawned<impl Future<Output = Finished> + Send + use<>>, SpawnError> {
        let Spawn { tenant, program, grants, payer, budget, conversation, resumed } = spawn;
        let (mut values, mut inputs) = (Values::default(), Vec::with_capacity(conversation.len()));
        for GivenMessage { role, bytes, label } in conversation {
            let content = values.insert(Value { bytes, media_type: TEXT.into(), label }, &program.limits)?;
            inputs.push(Input { role, content });
        }
        let account = self.shared.accounts.lock().split(payer, budget)?;
        let bill = Arc::new(Bill::new(self.shared.accounts.clone(), account, self.shared.prices.clone()));
        let grants = {
            let mut tree = self.shared.grants.lock();
            grants.into_iter().map(|g| (g.label.clone(), tree.issue(g.label, g.kind, g.limits))).collect()
        };
        let (sender, events) = mpsc::channel(limits::EVENTS_QUEUED_MAX);
        let pid = self.enter(tenant, |pid| Process {
            pid,
            limits: program.limits,
            label: Label::default(),
            bill,
            grants,
            values,
            models: Arena::default(),
            generations: Arena::default(),
            timers: Arena::default(),
            zero_ns: self.shared.ports.clock.monotonic_ns(),
            events: sender,
            logs_dropped: 0,
            checkpoint: resumed.clone(),
        });
        let reaper = Reaper { shared: self.shared.clone(), pid, reaped: false };
        let start = Start { conversation: inputs, resumed };
        let exit = self.shared.ports.runner.run(Arc::new(self.clone()), pid, program, start);
        let finished = async move { reaper.reap(exit.await) };
        Ok(Spawned { pid, events, finished })
    }

    fn enter(&self, tenant: TenantId, process: impl FnOnce(Pid) -> Process) -> Pid {
        let pid = |Slot(index, generation)| Pid { tenant, index, generation };
        let mut processes = self.shared.processes.write();
        pid(processes.insert_with(|slot| Entered { tenant, process: Arc::new(Mutex::new(process(pid(slot)))) }))
    }
}

/// Takes a process down, also where nobody waited for its end.
struct Reaper {
    shared: Arc<Shared>,
    pid: Pid,
    reaped: bool,
}

impl Reaper {
    fn reap(mut self, exit: Exit) -> Finished {
        self.reaped = true;
        self.take_down(exit)
    }

    fn take_down(&self, exit: Exit) -> Finished {
        let entered = self.shared.processes.write().remove(Slot(self.pid.index, self.pid.generation));
        let Some(Entered { process, .. }) = entered else {
            unreachable!("a process leaves the table once, by its reaper");
        };
        let mut process = process.lock();
        process.generations = Arena::default();
        if let Some(used) = exit.fuel {
            process.bill.settle_fuel(used);
        }
        {
            let mut grants = self.shared.grants.lock();
            process.grants.drain(..).for_each(|(_, id)| grants.remove(id));
        }
        let ledger = process.bill.ledger();
        let refunded = process.bill.close();
        let ended = ended(&mut process, exit.end.clone());
        if let Err(error) = self.shared.ports.journal.append(self.pid, Entry::Exit(exit)) {
            tracing::error!(pid = %self.pid, %error, "an exit was not journaled");
        }
        let checkpoint = process.checkpoint.take();
        Finished { ended, ledger, refunded, checkpoint, logs_dropped: process.logs_dropped }
    }
}

impl Drop for Reaper {
    fn drop(&mut self) {
        if !self.reaped {
            self.take_down(Exit { end: Err(Fault::Killed), fuel: None });
        }
    }
}

fn ended(process: &mut Process, end: Result<Result<Outcome, Failure>, Fault>) -> Ended {
    match end {
        Err(fault) => Ended::Faulted(fault),
        Ok(Err(failure)) => Ended::Failed(failure),
        Ok(Ok(Outcome { status, output: None })) => Ended::Done(status, None),
        Ok(Ok(Outcome { status, output: Some(id) })) => match process.values.remove(id) {
            Some(Value { bytes, media_type, label }) => Ended::Done(status, Some(Output { bytes, media_type, label })),
            None => Ended::Faulted(Fault::Protocol("it returned a value that it had dropped".into())),
        },
    }
}
