//! The process table: who lives, under which pid, and how many of each tenant.

use crate::control::ControlBlock;
use remit_abi::{Pid, TenantId, limits::TenantLimits};
use remit_authority::Numbered;
use rustc_hash::FxHashMap;
use std::{collections::HashMap, sync::Arc};

/// Slot and generation of a process, without its tenant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot(u32, u32);

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

/// What is known of one tenant.
#[derive(Debug, Default)]
struct Tenant {
    limits: TenantLimits,
    living: u64,
    names: HashMap<Arc<str>, Pid>,
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
    blocks: Numbered<Slot, Arc<ControlBlock>>,
    tenants: FxHashMap<TenantId, Tenant>,
}

impl Table {
    pub(crate) fn limits(&self, tenant: TenantId) -> TenantLimits {
        self.tenants.get(&tenant).map(|tenant| tenant.limits).unwrap_or_default()
    }

    pub(crate) fn set_limits(&mut self, tenant: TenantId, limits: TenantLimits) {
        self.tenants.entry(tenant).or_default().limits = limits;
    }

    /// A stale pid finds nothing, nor does one of another tenant.
    pub(crate) fn get(&self, pid: Pid) -> Option<&Arc<ControlBlock>> {
        self.blocks.get(Slot(pid.index, pid.generation)).filter(|block| block.pid.tenant == pid.tenant)
    }

    /// The process that receives under a name.
    pub(crate) fn named(&self, tenant: TenantId, name: &str) -> Option<&Arc<ControlBlock>> {
        self.get(*self.tenants.get(&tenant)?.names.get(name)?)
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
        if !self.blocks.restore(Slot(pid.index, pid.generation), block) {
            return;
        }
        let tenant = self.tenants.entry(pid.tenant).or_default();
        tenant.living += 1;
        if let Some(name) = name {
            tenant.names.insert(name, pid);
        }
    }

    /// Gives out no pid of a number below this one.
    pub(crate) fn skip_to(&mut self, number: u64) {
        self.blocks.skip_to(number);
    }

    /// Takes a process out: its pid and its name are stale from here on.
    pub(crate) fn leave(&mut self, pid: Pid) {
        let Some(block) = self.blocks.remove(Slot(pid.index, pid.generation)) else { return };
        if let Some(tenant) = self.tenants.get_mut(&pid.tenant) {
            tenant.living = tenant.living.saturating_sub(1);
            if let Some(name) = &block.facts.name {
                tenant.names.remove(name);
            }
        }
    }
}
