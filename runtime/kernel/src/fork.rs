//! A new process that goes on where another one once was.
//!
//! The new one is told what the other was told up to a place of its log, and goes on by itself from there:
//!
//! | of the other one, at that place | the new one has |
//! | --- | --- |
//! | what it was told, its values, its open models, its clock, its alarms, its committed state | the same |
//! | generations under way | the same, asked for again |
//! | its account, with parts that it split off | an account of its own, with what it is given now; no parts |
//! | its grants | those that it is given now, found under the same labels; others are not granted any more |
//! | children, calls, questions, calls of tools, messages that it had not read | nothing: they are the other one's. A child that it asks for is gone |
//!
//! Its log has the lines of the other one first, and then [`Entry::Forked`], so that it can itself be recovered, run again and forked.
//! The ids of grants and accounts in what it was told are the other's. Its guest goes on using them, and the kernel
//! reads them as its own ([`OwnNames`]): no id of the other opens anything to it.

use crate::{
    control::ControlBlock,
    history::{History, HistoryError, Run},
    kernel::{Kernel, Shared},
    ports::{Change, Created, Entry, Forked, HeldImage, Line, Note, Program, Record, Told},
    process::{Held, Process},
    recovery::{Resumed, resumed},
    replay::{Links, Replay},
    spawn::{Given, SpawnError},
};
use remit_abi::{
    Access, AccountId, BudgetRequest, CapabilityRequest, ChildrenRequest, ContextRequest, GrantId, GrantKind,
    GrantLimits, GrantSpec, HumanRequest, LlmRequest, MailboxRequest, MemoryRequest, NamedGrant, Outgoing, Pid, Plan,
    ProcessReply, ProcessRequest, Reply, Request, Scope, TenantId, Tokens, ToolRequest,
};
use rustc_hash::FxHashMap;
use std::{borrow::Cow, sync::Arc};
use thiserror::Error;

/// A process to start from another one's log.
pub struct Fork {
    /// Whose it is.
    pub tenant: TenantId,
    /// The component that it runs, linked for the kinds of grants of the other one.
    pub program: Program,
    /// The other one's log.
    pub history: History,
    /// The last entry that it shares; all without.
    pub at: Option<u64>,
    /// What it may do from there on: nothing besides.
    pub grants: Vec<GrantSpec>,
    /// Whose account pays.
    pub payer: AccountId,
    /// How much it may spend of it.
    pub budget: Tokens,
}

/// A process that cannot be forked.
#[derive(Debug, Error)]
pub enum ForkError {
    /// Its log.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// The log begins later.
    #[error("the log of process {pid} has no run at {at}: its first one begins at {first}")]
    TooEarly {
        /// Whose.
        pid: Pid,
        /// Where it was to be forked.
        at: u64,
        /// Where its first run begins.
        first: u64,
    },
    /// Another component.
    #[error("the component has the digest {given}, and the process ran {wanted}")]
    OtherComponent {
        /// What was given.
        given: Arc<str>,
        /// What the log says.
        wanted: Arc<str>,
    },
    /// The new one.
    #[error(transparent)]
    Spawn(#[from] SpawnError),
}

impl Kernel {
    /// Starts a process that goes on where another one once was.
    ///
    /// # Errors
    /// [`ForkError`]; nothing was started or charged then.
    pub fn fork(&self, fork: Fork) -> Result<Resumed, ForkError> {
        let Fork { tenant, program, history, at, grants, payer, budget } = fork;
        let (shared, at) = (&self.shared, at.unwrap_or(u64::MAX));
        let too_early =
            || ForkError::TooEarly { pid: history.pid, at, first: history.runs.first().map_or(0, |run| run.sequence) };
        let run = history.run_at(at).ok_or_else(too_early)?;
        let Created { package, digest, .. } = &history.created;
        if program.digest != *digest {
            return Err(ForkError::OtherComponent { given: program.digest, wanted: digest.clone() });
        }
        if shared.frozen.lock().holds(tenant, package, digest) {
            return Err(SpawnError::Frozen.into());
        }
        let mut given = Given::issue(shared, grants)?;
        shared.whole_with_account(payer);
        let account = given.split(payer, budget)?;
        let created = created(&history.created, account, budget, shared.ports.clock.wall_ns());
        let entered = shared.table.write().enter(tenant, None, |pid| shared.block_of(pid, &created, &run.began));
        let block = entered.map_err(SpawnError::from)?;
        let entered = Entered { shared, block: &block, was_written: false };
        shared.give_mailboxes(block.pid, run, at, &mut given.grants)?;
        let lines = lines(&created, run, at, history.created.account, &given.grants);
        entered.write(&lines, Change::Split { from: payer, account, amount: budget })?;
        given.are_taken();
        // The first two lines make the process.
        block.process.lock().replay = Replay::of(lines.into_iter().skip(2).collect(), Arc::new(Links::default()));
        shared.set_going(&block, Program { limits: created.limits, ..program });
        Ok(resumed(self, &block))
    }
}

/// A new process that is in the table, and leaves it where it could not be written down.
struct Entered<'a> {
    shared: &'a Shared,
    block: &'a ControlBlock,
    was_written: bool,
}

