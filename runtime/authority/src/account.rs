//! The account tree: who holds how many tokens.
//!
//! | state of a token | how it gets there | how it leaves |
//! | --- | --- | --- |
//! | balance | deposit, split, refund | reserve, split, close |
//! | reserved | reserve, before work begins | settle, when its price is known |
//! | spent | settle | never |
//!
//! The sum of the three over the whole tree is what was deposited, after any sequence of operations.

use crate::Arena;
use remit_abi::{AccountId, Shortfall, Tokens};
use thiserror::Error;

#[derive(Debug, Default)]
struct Account {
    parent: Option<AccountId>,
    balance: Tokens,
    reserved: Tokens,
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
    #[error("x")]
    Nothing,
    #[error("x")]
    TooMany { limit: u64 },
}

/// All accounts of a node.
#[derive(Debug, Default)]
pub struct Accounts {
    open: Arena<AccountId, Account>,
    deposited: Tokens,
    spent: Tokens,
}

impl Accounts {
    /// Opens a root account with a deposit, the only way that tokens come into the tree.
    ///
    /// # Errors
    /// [`AccountError::Overflow`].
    pub fn deposit(&mut self, amount: Tokens) -> Result<AccountId, AccountError> {
        self.deposited = self.deposited.checked_add(amount).ok_or(AccountError::Overflow)?;
        Ok(self.open.insert(Account { balance: amount, ..Account::default() }))
    }

    /// Opens a child account with a part of its parent's balance.
    ///
    /// # Errors
    /// [`AccountError::Dead`], [`AccountError::Shortfall`].
    pub fn split(&mut self, parent: AccountId, amount: Tokens) -> Result<AccountId, AccountError> {
        let account = self.open.get_mut(parent).ok_or(AccountError::Dead)?;
        account.balance = rest(account.balance, amount)?;
        Ok(self.open.insert(Account { parent: Some(parent), balance: amount, reserved: Tokens::ZERO }))
    }

    pub fn transfer(&mut self, from: AccountId, to: AccountId, amount: Tokens) -> Result<(), AccountError> {
        let account = self.open.get_mut(from).ok_or(AccountError::Dead)?;
        account.balance = rest(account.balance, amount)?;
        let to = self.open.get_mut(to).ok_or(AccountError::Dead)?;
        to.balance = to.balance.saturating_add(amount);
        Ok(())
    }

    /// What the account can spend.
    ///
    /// # Errors
    /// [`AccountError::Dead`].
    pub fn remaining(&self, account: AccountId) -> Result<Tokens, AccountError> {
        self.open.get(account).map(|account| account.balance).ok_or(AccountError::Dead)
    }

    /// Sets tokens aside for work that is about to begin.
    ///
    /// # Errors
    /// [`AccountError::Dead`], [`AccountError::Shortfall`].
    pub fn reserve(&mut self, account: AccountId, amount: Tokens) -> Result<(), AccountError> {
        let account = self.open.get_mut(account).ok_or(AccountError::Dead)?;
        account.balance = rest(account.balance, amount)?;
        account.reserved = account.reserved.saturating_add(amount);
        Ok(())
    }

    /// Ends a reservation: `used` of it is spent, the rest goes back. Returns what was spent: nothing where the account
    /// was closed in between, since closing gave the reservation back.
    pub fn settle(&mut self, account: AccountId, reserved: Tokens, used: Tokens) -> Tokens {
        let Some(account) = self.open.get_mut(account) else { return Tokens::ZERO };
        let reserved = reserved.min(account.reserved);
        let used = used.min(reserved);
        account.reserved = account.reserved.saturating_sub(reserved);
        account.balance = account.balance.saturating_add(reserved.saturating_sub(used));
        self.spent = self.spent.saturating_add(used);
        used
    }

    /// Pays at once.
    ///
    /// # Errors
    /// [`AccountError::Dead`], [`AccountError::Shortfall`].
    pub fn charge(&mut self, account: AccountId, amount: Tokens) -> Result<(), AccountError> {
        let account = self.open.get_mut(account).ok_or(AccountError::Dead)?;
        account.balance = rest(account.balance, amount)?;
        self.spent = self.spent.saturating_add(amount);
        Ok(())
    }

    /// Gives back what was charged and not used.
    ///
    /// # Errors
    /// [`AccountError::Dead`].
    pub fn refund(&mut self, account: AccountId, amount: Tokens) -> Result<(), AccountError> {
        let account = self.open.get_mut(account).ok_or(AccountError::Dead)?;
        let amount = amount.min(self.spent);
        self.spent = self.spent.saturating_sub(amount);
        account.balance = account.balance.saturating_add(amount);
        Ok(())
    }

