//! The account tree against a plain model: a map of balances, in which every operation is written out.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

#[derive(Clone, Debug, Default, PartialEq)]
struct Plain {
    parent: Option<AccountId>,
    balance: u64,
    reserved: u64,
    spent: u64,
    spent_below: u64,
    threshold: u64,
    /// Whether the balance has been lower since somebody was told, and whether somebody is still to be told.
    was_low: bool,
    to_tell: bool,
}

#[derive(Default)]
struct Model {
    open: BTreeMap<AccountId, Plain>,
    deposited: u128,
    withdrawn: u128,
    spent_before: u128,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Deposit(u64),
    DepositInto(usize, u64),
    Split(usize, u64),
    Merge(usize),
    Transfer(usize, usize, u64),
    Reserve(usize, u64),
    Settle(usize, u64),
    Charge(usize, u64),
    RefundHalf(usize),
    Close(usize),
    SetAlarm(usize, u64),
    TakeAlarms,
}

impl Model {
    fn get(&mut self, id: AccountId) -> Result<&mut Plain, AccountError> {
        self.open.get_mut(&id).ok_or(AccountError::Dead)
    }

    fn root(&self, id: AccountId) -> Option<AccountId> {
        self.open.get(&id)?.parent.map_or(Some(id), |parent| self.root(parent))
    }

    fn depth(&self, id: AccountId) -> usize {
        self.open[&id].parent.map_or(0, |parent| 1 + self.depth(parent))
    }

    fn deposit(&mut self, amount: u64) -> Result<(), AccountError> {
        let sum = self.deposited - self.withdrawn + u128::from(amount);
        if sum > u128::from(u64::MAX) {
            return Err(AccountError::Overflow);
        }
        self.deposited += u128::from(amount);
        Ok(())
    }

    fn take(&mut self, id: AccountId, amount: u64) -> Result<(), AccountError> {
        let account = self.get(id)?;
        if amount > account.balance {
            let (needed, remaining) = (Tokens::from_micro(amount), Tokens::from_micro(account.balance));
            return Err(Shortfall { needed, remaining }.into());
        }
        account.balance -= amount;
        Ok(())
    }

    fn can_move(&self, from: AccountId, to: AccountId, amount: u64) -> Result<(), AccountError> {
        match (self.root(from), self.root(to)) {
            (None, _) | (_, None) => Err(AccountError::Dead),
            _ if amount == 0 => Err(AccountError::Nothing),
            (one, other) if one != other => Err(AccountError::Foreign),
            _ => Ok(()),
        }
    }

    fn can_split(&self, parent: AccountId, amount: u64) -> Result<(), AccountError> {
        match self.open.contains_key(&parent) {
            false => Err(AccountError::Dead),
            true if amount == 0 => Err(AccountError::Nothing),
            true if self.depth(parent) + 1 >= ACCOUNT_DEPTH_MAX => Err(AccountError::TooDeep),
            true => Ok(()),
        }
    }

    fn close(&mut self, id: AccountId) -> Result<Tokens, AccountError> {
        let account = self.open.remove(&id).ok_or(AccountError::Dead)?;
        let (held, spent) = (account.balance + account.reserved, account.spent + account.spent_below);
        self.open.values_mut().filter(|child| child.parent == Some(id)).for_each(|child| child.parent = account.parent);
        match account.parent.map(|parent| self.get(parent)) {
            Some(parent) => {
                let parent = parent?;
                parent.balance += held;
                parent.spent_below += spent;
            }
            None => {
                self.withdrawn += u128::from(held);
                self.spent_before += u128::from(spent);
            }
        }
        Ok(Tokens::from_micro(held))
    }

    /// After every step: balances that are low now, and were not when somebody was told last.
    fn follow_alarms(&mut self) {
        for account in self.open.values_mut() {
            let is_low = account.balance < account.threshold;
            account.to_tell |= is_low && !account.was_low;
            account.was_low = is_low || account.to_tell;
        }
    }

    fn take_alarms(&mut self) -> Vec<AccountId> {
        let told = self.open.iter_mut().filter(|(_, account)| account.to_tell).map(|(id, account)| {
            account.to_tell = false;
            account.was_low = account.balance < account.threshold;
            *id
        });
        told.collect()
    }
}