impl Entered<'_> {
    fn write(mut self, lines: &[Line], split: Change) -> Result<(), SpawnError> {
        let mut changes = vec![split];
        self.shared.add_changed_grants(&mut changes);
        let record =
            |line: &Line, changes| Record { pid: Some(self.block.pid), entry: Some(line.entry.clone()), changes };
        let records = lines.iter().enumerate().map(|(place, line)| match place {
            0 => record(line, &*changes),
            _ => record(line, &[]),
        });
        let records: Vec<_> = records.collect();
        self.shared.keep(&records)?;
        self.was_written = true;
        Ok(())
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        if !self.was_written {
            self.shared.table.write().leave(self.block.pid);
        }
    }
}

/// What the new process is for good.
fn created(other: &Created, account: AccountId, funds: Tokens, started_ns: u64) -> Created {
    Created { name: None, parent: None, depth: 0, account, funds, started_ns, ..other.clone() }
}

/// The new process's log: its beginning, what the other was told, and what it has from there on.
fn lines(created: &Created, run: &Run, at: u64, account: AccountId, given: &[Held]) -> Vec<Line> {
    let shared = run.lines.iter().filter(|line| line.sequence <= at && !matches!(line.entry, Entry::Exited(_)));
    let grants = given.iter().map(Held::image).collect();
    let first = [Entry::Created(Box::new(created.clone())), Entry::Began(Box::new(run.began.clone()))];
    let entries = first.into_iter().chain(shared.map(|line| line.entry.clone()));
    let entries = entries.chain([Entry::Forked(Box::new(Forked { account, grants }))]);
    (1..).zip(entries).map(|(sequence, entry)| Line { sequence, at_ns: created.started_ns, entry }).collect()
}

impl Shared {
    /// Rights to its own mailbox, where the other one had some: those are the only grants that the kernel itself gives.
    fn give_mailboxes(&self, pid: Pid, run: &Run, at: u64, given: &mut Vec<Held>) -> Result<(), SpawnError> {
        let labels = run.lines.iter().filter(|line| line.sequence <= at).filter_map(|line| match &line.entry {
            Entry::Told(told) => own_mailbox(told),
            _ => None,
        });
        for HeldImage { label, kind, .. } in labels {
            // A pid is a scope.
            let Ok(scope) = Scope::parse(*kind, &[pid.to_string()]) else { continue };
            let (label, kind) = (label.clone(), *kind);
            let (access, limits) = (Access::ReadWrite, GrantLimits::default());
            let id = self.grants.lock().issue(GrantSpec { label: label.clone(), kind, scope, access, limits })?;
            given.push(Held { label, id, kind });
        }
        Ok(())
    }
}

/// The right that a process was given to its own mailbox.
fn own_mailbox<'a>(told: &'a Told<'_>) -> Option<&'a HeldImage> {
    let asked = matches!(told.asked.request(), Some(Request::Process(ProcessRequest::OwnMailbox)));
    let given = matches!(*told.reply, Reply::Process(Ok(ProcessReply::Mailbox(_))));
    match told.notes.first() {
        Some(Note::Grant(held)) if asked && given && held.kind == GrantKind::Mailbox => Some(held),
        _ => None,
    }
}

/// How a forked process's own grants and account are called in what its guest was told.
#[derive(Debug)]
pub(crate) struct OwnNames {
    grants: FxHashMap<GrantId, GrantId>,
    /// The other's, and its own.
    account: (AccountId, AccountId),
}

impl OwnNames {
    fn grant(&self, grant: &mut GrantId) {
        *grant = self.grants.get(grant).copied().unwrap_or(*grant);
    }

    fn account(&self, account: &mut AccountId) {
        if *account == self.account.0 {
            *account = self.account.1;
        }
    }

    fn named(&self, grants: &mut [NamedGrant]) {
        grants.iter_mut().for_each(|named| self.grant(&mut named.grant));
    }

