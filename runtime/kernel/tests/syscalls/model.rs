//! The plain model that `properties` holds the kernel to: lists, and no cleverness.

use crate::{fakes::Guest, stage::Played};
use remit_abi::{AccountId, AnswerId, CallId, ChildId, Dispatch, Door, GrantId, Pid, Reply, Request};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// Of a message, in micro-tokens.
pub(crate) const PRICE: u64 = 10_000;

/// Of a syscall, in micro-tokens.
const TOLL: u64 = 20;

/// Where a grant is: in one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Held(usize),
    OnTheWay,
    Gone,
}

pub(crate) struct Right {
    pub(crate) parent: Option<GrantId>,
    pub(crate) scope: BTreeSet<Box<str>>,
    pub(crate) place: Place,
    pub(crate) revoked: bool,
}

impl Right {
    pub(crate) fn new(parent: Option<GrantId>, scope: BTreeSet<Box<str>>, holder: usize) -> Self {
        Self { parent, scope, place: Place::Held(holder), revoked: false }
    }

    fn is_tool(&self) -> bool {
        !self.scope.contains("worker")
    }
}

pub(crate) struct Letter {
    pub(crate) grants: Vec<GrantId>,
    pub(crate) call: Option<usize>,
}

enum Call {
    Open { caller: usize },
    Answered(Vec<GrantId>),
    Unanswered,
    Over,
}

pub(crate) struct Account {
    parent: Option<usize>,
    pub(crate) balance: u64,
    is_open: bool,
}

/// Counts what passes.
struct Counting {
    door: Arc<dyn Door>,
    count: Arc<AtomicU64>,
}

impl Door for Counting {
    fn try_dispatch(&self, pid: Pid, request: &Request) -> Option<Reply> {
        self.door.try_dispatch(pid, request)
    }

    fn dispatch(&self, pid: Pid, request: Request) -> Dispatch<'_> {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.door.dispatch(pid, request)
    }
}

pub(crate) struct Process {
    pub(crate) guest: Guest,
    pub(crate) played: Option<Played>,
    is_alive: bool,
    pub(crate) account: usize,
    pub(crate) own: AccountId,
    pub(crate) parts: Vec<(usize, AccountId)>,
    /// The first is the right to start children.
    pub(crate) held: Vec<GrantId>,
    pub(crate) children: Vec<(ChildId, usize)>,
    pub(crate) mail: VecDeque<Letter>,
    pub(crate) calls: Vec<(CallId, usize)>,
    pub(crate) answers: Vec<(AnswerId, usize)>,
    syscalls: Arc<AtomicU64>,
}

impl Process {
    pub(crate) fn new(guest: Guest, account: usize) -> Self {
        let syscalls = Arc::new(AtomicU64::new(0));
        let door = Arc::new(Counting { door: guest.door.clone(), count: syscalls.clone() });
        Self {
            guest: Guest { door, ..guest },
            played: None,
            is_alive: true,
            account,
            own: AccountId { index: 0, generation: 0 },
            parts: Vec::new(),
            held: Vec::new(),
            children: Vec::new(),
            mail: VecDeque::new(),
            calls: Vec::new(),
            answers: Vec::new(),
            syscalls,
        }
    }
}

#[derive(Default)]
pub(crate) struct Model {
    pub(crate) processes: Vec<Process>,
    pub(crate) rights: BTreeMap<GrantId, Right>,
    pub(crate) accounts: Vec<Account>,
    calls: Vec<Call>,
}

impl Model {
    pub(crate) fn living(&self) -> Vec<usize> {
        (0..self.processes.len()).filter(|who| self.processes[*who].is_alive).collect()
    }

    pub(crate) fn tools(&self, who: usize) -> Vec<GrantId> {
        self.processes[who].held.iter().copied().filter(|id| self.rights[id].is_tool()).collect()
    }

    /// All that are somewhere.
    pub(crate) fn all_tools(&self) -> Vec<GrantId> {
        let somewhere = |right: &Right| right.is_tool() && right.place != Place::Gone;
        self.rights.iter().filter(|(_, right)| somewhere(right)).map(|(id, _)| *id).collect()
    }

    pub(crate) fn live_rights(&self) -> usize {
        self.rights.values().filter(|right| right.place != Place::Gone).count()
    }

    pub(crate) fn depth(&self, id: GrantId) -> usize {
        std::iter::successors(Some(id), |id| self.rights[id].parent).skip(1).count()
    }

    pub(crate) fn move_to(&mut self, grants: &[GrantId], place: Place) {
        for id in grants {
            let right = self.rights.get_mut(id).expect("it is known");
            if let Place::Held(holder) = right.place {
                self.processes[holder].held.retain(|held| held != id);
            }
            right.place = place;
            if let Place::Held(holder) = place {
                self.processes[holder].held.push(*id);
            }
        }
    }

    /// How many were not revoked before. What was forgotten by the kernel is so here too.
    pub(crate) fn revoke(&mut self, top: GrantId) -> usize {
        let below: Vec<_> = self.rights.keys().copied().filter(|id| self.derives_from(*id, top)).collect();
        let kept: Vec<_> = below.into_iter().filter(|id| self.is_kept(*id) && !self.rights[id].revoked).collect();
        for id in &kept {
            self.rights.get_mut(id).expect("it is known").revoked = true;
        }
        kept.len()
    }

