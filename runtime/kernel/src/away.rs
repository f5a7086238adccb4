//! Processes that sleep and are not in memory at all: how they leave, who reaches them, and how they come back.
//!
//! | a process that sleeps | has in memory | until |
//! | --- | --- | --- |
//! | and is tied to somebody | its block: mailbox, signals, account, grants, children, calls, questions | it wakes |
//! | and is not, where somebody [attends](Kernel::attend) the node | a row: who it is, and when it wakes of itself ([`Row`]) | somebody reaches for it, or its moment comes |
//! | and was reached for | a block again, which takes messages, signals and holds; what the process holds is being read | it is read, and its life begins |
//! | and cannot be read | its block, its account and its grants, parked | it is killed |
//!
//! Principles:
//!
//! - What ties a process is whatever would miss it: a hold, a message in its mailbox, a signal, a call of a process or a tool, a child, a parent, somebody who
//!   listens to it or looks on, a limit that is counted in memory. Whoever has its block in hand ties it, so that nobody is left with
//!   an old one.
//! - Whoever waits for its end does not: ends are shared apart from blocks ([`End`](crate::end::End)).
//! - Everybody finds a process through [`Shared::reach`], or [`Shared::whole`] where what it holds is needed at once.
//! - It comes back as after a crash: from its log, and told again what it was told. So it matters to nobody whether it has left.

use crate::{
    control::{ControlBlock, Durability, Facts, Presence},
    end::End,
    inbox::PendingQuestion,
    kernel::Shared,
    life::Finished,
    outlet::{Audience, Outlet},
    ports::{
        Beginning, Change, Entry, GrantImage, HeldImage, Holdings, JournalError, Position, Roused, Sleeper,
        SleeperKind, StoredProcess,
    },
    process::{Held, Process},
    recovery::last_run,
    replay::{Links, Replay},
    runaway::Circles,
    syscalls::Watch,
};
use parking_lot::Mutex;
use remit_abi::{AccountId, Fault, GrantId, Label, Pid, Tokens, limits::Limits};
use std::{
    collections::VecDeque,
    mem,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::sync::Notify;

#[cfg(doc)]
use crate::kernel::Kernel;

/// A process that is not in memory.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) sleeper: Arc<Sleeper>,
    /// What of it is in memory all the same, where there is something.
    rest: Option<Box<Rest>>,
}

/// What is in memory of a process besides its row.
#[derive(Debug, Default)]
struct Rest {
    /// Where somebody waits for it.
    end: Option<Arc<End>>,
    circles: Option<Box<Circles>>,
    /// Questions that it asked and has not taken the answers of.
    questions: Vec<Arc<PendingQuestion>>,
    /// Whether somebody listened to it, and does no more.
    lost_listener: bool,
}

impl Row {
    pub(crate) fn of(sleeper: Sleeper) -> Self {
        Self { sleeper: Arc::new(sleeper), rest: None }
    }

    /// A question that it asked before the host started anew.
    pub(crate) fn keep_question(&mut self, question: Arc<PendingQuestion>) {
        self.rest.get_or_insert_default().questions.push(question);
    }
}

/// What is to be read of a process, and what is in memory of it.
#[derive(Debug)]
pub(crate) struct Absence {
    sleeper: Arc<Sleeper>,
    circles: Option<Box<Circles>>,
    questions: Vec<Arc<PendingQuestion>>,
}

/// Kinds of processes that are kept to be shared: packages of a node.
const KINDS_MAX: usize = 64;

/// Who is to come back, and who sees to it.
#[derive(Debug, Default)]
pub(crate) struct Keeper {
    pub(crate) queue: Mutex<VecDeque<Arc<ControlBlock>>>,
    /// Woken when somebody is in the queue, or a moment is new.
    pub(crate) rang: Notify,
    pub(crate) is_attended: AtomicBool,
    kinds: Mutex<Vec<Arc<SleeperKind>>>,
}

impl Keeper {
    pub(crate) fn attends(&self) -> bool {
        self.is_attended.load(Ordering::Acquire)
    }

    fn call(&self, block: Arc<ControlBlock>) {
        self.queue.lock().push_back(block);
        self.rang.notify_one();
    }

    /// The same kind for all processes that are of it.
    fn kind(&self, facts: &Facts) -> Arc<SleeperKind> {
        let is_same = |kind: &&Arc<SleeperKind>| {
            (&kind.package, &kind.digest, kind.priority, kind.restart)
                == (&facts.package, &facts.digest, facts.priority, facts.restart)
        };
        let mut kinds = self.kinds.lock();
        if let Some(known) = kinds.iter().find(is_same) {
            return known.clone();
        }
        if kinds.len() >= KINDS_MAX {
            kinds.clear();
        }
        let Facts { package, digest, priority, restart, .. } = facts.clone();
        let kind = Arc::new(SleeperKind { package, digest, priority, restart });
        kinds.push(kind.clone());
        kind
    }
}