    /// A request with its own ids in the place of the other's.
    fn read(&self, request: &mut Request) {
        match request {
            Request::Capability(request) => self.read_capability(request),
            Request::Budget(request) => self.read_budget(request),
            Request::Llm(LlmRequest::Open { grant }) => self.grant(grant),
            Request::Children(ChildrenRequest::Spawn(plan)) => {
                let Plan { grant, grants, funds, .. } = &mut **plan;
                self.grant(grant);
                self.named(grants);
                self.account(funds);
            }
            Request::Mailbox(request) => self.read_mailbox(request),
            Request::Human(HumanRequest::Ask(question)) => self.grant(&mut question.grant),
            Request::Human(HumanRequest::Notify { grant, .. }) => self.grant(grant),
            Request::Tool(ToolRequest::Describe { grant }) => self.grant(grant),
            Request::Tool(ToolRequest::Call(called)) => self.grant(&mut called.grant),
            Request::Memory(request) => self.read_memory(request),
            Request::File(request) => self.grant(request.grant_mut()),
            Request::Context(ContextRequest::Open { options, .. } | ContextRequest::Restore { options, .. }) => {
                options.store.iter_mut().for_each(|grant| self.grant(grant));
            }
            Request::Value(_)
            | Request::Llm(_)
            | Request::Context(_)
            | Request::Process(_)
            | Request::Human(_)
            | Request::Tool(_)
            | Request::Children(_)
            | Request::Alarm(_)
            | Request::Task(_)
            | Request::Checkpoint(_)
            | Request::Trace(_)
            | Request::Clock(_)
            | Request::Random(_)
            | Request::Wait(_)
            | Request::Fuel(_) => {}
        }
    }

    fn read_memory(&self, request: &mut MemoryRequest) {
        match request {
            MemoryRequest::Put(writing) => self.grant(&mut writing.grant),
            MemoryRequest::Update(rewriting) => self.grant(&mut rewriting.writing.grant),
            MemoryRequest::Forget(forgetting) => self.grant(&mut forgetting.grant),
            MemoryRequest::Search(seeking) => self.grant(&mut seeking.grant),
            MemoryRequest::List(listing) => self.grant(&mut listing.grant),
            MemoryRequest::Cite(citing) => self.grant(&mut citing.grant),
            MemoryRequest::Get { grant, .. }
            | MemoryRequest::Describe { grant, .. }
            | MemoryRequest::Versions { grant, .. }
            | MemoryRequest::Restore { grant, .. } => self.grant(grant),
        }
    }

    fn read_capability(&self, request: &mut CapabilityRequest) {
        match request {
            CapabilityRequest::List | CapabilityRequest::Take { .. } => {}
            CapabilityRequest::Describe { grant }
            | CapabilityRequest::Check { grant }
            | CapabilityRequest::RevokeDerived { grant, .. }
            | CapabilityRequest::Discard { grant } => self.grant(grant),
            CapabilityRequest::Attenuate(attenuate) => self.grant(&mut attenuate.grant),
        }
    }

    fn read_budget(&self, request: &mut BudgetRequest) {
        match request {
            BudgetRequest::OwnAccount => {}
            BudgetRequest::Remaining { account }
            | BudgetRequest::Split { account, .. }
            | BudgetRequest::Merge { account }
            | BudgetRequest::SetSoftLimit { account, .. } => self.account(account),
            BudgetRequest::Transfer { from, to, .. } => {
                self.account(from);
                self.account(to);
            }
        }
    }

    fn read_mailbox(&self, request: &mut MailboxRequest) {
        let outgoing = |message: &mut Outgoing| self.named(&mut message.grants);
        match request {
            MailboxRequest::Send { to, message }
            | MailboxRequest::TrySend { to, message }
            | MailboxRequest::Call { to, message, .. } => {
                self.grant(to);
                outgoing(message);
            }
            MailboxRequest::Reply { message, .. } => outgoing(message),
            MailboxRequest::Receive { .. }
            | MailboxRequest::TryReceive { .. }
            | MailboxRequest::Watch { .. }
            | MailboxRequest::DropWatch { .. }
            | MailboxRequest::DropAnswer { .. }
            | MailboxRequest::Collect { .. }
            | MailboxRequest::DropCall { .. } => {}
        }
    }
}

impl Process {
    /// A request of its guest, with its own ids.
    pub(crate) fn in_own_names<'a>(&self, request: &'a Request) -> Cow<'a, Request> {
        match &self.own_names {
            None => Cow::Borrowed(request),
            Some(names) => {
                let mut own = request.clone();
                names.read(&mut own);
                Cow::Owned(own)
            }
        }
    }

    /// From here on it is a process of its own: what it was told was another one's.
    pub(crate) fn become_its_own(&mut self, forked: Forked) {
        let Forked { account, grants } = forked;
        let mut names = OwnNames { grants: FxHashMap::default(), account: (account, self.bill.account()) };
        for held in self.grants.iter() {
            if let Some(own) = grants.iter().find(|own| own.label == held.label && own.kind == held.kind) {
                names.grants.insert(held.id, own.grant);
            }
        }
        self.grants = grants.into_iter().map(Held::from).collect();
        self.models.objects_mut().for_each(|model| names.grant(&mut model.grant));
        self.contexts.objects_mut().for_each(|context| context.belongs_under(|grant| names.grant(grant)));
        self.generations.objects_mut().for_each(|generation| generation.belongs_under(|grant| names.grant(grant)));
        self.own_names = Some(Box::new(names));
        self.bill.begins();
    }
}