/// Both trees, and who has something open in them.
struct Both {
    accounts: Accounts,
    model: Model,
    ids: Vec<AccountId>,
    reservations: Vec<(AccountId, u64)>,
    charges: Vec<(AccountId, u64)>,
}

impl Both {
    fn pick(&self, which: usize) -> AccountId {
        self.ids[which % self.ids.len()]
    }

    fn enter(&mut self, answer: Result<AccountId, AccountError>, parent: Option<AccountId>, balance: u64) {
        if let Ok(id) = answer {
            self.ids.push(id);
            self.model.open.insert(id, Plain { parent, balance, ..Plain::default() });
        }
    }

    fn step(&mut self, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Deposit(amount) => {
                let answer = self.accounts.deposit(Tokens::from_micro(amount));
                prop_assert_eq!(answer.map(drop), self.model.deposit(amount));
                self.enter(answer, None, amount);
            }
            Step::DepositInto(which, amount) => {
                let id = self.pick(which);
                let expected = match self.model.get(id).map(|account| account.parent.is_some()) {
                    Ok(true) => Err(AccountError::NotRoot),
                    Ok(false) => self.model.deposit(amount),
                    Err(error) => Err(error),
                };
                prop_assert_eq!(self.accounts.deposit_into(id, Tokens::from_micro(amount)), expected);
                if expected.is_ok() {
                    self.model.get(id).expect("it is open").balance += amount;
                }
            }
            Step::Split(which, amount) => {
                let parent = self.pick(which);
                let expected = self.model.can_split(parent, amount).and_then(|()| self.model.take(parent, amount));
                let answer = self.accounts.split(parent, Tokens::from_micro(amount));
                prop_assert_eq!(answer.map(drop), expected);
                self.enter(answer, Some(parent), amount);
            }
            Step::Merge(which) => {
                let id = self.pick(which);
                let expected = match self.model.get(id).map(|account| account.parent) {
                    Ok(None) => Err(AccountError::Root),
                    _ => self.model.close(id),
                };
                prop_assert_eq!(self.accounts.merge(id), expected);
            }
            Step::Transfer(from, to, amount) => {
                let (from, to) = (self.pick(from), self.pick(to));
                let expected = self.model.can_move(from, to, amount).and_then(|()| self.model.take(from, amount));
                prop_assert_eq!(self.accounts.transfer(from, to, Tokens::from_micro(amount)), expected);
                if expected.is_ok() {
                    self.model.get(to).expect("it is open").balance += amount;
                }
            }
            Step::Close(which) => {
                let id = self.pick(which);
                prop_assert_eq!(self.accounts.close(id), self.model.close(id));
            }
            Step::SetAlarm(which, threshold) => {
                let id = self.pick(which);
                let account = self.model.get(id).map(|account| {
                    (account.threshold, account.was_low, account.to_tell) = (threshold, false, false);
                });
                prop_assert_eq!(self.accounts.set_alarm(id, Tokens::from_micro(threshold)), account);
            }
            Step::TakeAlarms => {
                let mut told = self.accounts.take_alarms();
                told.sort_unstable();
                prop_assert_eq!(told, self.model.take_alarms());
            }
            Step::Reserve(..) | Step::Settle(..) | Step::Charge(..) | Step::RefundHalf(_) => self.pay(step)?,
        }
        self.model.follow_alarms();
        self.compare()
    }

    fn pay(&mut self, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Reserve(which, amount) => {
                let id = self.pick(which);
                let expected = self.model.take(id, amount);
                prop_assert_eq!(self.accounts.reserve(id, Tokens::from_micro(amount)), expected);
                if expected.is_ok() {
                    self.model.get(id).expect("it is open").reserved += amount;
                    self.reservations.push((id, amount));
                }
            }
            Step::Settle(which, used) if !self.reservations.is_empty() => {
                let (id, amount) = self.reservations.swap_remove(which % self.reservations.len());
                let expected = self.model.get(id).map_or(0, |account| {
                    let used = used.min(amount);
                    account.reserved -= amount;
                    account.spent += used;
                    account.balance += amount - used;
                    used
                });
                let (amount, used) = (Tokens::from_micro(amount), Tokens::from_micro(used));
                prop_assert_eq!(self.accounts.settle(id, amount, used), Tokens::from_micro(expected));
            }
            Step::Charge(which, amount) => {
                let id = self.pick(which);
                let expected = self.model.take(id, amount);
                prop_assert_eq!(self.accounts.charge(id, Tokens::from_micro(amount)), expected);
                if expected.is_ok() {
                    self.model.get(id).expect("it is open").spent += amount;
                    self.charges.push((id, amount));
                }
            }
            Step::RefundHalf(which) if !self.charges.is_empty() => {
                let (id, amount) = self.charges.swap_remove(which % self.charges.len());
                let expected = self.model.get(id).map(|account| {
                    account.spent -= amount / 2;
                    account.balance += amount / 2;
                });
                prop_assert_eq!(self.accounts.refund(id, Tokens::from_micro(amount / 2)), expected);
            }
            _ => {}
        }
        Ok(())
    }

    fn compare(&self) -> Result<(), TestCaseError> {
        let mut sum = self.model.spent_before;
        let mut spent = sum;
        for (id, plain) in &self.model.open {
            let node = self.accounts.node(*id).expect("it is open in the model");
            let amounts = [node.balance, node.reserved, node.spent, node.spent_below].map(Tokens::micro);
            prop_assert_eq!(amounts, [plain.balance, plain.reserved, plain.spent, plain.spent_below]);
            prop_assert_eq!((node.parent, node.depth), (plain.parent, self.model.depth(*id)));
            prop_assert_eq!(self.accounts.held(*id), Ok(Tokens::from_micro(plain.balance + plain.reserved)));
            sum += amounts.into_iter().map(u128::from).sum::<u128>();
            spent += amounts[2..].iter().copied().map(u128::from).sum::<u128>();
        }
        prop_assert_eq!(self.accounts.tree().count(), self.model.open.len());
        prop_assert_eq!(sum, self.model.deposited - self.model.withdrawn, "tokens are neither made nor lost");
        prop_assert!(self.accounts.is_conserved());
        prop_assert_eq!(u128::from(self.accounts.spent().micro()), spent);
        Ok(())
    }
}