/// Who has the block of a process that sleeps and is tied to nobody: the table, and its life twice.
const HOLDERS: usize = 3;

impl ControlBlock {
    /// Whether nothing that others did to it would be lost with it.
    fn is_apart(self: &Arc<Self>) -> bool {
        let is_idle = self.mailbox.len() == 0 && !self.signals.is_raised();
        let is_free = !self.is_held() && !self.is_killed() && !self.has_ended() && self.parked().is_none();
        is_idle && is_free && Arc::strong_count(self) <= HOLDERS
    }

    /// It is in memory again; what was in memory of it until then. `None` where somebody else brought it back before.
    fn come_back_as(&self, there: impl FnOnce() -> Presence) -> Option<Box<Absence>> {
        let mut presence = self.presence.lock();
        match mem::take(&mut *presence) {
            Presence::Away(absence) => {
                *presence = there();
                Some(absence)
            }
            there => {
                *presence = there;
                None
            }
        }
    }

    /// What is to be read of it, where it is not all in memory.
    pub(crate) fn absent(&self) -> Option<Arc<Sleeper>> {
        match &*self.presence.lock() {
            Presence::Away(absence) => Some(absence.sleeper.clone()),
            Presence::Whole | Presence::Back(_) => None,
        }
    }
}

impl Process {
    /// Whether it has nothing that others have the other end of.
    fn is_apart(&self) -> bool {
        let due = &self.due;
        due.keeps_notes
            && due.notes.is_empty()
            && due.changes.is_empty()
            && due.publish.is_empty()
            && !self.is_another()
            && self.parts.is_empty()
            && self.calls.is_empty()
            && self.tool_calls.is_empty()
            && self.answers.is_empty()
            && self.children.is_empty()
            && self.leaving.iter().all(|child| child.has_ended())
    }
}

impl Shared {
    /// Whether a process that sleeps may ever leave memory.
    pub(crate) fn may_leave(&self, block: &ControlBlock) -> bool {
        self.keeper.attends() && block.facts.parent.is_none() && block.facts.durability == Durability::Durable
    }

    /// Takes a process out of memory that sleeps until this moment of the wall clock, or until others wake it; whether it left. It is
    /// written down before: as long as it is in memory all the same, that is no more than a hint that is not true.
    pub(crate) fn leave(&self, block: &Arc<ControlBlock>, watch: &Watch, wakes_ns: Option<u64>) -> bool {
        if !self.may_leave(block) || self.has_stopped() || !block.is_apart() {
            return false;
        }
        let process = &mut *block.process.lock();
        if wakes_ns.is_some_and(|moment| moment <= self.ports.clock.wall_ns()) || !process.is_apart() {
            return false;
        }
        // What was not written down was not paid: it will be paid again.
        process.bill.give_back_unwritten();
        let Some(sleeper) = self.sleeper(block, process, wakes_ns) else { return false };
        if self.try_change(Some(block.pid), [Change::Slept(Box::new(sleeper.clone()))]).is_err() {
            return false;
        }
        let rest = Rest {
            end: block.end.is_awaited().then(|| block.end.clone()),
            circles: process.circles.take(),
            questions: process.questions.iter().map(|(_, question)| question.clone()).collect(),
            lost_listener: block.outlet.has_lost_its_listener(),
        };
        let row = Row { sleeper: Arc::new(sleeper), rest: rest.is_something().then(|| Box::new(rest)) };
        self.let_go_of(block, watch, process, row)
    }

    /// In one step: from here on who reaches for the process finds its row. Whoever answers reaches for it after that; an answer
    /// before keeps it, where it waits for that one.
    fn let_go_of(&self, block: &Arc<ControlBlock>, watch: &Watch, process: &mut Process, mut row: Row) -> bool {
        let mut table = self.table.write();
        if watch.is_answered(&*self.ports.clock) || !block.is_apart() || !self.take_out(&row.sleeper) {
            process.circles = row.rest.take().and_then(|rest| rest.circles);
            return false;
        }
        table.put_away(row);
        drop(table);
        self.keeper.rang.notify_one();
        true
    }

    /// Takes out what leaves with a process: all of it, or nothing.
    fn take_out(&self, sleeper: &Sleeper) -> bool {
        let mut accounts = self.accounts.lock();
        let mut grants = self.grants.lock();
        let can_leave = accounts.can_leave(sleeper.account, None)
            && sleeper.payer.is_none_or(|payer| accounts.can_leave(payer, Some(sleeper.account)))
            && sleeper.grants.iter().all(|grant| grants.can_leave(*grant));
        if can_leave {
            for account in [Some(sleeper.account), sleeper.payer].into_iter().flatten() {
                accounts.leave(account);
            }
            for grant in &sleeper.grants {
                grants.leave(*grant);
            }
        }
        can_leave
    }

