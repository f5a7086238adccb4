//! Starting processes: the operator's, out of nothing but a deposit, and those of other processes, out of what these have.

use crate::{
    bill::Bill,
    control::{ControlBlock, Durability, Facts, Hold},
    due::Due,
    end::End,
    kernel::{Kernel, Shared},
    life::{Finished, Life},
    outlet::{Audience, Listener, Outlet},
    ports::{Change, Created, Entry, JournalError, Program, Record},
    process::{Held, Process, TEXT, Value},
    signals::Signals,
    supervise::RestartPolicy,
    table::Refused,
};
use bytes::Bytes;
use remit_abi::{AccountId, GrantKind, GrantSpec, Label, Pid, Priority, Role, TenantId, Tokens, ValueError, limits};
use remit_authority::{AccountError, GrantError};
use std::{future::Future, sync::Arc};
use thiserror::Error;

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

/// A process to start, by an operator.
pub struct Spawn {
    /// Whose it is.
    pub tenant: TenantId,
    /// What it runs.
    pub program: Program,
    /// Under which it receives messages, where others shall find it; one living process of a tenant has it.
    pub name: Option<Arc<str>>,
    /// What it may do: nothing besides.
    pub grants: Vec<GrantSpec>,
    /// Whose account pays.
    pub payer: AccountId,
    /// How much it may spend of it.
    pub budget: Tokens,
    /// Below how much it is signalled; zero never does.
    pub soft_limit: Tokens,
    /// What it is to do.
    pub conversation: Vec<GivenMessage>,
    /// The state that it committed last, where it is started again.
    pub resumed: Option<Bytes>,
    /// When it is started again.
    pub restart: RestartPolicy,
    /// How urgent it is.
    pub priority: Priority,
    /// Whether it outlives the host.
    pub durability: Durability,
}

/// A process that could not be started.
#[derive(Debug, Error)]
pub enum SpawnError {
    /// The payer has less than the budget, or is closed.
    #[error("the process cannot be given its budget: {0}")]
    Budget(#[from] AccountError),
    /// A grant that cannot be given.
    #[error("the process cannot be given a grant: {0}")]
    Grant(#[from] GrantError),
    /// The conversation is larger than a process may hold.
    #[error("the task's input is too large: {0}")]
    Input(#[from] ValueError),
    /// The tenant has as many processes as it may.
    #[error("the tenant has {limit} processes, which is the most: end some, or raise its processes_max")]
    TooMany {
        /// How many.
        limit: u64,
    },
    /// Another process of the tenant has that name.
    #[error("a process of that name runs already: end it, or choose another name")]
    NameTaken,
    /// An operator froze its tenant or its package.
    #[error("starts of this agent are frozen: thaw them first")]
    Frozen,
    /// It could not be written down.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

impl From<Refused> for SpawnError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::TooMany { limit } => Self::TooMany { limit },
            Refused::NameTaken => Self::NameTaken,
        }
    }
}

/// A process that was started. It stops when `finished` is dropped before its end.
pub struct Spawned<F> {
    /// Its name.
    pub pid: Pid,
    /// What it shows.
    pub events: Listener,
    /// Its end.
    pub finished: F,
}

/// A process about to be entered, with everything that it is given in hand.
pub(crate) struct Entrant<'a> {
    pub(crate) tenant: TenantId,
    pub(crate) program: Program,
    pub(crate) name: Option<Arc<str>>,
    /// Parent, and generations below the operator's.
    pub(crate) parent: Option<(Pid, u32)>,
    pub(crate) label: Label,
    pub(crate) account: AccountId,
    pub(crate) funds: Tokens,
    /// Emptied where it is entered.
    pub(crate) grants: &'a mut Vec<Held>,
    pub(crate) conversation: Vec<GivenMessage>,
    pub(crate) resumed: Option<Bytes>,
    pub(crate) restart: RestartPolicy,
    pub(crate) priority: Priority,
    pub(crate) audience: Audience,
    pub(crate) durability: Durability,
}

impl Shared {
    /// Enters a process into the table. It runs nothing yet.
    pub(crate) fn enter(&self, entrant: Entrant<'_>) -> Result<Arc<ControlBlock>, Refused> {
        let Entrant { tenant, program, name, parent, label, account, funds, grants, conversation, .. } = entrant;
        let signals = Arc::new(Signals::default());
        let bill = Arc::new(Bill::new(self.accounts.clone(), account, self.prices.clone()));
        let facts = Facts {
            package: program.name,
            digest: program.digest,
            name: name.clone(),
            parent: parent.map(|(pid, _)| pid),
            depth: parent.map_or(0, |(_, depth)| depth.saturating_add(1)),
            priority: entrant.priority,
            restart: entrant.restart,
            funds,
            started_ns: self.ports.clock.wall_ns(),
            durability: entrant.durability,
        };
        let zero_ns = i128::from(self.ports.clock.monotonic_ns());
        let due = self.due(entrant.durability);
        let mut table = self.table.write();
        let limits = program.limits.lowered_to(table.limits(tenant).process);
        table.enter(tenant, name, |pid| {
            let mut process = Process::new(pid, limits, label, bill, zero_ns);
            process.due = due;
            process.checkpoint = entrant.resumed;
            for held in grants.drain(..) {
                process.grants.adopt(held);
            }
            process.input = conversation.into_iter().map(given).collect();
            ControlBlock::new(pid, facts, process, Outlet::new(entrant.audience), signals)
        })
    }

