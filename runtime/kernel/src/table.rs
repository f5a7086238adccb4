//! The process table: who lives, under which pid, in memory or not, and how many of each tenant.

use crate::{
    away::Row,
    control::ControlBlock,
    group::{Group, Turns},
    ports::Sleeper,
};
use remit_abi::{Pid, TenantId, limits::TenantLimits};
use remit_authority::Numbered;
use rustc_hash::FxHashMap;
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
    sync::Arc,
};

/// Slot and generation of a process, without its tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Slot(u32, u32);

impl From<(u32, u32)> for Slot {
    fn from((index, generation): (u32, u32)) -> Self {
        Self(index, generation)
    }
}

impl Slot {
    const fn of(pid: Pid) -> Self {
        Self(pid.index, pid.generation)
    }
}

impl From<Slot> for (u32, u32) {
    fn from(Slot(index, generation): Slot) -> Self {
        (index, generation)
    }
}

/// What is known of one tenant.
#[derive(Debug, Default)]
struct Tenant {
    limits: TenantLimits,
    living: u64,
    names: BTreeMap<Arc<str>, Pid>,
    /// By name.
    groups: BTreeMap<Box<str>, Turns>,
}

impl Tenant {
    /// The member of a group whose turn it is.
    fn member(&self, name: &str) -> Option<Pid> {
        let turns = self.groups.get(name)?;
        let prefix = &*turns.group.members;
        let from = self.names.range::<str, _>((Bound::Included(prefix), Bound::Unbounded));
        turns.next(from.map(|(name, pid)| (&**name, *pid)).take_while(|(name, _)| name.starts_with(prefix)))
    }
}

/// Why a process cannot be entered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The tenant has as many as it may.
    TooMany { limit: u64 },
    /// Another one of the tenant has that name.
    NameTaken,
}

/// All processes of a node.
#[derive(Debug, Default)]
pub(crate) struct Table {
    /// Those that are in memory.
    blocks: Numbered<Slot, Arc<ControlBlock>>,
    /// Those that sleep and are not.
    away: Numbered<Slot, Row>,
    /// When they wake of themselves, on the wall clock.
    moments: BTreeSet<(u64, Slot)>,
    tenants: FxHashMap<TenantId, Tenant>,
}

impl Table {
    pub(crate) fn limits(&self, tenant: TenantId) -> TenantLimits {
        self.tenants.get(&tenant).map(|tenant| tenant.limits).unwrap_or_default()
    }

    pub(crate) fn set_limits(&mut self, tenant: TenantId, limits: TenantLimits) {
        self.tenants.entry(tenant).or_default().limits = limits;
    }

    /// A process that is in memory. A stale pid finds nothing, nor does one of another tenant.
    pub(crate) fn get(&self, pid: Pid) -> Option<&Arc<ControlBlock>> {
        self.blocks.get(Slot::of(pid)).filter(|block| block.pid.tenant == pid.tenant)
    }

    /// The process that receives under a name, wherever it is: the one that has it, or the one of its group whose turn it is.
    pub(crate) fn named(&self, tenant: TenantId, name: &str) -> Option<Pid> {
        let tenant = self.tenants.get(&tenant)?;
        tenant.names.get(name).copied().or_else(|| tenant.member(name))
    }