    /// What is known of a process without its log; `None` where it has to stay.
    fn sleeper(&self, block: &ControlBlock, process: &Process, wakes_ns: Option<u64>) -> Option<Sleeper> {
        let account = process.bill.account();
        let payer = {
            let accounts = self.accounts.lock();
            if !accounts.can_leave(account, None) {
                return None;
            }
            let payer = accounts.node(account)?.parent;
            let is_root = |id: &AccountId| accounts.node(*id).is_some_and(|node| node.parent.is_none());
            payer.filter(|payer| is_root(payer) && accounts.can_leave(*payer, Some(account)))
        };
        let grants: Box<[GrantId]> = process.grants.iter().map(|held| held.id).collect();
        {
            let tree = self.grants.lock();
            if !grants.iter().all(|grant| tree.can_leave(*grant)) {
                return None;
            }
        }
        let facts = &block.facts;
        Some(Sleeper {
            pid: block.pid,
            kind: self.keeper.kind(facts),
            name: facts.name.clone(),
            account,
            payer,
            grants,
            funds: facts.funds,
            remaining: process.bill.remaining(),
            started_ns: facts.started_ns,
            zero_ns: self.zero_wall_ns(process),
            wakes_ns,
        })
    }

    /// What the wall clock would have read when a process's own clock read zero, had both gone on alike.
    pub(crate) fn zero_wall_ns(&self, process: &Process) -> i64 {
        let clock = &self.ports.clock;
        let zero_ns = i128::from(clock.wall_ns()) - i128::from(process.clock_ns(clock.monotonic_ns()));
        i64::try_from(zero_ns).unwrap_or_default()
    }

    /// A process that lives, for whoever tells it something. One that is not in memory begins to come back.
    pub(crate) fn reach(&self, pid: Pid) -> Option<Arc<ControlBlock>> {
        if let Some(block) = self.block(pid) {
            return Some(block);
        }
        let (block, is_new) = self.table.write().call_back(pid, |row| self.stub(row))?;
        if is_new {
            self.keeper.call(block.clone());
        }
        Some(block)
    }

    /// A process that lives, with all that it holds. Blocks while it is read, where it is not in memory; `None` also where it cannot be.
    pub(crate) fn whole(self: &Arc<Self>, pid: Pid) -> Option<Arc<ControlBlock>> {
        let block = self.reach(pid)?;
        let Some(sleeper) = block.absent() else { return Some(block) };
        let filled = self.ports.journal.rouse(&sleeper).and_then(|roused| self.fill(&block, roused));
        filled.inspect_err(|error| tracing::error!(%pid, %error, "a process that sleeps cannot be read")).ok()?;
        Some(block)
    }

    /// Has whoever left with an account come back. Blocks while it is read.
    pub(crate) fn whole_with_account(self: &Arc<Self>, account: AccountId) {
        if self.accounts.lock().node(account).is_none() {
            self.whole_with(|sleeper| sleeper.accounts().any(|id| id == account));
        }
    }

    /// Has whoever left with a grant come back. Blocks while it is read.
    pub(crate) fn whole_with_grant(self: &Arc<Self>, grant: GrantId) {
        if self.grants.lock().node(grant).is_none() {
            self.whole_with(|sleeper| sleeper.grants.contains(&grant));
        }
    }

    fn whole_with(self: &Arc<Self>, has_it: impl Fn(&Sleeper) -> bool) {
        let found = self.table.read().away().find(|row| has_it(&row.sleeper)).map(|row| row.sleeper.pid);
        if let Some(pid) = found {
            self.whole(pid);
        }
    }

    /// What others may reach of a process that is to come back.
    fn stub(&self, row: Row) -> ControlBlock {
        let Row { sleeper, rest } = row;
        let Rest { end, circles, questions, lost_listener } = rest.map(|rest| *rest).unwrap_or_default();
        let SleeperKind { package, digest, priority, restart } = (*sleeper.kind).clone();
        let facts = Facts {
            package,
            digest,
            name: sleeper.name.clone(),
            parent: None,
            depth: 0,
            priority,
            restart,
            funds: sleeper.funds,
            started_ns: sleeper.started_ns,
            durability: Durability::Durable,
        };
        let bill = self.bill_of(sleeper.account);
        let process = Process::new(sleeper.pid, Limits::default(), Label::default(), Arc::new(bill), 0);
        let outlet = Outlet::new(if lost_listener { Audience::Gone } else { Audience::Nobody });
        let mut block = ControlBlock::new(sleeper.pid, facts, process, outlet, Arc::default());
        if let Some(end) = end {
            block.end = end;
        }
        block.set_asleep(true);
        *block.presence.lock() = Presence::Away(Box::new(Absence { sleeper, circles, questions }));
        block
    }