fn step() -> impl Strategy<Value = Step> {
    let which = || 0..16_usize;
    let amount = || prop_oneof![9 => 0..100_u64, 1 => Just(u64::MAX)];
    prop_oneof![
        1 => amount().prop_map(Step::Deposit),
        1 => (which(), amount()).prop_map(|(which, amount)| Step::DepositInto(which, amount)),
        5 => (which(), amount()).prop_map(|(which, amount)| Step::Split(which, amount)),
        1 => which().prop_map(Step::Merge),
        3 => (which(), which(), amount()).prop_map(|(from, to, amount)| Step::Transfer(from, to, amount)),
        4 => (which(), amount()).prop_map(|(which, amount)| Step::Reserve(which, amount)),
        3 => (which(), amount()).prop_map(|(which, used)| Step::Settle(which, used)),
        4 => (which(), amount()).prop_map(|(which, amount)| Step::Charge(which, amount)),
        2 => which().prop_map(Step::RefundHalf),
        2 => which().prop_map(Step::Close),
        2 => (which(), 0..150_u64).prop_map(|(which, threshold)| Step::SetAlarm(which, threshold)),
        2 => Just(Step::TakeAlarms),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn any_interleaving_is_what_the_model_says_and_conserves_the_sum(steps in prop::collection::vec(step(), 0..80)) {
        let mut both = Both {
            accounts: Accounts::default(),
            model: Model::default(),
            ids: Vec::new(),
            reservations: Vec::new(),
            charges: Vec::new(),
        };
        let first = both.accounts.deposit(Tokens::from_micro(1000));
        both.model.deposit(1000).expect("1000 fit");
        both.enter(first, None, 1000);
        for step in steps {
            both.step(step)?;
        }
        for id in both.ids.clone() {
            prop_assert_eq!(both.accounts.close(id), both.model.close(id));
        }
        both.compare()?;
        prop_assert_eq!(both.accounts.tree().count(), 0);
    }
}