    fn derives_from(&self, id: GrantId, top: GrantId) -> bool {
        std::iter::successors(Some(id), |id| self.rights[id].parent).any(|id| id == top)
    }

    /// Whether it, or something that derives from it, is somewhere.
    fn is_kept(&self, id: GrantId) -> bool {
        self.rights.iter().any(|(below, right)| right.place != Place::Gone && self.derives_from(*below, id))
    }

    pub(crate) fn open(&mut self, parent: Option<usize>, balance: u64) -> usize {
        self.accounts.push(Account { parent, balance, is_open: true });
        self.accounts.len() - 1
    }

    /// What a process can spend.
    pub(crate) fn balance(&self, who: usize) -> u64 {
        self.accounts[self.processes[who].account].balance
    }

    pub(crate) fn charge(&mut self, who: usize, price: u64) -> bool {
        let balance = &mut self.accounts[self.processes[who].account].balance;
        let rest = balance.checked_sub(price);
        *balance = rest.unwrap_or(*balance);
        rest.is_some()
    }

    pub(crate) fn split(&mut self, from: usize, amount: u64) -> Option<usize> {
        let rest = self.accounts[from].balance.checked_sub(amount).filter(|_| amount > 0)?;
        self.accounts[from].balance = rest;
        Some(self.open(Some(from), amount))
    }

    pub(crate) fn transfer(&mut self, from: usize, to: usize, amount: u64) -> bool {
        let Some(rest) = self.accounts[from].balance.checked_sub(amount).filter(|_| amount > 0) else { return false };
        self.accounts[from].balance = rest;
        self.accounts[to].balance += amount;
        true
    }

    /// What it holds goes to its parent, and so do its parts.
    pub(crate) fn close(&mut self, account: usize) {
        let Account { parent, balance, .. } = self.accounts[account];
        self.accounts[account] = Account { parent, balance: 0, is_open: false };
        self.accounts[parent.expect("no root is closed")].balance += balance;
        for part in &mut self.accounts {
            if part.is_open && part.parent == Some(account) {
                part.parent = parent;
            }
        }
    }

    pub(crate) fn accounts_of(&self, who: usize) -> Vec<usize> {
        let process = &self.processes[who];
        std::iter::once(process.account).chain(process.parts.iter().map(|(part, _)| *part)).collect()
    }

    pub(crate) fn id_of(&self, who: usize, account: usize) -> AccountId {
        let process = &self.processes[who];
        let part = process.parts.iter().find(|(part, _)| *part == account);
        part.map_or(process.own, |(_, id)| *id)
    }

    /// What the payers hold.
    pub(crate) fn paid_back(&self) -> u64 {
        self.accounts.iter().filter(|account| account.parent.is_none()).map(|account| account.balance).sum()
    }

    pub(crate) fn call(&mut self, caller: usize) -> usize {
        self.calls.push(Call::Open { caller });
        self.calls.len() - 1
    }

    /// Whether somebody still waits for it.
    pub(crate) fn answer(&mut self, call: usize, grants: Vec<GrantId>) -> bool {
        let is_open = matches!(self.calls[call], Call::Open { .. });
        if is_open {
            self.calls[call] = Call::Answered(grants);
        }
        is_open
    }

    /// What came of a call: an answer with grants, or none; `None` while it is open.
    pub(crate) fn settled(&mut self, call: usize) -> Option<Option<Vec<GrantId>>> {
        match std::mem::replace(&mut self.calls[call], Call::Over) {
            Call::Open { caller } => {
                self.calls[call] = Call::Open { caller };
                None
            }
            Call::Answered(grants) => Some(Some(grants)),
            Call::Unanswered | Call::Over => Some(None),
        }
    }

    /// What is in an answer that nobody takes is nobody's.
    pub(crate) fn forget(&mut self, call: usize) {
        if let Call::Answered(grants) = std::mem::replace(&mut self.calls[call], Call::Over) {
            self.move_to(&grants, Place::Gone);
        }
    }

    fn leave_unanswered(&mut self, call: usize) {
        if matches!(self.calls[call], Call::Open { .. }) {
            self.calls[call] = Call::Unanswered;
        }
    }

    /// Ends a process, its children before it.
    pub(crate) fn end(&mut self, who: usize) {
        if !self.processes[who].is_alive {
            return;
        }
        self.processes[who].is_alive = false;
        for (_, child) in std::mem::take(&mut self.processes[who].children) {
            self.end(child);
        }
        let process = &mut self.processes[who];
        let (parts, mail) = (std::mem::take(&mut process.parts), std::mem::take(&mut process.mail));
        let (answers, calls) = (std::mem::take(&mut process.answers), std::mem::take(&mut process.calls));
        let (account, held) = (process.account, process.held.clone());
        let toll = TOLL * process.syscalls.load(Ordering::Relaxed);
        parts.into_iter().for_each(|(part, _)| self.close(part));
        self.accounts[account].balance -= toll.min(self.accounts[account].balance);
        self.close(account);
        self.move_to(&held, Place::Gone);
        for letter in mail {
            self.move_to(&letter.grants, Place::Gone);
            letter.call.into_iter().for_each(|call| self.leave_unanswered(call));
        }
        answers.into_iter().for_each(|(_, call)| self.leave_unanswered(call));
        calls.into_iter().for_each(|(_, call)| self.forget(call));
    }
}
