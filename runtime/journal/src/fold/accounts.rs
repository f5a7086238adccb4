//! Accounts: changes of a commit are summed in memory, and each account is written once.

use super::rows::{Rows, Write};
use crate::{error::Damage, number::stored};
use remit_abi::Tokens;
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::collections::BTreeSet;

/// A row of `accounts`. Amounts are modulo 2⁶⁴: what is right at the end is right, whatever came first.
#[derive(Clone, Copy)]
pub(crate) struct Account {
    pub(crate) parent: Option<u64>,
    pub(crate) balance: u64,
    pub(crate) spent: u64,
    pub(crate) spent_below: u64,
    pub(crate) opened: bool,
}

impl Account {
    /// From the columns `parent`, `balance`, `spent`, `spent_below`, `opened`, which begin at `first`.
    pub(crate) fn read(row: &Row<'_>, first: usize) -> rusqlite::Result<Self> {
        Ok(Self {
            parent: row.get::<_, Option<i64>>(first)?.map(i64::cast_unsigned),
            balance: row.get::<_, i64>(first + 1)?.cast_unsigned(),
            spent: row.get::<_, i64>(first + 2)?.cast_unsigned(),
            spent_below: row.get::<_, i64>(first + 3)?.cast_unsigned(),
            opened: row.get(first + 4)?,
        })
    }

    /// One that was named and not opened yet.
    const UNKNOWN: Self = Self { parent: None, balance: 0, spent: 0, spent_below: 0, opened: false };
}

#[derive(Default)]
pub(crate) struct Accounts {
    rows: Rows<u64, Account>,
    /// Parents that this commit gives, each with its child.
    parents: BTreeSet<(u64, u64)>,
    /// Whose parent this commit changes.
    moved: BTreeSet<u64>,
}

impl Accounts {
    fn edit<'a>(&'a mut self, db: &Connection, account: u64) -> Result<&'a mut Option<Account>, Damage> {
        self.rows.edit(account, || load(db, account))
    }

    fn change(&mut self, db: &Connection, account: u64, change: impl FnOnce(&mut Account)) -> Result<(), Damage> {
        change(self.edit(db, account)?.get_or_insert(Account::UNKNOWN));
        Ok(())
    }

    fn set_parent(&mut self, db: &Connection, account: u64, parent: Option<u64>) -> Result<(), Damage> {
        let row = self.edit(db, account)?.get_or_insert(Account::UNKNOWN);
        let before = std::mem::replace(&mut row.parent, parent);
        before.map(|before| self.parents.remove(&(before, account)));
        self.parents.extend(parent.map(|parent| (parent, account)));
        self.moved.insert(account);
        Ok(())
    }

    /// Tokens come into the tree.
    pub(crate) fn deposit(&mut self, db: &Connection, account: u64, amount: Tokens) -> Result<(), Damage> {
        self.change(db, account, |row| {
            row.opened = true;
            row.balance = row.balance.wrapping_add(amount.micro());
        })
    }

    /// A part of an account becomes one of its own.
    pub(crate) fn split(&mut self, db: &Connection, from: u64, account: u64, amount: Tokens) -> Result<(), Damage> {
        self.change(db, from, |row| row.balance = row.balance.wrapping_sub(amount.micro()))?;
        self.deposit(db, account, amount)?;
        self.set_parent(db, account, Some(from))
    }

    /// Tokens go from one to another.
    pub(crate) fn transfer(&mut self, db: &Connection, from: u64, to: u64, amount: Tokens) -> Result<(), Damage> {
        self.change(db, from, |row| row.balance = row.balance.wrapping_sub(amount.micro()))?;
        self.change(db, to, |row| row.balance = row.balance.wrapping_add(amount.micro()))
    }

    /// An account pays for work.
    pub(crate) fn pay(&mut self, db: &Connection, account: u64, amount: Tokens) -> Result<(), Damage> {
        self.change(db, account, |row| {
            row.balance = row.balance.wrapping_sub(amount.micro());
            row.spent = row.spent.wrapping_add(amount.micro());
        })
    }

    /// An account gets back what it paid.
    pub(crate) fn refund(&mut self, db: &Connection, account: u64, amount: Tokens) -> Result<(), Damage> {
        self.change(db, account, |row| {
            row.balance = row.balance.wrapping_add(amount.micro());
            row.spent = row.spent.wrapping_sub(amount.micro());
        })
    }

    /// An account goes: what it has is its parent's, and so are its children. A root's are roots from then on.
    pub(crate) fn close(&mut self, db: &Connection, account: u64) -> Result<(), Damage> {
        let Some(closed) = self.edit(db, account)?.take() else { return Ok(()) };
        self.moved.remove(&account);
        if let Some(parent) = closed.parent {
            self.parents.remove(&(parent, account));
            self.change(db, parent, |row| {
                row.balance = row.balance.wrapping_add(closed.balance);
                row.spent_below = row.spent_below.wrapping_add(closed.spent).wrapping_add(closed.spent_below);
            })?;
        }
        for child in self.children(db, account)? {
            self.set_parent(db, child, closed.parent)?;
        }
        Ok(())
    }

    fn children(&mut self, db: &Connection, parent: u64) -> Result<BTreeSet<u64>, Damage> {
        let given = self.parents.range((parent, 0)..=(parent, u64::MAX)).map(|(_, child)| *child);
        let mut children: BTreeSet<u64> = given.collect();
        let mut select = db.prepare_cached("SELECT account FROM accounts WHERE parent = ?1")?;
        for child in select.query_map([stored(parent)], |row| row.get::<_, i64>(0))? {
            let child = child?.cast_unsigned();
            let row = self.rows.look(child, || load(db, child))?;
            if row.is_some_and(|row| row.parent == Some(parent)) {
                children.insert(child);
            }
        }
        Ok(children)
    }

    pub(crate) fn flush(&mut self, db: &Connection) -> Result<(), Damage> {
        let mut insert = db.prepare_cached(
            "INSERT INTO accounts(account, parent, balance, spent, spent_below, opened) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?;
        // The index of parents is only written where a parent changes.
        let mut amounts = db.prepare_cached(
            "UPDATE accounts SET balance = ?2, spent = ?3, spent_below = ?4, opened = ?5 WHERE account = ?1",
        )?;
        let mut parents = db.prepare_cached("UPDATE accounts SET parent = ?2 WHERE account = ?1")?;
        let mut delete = db.prepare_cached("DELETE FROM accounts WHERE account = ?1")?;
        self.rows.writes(|account, write| {
            let key = stored(account);
            match write {
                Write::Insert(row) => {
                    let [balance, spent, below] = [row.balance, row.spent, row.spent_below].map(stored);
                    insert.execute(params![key, row.parent.map(stored), balance, spent, below, row.opened])?;
                }
                Write::Update(row) => {
                    let [balance, spent, below] = [row.balance, row.spent, row.spent_below].map(stored);
                    amounts.execute(params![key, balance, spent, below, row.opened])?;
                    if self.moved.contains(&account) {
                        parents.execute(params![key, row.parent.map(stored)])?;
                    }
                }
                Write::Delete => drop(delete.execute([key])?),
            }
            Ok(())
        })
    }

    pub(crate) fn settle(&mut self) {
        self.parents.clear();
        self.moved.clear();
        self.rows.settle(|_| {});
    }
}

fn load(db: &Connection, account: u64) -> Result<Option<Account>, Damage> {
    let mut select =
        db.prepare_cached("SELECT parent, balance, spent, spent_below, opened FROM accounts WHERE account = ?1")?;
    Ok(select.query_row([stored(account)], |row| Account::read(row, 0)).optional()?)
}
