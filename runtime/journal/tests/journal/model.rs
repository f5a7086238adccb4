//! What is true after some records, in plain maps: the journal has to say the same.

use remit_abi::{AccountId, EntryId, GrantId, Pid, TenantId, Tokens};
use remit_kernel::{
    Finished, Selection,
    ports::{
        AccountImage, Beginning, CallImage, CallState, Change, Entry, GrantImage, LetterImage, MemoryAct, MemoryWrite,
        NextNumbers, NodeImage, Record, StoredProcess,
    },
};
use std::collections::{BTreeMap, BTreeSet};

/// A record that owns what it says.
#[derive(Clone, Debug)]
pub(crate) struct Owned {
    pub(crate) pid: Option<Pid>,
    pub(crate) entry: Option<Entry<'static>>,
    pub(crate) changes: Vec<Change>,
}

impl Owned {
    pub(crate) fn record(&self) -> Record<'_> {
        Record { pid: self.pid, entry: self.entry.clone(), changes: &self.changes }
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Process {
    pub(crate) entries: Vec<Entry<'static>>,
    pub(crate) holds: u8,
    pub(crate) signals: u8,
    pub(crate) detached: bool,
    pub(crate) ended: bool,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    pub(crate) accounts: BTreeMap<AccountId, AccountImage>,
    pub(crate) grants: BTreeMap<GrantId, GrantImage>,
    pub(crate) calls: BTreeMap<u64, (CallImage, CallState)>,
    pub(crate) reports: BTreeMap<Pid, Finished>,
    /// Those with a log.
    pub(crate) processes: BTreeMap<Pid, Process>,
    pub(crate) letters: BTreeMap<u64, (Pid, LetterImage)>,
    pub(crate) tags: BTreeMap<(TenantId, u32), Box<str>>,
    pub(crate) frozen: Vec<Selection>,
    pub(crate) memory: BTreeMap<u64, (TenantId, MemoryWrite)>,
    pub(crate) purged: BTreeSet<(TenantId, EntryId)>,
    pub(crate) next: NextNumbers,
    /// What came into the tree, less what closed roots held and had paid.
    pub(crate) tokens: u64,
}

fn number(id: (u32, u32)) -> u64 {
    u64::from(id.1.wrapping_sub(1)) << 32 | u64::from(id.0)
}

/// Takes what is purged out of an entry of a process's log.
pub(crate) fn without(entry: &mut Entry<'_>, pid: Pid, purged: &BTreeSet<(TenantId, EntryId)>) {
    let told = entry.remembered_mut().filter(|(entry, _)| purged.contains(&(pid.tenant, *entry)));
    told.for_each(|(_, image)| *image = None);
}

impl Model {
    pub(crate) fn of(records: &[Owned]) -> Self {
        let mut model = Self::default();
        records.iter().for_each(|record| model.apply(record));
        model
    }

    pub(crate) fn apply(&mut self, record: &Owned) {
        if let (Some(pid), Some(entry)) = (record.pid, &record.entry) {
            let mut kept = entry.clone();
            without(&mut kept, pid, &self.purged);
            self.processes.entry(pid).or_default().entries.push(kept);
            if let Entry::Created(created) = entry {
                self.next.account = self.next.account.max(number(created.account.into()) + 1);
            }
        }
        if let Some(pid) = record.pid {
            self.next.process = self.next.process.max(number((pid.index, pid.generation)) + 1);
        }
        record.changes.iter().for_each(|change| self.change(change));
    }

