//! A journal in memory: a list of records, and what is true after them, told anew whenever somebody asks.
//!
//! It survives no crash of its host. It is what a durable journal is compared with, and what tests of the kernel start anew from: at
//! any place, as if the host had ended there.

use crate::ports::{
    AccountImage, Away, CallState, Change, Entry, GrantImage, Holdings, Journal, JournalError, Line, MemoryAct,
    NextNumbers, NodeImage, Notice, PortFuture, Position, PostedQuestion, QuestionState, Record, Sleeper,
    StandingApproval, StoredProcess, StoredResult, ToolCallImage,
};
use parking_lot::Mutex;
use remit_abi::{AccountId, EntryId, GrantId, Pid, Tokens};
use remit_authority::Numbered;
use std::collections::{BTreeMap, BTreeSet};

/// A record that was kept.
#[derive(Clone, Debug, PartialEq)]
pub struct KeptRecord {
    /// Whose it is.
    pub pid: Option<Pid>,
    /// A line of that process's log.
    pub entry: Option<Entry<'static>>,
    /// What else is different from here on.
    pub changes: Vec<Change>,
}

/// All records, in order.
#[derive(Debug, Default)]
pub struct MemoryJournal {
    /// Each with the place of the last one that it is kept together with.
    records: Mutex<Vec<(Position, KeptRecord)>>,
}

impl MemoryJournal {
    /// What a host would find that ended when nothing after this place was kept.
    #[must_use]
    pub fn up_to(&self, at: Position) -> Self {
        let kept = self.records.lock().iter().filter(|(together, _)| *together <= at).cloned().collect();
        Self { records: Mutex::new(kept) }
    }

    /// The place of the last record.
    #[must_use]
    pub fn end(&self) -> Position {
        self.records.lock().last().map(|(at, _)| *at).unwrap_or_default()
    }

    /// All records.
    #[must_use]
    pub fn records(&self) -> Vec<KeptRecord> {
        self.records.lock().iter().map(|(_, record)| record.clone()).collect()
    }

    fn lines(&self, pid: Pid) -> Vec<Line> {
        let purged = self.state().purged;
        let records = self.records.lock();
        let entries = records.iter().filter(|(_, record)| record.pid == Some(pid)).filter_map(|(_, r)| r.entry.clone());
        let entries = entries.map(|mut entry| {
            let told = entry.remembered_mut().filter(|(entry, _)| purged.contains(&(pid.tenant, *entry)));
            told.for_each(|(_, image)| *image = None);
            entry
        });
        (1..).zip(entries).map(|(sequence, entry)| Line { sequence, at_ns: 0, entry }).collect()
    }

    fn state(&self) -> State {
        let mut state = State::default();
        for (_, record) in self.records.lock().iter() {
            if let (Some(pid), true) = (record.pid, record.entry.is_some()) {
                state.wake(pid);
            }
            if let (Some(pid), Some(Entry::Created(created))) = (record.pid, &record.entry) {
                state.living.insert(pid, Living { parent: created.parent, ..Living::default() });
                state.next.process = state.next.process.max(next(pid.index, pid.generation));
            }
            record.changes.iter().for_each(|change| state.apply(change));
        }
        state
    }
}

impl Journal for MemoryJournal {
    fn append(&self, records: &[Record<'_>]) -> Result<Position, JournalError> {
        let mut kept = self.records.lock();
        let at = Position((kept.len() + records.len()) as u64);
        for Record { pid, entry, changes } in records {
            let entry = entry.clone().map(Entry::into_owned);
            kept.push((at, KeptRecord { pid: *pid, entry, changes: changes.to_vec() }));
        }
        Ok(at)
    }

    fn durable(&self, _: Position) -> PortFuture<'_, Result<(), JournalError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn node(&self) -> Result<NodeImage, JournalError> {
        Ok(self.state().into_image())
    }

