//! The account tree: who holds how many tokens, from a tenant down to the children of its processes.
//!
//! | state of a token | how it gets there | how it leaves |
//! | --- | --- | --- |
//! | balance | deposit, split, transfer, refund, the end of a reservation or of a child | reserve, charge, split, transfer, close |
//! | reserved | reserve, before work begins | settle, when its price is known; close |
//! | spent | settle, charge | refund |
//!
//! Principles:
//!
//! - The sum of the three over the whole tree is what was deposited, after any sequence of operations. A root that is
//!   closed takes what it holds out of the tree. What accounts hold and paid that are [away](Accounts::leave) is part of the sum.
//! - An operation is done as a whole or not at all.
//! - No operation looks at more accounts than one has children or ancestors; only [`Accounts::tree`], [`Accounts::spent`] and
//!   [`Accounts::is_conserved`] look at all.

mod alarm;
mod away;
#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

use crate::tree::Tree;
use alarm::Alarm;
pub use away::Away;
use remit_abi::{
    AccountId, Shortfall, Tokens,
    limits::{ACCOUNT_CHILDREN_MAX, ACCOUNT_DEPTH_MAX},
};
use serde::{Deserialize, Serialize};
use std::mem;
use thiserror::Error;

#[derive(Debug, Default)]
struct Account {
    balance: Tokens,
    reserved: Tokens,
    spent: Tokens,
    spent_below: Tokens,
    alarm: Alarm,
}

impl Account {
    fn holding(balance: Tokens) -> Self {
        Self { balance, ..Self::default() }
    }

    fn held(&self) -> Tokens {
        self.balance.saturating_add(self.reserved)
    }

    fn spent_in_all(&self) -> Tokens {
        self.spent.saturating_add(self.spent_below)
    }

    fn take(&mut self, amount: Tokens) -> Result<(), AccountError> {
        let shortfall = Shortfall { needed: amount, remaining: self.balance };
        self.balance = self.balance.checked_sub(amount).ok_or(shortfall)?;
        Ok(())
    }

    /// The tree's accounts together hold no more than was deposited, which can be counted: so this never saturates.
    fn put(&mut self, amount: Tokens) {
        self.balance = self.balance.saturating_add(amount);
    }
}

/// What an account cannot do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AccountError {
    /// The id names no open account.
    #[error("no such account: it was closed, or never was")]
    Dead,
    /// It holds too little.
    #[error(transparent)]
    Shortfall(#[from] Shortfall),
    /// More than can be counted.
    #[error("the deposit is too large: all accounts together hold {} tokens at most", Tokens::MAX)]
    Overflow,
    /// Nothing is no amount: an account without a token could do nothing but be there.
    #[error("an amount of nothing cannot be split off or moved: name at least one micro-token")]
    Nothing,
    /// It was split too often.
    #[error("an account has {ACCOUNT_CHILDREN_MAX} parts at most: merge some")]
    TooMany,
    /// It is a part of a part too many times.
    #[error("accounts are split {ACCOUNT_DEPTH_MAX} deep at most: split an earlier one")]
    TooDeep,
    /// Its tokens came from outside: there is nothing that it could be merged into.
    #[error("a root account is not part of another one: close it")]
    Root,
    /// Its tokens come from its parent.
    #[error("a deposit goes into a root account: transfer from there")]
    NotRoot,
    /// Tokens of one tenant never become another's.
    #[error("the accounts belong to different roots: tokens do not move between them")]
    Foreign,
}

/// An account as an operator sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountNode {
    /// Its id.
    pub id: AccountId,
    /// What it is a part of; `None` for a root.
    pub parent: Option<AccountId>,
    /// How many it is a part of, one in another.
    pub depth: usize,
    /// What it can spend.
    pub balance: Tokens,
    /// What work under way has set aside.
    pub reserved: Tokens,
    /// What it paid itself.
    pub spent: Tokens,
    /// What accounts paid that were parts of it, or parts of these, and are closed.
    pub spent_below: Tokens,
}

