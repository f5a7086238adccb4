//! Freezing: processes that take no turns until they are thawed, by tenant, by package, by component, or all.

use crate::{
    control::{ControlBlock, Facts, Hold},
    kernel::Kernel,
    ports::{Change, Sleeper, SleeperKind},
};
use remit_abi::TenantId;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, sync::Arc};

/// Which processes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Selection {
    /// Every one.
    All,
    /// Those of a tenant.
    Tenant(TenantId),
    /// Those of a package, by its name.
    Package(Arc<str>),
    /// Those of one component, by its SHA-256 in hexadecimal: one version of a package, whatever it is called.
    Component(Arc<str>),
}

impl Selection {
    pub(crate) fn holds(&self, tenant: TenantId, package: &str, component: &str) -> bool {
        match self {
            Self::All => true,
            Self::Tenant(frozen) => *frozen == tenant,
            Self::Package(frozen) => **frozen == *package,
            Self::Component(frozen) => **frozen == *component,
        }
    }

    fn holds_away(&self, sleeper: &Sleeper) -> bool {
        self.holds(sleeper.pid.tenant, &sleeper.kind.package, &sleeper.kind.digest)
    }
}

/// What is frozen now.
#[derive(Debug, Default)]
pub(crate) struct Frozen(Vec<Selection>);

impl Frozen {
    /// Whether a process of that tenant, package and component is frozen, or would be.
    pub(crate) fn holds(&self, tenant: TenantId, package: &str, component: &str) -> bool {
        self.0.iter().any(|selection| selection.holds(tenant, package, component))
    }

    /// Puts back what was frozen before the host started anew.
    pub(crate) fn restore(&mut self, frozen: Vec<Selection>) {
        self.0 = frozen;
    }

    fn has(&self, block: &ControlBlock) -> bool {
        self.holds(block.pid.tenant, &block.facts.package, &block.facts.digest)
    }
}

impl Kernel {
    /// Freezes: from about one epoch on none of them takes a turn, so that none does anything; their state is kept, and none
    /// of them is started anew. Calls of tools that they made begin no more; one that runs goes on. How many live.
    pub fn freeze(&self, selection: &Selection) -> usize {
        {
            let frozen = &mut self.shared.frozen.lock().0;
            if !frozen.contains(selection) {
                frozen.push(selection.clone());
                self.shared.change(None, [Change::Frozen(selection.clone())]);
            }
        }
        let blocks = self.blocks(|block| {
            let Facts { package, digest, .. } = &block.facts;
            selection.holds(block.pid.tenant, package, digest)
        });
        blocks.iter().for_each(|block| self.shared.hold(block, Hold::Frozen, true));
        // Who is not in memory takes no turns, and is frozen when it comes back.
        blocks.len() + self.count_away(|sleeper| selection.holds_away(sleeper))
    }

    /// Undoes one freeze. A process that another one holds stays frozen. How many go on.
    pub fn thaw(&self, selection: &Selection) -> usize {
        let mut frozen = self.shared.frozen.lock();
        let was_frozen = frozen.0.contains(selection);
        if was_frozen {
            frozen.0.retain(|one| one != selection);
            self.shared.change(None, [Change::Thawed(selection.clone())]);
        }
        let blocks = self.blocks(|block| block.is_held_by(Hold::Frozen) && !frozen.has(block));
        blocks.iter().for_each(|block| self.shared.hold(block, Hold::Frozen, false));
        let goes_on = |sleeper: &Sleeper| {
            let SleeperKind { package, digest, .. } = &*sleeper.kind;
            selection.holds_away(sleeper) && !frozen.holds(sleeper.pid.tenant, package, digest)
        };
        let away = if was_frozen { self.count_away(goes_on) } else { 0 };
        drop(frozen);
        let tenants: BTreeSet<TenantId> = blocks.iter().map(|block| block.pid.tenant).collect();
        tenants.into_iter().for_each(|tenant| self.shared.begin_tool_calls(tenant));
        blocks.len() + away
    }

    /// What is frozen now.
    #[must_use]
    pub fn frozen(&self) -> Vec<Selection> {
        self.shared.frozen.lock().0.clone()
    }

    /// How many are not in memory.
    fn count_away(&self, which: impl Fn(&Sleeper) -> bool) -> usize {
        self.shared.table.read().away().filter(|row| which(&row.sleeper)).count()
    }

    fn blocks(&self, which: impl Fn(&ControlBlock) -> bool) -> Vec<Arc<ControlBlock>> {
        self.shared.table.read().iter().filter(|block| which(block)).cloned().collect()
    }
}