    fn awake(&self, sleeper: &mut dyn FnMut(Sleeper)) -> Result<NodeImage, JournalError> {
        let mut state = self.state();
        let asleep: Vec<_> = state.living.extract_if(.., |_, living| living.sleeps()).collect();
        let mut away = Away::default();
        for told in asleep.into_iter().filter_map(|(_, living)| living.asleep) {
            let accounts = told.accounts().filter_map(|account| state.accounts.remove(&account));
            away = accounts.fold(away, |away, account| away.with(&account));
            told.grants.iter().for_each(|grant| drop(state.grants.remove(grant)));
            sleeper(*told);
        }
        Ok(NodeImage { away, ..state.into_image() })
    }

    fn holdings(&self, accounts: &[AccountId], grants: &[GrantId]) -> Result<Holdings, JournalError> {
        let State { accounts: all, grants: tree, .. } = self.state();
        let accounts = accounts.iter().filter_map(|account| all.get(account).copied()).collect();
        let grants = grants.iter().filter_map(|grant| tree.get(grant).cloned()).collect();
        Ok(Holdings { accounts, grants })
    }

    fn process(&self, pid: Pid) -> Result<Option<StoredProcess>, JournalError> {
        let Some(living) = self.state().living.remove(&pid) else { return Ok(None) };
        let lines = self.lines(pid);
        let began = lines.iter().rposition(|line| matches!(line.entry, Entry::Began(_)));
        let (Some(Line { entry: Entry::Created(created), .. }), Some(began)) = (lines.first(), began) else {
            return Err(JournalError::Unreadable(format!("the log of process {pid} has no beginning").into()));
        };
        let Entry::Began(beginning) = &lines[began].entry else { unreachable!("it was looked for") };
        Ok(Some(StoredProcess {
            pid,
            created: (**created).clone(),
            began: (**beginning).clone(),
            lines: lines[began + 1..].to_vec(),
            letters: living.letters.into_iter().collect(),
            holds: living.holds,
            signals: living.signals,
            detached: living.detached,
        }))
    }

    fn results(&self, of: Option<Pid>, limit: usize) -> Result<Vec<StoredResult>, JournalError> {
        let reports = self.state().reports.into_iter().rev();
        let roots = reports.filter(|(pid, (parent, _))| parent.is_none() && of.is_none_or(|of| of == *pid));
        let result = |(pid, (_, finished))| {
            let created = match self.lines(pid).into_iter().next().map(|line| line.entry) {
                Some(Entry::Created(created)) => Some(*created),
                _ => None,
            };
            StoredResult { pid, created, ended_ns: Some(0), finished }
        };
        Ok(roots.take(limit).map(result).collect())
    }

    fn history(&self, pid: Pid, from: u64, limit: usize) -> Result<Vec<Line>, JournalError> {
        Ok(self.lines(pid).into_iter().filter(|line| line.sequence >= from).take(limit).collect())
    }
}

#[derive(Debug, Default)]
struct Living {
    parent: Option<Pid>,
    letters: BTreeMap<u64, crate::ports::LetterImage>,
    holds: u8,
    signals: u8,
    detached: bool,
    /// Where it left memory, and nothing was written down of it since.
    asleep: Option<Box<Sleeper>>,
}

impl Living {
    fn sleeps(&self) -> bool {
        self.asleep.is_some() && self.letters.is_empty()
    }
}