/// An account as it is kept, and put back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountImage {
    /// Its id.
    pub account: AccountId,
    /// What it is a part of; `None` for a root.
    pub parent: Option<AccountId>,
    /// What it holds; what is reserved for work under way is in it.
    pub balance: Tokens,
    /// What it paid itself.
    pub spent: Tokens,
    /// What accounts paid that were parts of it, or parts of these, and are closed.
    pub spent_below: Tokens,
}

/// All accounts of a node.
#[derive(Debug, Default)]
pub struct Accounts {
    tree: Tree<AccountId, Account>,
    /// Each of them once, since it is pending in its account.
    alarms: Vec<AccountId>,
    deposited: Tokens,
    /// By roots that are closed.
    spent_before: Tokens,
    /// Of accounts that are open and not here.
    away: Away,
}

impl Accounts {
    /// Opens a root account with a deposit; nothing else but [`Accounts::deposit_into`] brings tokens into the tree.
    ///
    /// # Errors
    /// [`AccountError::Overflow`].
    pub fn deposit(&mut self, amount: Tokens) -> Result<AccountId, AccountError> {
        self.deposited = self.deposited.checked_add(amount).ok_or(AccountError::Overflow)?;
        Ok(self.tree.insert_root(Account::holding(amount)))
    }

    /// Deposits more into a root account.
    ///
    /// # Errors
    /// [`AccountError::Overflow`], [`AccountError::NotRoot`], [`AccountError::Dead`].
    pub fn deposit_into(&mut self, root: AccountId, amount: Tokens) -> Result<(), AccountError> {
        self.tree.get(root).ok_or(AccountError::Dead)?;
        if self.tree.parent(root).is_some() {
            return Err(AccountError::NotRoot);
        }
        self.deposited = self.deposited.checked_add(amount).ok_or(AccountError::Overflow)?;
        self.change(root, |account| {
            account.put(amount);
            Ok(())
        })
    }

    /// Puts an account back as it was: with nothing reserved, and under the id that it had. Its parent has to be there;
    /// whether it was put back.
    pub fn restore(&mut self, image: &AccountImage) -> bool {
        let AccountImage { account: id, parent, balance, spent, spent_below } = *image;
        let sum = balance.checked_add(spent).and_then(|sum| sum.checked_add(spent_below));
        let Some(deposited) = sum.and_then(|sum| self.deposited.checked_add(sum)) else { return false };
        let account = Account { balance, spent, spent_below, ..Account::default() };
        let restored = self.tree.restore(id, parent, account);
        if restored {
            self.deposited = deposited;
        }
        restored
    }

    /// Gives out no number below this one from here on.
    pub fn skip_to(&mut self, number: u64) {
        self.tree.skip_to(number);
    }

    /// Opens a child account with a part of its parent's balance.
    ///
    /// # Errors
    /// [`AccountError::Nothing`], [`AccountError::TooMany`], [`AccountError::TooDeep`], [`AccountError::Shortfall`],
    /// [`AccountError::Dead`].
    pub fn split(&mut self, parent: AccountId, amount: Tokens) -> Result<AccountId, AccountError> {
        self.tree.get(parent).ok_or(AccountError::Dead)?;
        if amount == Tokens::ZERO {
            return Err(AccountError::Nothing);
        }
        if self.tree.children_count(parent) >= ACCOUNT_CHILDREN_MAX {
            return Err(AccountError::TooMany);
        }
        if self.tree.chain(parent).count() >= ACCOUNT_DEPTH_MAX {
            return Err(AccountError::TooDeep);
        }
        self.change(parent, |account| account.take(amount))?;
        self.tree.insert_child(parent, Account::holding(amount)).ok_or(AccountError::Dead)
    }

