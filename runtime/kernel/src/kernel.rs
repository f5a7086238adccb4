//! The kernel of a node, and what all of its syscalls work on.

use crate::{
    away::Keeper,
    bill::Citations,
    control::{ControlBlock, Durability, Hold},
    deadlock::WaitGraph,
    denials::Denials,
    deployments::Deployments,
    effects::Effects,
    freeze::Frozen,
    generation::Streams,
    inbox::Inbox,
    mailbox::Letter,
    memories::Memories,
    ports::{
        Change, Clock, Engine, Entropy, Folders, Journal, JournalError, Memory, Packages, Position, Runner, Tools,
    },
    routing::Routing,
    runaway::RunawayPolicy,
    table::Table,
    tags::Tags,
    treasury::Treasury,
};
use parking_lot::{Mutex, RwLock};
use remit_abi::{AccountId, GrantId, Pid, Signal, TagSet, TenantId, Tokens, limits::TenantLimits};
use remit_authority::{AccountError, GrantError, Grants, PriceList};
use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};
use tokio::sync::Notify;

/// What the kernel stands on.
pub struct Ports {
    /// Runs guests.
    pub runner: Arc<dyn Runner>,
    /// Serves models.
    pub engine: Arc<dyn Engine>,
    /// Finds agents that processes start.
    pub packages: Arc<dyn Packages>,
    /// Remembers what processes were told.
    pub journal: Arc<dyn Journal>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Draws bytes.
    pub entropy: Arc<dyn Entropy>,
    /// Acts outside.
    pub tools: Arc<dyn Tools>,
    /// Remembers for agents.
    pub memory: Memory,
    /// Reads files.
    pub folders: Arc<dyn Folders>,
}

/// What all syscalls work on.
pub(crate) struct Shared {
    pub(crate) ports: Ports,
    pub(crate) prices: Arc<PriceList>,
    pub(crate) grants: Mutex<Grants>,
    pub(crate) accounts: Arc<Treasury>,
    pub(crate) tags: Tags,
    pub(crate) table: RwLock<Table>,
    pub(crate) keeper: Keeper,
    pub(crate) waits: WaitGraph,
    pub(crate) streams: Streams,
    pub(crate) routing: Arc<Routing>,
    pub(crate) frozen: Mutex<Frozen>,
    pub(crate) deployments: Mutex<Deployments>,
    pub(crate) denials: Denials,
    pub(crate) inbox: Mutex<Inbox>,
    pub(crate) effects: Mutex<Effects>,
    pub(crate) memories: Memories,
    /// What processes cited since the start.
    citations: Mutex<Citations>,
    /// Of the next letter or call.
    next_letter: AtomicU64,
    /// Of the next question or notice.
    pub(crate) next_question: AtomicU64,
    /// Of the next call of a tool.
    pub(crate) next_tool_call: AtomicU64,
    /// The place of the record that was appended last.
    pub(crate) appended: AtomicU64,
    /// Whether nothing is written down any more.
    stopped: AtomicBool,
    /// How long a process waits before it sleeps, in nanoseconds.
    pub(crate) patience_ns: AtomicU64,
    /// When an agent is held to run in circles.
    pub(crate) runaway: RwLock<Option<RunawayPolicy>>,
    /// Woken whenever grants were revoked.
    revoked: Notify,
}

impl Shared {
    /// A process that is in memory. Whoever tells it something [reaches](Shared::reach) for it.
    pub(crate) fn block(&self, pid: Pid) -> Option<Arc<ControlBlock>> {
        self.table.read().get(pid).cloned()
    }

    /// Stops a process where it stands.
    pub(crate) fn kill(&self, block: &ControlBlock) {
        if block.facts.durability == Durability::Durable && !block.is_killed() && !block.has_ended() {
            self.change(None, [Change::Held { pid: block.pid, holds: block.holds() | Hold::Killed.bit() }]);
        }
        block.kill();
        self.ports.runner.kill(block.pid);
    }

    /// Waits until everything that has happened so far survives a crash.
    pub(crate) async fn durable(&self) -> Result<(), JournalError> {
        let at = Position(self.appended.load(Ordering::Acquire));
        self.ports.journal.durable(at).await
    }

    /// A process cited something.
    pub(crate) fn cited(&self, is_supported: bool) {
        let mut citations = self.citations.lock();
        *citations = citations.with(is_supported);
    }