    /// Puts back what a process holds, as it was read. Nothing happens where somebody else did so before.
    pub(crate) fn fill(self: &Arc<Self>, block: &ControlBlock, roused: Option<Roused>) -> Result<(), JournalError> {
        let gone = || JournalError::Unreadable("it does not know the process any more".into());
        let Roused { process: stored, holdings } = roused.ok_or_else(gone)?;
        let process = &mut *block.process.lock();
        let back = || Presence::Back(Box::new(stored.created.clone()));
        let Some(absence) = block.come_back_as(back) else { return Ok(()) };
        self.put_back(block.pid, holdings);
        let (rebuilt, began) = self.rebuild_slept(block, &stored, *absence);
        *process = rebuilt;
        match began {
            Some(began) => self.write(process, Some(Entry::Began(began))).map(drop),
            None => Ok(()),
        }
    }

    /// Accounts and grants that had left with a process, as they were.
    fn put_back(&self, pid: Pid, holdings: Holdings) {
        let mut accounts = self.accounts.lock();
        let lost = holdings.accounts.iter().filter(|image| !accounts.come_back(image)).count();
        let mut grants = self.grants.lock();
        let lost = lost + holdings.grants.into_iter().filter(|image| !grants.restore(image.clone())).count();
        if lost > 0 {
            tracing::error!(%pid, lost, "accounts or grants of a process that slept have no place");
        }
    }

    /// Has a process that cannot be read hold what left with it, which is not in its log: so that all of it goes back when the process is
    /// ended. It is not read any more from here on; whether it was not there. Blocks while that is read.
    pub(crate) fn hold_unread(&self, block: &ControlBlock) -> bool {
        let Some(sleeper) = block.absent() else { return false };
        let accounts: Vec<_> = sleeper.accounts().collect();
        let holdings = self.ports.journal.holdings(&accounts, &sleeper.grants).unwrap_or_else(|error| {
            tracing::error!(pid = %block.pid, %error, "what a process held that slept cannot be read");
            Holdings::default()
        });
        let held = |image: &GrantImage| {
            let GrantImage { grant, spec, .. } = image;
            Held::from(HeldImage { label: spec.label.clone(), grant: *grant, kind: spec.kind })
        };
        let process = &mut *block.process.lock();
        let Some(absence) = block.come_back_as(Presence::default) else { return false };
        process.due = self.due(Durability::Durable);
        process.grants = holdings.grants.iter().map(held).collect();
        for question in absence.questions {
            process.questions.insert(question);
        }
        self.put_back(block.pid, holdings);
        true
    }

    /// A process as its last run began, with what it is to be told again; and the line to write where that is a new run.
    fn rebuild_slept(
        self: &Arc<Self>,
        block: &ControlBlock,
        stored: &StoredProcess,
        absence: Absence,
    ) -> (Process, Option<Box<Beginning>>) {
        let (began, lines, is_new) = last_run(stored);
        let mut process = self.process_of(block.pid, &stored.created, &began);
        let clock = &self.ports.clock;
        // Its own clock went on as the wall clock did.
        let slept_ns = i128::from(clock.wall_ns()) - i128::from(absence.sleeper.zero_ns);
        let reads_ns = u64::try_from(slept_ns).unwrap_or_default().max(began.clock_ns);
        process.clock_reads_at_least(reads_ns, clock.monotonic_ns());
        process.circles = absence.circles;
        let links = Links::default();
        absence.questions.into_iter().for_each(|question| links.keep_question(question));
        process.replay = Replay::of(lines, Arc::new(links));
        block.outlet.count_from(began.events);
        block.restarts.store(began.restarts, Ordering::Relaxed);
        (process, is_new.then(|| Box::new(began)))
    }

    /// Ends the waits of those who wait for the end of a process that is not in memory: the node ends.
    pub(crate) fn end_waits_for_sleepers(&self) {
        let table = self.table.read();
        let awaited = table.away().filter_map(|row| row.rest.as_ref()?.end.as_ref());
        awaited.for_each(|end| end.set(Finished::faulted(Fault::Killed, Tokens::ZERO), Position::default()));
    }
}

impl Rest {
    fn is_something(&self) -> bool {
        self.end.is_some() || self.circles.is_some() || !self.questions.is_empty() || self.lost_listener
    }
}
