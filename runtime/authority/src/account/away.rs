//! Accounts that are open and not in memory: those of processes that sleep. They are kept elsewhere, as they were.

use super::{Account, AccountImage, Accounts};
use remit_abi::{AccountId, Tokens};

/// What accounts that are away hold and paid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Away {
    /// What they hold.
    pub held: Tokens,
    /// What they paid themselves, and what accounts paid that were parts of them.
    pub spent: Tokens,
}

impl Away {
    /// With an account more.
    #[must_use]
    pub fn with(self, image: &AccountImage) -> Self {
        let spent = image.spent.saturating_add(image.spent_below);
        Self { held: self.held.saturating_add(image.balance), spent: self.spent.saturating_add(spent) }
    }

    fn without(self, image: &AccountImage) -> Self {
        let spent = image.spent.saturating_add(image.spent_below);
        Self { held: self.held.saturating_sub(image.balance), spent: self.spent.saturating_sub(spent) }
    }
}

impl Accounts {
    /// Whether an account can leave once it has no parts besides `apart`: nothing is reserved in it, and nobody asked to be told of its
    /// balance.
    #[must_use]
    pub fn can_leave(&self, id: AccountId, apart: Option<AccountId>) -> bool {
        let is_quiet = |account: &Account| account.reserved == Tokens::ZERO && !account.alarm.is_set();
        self.tree.get(id).is_some_and(is_quiet) && self.tree.children(id).all(|part| Some(part) == apart)
    }

    /// Takes an account out of memory that [can leave](Accounts::can_leave) and has no parts; it stays open, and as it is it has to be kept
    /// elsewhere. `None` where it cannot.
    pub fn leave(&mut self, id: AccountId) -> Option<AccountImage> {
        if !self.can_leave(id, None) {
            return None;
        }
        let parent = self.tree.parent(id);
        let Account { balance, spent, spent_below, .. } = self.tree.remove(id)?;
        let image = AccountImage { account: id, parent, balance, spent, spent_below };
        self.away = self.away.with(&image);
        Some(image)
    }

    /// Puts an account back that was away. Its parent has to be there; whether it was put back.
    pub fn come_back(&mut self, image: &AccountImage) -> bool {
        let AccountImage { account: id, parent, balance, spent, spent_below } = *image;
        let account = Account { balance, spent, spent_below, ..Account::default() };
        let is_back = self.tree.restore(id, parent, account);
        if is_back {
            self.away = self.away.without(image);
        }
        is_back
    }

    /// Counts accounts that are away from the beginning.
    pub fn restore_away(&mut self, away: Away) {
        self.deposited = self.deposited.saturating_add(away.held).saturating_add(away.spent);
        self.away.held = self.away.held.saturating_add(away.held);
        self.away.spent = self.away.spent.saturating_add(away.spent);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn micro(amount: u64) -> Tokens {
        Tokens::from_micro(amount)
    }

    #[test]
    fn what_is_away_is_conserved_and_comes_back_as_it_was() {
        let mut accounts = Accounts::default();
        let root = accounts.deposit(micro(100)).expect("a small deposit");
        let part = accounts.split(root, micro(40)).expect("it holds more");
        accounts.charge(part, micro(15)).expect("it holds more");
        assert!(!accounts.can_leave(root, None) && accounts.can_leave(root, Some(part)));
        assert_eq!(accounts.leave(root), None, "it has a part");
        let before: Vec<_> = accounts.tree().collect();
        let part = accounts.leave(part).expect("nothing is under way");
        let root = accounts.leave(root).expect("its part has gone");
        assert_eq!((accounts.tree().count(), accounts.spent()), (0, micro(15)));
        assert!(accounts.is_conserved());
        assert!(!accounts.come_back(&part), "its parent first");
        assert!(accounts.come_back(&root) && accounts.come_back(&part));
        assert!(accounts.tree().eq(before) && accounts.is_conserved());
    }

    #[test]
    fn who_has_something_under_way_or_is_listened_to_stays() {
        let mut accounts = Accounts::default();
        let root = accounts.deposit(micro(100)).expect("a small deposit");
        accounts.reserve(root, micro(1)).expect("it holds more");
        assert_eq!(accounts.leave(root), None);
        accounts.settle(root, micro(1), Tokens::ZERO);
        accounts.set_alarm(root, micro(5)).expect("it is open");
        assert_eq!(accounts.leave(root), None);
        accounts.set_alarm(root, Tokens::ZERO).expect("it is open");
        assert!(accounts.leave(root).is_some());
    }

    #[test]
    fn those_that_were_away_from_the_beginning_are_counted() {
        let mut accounts = Accounts::default();
        let index = AccountId { index: 7, generation: 1 };
        let image =
            AccountImage { account: index, parent: None, balance: micro(3), spent: micro(4), spent_below: micro(5) };
        accounts.restore_away(Away::default().with(&image));
        assert!(accounts.is_conserved());
        assert_eq!(accounts.spent(), micro(9));
        assert!(accounts.come_back(&image) && accounts.is_conserved());
        assert_eq!(accounts.spent(), micro(9));
    }
}