    /// Whether nothing is written down any more.
    pub(crate) fn has_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    /// The number of a new letter or call.
    pub(crate) fn next_letter(&self) -> u64 {
        self.next_letter.fetch_add(1, Ordering::Relaxed)
    }

    /// Gives out no number of a letter below this one.
    pub(crate) fn skip_letters_to(&self, number: u64) {
        self.next_letter.fetch_max(number, Ordering::Relaxed);
    }

    /// The set of one confidentiality tag; `None` where the tenant has too many others.
    pub(crate) fn tag(&self, tenant: TenantId, name: &str) -> Option<TagSet> {
        let (tag, is_new) = self.tags.intern(tenant, name)?;
        if is_new {
            let index = tag.indices().next().unwrap_or_default();
            self.change(None, [Change::Tagged { tenant, index, name: name.into() }]);
        }
        Some(tag)
    }

    /// Raises a signal of a process.
    pub(crate) fn signal(&self, block: &ControlBlock, signal: Signal) {
        block.signals.raise(signal);
        if block.facts.durability == Durability::Durable {
            self.change(None, [Change::Signalled { pid: block.pid, signals: block.signals.bits() }]);
        }
    }

    /// Suspends a process.
    pub(crate) fn suspend(&self, block: &ControlBlock) {
        self.hold(block, Hold::Suspended, true);
        self.tell_holds(block);
    }

    /// Lets a process go on that is suspended.
    pub(crate) fn resume(self: &Arc<Self>, block: &ControlBlock) {
        self.hold(block, Hold::Suspended, false);
        self.tell_holds(block);
        self.begin_tool_calls(block.pid.tenant);
    }

    fn tell_holds(&self, block: &ControlBlock) {
        if block.facts.durability == Durability::Durable {
            self.change(None, [Change::Held { pid: block.pid, holds: block.holds() }]);
        }
    }

    /// What nobody will receive any more: its grants are nobody's.
    pub(crate) fn drop_letters(&self, letters: Vec<Letter>) {
        let mut grants = self.grants.lock();
        letters.iter().flat_map(|letter| &letter.grants).for_each(|held| grants.release(held.id));
        drop(grants);
        // Dropping the answers in them tells the callers, outside of the lock.
        drop(letters);
    }

    /// Sets or clears a hold of a process.
    pub(crate) fn hold(&self, block: &ControlBlock, hold: Hold, on: bool) {
        match block.hold(hold, on) {
            true => self.ports.runner.suspend(block.pid),
            false => self.ports.runner.resume(block.pid),
        }
    }

    /// Makes a revocation felt by what is under way: streams end, calls are refused.
    pub(crate) fn feel_revoked(&self, revoked: &[GrantId]) {
        self.streams.cancel(revoked);
        self.revoked.notify_waiters();
    }

    /// Waits until a grant opens nothing any more.
    pub(crate) async fn revoked(&self, grant: GrantId) {
        loop {
            let revoked = self.revoked.notified();
            if !self.grants.lock().is_live(grant) {
                return;
            }
            revoked.await;
        }
    }
}

/// The kernel of one node.
#[derive(Clone)]
pub struct Kernel {
    pub(crate) shared: Arc<Shared>,
}

impl Kernel {
    /// A kernel without processes, accounts or grants.
    #[must_use]
    pub fn new(ports: Ports, prices: PriceList) -> Self {
        let mut grants = Grants::default();
        if ports.journal.keeps() {
            grants.remember_changes();
        }
        Self {
            shared: Arc::new(Shared {
                ports,
                prices: Arc::new(prices),
                grants: Mutex::new(grants),
                accounts: Arc::default(),
                tags: Tags::default(),
                table: RwLock::default(),
                keeper: Keeper::default(),
                waits: WaitGraph::default(),
                streams: Streams::default(),
                routing: Arc::default(),
                frozen: Mutex::default(),
                deployments: Mutex::default(),
                denials: Denials::default(),
                inbox: Mutex::default(),
                effects: Mutex::default(),
                memories: Memories::default(),
                citations: Mutex::default(),
                next_letter: AtomicU64::new(0),
                // People begin to count at 1.
                next_question: AtomicU64::new(1),
                next_tool_call: AtomicU64::new(1),
                appended: AtomicU64::new(0),
                stopped: AtomicBool::new(false),
                patience_ns: AtomicU64::new(u64::MAX),
                runaway: RwLock::default(),
                revoked: Notify::new(),
            }),
        }
    }