    /// The place for what a process has to write down.
    pub(crate) fn due(&self, durability: Durability) -> Due {
        let keeps_changes = self.ports.journal.keeps();
        let keeps_notes = keeps_changes && durability == Durability::Durable;
        Due { keeps_notes, keeps_changes, ..Due::default() }
    }

    /// The first two lines of a process's log; none where it keeps none.
    pub(crate) fn first_lines(&self, block: &ControlBlock, program: &Program) -> Option<[Entry<'static>; 2]> {
        let process = block.process.lock();
        if !process.due.keeps_notes {
            return None;
        }
        let facts = &block.facts;
        let created = Created {
            package: facts.package.clone(),
            digest: facts.digest.clone(),
            kinds: linked_for(process.grants.kinds(), &program.linked),
            limits: program.limits,
            name: facts.name.clone(),
            parent: facts.parent,
            depth: facts.depth,
            priority: facts.priority,
            restart: facts.restart,
            account: process.bill.account(),
            funds: facts.funds,
            started_ns: facts.started_ns,
            input: process.input.iter().map(|(role, value)| (*role, value.image())).collect(),
        };
        let began = process.beginning(self.ports.clock.monotonic_ns(), 0, 0);
        Some([Entry::Created(Box::new(created)), Entry::Began(Box::new(began))])
    }

    /// Takes a process away that was entered and never ran.
    pub(crate) fn drop_child(&self, block: &ControlBlock) {
        self.table.write().leave(block.pid);
        let process = &mut *block.process.lock();
        let mut grants = self.grants.lock();
        process.grants.drain().for_each(|id| grants.release(id));
        drop(grants);
        process.bill.close();
    }

    /// Puts a process that was entered on the run queue.
    pub(crate) fn set_going(self: &Arc<Self>, block: &Arc<ControlBlock>, program: Program) {
        {
            // A freeze that began since it was looked for may not have seen this one.
            let frozen = self.frozen.lock();
            if frozen.holds(block.pid.tenant, &block.facts.package, &block.facts.digest) {
                self.hold(block, Hold::Frozen, true);
            }
        }
        let life = Life::new(Kernel { shared: self.clone() }, block.clone(), program);
        self.ports.runner.start(block.pid, block.facts.priority, Box::pin(life.live()));
    }
}

fn given(GivenMessage { role, bytes, label }: GivenMessage) -> (Role, Value) {
    (role, Value { bytes, media_type: TEXT.into(), label })
}

/// Whether a conversation fits into a process of these limits.
pub(crate) fn check_input(conversation: &[GivenMessage], limits: &limits::Limits) -> Result<(), ValueError> {
    let bytes = conversation.iter().fold(0_u64, |sum, message| sum.saturating_add(message.bytes.len() as u64));
    if bytes > limits.value_bytes_max {
        return Err(ValueError::TooLarge { limit: limits.value_bytes_max });
    }
    if conversation.len() as u64 > limits.objects_max {
        return Err(ValueError::TooMany { limit: limits.objects_max });
    }
    Ok(())
}

impl Kernel {
    /// Starts a process.
    ///
    /// # Errors
    /// [`SpawnError`]; nothing was started or charged then.
    pub fn spawn(&self, spawn: Spawn) -> Result<Spawned<impl Future<Output = Finished> + Send + use<>>, SpawnError> {
        let shared = &self.shared;
        if shared.frozen.lock().holds(spawn.tenant, &spawn.program.name, &spawn.program.digest) {
            return Err(SpawnError::Frozen);
        }
        let limits = spawn.program.limits.lowered_to(shared.table.read().limits(spawn.tenant).process);
        check_input(&spawn.conversation, &limits)?;
        let mut given = Given::issue(shared, spawn.grants)?;
        shared.whole_with_account(spawn.payer);
        let account = given.split(spawn.payer, spawn.budget)?;
        let program = spawn.program.clone();
        let block = shared.enter(Entrant {
            tenant: spawn.tenant,
            program: spawn.program,
            name: spawn.name,
            parent: None,
            label: Label::default(),
            account,
            funds: spawn.budget,
            grants: &mut given.grants,
            conversation: spawn.conversation,
            resumed: spawn.resumed,
            restart: spawn.restart,
            priority: spawn.priority,
            audience: Audience::Listener,
            durability: spawn.durability,
        })?;
        if let Err(error) = self.write_spawned(&block, &program, spawn.payer, spawn.budget) {
            shared.drop_child(&block);
            return Err(error.into());
        }
        given.are_taken();
        // The account was split off just now, so that it is open.
        let _open = shared.accounts.set_soft_limit(account, spawn.soft_limit, &block.signals);
        shared.set_going(&block, program);
        let (pid, journal) = (block.pid, shared.ports.journal.clone());
        let events = Listener { block: block.clone(), journal, ahead: None };
        let guard = Unfinished::of(self, &block);
        Ok(Spawned { pid, events, finished: guard.finished() })
    }