    fn change(&mut self, change: &Change) {
        match change.clone() {
            Change::Granted(image) => {
                self.next.grant = self.next.grant.max(number(image.grant.into()) + 1);
                let uses = self.grants.get(&image.grant).map_or(image.uses, |before| before.uses);
                self.grants.insert(image.grant, GrantImage { uses, ..*image });
            }
            Change::GrantGone { grant } => drop(self.grants.remove(&grant)),
            Change::GrantUsed { grant } => {
                let mut next = Some(grant);
                while let Some(grant) = next.and_then(|grant| self.grants.get_mut(&grant)) {
                    grant.uses += 1;
                    next = grant.parent;
                }
            }
            Change::Sent { number, to, letter } => {
                self.next.letter = self.next.letter.max(number + 1);
                self.next.process = self.next.process.max(self::number((to.index, to.generation)) + 1);
                self.letters.insert(number, (to, *letter));
            }
            Change::LetterGone { number } => drop(self.letters.remove(&number)),
            Change::Called(image) => {
                self.next.letter = self.next.letter.max(image.number + 1);
                self.calls.insert(image.number, (image, CallState::Open));
            }
            Change::Answered { number, letter } => self.end_call(number, CallState::Answered(letter)),
            Change::Unanswered { number } => self.end_call(number, CallState::Unanswered),
            Change::CallGone { number } => drop(self.calls.remove(&number)),
            Change::Ended { pid, finished } => {
                self.letters.retain(|_, (to, _)| *to != pid);
                let process = self.processes.entry(pid).or_default();
                process.ended = true;
                if !process.detached {
                    self.reports.insert(pid, *finished);
                }
            }
            Change::ReportGone { pid } => drop(self.reports.remove(&pid)),
            Change::Detached { pid } => {
                self.reports.remove(&pid);
                self.of_process(pid, |process| process.detached = true);
            }
            Change::Held { pid, holds } => self.of_process(pid, |process| process.holds = holds),
            Change::Signalled { pid, signals } => self.of_process(pid, |process| process.signals = signals),
            Change::Frozen(selection) if !self.frozen.contains(&selection) => self.frozen.push(selection),
            Change::Frozen(_) => {}
            Change::Thawed(selection) => self.frozen.retain(|one| *one != selection),
            Change::Tagged { tenant, index, name } => drop(self.tags.insert((tenant, index), name)),
            // Who sleeps is compared elsewhere.
            Change::Slept(_) => {}
            Change::Remembered { tenant, write } => self.remember(tenant, *write),
            Change::RememberedUpTo { tenant, number } => {
                self.memory.retain(|write, (whose, _)| *whose != tenant || *write > number);
            }
            amount => self.amount(&amount),
        }
    }

    fn remember(&mut self, tenant: TenantId, write: MemoryWrite) {
        self.next.memory_write = self.next.memory_write.max(write.number + 1);
        match &write.act {
            MemoryAct::Put(version) => {
                self.next.memory_entry = self.next.memory_entry.max(version.id.0 + 1);
                if self.purged.contains(&(tenant, version.id)) {
                    return;
                }
            }
            MemoryAct::Forget { entries, purge } => {
                let purged = entries.iter().filter(|_| *purge).map(|entry| (tenant, *entry));
                self.purged.extend(purged);
                let Self { processes, memory, purged, .. } = self;
                for (pid, process) in processes {
                    process.entries.iter_mut().for_each(|entry| without(entry, *pid, purged));
                }
                memory.retain(|_, (whose, write)| match &write.act {
                    MemoryAct::Put(version) => !purged.contains(&(*whose, version.id)),
                    MemoryAct::Forget { .. } => true,
                });
            }
        }
        self.memory.insert(write.number, (tenant, write));
    }

    fn of_process(&mut self, pid: Pid, change: impl FnOnce(&mut Process)) {
        self.processes.get_mut(&pid).map(change);
    }

    fn end_call(&mut self, number: u64, state: CallState) {
        self.calls.entry(number).and_modify(|call| call.1 = state);
    }

    fn add(&mut self, account: AccountId, amount: Tokens) {
        let row = self.accounts.get_mut(&account).expect("it is open");
        row.balance = row.balance.checked_add(amount).expect("it fits");
    }

    fn take(&mut self, account: AccountId, amount: Tokens) {
        let row = self.accounts.get_mut(&account).expect("it is open");
        row.balance = row.balance.checked_sub(amount).expect("it is there");
    }

    fn open(&mut self, account: AccountId, parent: Option<AccountId>, balance: Tokens) {
        self.next.account = self.next.account.max(number(account.into()) + 1);
        let image = AccountImage { account, parent, balance, spent: Tokens::ZERO, spent_below: Tokens::ZERO };
        self.accounts.insert(account, image);
    }

    fn amount(&mut self, change: &Change) {
        match *change {
            Change::Deposited { account, amount } => {
                self.tokens += amount.micro();
                self.open(account, None, amount);
            }
            Change::Split { from, account, amount } => {
                self.take(from, amount);
                self.open(account, Some(from), amount);
            }
            Change::Moved { from, to, amount } => {
                self.take(from, amount);
                self.add(to, amount);
            }
            Change::Paid { account, amount } => {
                self.take(account, amount);
                let row = self.accounts.get_mut(&account).expect("it is open");
                row.spent = row.spent.checked_add(amount).expect("it fits");
            }
            Change::Refunded { account, amount } => {
                self.add(account, amount);
                let row = self.accounts.get_mut(&account).expect("it is open");
                row.spent = row.spent.checked_sub(amount).expect("it was paid");
            }
            Change::Closed { account } => self.close(account),
            ref other => unreachable!("{other:?} is no amount"),
        }
    }

