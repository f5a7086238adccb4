//! What an operator sees of a node and does to its processes. Nothing here is reachable for a guest.

use crate::{
    away::Row,
    bill::Ledger,
    control::{ControlBlock, Durability, Hold},
    denials::Denied,
    kernel::Kernel,
    outlet::Events,
    ports::{Entry, GrantImage, Sleeper},
    process::{Held, Process},
};
use remit_abi::{GrantId, GrantSpec, Label, Pid, Priority, Restart, Signal, TenantId, Tokens};
use remit_authority::GrantError;
use serde::Serialize;
use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
};
use thiserror::Error;

/// What a process is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It runs, or is about to.
    Running,
    /// It waits in a syscall of this interface.
    Waiting(&'static str),
    /// It waits, and is not in memory.
    Asleep,
    /// It was suspended.
    Suspended,
    /// It was frozen.
    Frozen,
    /// It cannot go on as it is; somebody has to look.
    Parked,
}

/// One process as an operator sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProcessView {
    /// Its name.
    pub pid: Pid,
    /// The package that it runs.
    pub package: Arc<str>,
    /// SHA-256 of its component, in hexadecimal.
    pub digest: Arc<str>,
    /// Under which it receives messages, where it has one.
    pub name: Option<Arc<str>>,
    /// Who started it; `None` is an operator.
    pub parent: Option<Pid>,
    /// How urgent it is.
    pub priority: Priority,
    /// When it is started again.
    pub restart: Restart,
    /// How often it was.
    pub restarts: u32,
    /// What it is doing.
    pub state: State,
    /// Where it is parked: why, in one sentence.
    pub parked: Option<Arc<str>>,
    /// Whether it goes on where it was when the host starts anew.
    pub durable: bool,
    /// In nanoseconds since 1970-01-01T00:00:00Z.
    pub started_ns: u64,
    /// What it has read.
    pub label: Label,
    /// The names of that label's tags.
    pub tags: Vec<Box<str>>,
    /// What its account was given.
    pub funds: Tokens,
    /// What it can still spend.
    pub remaining: Tokens,
    /// What it did and paid itself.
    pub ledger: Ledger,
    /// Messages that wait for it.
    pub messages: usize,
    /// Children that it has.
    pub children: usize,
    /// Grants that it holds.
    pub grants: usize,
    /// Bytes of all its values together.
    pub value_bytes: u64,
}

/// One node of the grant tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GrantView {
    /// Its id.
    pub id: GrantId,
    /// What it derives from; `None` for an operator's own.
    pub parent: Option<GrantId>,
    /// How many it derives from in a row.
    pub depth: usize,
    /// Who holds it; `None` where it lies in a message, or is kept for what derives from it.
    pub holder: Option<Pid>,
    /// Label, kind, scope and limits.
    pub spec: GrantSpec,
    /// Uses so far, those of derived grants included.
    pub uses: u64,
    /// Whether it was taken back.
    pub revoked: bool,
    /// Whether nobody holds it any more.
    pub released: bool,
}

/// A grant that cannot be given to a process.
#[derive(Debug, Error)]
pub enum GiveError {
    /// The pid names no live process.
    #[error("no such process: it has ended, or never was")]
    NoProcess,
    /// It holds one under that label.
    #[error("the process holds a grant {0} already: revoke that one, or choose another label")]
    LabelTaken(Box<str>),
    /// It holds as many as it may.
    #[error("the process holds {0} grants, which is the most")]
    TooMany(u64),
    /// The grant itself.
    #[error(transparent)]
    Grant(#[from] GrantError),
}

/// What a process is doing that is in memory.
fn state(block: &ControlBlock, process: &Process) -> State {
    match process.waits_in {
        _ if block.parked().is_some() => State::Parked,
        _ if block.is_held_by(Hold::Frozen) => State::Frozen,
        _ if block.is_held_by(Hold::Suspended) => State::Suspended,
        _ if block.is_asleep() => State::Asleep,
        Some(ref waiting) => State::Waiting(waiting.interface),
        None => State::Running,
    }
}

impl Kernel {
    /// Every live process, in no stated order. What one has read and did that is not in memory is not known here: look at it by its pid.
    #[must_use]
    pub fn processes(&self) -> Vec<ProcessView> {
        let (blocks, away): (Vec<_>, Vec<_>) = {
            let table = self.shared.table.read();
            (table.iter().cloned().collect(), table.away().map(|row| row.sleeper.clone()).collect())
        };
        let away = away.iter().map(|sleeper| self.view_of_sleeper(sleeper));
        blocks.iter().map(|block| self.view(block)).chain(away).collect()
    }

