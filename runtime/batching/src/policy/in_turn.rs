//! Policies that look at nothing but the order.

use super::{Account, Policy, Rank, Task};
use std::time::Duration;

/// First come, first served.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fifo;

impl Policy for Fifo {
    fn arrive(&mut self, _: &Task, _: Duration) -> Account {
        Account::default()
    }

    /// All alike: then arrival decides.
    fn rank(&self, _: &Task, _: Duration) -> Rank {
        Rank::default()
    }

    fn leave(&mut self, _: &Task, _: Duration) {}
}

/// A turn each, in a circle: whoever had one goes behind all others.
#[derive(Clone, Debug, Default)]
pub struct RoundRobin {
    /// When each had its last turn, in turns.
    last: Vec<i64>,
    vacant: Vec<u32>,
    turns: i64,
}

impl Policy for RoundRobin {
    fn arrive(&mut self, _: &Task, _: Duration) -> Account {
        self.turns += 1;
        let account = self.vacant.pop().unwrap_or_else(|| {
            self.last.push(0);
            self.last.len() as u32 - 1
        });
        self.last[account as usize] = self.turns;
        Account(account)
    }

    fn rank(&self, task: &Task, _: Duration) -> Rank {
        Rank(self.last[task.account.0 as usize], 0)
    }

    fn served(&mut self, task: &Task, _: f64, _: Duration) {
        self.turns += 1;
        self.last[task.account.0 as usize] = self.turns;
    }

    fn leave(&mut self, task: &Task, _: Duration) {
        self.vacant.push(task.account.0);
    }
}
