//! The kernel of a node, and what all of its syscalls work on.

use crate::{
    control::{ControlBlock, Hold},
    deadlock::WaitGraph,
    denials::Denials,
    freeze::Frozen,
    generation::Streams,
    ports::{Clock, Engine, Entropy, Journal, Packages, Runner},
    routing::Routing,
    table::Table,
    tags::Tags,
    treasury::Treasury,
};
use parking_lot::{Mutex, RwLock};
use remit_abi::{AccountId, GrantId, Pid, TagSet, TenantId, Tokens, limits::TenantLimits};
use remit_authority::{AccountError, GrantError, Grants, PriceList};
use std::sync::Arc;
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
}

/// What all syscalls work on.
pub(crate) struct Shared {
    pub(crate) ports: Ports,
    pub(crate) prices: Arc<PriceList>,
    pub(crate) grants: Mutex<Grants>,
    pub(crate) accounts: Arc<Treasury>,
    pub(crate) tags: Tags,
    pub(crate) table: RwLock<Table>,
    pub(crate) waits: WaitGraph,
    pub(crate) streams: Streams,
    pub(crate) routing: Arc<Routing>,
    pub(crate) frozen: Mutex<Frozen>,
    pub(crate) denials: Denials,
    /// Woken whenever grants were revoked.
    revoked: Notify,
}

impl Shared {
    pub(crate) fn block(&self, pid: Pid) -> Option<Arc<ControlBlock>> {
        self.table.read().get(pid).cloned()
    }

    /// Stops a process where it stands.
    pub(crate) fn kill(&self, block: &ControlBlock) {
        block.kill();
        self.ports.runner.kill(block.pid);
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
        Self {
            shared: Arc::new(Shared {
                ports,
                prices: Arc::new(prices),
                grants: Mutex::default(),
                accounts: Arc::default(),
                tags: Tags::default(),
                table: RwLock::default(),
                waits: WaitGraph::default(),
                streams: Streams::default(),
                routing: Arc::default(),
                frozen: Mutex::default(),
                denials: Denials::default(),
                revoked: Notify::new(),
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

    /// What was paid so far by all processes together, less what was refunded.
    #[must_use]
    pub fn spent(&self) -> Tokens {
        self.shared.accounts.lock().spent()
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
        self.shared.tags.intern(tenant, name)
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
        if let Some(block) = self.shared.block(pid) {
            self.shared.kill(&block);
        }
    }

    /// Takes a grant back, and all that derive from it, calls under way included; how many.
    ///
    /// # Errors
    /// [`GrantError::Dead`].
    pub fn revoke(&self, grant: GrantId) -> Result<usize, GrantError> {
        let revoked = self.shared.grants.lock().revoke(grant)?;
        self.shared.feel_revoked(&revoked);
        Ok(revoked.len())
    }
}