    /// One of them. Blocks while it is read, where it is not in memory; then it is told again what it was told, until it sleeps again.
    #[must_use]
    pub fn process(&self, pid: Pid) -> Option<ProcessView> {
        self.shared.whole(pid).map(|block| self.view(&block))
    }

    /// How many live, in memory or not.
    #[must_use]
    pub fn living(&self) -> usize {
        let table = self.shared.table.read();
        table.iter().count() + table.away().count()
    }

    /// Those that end with the host.
    #[must_use]
    pub fn ephemeral(&self) -> Vec<Pid> {
        let table = self.shared.table.read();
        let ends = |block: &&Arc<ControlBlock>| block.facts.durability == Durability::Ephemeral;
        table.iter().filter(ends).map(|block| block.pid).collect()
    }

    /// How many live that are not in memory.
    #[must_use]
    pub fn away(&self) -> usize {
        self.shared.table.read().away().count()
    }

    fn view_of_sleeper(&self, sleeper: &Sleeper) -> ProcessView {
        let (tenant, kind) = (sleeper.pid.tenant, &*sleeper.kind);
        let is_frozen = self.shared.frozen.lock().holds(tenant, &kind.package, &kind.digest);
        ProcessView {
            pid: sleeper.pid,
            package: kind.package.clone(),
            digest: kind.digest.clone(),
            name: sleeper.name.clone(),
            parent: None,
            priority: kind.priority,
            restart: kind.restart.restart,
            restarts: 0,
            state: if is_frozen { State::Frozen } else { State::Asleep },
            parked: None,
            durable: true,
            started_ns: sleeper.started_ns,
            label: Label::default(),
            tags: Vec::new(),
            funds: sleeper.funds,
            remaining: sleeper.remaining,
            ledger: Ledger::default(),
            messages: 0,
            children: 0,
            grants: sleeper.grants.len(),
            value_bytes: 0,
        }
    }

    /// Tells what each live process is doing.
    pub fn each_state(&self, mut tell: impl FnMut(State)) {
        let blocks: Vec<_> = self.shared.table.read().iter().cloned().collect();
        blocks.iter().for_each(|block| tell(state(block, &block.process.lock())));
        let frozen = self.shared.frozen.lock();
        for row in self.shared.table.read().away() {
            let (tenant, kind) = (row.sleeper.pid.tenant, &row.sleeper.kind);
            let is_frozen = frozen.holds(tenant, &kind.package, &kind.digest);
            tell(if is_frozen { State::Frozen } else { State::Asleep });
        }
    }

    fn view(&self, block: &ControlBlock) -> ProcessView {
        let process = block.process.lock();
        let state = state(block, &process);
        let facts = &block.facts;
        let (ledger, label) = (process.bill.ledger(), process.label);
        // One that is told again what it was told has done it all.
        let (ledger, label) = process.replay.as_ref().map_or((ledger, label), |replay| replay.ahead(ledger, label));
        ProcessView {
            pid: block.pid,
            package: facts.package.clone(),
            digest: facts.digest.clone(),
            name: facts.name.clone(),
            parent: facts.parent,
            priority: facts.priority,
            restart: facts.restart.restart,
            restarts: block.restarts.load(Ordering::Relaxed),
            state,
            parked: block.parked(),
            durable: facts.durability == Durability::Durable,
            started_ns: facts.started_ns,
            label,
            tags: self.tag_names(block.pid.tenant, label.tags),
            funds: facts.funds,
            remaining: process.bill.remaining(),
            ledger,
            messages: block.mailbox.len(),
            children: process.children.len(),
            grants: process.grants.iter().count(),
            value_bytes: process.values.bytes(),
        }
    }

    /// The grant tree, each node before those that derive from it; of one process's grants and what they derive from, or all. Blocks
    /// while grants of processes are read that are not in memory.
    #[must_use]
    pub fn grant_tree(&self, pid: Option<Pid>) -> Vec<GrantView> {
        if let Some(pid) = pid {
            self.shared.whole(pid);
        }
        let blocks: Vec<_> = self.shared.table.read().iter().cloned().collect();
        let held = |block: &Arc<ControlBlock>| -> Vec<_> {
            block.process.lock().grants.iter().map(|held| (held.id, block.pid)).collect()
        };
        let holders: std::collections::HashMap<_, _> = blocks.iter().flat_map(held).collect();
        let tree = self.shared.grants.lock();
        let views: Vec<_> = tree
            .tree()
            .map(|node| GrantView {
                id: node.id,
                parent: node.parent,
                depth: node.depth,
                holder: holders.get(&node.id).copied(),
                spec: node.spec.clone(),
                uses: node.uses,
                revoked: node.revoked,
                released: node.released,
            })
            .collect();
        let Some(pid) = pid else { return [views, self.grants_away()].concat() };
        // Backwards, each node comes after those that derive from it.
        let mut wanted = std::collections::HashSet::new();
        for view in views.iter().rev() {
            if view.holder == Some(pid) || wanted.contains(&view.id) {
                wanted.insert(view.id);
                wanted.extend(view.parent);
            }
        }
        views.into_iter().filter(|view| wanted.contains(&view.id)).collect()
    }