    /// Gives a child account back to its parent, as [`Accounts::close`] does. Returns what it held.
    ///
    /// # Errors
    /// [`AccountError::Root`], [`AccountError::Dead`].
    pub fn merge(&mut self, child: AccountId) -> Result<Tokens, AccountError> {
        self.tree.get(child).ok_or(AccountError::Dead)?;
        match self.tree.parent(child) {
            Some(_) => self.close(child),
            None => Err(AccountError::Root),
        }
    }

    /// Moves a part of the balance to another account of the same root.
    ///
    /// # Errors
    /// [`AccountError::Nothing`], [`AccountError::Foreign`], [`AccountError::Shortfall`], [`AccountError::Dead`].
    pub fn transfer(&mut self, from: AccountId, to: AccountId, amount: Tokens) -> Result<(), AccountError> {
        let root = |id| self.tree.chain(id).last().map(|(root, _)| root).ok_or(AccountError::Dead);
        let (from_root, to_root) = (root(from)?, root(to)?);
        if amount == Tokens::ZERO {
            return Err(AccountError::Nothing);
        }
        if from_root != to_root {
            return Err(AccountError::Foreign);
        }
        if from == to {
            return self.change(from, |account| {
                account.take(amount)?;
                account.put(amount);
                Ok(())
            });
        }
        self.change(from, |account| account.take(amount))?;
        self.change(to, |account| {
            account.put(amount);
            Ok(())
        })
    }

    /// What the account can spend.
    ///
    /// # Errors
    /// [`AccountError::Dead`].
    pub fn remaining(&self, account: AccountId) -> Result<Tokens, AccountError> {
        self.tree.get(account).map(|account| account.balance).ok_or(AccountError::Dead)
    }

    /// What the account holds: what it can spend, and what is reserved.
    ///
    /// # Errors
    /// [`AccountError::Dead`].
    pub fn held(&self, account: AccountId) -> Result<Tokens, AccountError> {
        self.tree.get(account).map(Account::held).ok_or(AccountError::Dead)
    }

    /// Sets tokens aside for work that is about to begin.
    ///
    /// # Errors
    /// [`AccountError::Dead`], [`AccountError::Shortfall`].
    pub fn reserve(&mut self, account: AccountId, amount: Tokens) -> Result<(), AccountError> {
        self.change(account, |account| {
            account.take(amount)?;
            account.reserved = account.reserved.saturating_add(amount);
            Ok(())
        })
    }

    /// Ends a reservation: `used` of it is spent, the rest goes back. Returns what was spent: nothing where the account
    /// was closed in between, since closing gave the reservation back.
    pub fn settle(&mut self, account: AccountId, reserved: Tokens, used: Tokens) -> Tokens {
        let settled = self.change(account, |account| {
            let reserved = reserved.min(account.reserved);
            let used = used.min(reserved);
            account.reserved = account.reserved.saturating_sub(reserved);
            account.spent = account.spent.saturating_add(used);
            account.put(reserved.saturating_sub(used));
            Ok(used)
        });
        settled.unwrap_or_default()
    }

    /// Pays at once.
    ///
    /// # Errors
    /// [`AccountError::Dead`], [`AccountError::Shortfall`].
    pub fn charge(&mut self, account: AccountId, amount: Tokens) -> Result<(), AccountError> {
        self.change(account, |account| {
            account.take(amount)?;
            account.spent = account.spent.saturating_add(amount);
            Ok(())
        })
    }

    /// Gives back what the account was charged and did not use; no more than it paid itself.
    ///
    /// # Errors
    /// [`AccountError::Dead`].
    pub fn refund(&mut self, account: AccountId, amount: Tokens) -> Result<(), AccountError> {
        self.change(account, |account| {
            let amount = amount.min(account.spent);
            account.spent = account.spent.saturating_sub(amount);
            account.put(amount);
            Ok(())
        })
    }