    /// Writes down that an operator started a process.
    fn write_spawned(
        &self,
        block: &ControlBlock,
        program: &Program,
        payer: AccountId,
        budget: Tokens,
    ) -> Result<(), JournalError> {
        let shared = &self.shared;
        if !shared.ports.journal.keeps() {
            return Ok(());
        }
        let account = block.process.lock().bill.account();
        let mut changes = vec![Change::Split { from: payer, account, amount: budget }];
        shared.add_changed_grants(&mut changes);
        let record = |entry, changes| Record { pid: Some(block.pid), entry, changes };
        let lines = shared.first_lines(block, program);
        let [created, began] = lines.map_or([None, None], |lines| lines.map(Some));
        shared.keep(&[record(created, &changes), record(began, &[])]).map(drop)
    }
}

/// What was taken for a process that is not there yet: given back where it never will be.
pub(crate) struct Given<'a> {
    shared: &'a Shared,
    account: Option<AccountId>,
    pub(crate) grants: Vec<Held>,
}

impl<'a> Given<'a> {
    /// Grants of the operator's.
    pub(crate) fn issue(shared: &'a Shared, grants: Vec<GrantSpec>) -> Result<Self, SpawnError> {
        let mut given = Given { shared, account: None, grants: Vec::with_capacity(grants.len()) };
        for grant in grants {
            let (label, kind) = (grant.label.clone(), grant.kind);
            let id = shared.grants.lock().issue(grant)?;
            given.grants.push(Held { label, id, kind });
        }
        Ok(given)
    }

    /// An account, with a part of another one.
    pub(crate) fn split(&mut self, payer: AccountId, budget: Tokens) -> Result<AccountId, SpawnError> {
        let account = self.shared.accounts.lock().split(payer, budget)?;
        self.account = Some(account);
        Ok(account)
    }

    /// They are the process's now.
    pub(crate) fn are_taken(mut self) {
        self.grants.clear();
        self.account = None;
    }
}

impl Drop for Given<'_> {
    fn drop(&mut self) {
        if let Some(account) = self.account {
            // It was split off just now, so that it can be given back.
            let _held = self.shared.accounts.lock().close(account);
        }
        let mut tree = self.shared.grants.lock();
        self.grants.drain(..).for_each(|held| tree.release(held.id));
    }
}

/// A process whose end somebody waits for. Who stops waiting stops it.
pub(crate) struct Unfinished {
    kernel: Kernel,
    pid: Pid,
    parent: Option<Pid>,
    durability: Durability,
    end: Arc<End>,
}

impl Unfinished {
    pub(crate) fn of(kernel: &Kernel, block: &ControlBlock) -> Self {
        let Facts { parent, durability, .. } = block.facts;
        Self { kernel: kernel.clone(), pid: block.pid, parent, durability, end: block.end.clone() }
    }

    pub(crate) async fn finished(self) -> Finished {
        self.end.reached().await;
        let durable = self.kernel.shared.ports.journal.durable(self.end.at()).await;
        if let Err(error) = durable {
            tracing::error!(pid = %self.pid, %error, "the end of a process may not survive a crash");
        }
        match self.end.take() {
            Some(finished) => {
                // What it came to is its operator's to drop, where no process started it.
                if self.durability == Durability::Durable && self.parent.is_some() {
                    self.kernel.shared.change(None, [Change::ReportGone { pid: self.pid }]);
                }
                finished
            }
            None => unreachable!("only this one takes the end of a process that an operator started"),
        }
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.end.is_set() {
            self.kernel.kill(self.pid);
        }
    }
}

/// The kinds of grants that a component is linked for, ascending.
fn linked_for(mut granted: Vec<GrantKind>, linked: &[GrantKind]) -> Vec<GrantKind> {
    granted.extend_from_slice(linked);
    granted.sort_unstable();
    granted.dedup();
    granted
}