    /// Closes an account: all that it holds, reserved or not, goes to its parent, and its children become its parent's.
    /// Returns what it held. A root's holdings leave the tree.
    ///
    /// # Errors
    /// [`AccountError::Dead`].
    pub fn close(&mut self, id: AccountId) -> Result<Tokens, AccountError> {
        let account = self.open.remove(id).ok_or(AccountError::Dead)?;
        let held = account.balance.saturating_add(account.reserved);
        match account.parent.and_then(|parent| self.open.get_mut(parent)) {
            Some(parent) => parent.balance = parent.balance.saturating_add(held),
            None => self.deposited = self.deposited.saturating_sub(held),
        }
        let children: Vec<_> = self.open.iter().filter(|(_, a)| a.parent == Some(id)).map(|(id, _)| id).collect();
        for child in children {
            if let Some(child) = self.open.get_mut(child) {
                child.parent = account.parent;
            }
        }
        Ok(held)
    }

    /// Whether every deposited token is in a balance, reserved or spent.
    #[must_use]
    pub fn is_conserved(&self) -> bool {
        let held: Tokens = self.open.iter().map(|(_, a)| a.balance.saturating_add(a.reserved)).sum();
        held.saturating_add(self.spent) == self.deposited
    }
}

fn rest(balance: Tokens, amount: Tokens) -> Result<Tokens, Shortfall> {
    balance.checked_sub(amount).ok_or(Shortfall { needed: amount, remaining: balance })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Operation {
        Deposit(u64),
        Split(usize, u64),
        Reserve(usize, u64),
        Settle(usize, u64),
        Charge(usize, u64),
        RefundHalf(usize),
        Close(usize),
    }

    fn operations() -> impl Strategy<Value = Vec<Operation>> {
        let amount = prop_oneof![0..100_u64, Just(u64::MAX)];
        let operation = (0..7_u8, 0..8_usize, amount).prop_map(|(kind, which, amount)| match kind {
            0 => Operation::Deposit(amount),
            1 => Operation::Split(which, amount),
            2 => Operation::Reserve(which, amount),
            3 => Operation::Settle(which, amount),
            4 => Operation::Charge(which, amount),
            5 => Operation::RefundHalf(which),
            _ => Operation::Close(which),
        });
        prop::collection::vec(operation, 0..60)
    }

    proptest! {
        #[test]
        fn any_interleaving_conserves_the_sum(operations in operations()) {
            let mut accounts = Accounts::default();
            let mut ids = vec![accounts.deposit(Tokens::from_micro(1000)).expect("1000 fit")];
            let mut reservations = Vec::new();
            let mut charges = Vec::new();
            for operation in operations {
                match operation {
                    Operation::Deposit(amount) => ids.extend(accounts.deposit(Tokens::from_micro(amount))),
                    Operation::Split(which, amount) => {
                        let id = ids[which % ids.len()];
                        ids.extend(accounts.split(id, Tokens::from_micro(amount)));
                    }
                    Operation::Reserve(which, amount) => {
                        let (id, amount) = (ids[which % ids.len()], Tokens::from_micro(amount));
                        if accounts.reserve(id, amount).is_ok() {
                            reservations.push((id, amount));
                        }
                    }
                    Operation::Settle(which, used) => {
                        if !reservations.is_empty() {
                            let (id, amount) = reservations.swap_remove(which % reservations.len());
                            let spent = accounts.settle(id, amount, Tokens::from_micro(used));
                            prop_assert!(spent <= amount);
                        }
                    }
                    Operation::Charge(which, amount) => {
                        let (id, amount) = (ids[which % ids.len()], Tokens::from_micro(amount));
                        if accounts.charge(id, amount).is_ok() {
                            charges.push((id, amount));
                        }
                    }
                    Operation::RefundHalf(which) => {
                        if !charges.is_empty() {
                            let (id, amount) = charges.swap_remove(which % charges.len());
                            let _closed_in_between = accounts.refund(id, Tokens::from_micro(amount.micro() / 2));
                        }
                    }
                    Operation::Close(which) => {
                        let _closed_before = accounts.close(ids[which % ids.len()]);
                    }
                }
                prop_assert!(accounts.is_conserved());
            }
        }
    }

    #[test]
    fn a_settled_reservation_refunds_the_rest() {
        let mut accounts = Accounts::default();
        let root = accounts.deposit(Tokens::from_micro(100)).expect("100 fit");
        accounts.reserve(root, Tokens::from_micro(60)).expect("60 of 100");
        assert_eq!(accounts.remaining(root), Ok(Tokens::from_micro(40)));
        assert_eq!(accounts.settle(root, Tokens::from_micro(60), Tokens::from_micro(25)), Tokens::from_micro(25));
        assert_eq!(accounts.remaining(root), Ok(Tokens::from_micro(75)));
    }

    #[test]
    fn a_reservation_beyond_the_balance_states_both_sides() {
        let mut accounts = Accounts::default();
        let root = accounts.deposit(Tokens::from_micro(10)).expect("10 fit");
        let shortfall = Shortfall { needed: Tokens::from_micro(11), remaining: Tokens::from_micro(10) };
        assert_eq!(accounts.reserve(root, Tokens::from_micro(11)), Err(shortfall.into()));
    }
}