    /// Closes an account: all that it holds, reserved or not, goes to its parent, and its children become its parent's,
    /// even where these are more than a split would allow. Returns what it held. A root's holdings leave the tree, and
    /// its children become roots.
    ///
    /// # Errors
    /// [`AccountError::Dead`].
    pub fn close(&mut self, id: AccountId) -> Result<Tokens, AccountError> {
        let parent = self.tree.parent(id);
        let account = self.tree.remove(id).ok_or(AccountError::Dead)?;
        if account.alarm.is_pending() {
            self.alarms.retain(|pending| *pending != id);
        }
        let (held, spent) = (account.held(), account.spent_in_all());
        match parent {
            Some(parent) => self.change(parent, |parent| {
                parent.spent_below = parent.spent_below.saturating_add(spent);
                parent.put(held);
                Ok(())
            })?,
            None => {
                self.deposited = self.deposited.saturating_sub(held);
                self.spent_before = self.spent_before.saturating_add(spent);
            }
        }
        Ok(held)
    }

    /// Asks to be told when the balance falls below a threshold: once, and again only after it has been as high. Told at
    /// once where it is lower already. A threshold of nothing ends it. What was not taken yet is forgotten.
    ///
    /// # Errors
    /// [`AccountError::Dead`].
    pub fn set_alarm(&mut self, id: AccountId, threshold: Tokens) -> Result<(), AccountError> {
        let account = self.tree.get_mut(id).ok_or(AccountError::Dead)?;
        if mem::replace(&mut account.alarm, Alarm::below(threshold)).is_pending() {
            self.alarms.retain(|pending| *pending != id);
        }
        self.change(id, |_| Ok(()))
    }

    /// The accounts whose balance fell below their threshold since the last call, in this order. To be called after every
    /// operation that somebody waits for; costs nothing where there is none.
    pub fn take_alarms(&mut self) -> Vec<AccountId> {
        let alarms = mem::take(&mut self.alarms);
        for id in &alarms {
            if let Some(account) = self.tree.get_mut(*id) {
                account.alarm.take(account.balance);
            }
        }
        alarms
    }

    /// An account as an operator sees it; `None` where it is closed.
    #[must_use]
    pub fn node(&self, id: AccountId) -> Option<AccountNode> {
        self.tree.get(id).map(|account| self.seen(id, account))
    }

    /// All accounts, each before its parts.
    pub fn tree(&self) -> impl Iterator<Item = AccountNode> {
        self.tree.iter().map(|(id, account)| self.seen(id, account))
    }

    /// What all accounts paid, those that are closed or away included, less what was refunded.
    #[must_use]
    pub fn spent(&self) -> Tokens {
        let spent: Tokens = self.tree.iter().map(|(_, account)| account.spent_in_all()).sum();
        spent.saturating_add(self.spent_before).saturating_add(self.away.spent)
    }

    /// Whether every deposited token is in a balance, reserved or spent.
    #[must_use]
    pub fn is_conserved(&self) -> bool {
        let held: Tokens = self.tree.iter().map(|(_, account)| account.held()).sum();
        held.saturating_add(self.away.held).saturating_add(self.spent()) == self.deposited
    }

    fn seen(&self, id: AccountId, account: &Account) -> AccountNode {
        AccountNode {
            id,
            parent: self.tree.parent(id),
            depth: self.tree.chain(id).skip(1).count(),
            balance: account.balance,
            reserved: account.reserved,
            spent: account.spent,
            spent_below: account.spent_below,
        }
    }

    /// Every change of a balance passes here. `change` does nothing where it fails.
    fn change<T>(
        &mut self,
        id: AccountId,
        change: impl FnOnce(&mut Account) -> Result<T, AccountError>,
    ) -> Result<T, AccountError> {
        let account = self.tree.get_mut(id).ok_or(AccountError::Dead)?;
        let answer = change(account)?;
        if account.alarm.rings(account.balance) {
            self.alarms.push(id);
        }
        Ok(answer)
    }
}