/// What is true after some records.
#[derive(Debug, Default)]
struct State {
    accounts: BTreeMap<AccountId, AccountImage>,
    grants: BTreeMap<GrantId, GrantImage>,
    calls: BTreeMap<u64, (crate::ports::CallImage, CallState)>,
    reports: BTreeMap<Pid, (Option<Pid>, crate::Finished)>,
    living: BTreeMap<Pid, Living>,
    tags: Vec<(remit_abi::TenantId, u32, Box<str>)>,
    frozen: Vec<crate::Selection>,
    deployments: BTreeMap<(remit_abi::TenantId, Box<str>), Box<str>>,
    questions: BTreeMap<u64, (PostedQuestion, QuestionState)>,
    approvals: BTreeMap<u64, StandingApproval>,
    notices: BTreeMap<u64, Notice>,
    tool_calls: BTreeMap<u64, ToolCallImage>,
    memory: BTreeMap<u64, (remit_abi::TenantId, crate::ports::MemoryWrite)>,
    /// Entries of which nothing may be left, whenever it is written down.
    purged: BTreeSet<(remit_abi::TenantId, EntryId)>,
    next: NextNumbers,
}

/// The number after an id's.
fn next(index: u32, generation: u32) -> u64 {
    let id = AccountId { index, generation };
    Numbered::<AccountId, ()>::number(id).map_or(0, |number| number.saturating_add(1))
}

impl State {
    fn open(&mut self, account: AccountId, parent: Option<AccountId>, balance: Tokens) {
        let (spent, spent_below) = (Tokens::ZERO, Tokens::ZERO);
        self.accounts.insert(account, AccountImage { account, parent, balance, spent, spent_below });
        self.next.account = self.next.account.max(next(account.index, account.generation));
    }

    fn with_account(&mut self, account: AccountId, change: impl FnOnce(&mut AccountImage)) {
        if let Some(account) = self.accounts.get_mut(&account) {
            change(account);
        }
    }

    fn put(&mut self, account: AccountId, amount: Tokens) {
        self.with_account(account, |account| account.balance = account.balance.saturating_add(amount));
    }

    fn take(&mut self, account: AccountId, amount: Tokens) {
        self.with_account(account, |account| account.balance = account.balance.saturating_sub(amount));
    }

    fn close(&mut self, account: AccountId) {
        let Some(closed) = self.accounts.remove(&account) else { return };
        for child in self.accounts.values_mut().filter(|child| child.parent == Some(account)) {
            child.parent = closed.parent;
        }
        if let Some(parent) = closed.parent {
            self.put(parent, closed.balance);
            let spent = closed.spent.saturating_add(closed.spent_below);
            self.with_account(parent, |parent| parent.spent_below = parent.spent_below.saturating_add(spent));
        }
    }

    fn seen_letter(&mut self, number: u64) {
        self.next.letter = self.next.letter.max(number.saturating_add(1));
    }

    fn apply(&mut self, change: &Change) {
        match change.clone() {
            Change::Deposited { account, amount } => self.open(account, None, amount),
            Change::Split { from, account, amount } => {
                self.take(from, amount);
                self.open(account, Some(from), amount);
            }
            Change::Moved { from, to, amount } => {
                self.take(from, amount);
                self.put(to, amount);
            }
            Change::Paid { account, amount } => {
                self.take(account, amount);
                self.with_account(account, |account| account.spent = account.spent.saturating_add(amount));
            }
            Change::Refunded { account, amount } => {
                self.put(account, amount);
                self.with_account(account, |account| account.spent = account.spent.saturating_sub(amount));
            }
            Change::Closed { account } => self.close(account),
            Change::Granted(grant) => {
                self.next.grant = self.next.grant.max(next(grant.grant.index, grant.grant.generation));
                let uses = self.grants.get(&grant.grant).map_or(grant.uses, |known| known.uses);
                self.grants.insert(grant.grant, GrantImage { uses, ..*grant });
            }
            Change::GrantGone { grant } => drop(self.grants.remove(&grant)),
            Change::GrantUsed { grant } => {
                let mut next = Some(grant);
                while let Some(used) = next.and_then(|grant| self.grants.get_mut(&grant)) {
                    used.uses = used.uses.saturating_add(1);
                    next = used.parent;
                }
            }
            change => self.apply_to_processes(change),
        }
    }

