//! Each rule of the account tree, one at a time.

use super::*;

fn micro(amount: u64) -> Tokens {
    Tokens::from_micro(amount)
}

fn root(accounts: &mut Accounts, amount: u64) -> AccountId {
    accounts.deposit(micro(amount)).expect("it can be counted")
}

#[test]
fn a_settled_reservation_refunds_the_rest() {
    let mut accounts = Accounts::default();
    let root = root(&mut accounts, 100);
    accounts.reserve(root, micro(60)).expect("60 of 100");
    assert_eq!((accounts.remaining(root), accounts.held(root)), (Ok(micro(40)), Ok(micro(100))));
    assert_eq!(accounts.settle(root, micro(60), micro(25)), micro(25));
    assert_eq!(accounts.remaining(root), Ok(micro(75)));
}

#[test]
fn a_reservation_beyond_the_balance_states_both_sides() {
    let mut accounts = Accounts::default();
    let root = root(&mut accounts, 10);
    let shortfall = Shortfall { needed: micro(11), remaining: micro(10) };
    assert_eq!(accounts.reserve(root, micro(11)), Err(shortfall.into()));
}

#[test]
fn a_part_of_nothing_is_none() {
    let mut accounts = Accounts::default();
    let root = root(&mut accounts, 10);
    assert_eq!(accounts.split(root, Tokens::ZERO), Err(AccountError::Nothing));
    let child = accounts.split(root, micro(10)).expect("all of it");
    assert_eq!(accounts.transfer(child, root, Tokens::ZERO), Err(AccountError::Nothing));
    assert_eq!(accounts.tree().count(), 2);
}

#[test]
fn parts_are_bounded_in_number_and_depth() {
    let mut accounts = Accounts::default();
    let root = root(&mut accounts, 1_000_000);
    for _ in 0..ACCOUNT_CHILDREN_MAX {
        accounts.split(root, micro(1)).expect("there is room");
    }
    assert_eq!(accounts.split(root, micro(1)), Err(AccountError::TooMany));
    let mut deepest = accounts.deposit(micro(1000)).expect("it can be counted");
    for _ in 1..ACCOUNT_DEPTH_MAX {
        deepest = accounts.split(deepest, micro(100)).expect("it is not deep yet");
    }
    assert_eq!(accounts.split(deepest, micro(1)), Err(AccountError::TooDeep));
    assert!(accounts.is_conserved());
}

#[test]
fn tokens_move_within_a_root_only() {
    let mut accounts = Accounts::default();
    let (one, other) = (root(&mut accounts, 100), root(&mut accounts, 100));
    let child = accounts.split(one, micro(30)).expect("30 of 100");
    assert_eq!(accounts.transfer(child, other, micro(1)), Err(AccountError::Foreign));
    assert_eq!(accounts.transfer(one, child, micro(70)), Ok(()));
    let shortfall = AccountError::Shortfall(Shortfall { needed: micro(1), remaining: Tokens::ZERO });
    assert_eq!(accounts.transfer(one, child, micro(1)), Err(shortfall));
    assert_eq!(accounts.transfer(child, child, micro(100)), Ok(()));
    assert_eq!(accounts.remaining(child), Ok(micro(100)));
    assert_eq!(accounts.deposit_into(child, micro(1)), Err(AccountError::NotRoot));
    assert_eq!(accounts.deposit_into(one, micro(5)), Ok(()));
    assert_eq!(accounts.deposit_into(one, Tokens::MAX), Err(AccountError::Overflow));
    assert_eq!(accounts.remaining(one), Ok(micro(5)));
    assert!(accounts.is_conserved());
}

#[test]
fn what_a_closed_account_held_and_spent_goes_to_its_parent() {
    let mut accounts = Accounts::default();
    let root = root(&mut accounts, 100);
    let child = accounts.split(root, micro(60)).expect("60 of 100");
    let grandchild = accounts.split(child, micro(20)).expect("20 of 60");
    accounts.charge(child, micro(5)).expect("5 of 40");
    accounts.charge(grandchild, micro(2)).expect("2 of 20");
    accounts.reserve(child, micro(30)).expect("30 of 35");
    assert_eq!(accounts.merge(root), Err(AccountError::Root));
    assert_eq!(accounts.merge(child), Ok(micro(35)));
    assert_eq!(accounts.settle(child, micro(30), micro(30)), Tokens::ZERO, "closing gave the reservation back");
    assert_eq!(accounts.merge(grandchild), Ok(micro(18)));
    let node = accounts.node(root).expect("it is open");
    assert_eq!((node.balance, node.spent, node.spent_below), (micro(93), Tokens::ZERO, micro(7)));
    assert_eq!(accounts.close(root), Ok(micro(93)));
    assert!(accounts.is_conserved() && accounts.tree().count() == 0);
}

#[test]
fn a_refund_is_no_more_than_the_account_paid() {
    let mut accounts = Accounts::default();
    let root = root(&mut accounts, 100);
    let child = accounts.split(root, micro(10)).expect("10 of 100");
    accounts.charge(root, micro(50)).expect("50 of 90");
    accounts.charge(child, micro(4)).expect("4 of 10");
    accounts.refund(child, micro(30)).expect("it is open");
    assert_eq!(accounts.remaining(child), Ok(micro(10)));
    assert!(accounts.is_conserved());
}

#[test]
fn an_alarm_rings_once_until_the_balance_was_as_high_again() {
    let mut accounts = Accounts::default();
    let root = root(&mut accounts, 100);
    let rings = |accounts: &mut Accounts| !accounts.take_alarms().is_empty();
    accounts.set_alarm(root, micro(50)).expect("it is open");
    accounts.charge(root, micro(50)).expect("50 of 100");
    assert!(!rings(&mut accounts), "50 is not below 50");
    accounts.reserve(root, micro(1)).expect("1 of 50");
    assert_eq!(accounts.take_alarms(), [root]);
    accounts.charge(root, micro(9)).expect("9 of 49");
    assert!(!rings(&mut accounts), "it rang already");
    accounts.refund(root, micro(10)).expect("it is open");
    let child = accounts.split(root, micro(20)).expect("20 of 50");
    accounts.close(child).expect("it is open");
    assert!(rings(&mut accounts), "it fell and rose since, and is told once");
    accounts.transfer(root, root, micro(1)).expect("1 of 50");
    assert!(!rings(&mut accounts));
    accounts.set_alarm(root, micro(60)).expect("it is open");
    assert!(rings(&mut accounts), "it is lower already");
    accounts.set_alarm(root, Tokens::ZERO).expect("it is open");
    accounts.charge(root, micro(50)).expect("all of it");
    assert!(!rings(&mut accounts), "a threshold of nothing never rings");
}

#[test]
fn an_alarm_ends_with_its_account() {
    let mut accounts = Accounts::default();
    let root = root(&mut accounts, 100);
    let child = accounts.split(root, micro(60)).expect("60 of 100");
    accounts.set_alarm(child, micro(60)).expect("it is open");
    accounts.charge(child, micro(1)).expect("1 of 60");
    accounts.close(child).expect("it is open");
    assert_eq!(accounts.take_alarms(), []);
    assert_eq!(accounts.set_alarm(child, micro(1)), Err(AccountError::Dead));
}