    fn close(&mut self, account: AccountId) {
        let closed = self.accounts.remove(&account).expect("it is open");
        match closed.parent.and_then(|parent| self.accounts.get_mut(&parent)) {
            Some(parent) => {
                parent.balance = parent.balance.checked_add(closed.balance).expect("it fits");
                let below = [closed.spent, closed.spent_below, parent.spent_below];
                parent.spent_below = below.into_iter().sum();
            }
            None => {
                self.tokens -= [closed.balance, closed.spent, closed.spent_below].into_iter().sum::<Tokens>().micro();
            }
        }
        for child in self.accounts.values_mut().filter(|child| child.parent == Some(account)) {
            child.parent = closed.parent;
        }
    }

    /// All that accounts hold and paid: as much as came in.
    pub(crate) fn sum(accounts: &[AccountImage]) -> u64 {
        accounts.iter().map(|row| row.balance.micro() + row.spent.micro() + row.spent_below.micro()).sum()
    }

    fn parent(&self, pid: Pid) -> Option<Pid> {
        match self.processes.get(&pid).and_then(|process| process.entries.first()) {
            Some(Entry::Created(created)) => created.parent,
            _ => None,
        }
    }

    /// What processes without a parent came to, in order of their pids.
    pub(crate) fn results(&self) -> Vec<(Pid, Finished)> {
        let roots = self.reports.iter().filter(|(pid, _)| self.parent(**pid).is_none());
        roots.map(|(pid, finished)| (*pid, finished.clone())).collect()
    }

    /// What is true of the node, in order of ids.
    pub(crate) fn node(&self) -> NodeImage {
        let has_log = |process: &Process| !process.ended && !process.entries.is_empty();
        NodeImage {
            accounts: self.accounts.values().copied().collect(),
            grants: self.grants.values().cloned().collect(),
            calls: self.calls.values().cloned().collect(),
            reports: self
                .reports
                .iter()
                .filter_map(|(pid, end)| Some((*pid, self.parent(*pid)?, end.clone())))
                .collect(),
            living: self.processes.iter().filter(|(_, process)| has_log(process)).map(|(pid, _)| *pid).collect(),
            tags: self.tags.iter().map(|((tenant, bit), name)| (*tenant, *bit, name.clone())).collect(),
            frozen: self.frozen.clone(),
            memory: self.memory.values().cloned().collect(),
            next: self.next,
            // What people are asked is compared elsewhere.
            ..NodeImage::default()
        }
    }

    /// A process, its lines as sequence and entry.
    pub(crate) fn process(&self, pid: Pid) -> Option<Plain> {
        let process = self.processes.get(&pid).filter(|process| !process.ended)?;
        let Some(Entry::Created(created)) = process.entries.first() else { return None };
        let began = process.entries.iter().rposition(|entry| matches!(entry, Entry::Began(_)));
        let beginning = match began.map(|at| &process.entries[at]) {
            Some(Entry::Began(beginning)) => (**beginning).clone(),
            _ => Beginning::default(),
        };
        let lines = (1..).zip(process.entries.iter().cloned()).skip(began.unwrap_or(0) + 1);
        let letters = self.letters.iter().filter(|(_, (to, _))| *to == pid);
        Some(Plain {
            stored: StoredProcess {
                pid,
                created: (**created).clone(),
                began: beginning,
                lines: Vec::new(),
                letters: letters.map(|(number, (_, letter))| (*number, letter.clone())).collect(),
                holds: process.holds,
                signals: process.signals,
                detached: process.detached,
            },
            lines: lines.collect(),
        })
    }
}

/// A process whose lines have no times.
#[derive(Debug, PartialEq)]
pub(crate) struct Plain {
    stored: StoredProcess,
    lines: Vec<(u64, Entry<'static>)>,
}

impl From<StoredProcess> for Plain {
    fn from(mut stored: StoredProcess) -> Self {
        let lines = std::mem::take(&mut stored.lines);
        Self { stored, lines: lines.into_iter().map(|line| (line.sequence, line.entry)).collect() }
    }
}