    fn apply_to_processes(&mut self, change: Change) {
        match change {
            Change::Sent { number, to, letter } => {
                self.seen_letter(number);
                self.wake(to);
                if let Some(living) = self.living.get_mut(&to) {
                    living.letters.insert(number, *letter);
                }
            }
            Change::LetterGone { number } => {
                self.living.values_mut().for_each(|living| drop(living.letters.remove(&number)));
            }
            Change::Called(call) => {
                self.seen_letter(call.number);
                self.calls.insert(call.number, (call, CallState::Open));
            }
            Change::Answered { number, letter } => self.settle_call(number, CallState::Answered(letter)),
            Change::Unanswered { number } => self.settle_call(number, CallState::Unanswered),
            Change::CallGone { number } => drop(self.calls.remove(&number)),
            Change::Ended { pid, finished } => {
                if let Some(living) = self.living.remove(&pid).filter(|living| !living.detached) {
                    self.reports.insert(pid, (living.parent, *finished));
                }
            }
            Change::ReportGone { pid } => drop(self.reports.remove(&pid)),
            Change::Detached { pid } => self.change_living(pid, |living| living.detached = true),
            Change::Held { pid, holds } => self.change_living(pid, |living| living.holds = holds),
            Change::Signalled { pid, signals } => self.change_living(pid, |living| living.signals = signals),
            Change::Slept(sleeper) => self.with_living(sleeper.pid, |living| {
                living.asleep = Some(sleeper).filter(|_| living.holds == 0 && living.signals == 0);
            }),
            Change::Frozen(selection) => self.frozen.push(selection),
            Change::Thawed(selection) => self.frozen.retain(|frozen| *frozen != selection),
            Change::Tagged { tenant, index, name } => self.tags.push((tenant, index, name)),
            Change::Deployed { tenant, name, state: Some(state) } => {
                self.deployments.insert((tenant, name), state);
            }
            Change::Deployed { tenant, name, state: None } => drop(self.deployments.remove(&(tenant, name))),
            change => self.apply_to_inbox(change),
        }
    }

    fn apply_to_inbox(&mut self, change: Change) {
        match change {
            Change::Questioned(posted) => {
                self.seen_question(posted.number);
                self.questions.insert(posted.number, (*posted, QuestionState::Open));
            }
            Change::QuestionAnswered { number, answer } => {
                self.settle_question(number, QuestionState::Answered(answer));
            }
            Change::QuestionWithdrawn { number } => self.settle_question(number, QuestionState::Withdrawn),
            Change::QuestionGone { number } => drop(self.questions.remove(&number)),
            Change::Approved(approval) => drop(self.approvals.insert(approval.number, *approval)),
            Change::ApprovalWithdrawn { number, .. } => drop(self.approvals.remove(&number)),
            Change::Notified(notice) => {
                self.seen_question(notice.number);
                self.notices.insert(notice.number, *notice);
            }
            Change::NoticeGone { number } => drop(self.notices.remove(&number)),
            change => self.apply_to_tool_calls(change),
        }
    }

    fn apply_to_tool_calls(&mut self, change: Change) {
        match change {
            Change::ToolCalled(posted) => {
                self.next.tool_call = self.next.tool_call.max(posted.number.saturating_add(1));
                self.tool_calls.insert(posted.number, ToolCallImage::of(*posted));
            }
            Change::ToolBegun { number, decided } => self.with_tool_call(number, |call| call.begin(decided)),
            Change::ToolDoubted { number, question } => {
                self.with_tool_call(number, |call| call.question = Some(question));
            }
            Change::ToolReturned { number, outcome, decided } => {
                self.with_tool_call(number, |call| call.settle(*outcome, decided));
            }
            Change::ToolCallGone { number } => drop(self.tool_calls.remove(&number)),
            change => self.apply_to_memory(change),
        }
    }