    pub(crate) fn set_group(&mut self, tenant: TenantId, name: &str, group: Option<Group>) {
        let groups = &mut self.tenants.entry(tenant).or_default().groups;
        match group {
            Some(group) => groups.entry(name.into()).or_default().group = group,
            None => drop(groups.remove(name)),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<ControlBlock>> {
        self.blocks.iter().map(|(_, block)| block)
    }

    pub(crate) fn enter(
        &mut self,
        tenant: TenantId,
        name: Option<Arc<str>>,
        block: impl FnOnce(Pid) -> ControlBlock,
    ) -> Result<Arc<ControlBlock>, Refused> {
        let entry = self.tenants.entry(tenant).or_default();
        if entry.living >= entry.limits.processes_max {
            return Err(Refused::TooMany { limit: entry.limits.processes_max });
        }
        if name.as_ref().is_some_and(|name| entry.names.contains_key(name)) {
            return Err(Refused::NameTaken);
        }
        entry.living += 1;
        let pid = |Slot(index, generation)| Pid { tenant, index, generation };
        let slot = self.blocks.insert_with(|slot| Arc::new(block(pid(slot))));
        if let Some(name) = name {
            entry.names.insert(name, pid(slot));
        }
        let Some(block) = self.blocks.get(slot) else { unreachable!("it was entered just now") };
        Ok(block.clone())
    }

    /// Puts a process back that was there before the host started anew.
    pub(crate) fn restore(&mut self, block: Arc<ControlBlock>) {
        let (pid, name) = (block.pid, block.facts.name.clone());
        if !self.blocks.restore(Slot::of(pid), block) {
            return;
        }
        self.count(pid, name);
    }

    /// Puts processes in that sleep and are not in memory since before the host started anew. None wakes of itself yet.
    pub(crate) fn restore_away(&mut self, sleepers: Vec<Sleeper>) {
        for sleeper in sleepers {
            let (pid, name) = (sleeper.pid, sleeper.name.clone());
            if self.away.restore(Slot::of(pid), Row::of(sleeper)) {
                self.count(pid, name);
            }
        }
    }

    /// From here on those wake of themselves whose moment comes.
    pub(crate) fn begin_moments(&mut self) {
        let moment = |(slot, row): (Slot, &Row)| Some((row.sleeper.wakes_ns?, slot));
        // All at once: a set that is made of many is made faster than one that grows.
        self.moments = self.away.iter().filter_map(moment).collect();
    }

    /// One more process of a tenant.
    fn count(&mut self, pid: Pid, name: Option<Arc<str>>) {
        let tenant = self.tenants.entry(pid.tenant).or_default();
        tenant.living += 1;
        if let Some(name) = name {
            tenant.names.insert(name, pid);
        }
    }

    /// All that are not in memory.
    pub(crate) fn away(&self) -> impl Iterator<Item = &Row> {
        self.away.iter().map(|(_, row)| row)
    }

    /// One that is not in memory.
    pub(crate) fn get_away(&mut self, pid: Pid) -> Option<&mut Row> {
        self.away.get_mut(Slot::of(pid)).filter(|row| row.sleeper.pid == pid)
    }

    /// Takes a process out of memory. It keeps its pid and its name.
    pub(crate) fn put_away(&mut self, row: Row) {
        let slot = Slot::of(row.sleeper.pid);
        if self.blocks.remove(slot).is_some() {
            self.moments.extend(row.sleeper.wakes_ns.map(|moment_ns| (moment_ns, slot)));
            self.away.restore(slot, row);
        }
    }

    /// A process that is in memory, or whose row becomes this block; whether it did.
    pub(crate) fn call_back(
        &mut self,
        pid: Pid,
        block: impl FnOnce(Row) -> ControlBlock,
    ) -> Option<(Arc<ControlBlock>, bool)> {
        if let Some(block) = self.get(pid) {
            return Some((block.clone(), false));
        }
        self.get_away(pid)?;
        let row = self.away.remove(Slot::of(pid))?;
        if let Some(moment_ns) = row.sleeper.wakes_ns {
            self.moments.remove(&(moment_ns, Slot::of(pid)));
        }
        let block = Arc::new(block(row));
        self.blocks.restore(Slot::of(pid), block.clone());
        Some((block, true))
    }

    /// Who of those that are not in memory wakes first, and when.
    pub(crate) fn next_moment(&self) -> Option<(u64, Pid)> {
        let (moment_ns, slot) = self.moments.first()?;
        Some((*moment_ns, self.away.get(*slot)?.sleeper.pid))
    }

    /// Gives out no pid of a number below this one.
    pub(crate) fn skip_to(&mut self, number: u64) {
        self.blocks.skip_to(number);
    }

    /// Takes a process out: its pid and its name are stale from here on.
    pub(crate) fn leave(&mut self, pid: Pid) {
        let Some(block) = self.blocks.remove(Slot::of(pid)) else { return };
        if let Some(tenant) = self.tenants.get_mut(&pid.tenant) {
            tenant.living = tenant.living.saturating_sub(1);
            if let Some(name) = &block.facts.name {
                tenant.names.remove(name);
            }
        }
    }
}
