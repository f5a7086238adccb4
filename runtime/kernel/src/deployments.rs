//! What an operator keeps running, as far as it is the kernel's: a text for each name, in the log with everything else, so that it is
//! there in the order in which it was decided, before or after each start. What it says is its writer's.

use crate::{
    kernel::Kernel,
    ports::{Change, JournalError},
};
use remit_abi::TenantId;
use std::collections::BTreeMap;

/// By tenant and name.
#[derive(Debug, Default)]
pub(crate) struct Deployments(BTreeMap<(TenantId, Box<str>), Box<str>>);

impl Deployments {
    /// Puts back what was kept before the host started anew.
    pub(crate) fn restore(&mut self, kept: Vec<(TenantId, Box<str>, Box<str>)>) {
        self.0 = kept.into_iter().map(|(tenant, name, state)| ((tenant, name), state)).collect();
    }
}

impl Kernel {
    /// All that is kept of a tenant: name and text, by name.
    #[must_use]
    pub fn deployments(&self, tenant: TenantId) -> Vec<(Box<str>, Box<str>)> {
        let kept = self.shared.deployments.lock();
        let of_tenant = kept.0.iter().filter(|((whose, _), _)| *whose == tenant);
        of_tenant.map(|((_, name), state)| (name.clone(), state.clone())).collect()
    }

    /// Keeps a text under a name instead of the one before; `None` forgets it. It survives a crash when the log [does](Kernel::durable).
    ///
    /// # Errors
    /// [`JournalError`]; what was kept is kept then.
    pub fn keep_deployment(&self, tenant: TenantId, name: &str, state: Option<Box<str>>) -> Result<(), JournalError> {
        // Held for the record, so that the log has the same order.
        let mut kept = self.shared.deployments.lock();
        let change = Change::Deployed { tenant, name: name.into(), state: state.clone() };
        self.shared.try_change(None, [change])?;
        let key: (TenantId, Box<str>) = (tenant, name.into());
        match state {
            Some(state) => drop(kept.0.insert(key, state)),
            None => drop(kept.0.remove(&key)),
        }
        Ok(())
    }

    /// Forgets what is in memory of a tenant that was erased.
    pub(crate) fn forget_deployments(&self, tenant: TenantId) {
        self.shared.deployments.lock().0.retain(|(whose, _), _| *whose != tenant);
    }
}