    fn apply_to_memory(&mut self, change: Change) {
        match change {
            Change::Remembered { tenant, write } => {
                self.next.memory_write = self.next.memory_write.max(write.number.saturating_add(1));
                match &write.act {
                    MemoryAct::Put(version) => {
                        self.next.memory_entry = self.next.memory_entry.max(version.id.0.saturating_add(1));
                    }
                    MemoryAct::Forget { entries, purge: true } => {
                        self.purged.extend(entries.iter().map(|entry| (tenant, *entry)));
                    }
                    MemoryAct::Forget { .. } => {}
                }
                self.memory.insert(write.number, (tenant, *write));
                let purged = &self.purged;
                self.memory.retain(|_, (tenant, write)| match &write.act {
                    MemoryAct::Put(version) => !purged.contains(&(*tenant, version.id)),
                    MemoryAct::Forget { .. } => true,
                });
            }
            Change::RememberedUpTo { tenant, number } => {
                self.memory.retain(|write, (whose, _)| *whose != tenant || *write > number);
            }
            _ => unreachable!("all others were looked at before"),
        }
    }

    fn with_tool_call(&mut self, number: u64, change: impl FnOnce(&mut ToolCallImage)) {
        if let Some(call) = self.tool_calls.get_mut(&number) {
            change(call);
        }
    }

    fn seen_question(&mut self, number: u64) {
        self.next.question = self.next.question.max(number.saturating_add(1));
    }

    fn settle_question(&mut self, number: u64, settled: QuestionState) {
        if let Some((_, state @ QuestionState::Open)) = self.questions.get_mut(&number) {
            *state = settled;
        }
    }

    fn settle_call(&mut self, number: u64, settled: CallState) {
        if let Some((_, state @ CallState::Open)) = self.calls.get_mut(&number) {
            *state = settled;
        }
    }

    /// Something is written down of a process: it does not sleep any more.
    fn wake(&mut self, pid: Pid) {
        self.with_living(pid, |living| living.asleep = None);
    }

    fn change_living(&mut self, pid: Pid, change: impl FnOnce(&mut Living)) {
        self.wake(pid);
        self.with_living(pid, change);
    }

    fn with_living(&mut self, pid: Pid, change: impl FnOnce(&mut Living)) {
        if let Some(living) = self.living.get_mut(&pid) {
            change(living);
        }
    }

    fn into_image(self) -> NodeImage {
        NodeImage {
            accounts: parents_first(self.accounts.into_values().collect(), |a| (a.account, a.parent)),
            grants: parents_first(self.grants.into_values().collect(), |grant| (grant.grant, grant.parent)),
            calls: self.calls.into_values().collect(),
            reports: self.reports.into_iter().filter_map(|(pid, (parent, end))| Some((pid, parent?, end))).collect(),
            living: self.living.into_keys().collect(),
            tags: self.tags,
            frozen: self.frozen,
            deployments: self.deployments.into_iter().map(|((tenant, name), state)| (tenant, name, state)).collect(),
            questions: self.questions.into_values().collect(),
            approvals: self.approvals.into_values().collect(),
            notices: self.notices.into_values().collect(),
            tool_calls: self.tool_calls.into_values().collect(),
            memory: self.memory.into_values().collect(),
            next: self.next,
            away: Away::default(),
        }
    }
}

/// Each after its parent; those that have none there are left at the end.
fn parents_first<T, Id: Copy + Ord>(mut nodes: Vec<T>, of: impl Fn(&T) -> (Id, Option<Id>)) -> Vec<T> {
    let (mut placed, mut ordered) = (BTreeSet::new(), Vec::with_capacity(nodes.len()));
    loop {
        let fits = |node: &T| of(node).1.is_none_or(|parent| placed.contains(&parent));
        let (now, later): (Vec<T>, Vec<T>) = nodes.into_iter().partition(fits);
        if now.is_empty() {
            ordered.extend(later);
            return ordered;
        }
        placed.extend(now.iter().map(|node| of(node).0));
        ordered.extend(now);
        nodes = later;
    }
}
