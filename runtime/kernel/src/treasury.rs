//! The node's accounts behind one lock, and whom a low balance is told to.
//!
//! The account tree notices at every change of a balance whether an alarm is due. Whoever lets go of the lock delivers what
//! rang meanwhile, so that no operation on an account has to think of it.

use crate::signals::Signals;
use parking_lot::{Mutex, MutexGuard};
use remit_abi::{AccountId, Signal, Tokens};
use remit_authority::{AccountError, Accounts};
use rustc_hash::FxHashMap;
use std::{
    ops::{Deref, DerefMut},
    sync::Arc,
};

#[derive(Debug, Default)]
struct Open {
    accounts: Accounts,
    listeners: FxHashMap<AccountId, Arc<Signals>>,
}

/// All accounts of a node.
#[derive(Debug, Default)]
pub(crate) struct Treasury(Mutex<Open>);

impl Treasury {
    pub(crate) fn lock(&self) -> Unlocked<'_> {
        Unlocked(self.0.lock())
    }

    /// Signals whenever an account's balance falls below a threshold, once until it has been as high again. A threshold of
    /// nothing ends it.
    pub(crate) fn set_soft_limit(
        &self,
        account: AccountId,
        threshold: Tokens,
        signals: &Arc<Signals>,
    ) -> Result<(), AccountError> {
        let mut unlocked = self.lock();
        let Open { accounts, listeners } = &mut *unlocked.0;
        if listeners.len() == listeners.capacity() {
            listeners.retain(|account, _| accounts.remaining(*account).is_ok());
        }
        match threshold {
            Tokens::ZERO => listeners.remove(&account),
            _ => listeners.insert(account, signals.clone()),
        };
        accounts.set_alarm(account, threshold)
    }
}

/// The accounts while they are held.
pub(crate) struct Unlocked<'a>(MutexGuard<'a, Open>);

impl Deref for Unlocked<'_> {
    type Target = Accounts;

    fn deref(&self) -> &Accounts {
        &self.0.accounts
    }
}

impl DerefMut for Unlocked<'_> {
    fn deref_mut(&mut self) -> &mut Accounts {
        &mut self.0.accounts
    }
}

impl Drop for Unlocked<'_> {
    fn drop(&mut self) {
        let rung = self.0.accounts.take_alarms();
        rung.iter().filter_map(|account| self.0.listeners.get(account)).for_each(|told| told.raise(Signal::BudgetLow));
    }
}