    /// Opens a root account: the operator's act, the only one that makes tokens.
    ///
    /// # Errors
    /// [`AccountError::Overflow`].
    pub fn deposit(&self, amount: Tokens) -> Result<AccountId, AccountError> {
        let account = self.shared.accounts.lock().deposit(amount)?;
        self.shared.change(None, [Change::Deposited { account, amount }]);
        Ok(account)
    }

    /// Closes a root account and takes what it holds out of the tree: a deposit, undone. A closed account holds nothing.
    pub fn withdraw(&self, account: AccountId) -> Tokens {
        self.shared.whole_with_account(account);
        let held = self.shared.accounts.lock().close(account);
        if held.is_ok() {
            self.shared.change(None, [Change::Closed { account }]);
        }
        held.unwrap_or_default()
    }

    /// Whether no token was made or lost so far.
    #[must_use]
    pub fn is_conserved(&self) -> bool {
        self.shared.accounts.lock().is_conserved()
    }

    /// What was paid so far by all processes together, less what was refunded.
    #[must_use]
    pub fn spent(&self) -> Tokens {
        self.shared.accounts.lock().spent()
    }

    /// What processes cited since the host started.
    #[must_use]
    pub fn citations(&self) -> Citations {
        *self.shared.citations.lock()
    }

    /// The names of the tools that are declared.
    #[must_use]
    pub fn tools(&self, tenant: TenantId) -> Vec<Box<str>> {
        self.shared.ports.tools.names(tenant)
    }

    /// The names of the folders that are declared.
    #[must_use]
    pub fn folders(&self, tenant: TenantId) -> Vec<Box<str>> {
        self.shared.ports.folders.names(tenant)
    }

    /// The prices that everything is charged by.
    #[must_use]
    pub fn prices(&self) -> &PriceList {
        &self.shared.prices
    }

    /// The wall clock, in nanoseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub fn wall_ns(&self) -> u64 {
        self.shared.ports.clock.wall_ns()
    }

    /// The set of one confidentiality tag; `None` where the tenant has too many others.
    #[must_use]
    pub fn tag(&self, tenant: TenantId, name: &str) -> Option<TagSet> {
        self.shared.tag(tenant, name)
    }

    /// The names of a label's tags, sorted.
    #[must_use]
    pub fn tag_names(&self, tenant: TenantId, set: TagSet) -> Vec<Box<str>> {
        self.shared.tags.names(tenant, set)
    }

    /// Limits of a tenant, from its next process on.
    pub fn set_limits(&self, tenant: TenantId, limits: TenantLimits) {
        self.shared.table.write().set_limits(tenant, limits);
    }

    /// Stops a process where it stands, and its children with it. A stale pid is no error: it is dead already.
    pub fn kill(&self, pid: Pid) {
        if let Some(block) = self.shared.reach(pid) {
            self.shared.kill(&block);
        }
    }

    /// Waits until everything that has happened so far survives a crash. To be awaited before anybody outside is told of it.
    ///
    /// # Errors
    /// [`JournalError`] where it never will.
    pub async fn durable(&self) -> Result<(), JournalError> {
        self.shared.durable().await
    }

    /// Ends the node and not its processes: from here on nothing is written down, each of them stops where it stands, and those that
    /// outlive the host go on there when it starts anew.
    pub fn stop(&self) {
        self.shared.stopped.store(true, Ordering::Release);
        let blocks: Vec<_> = self.shared.table.read().iter().cloned().collect();
        blocks.iter().for_each(|block| self.shared.kill(block));
        self.shared.end_waits_for_sleepers();
    }

    /// Takes a grant back, and all that derive from it, calls under way, open questions and tools that run included; how many. Blocks
    /// while its holder is read, where that is not in memory.
    ///
    /// # Errors
    /// [`GrantError::Dead`].
    pub fn revoke(&self, grant: GrantId) -> Result<usize, GrantError> {
        self.shared.whole_with_grant(grant);
        let revoked = self.shared.grants.lock().revoke(grant)?;
        self.shared.feel_revoked(&revoked);
        self.shared.change(None, []);
        self.shared.withdraw_asked_under(&revoked);
        self.shared.withdraw_called_under(&revoked);
        Ok(revoked.len())
    }
}