    /// Grants of processes that are not in memory: each an operator's own, from which nothing derives.
    fn grants_away(&self) -> Vec<GrantView> {
        let holders: BTreeMap<GrantId, Pid> = {
            let table = self.shared.table.read();
            let held = |row: &Row| row.sleeper.grants.iter().map(|grant| (*grant, row.sleeper.pid)).collect::<Vec<_>>();
            table.away().flat_map(held).collect()
        };
        let wanted: Vec<GrantId> = holders.keys().copied().collect();
        let read = self.shared.ports.journal.holdings(&[], &wanted);
        let read = read.inspect_err(|error| tracing::error!(%error, "grants of processes that sleep cannot be read"));
        let view = |image: GrantImage| GrantView {
            id: image.grant,
            parent: image.parent,
            depth: 0,
            holder: holders.get(&image.grant).copied(),
            spec: image.spec,
            uses: image.uses,
            revoked: image.revoked,
            released: image.released,
        };
        read.map(|holdings| holdings.grants.into_iter().map(view).collect()).unwrap_or_default()
    }

    /// Gives a live process a grant. Blocks while the process is read, where it is not in memory.
    ///
    /// # Errors
    /// [`GiveError`].
    pub fn give(&self, pid: Pid, spec: GrantSpec) -> Result<GrantId, GiveError> {
        let block = self.shared.whole(pid).ok_or(GiveError::NoProcess)?;
        let process = &mut *block.process.lock();
        let namesake = process.grants.find(&spec.label);
        if namesake.is_some_and(|held| self.shared.grants.lock().is_live(held)) {
            return Err(GiveError::LabelTaken(spec.label));
        }
        if block.has_ended() {
            return Err(GiveError::NoProcess);
        }
        if namesake.is_none() && !process.grants.has_room_for(1, &process.limits) {
            return Err(GiveError::TooMany(process.limits.grants_max));
        }
        let (label, kind) = (spec.label.clone(), spec.kind);
        let mut tree = self.shared.grants.lock();
        let id = tree.issue(spec)?;
        // A revoked one makes room for the one that replaces it.
        if let Some(revoked) = namesake.and_then(|revoked| process.grants.remove(revoked)) {
            tree.release(revoked.id);
        }
        drop(tree);
        let held = Held { label, id, kind };
        let entry = Entry::Given(held.image());
        process.grants.adopt(held);
        if let Err(error) = self.shared.write(process, Some(entry)) {
            tracing::error!(%pid, %error, "a grant that was given was not journaled");
        }
        Ok(id)
    }

    /// Asks a process to end politely; whether it lives.
    pub fn cancel(&self, pid: Pid) -> bool {
        self.shared.reach(pid).map(|block| self.shared.signal(&block, Signal::Cancel)).is_some()
    }

    /// Lets a process take no more turns; whether it lives.
    pub fn suspend(&self, pid: Pid) -> bool {
        self.shared.reach(pid).map(|block| self.shared.suspend(&block)).is_some()
    }

    /// Lets it take turns again; whether it lives.
    pub fn resume(&self, pid: Pid) -> bool {
        let Some(block) = self.shared.whole(pid) else { return false };
        block.unpark();
        block.process.lock().circles = None;
        self.shared.resume(&block);
        true
    }

    /// What a process shows, for whoever looks on; `None` where it has ended. One that is not in memory shows again what it showed in its
    /// last run.
    #[must_use]
    pub fn events(&self, pid: Pid) -> Option<Events> {
        Some(Events { block: self.shared.reach(pid)?, journal: self.shared.ports.journal.clone() })
    }

    /// The latest denials, oldest first; of one process, or of all.
    #[must_use]
    pub fn denials(&self, pid: Option<Pid>) -> Vec<Denied> {
        self.shared.denials.of(pid)
    }

    /// Forgets what it has in memory of a tenant that was erased, and of which no process lives: the names of its tags, its denials, and
    /// what was kept running.
    pub fn forget_tenant(&self, tenant: TenantId) {
        self.shared.tags.forget(tenant);
        self.shared.denials.forget(tenant);
        self.forget_deployments(tenant);
    }
}
