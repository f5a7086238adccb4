//! The control block of a process: what others may touch of it while it runs, without its lock.

use crate::{
    away::Absence,
    bill::Bill,
    end::End,
    life::Finished,
    mailbox::Mailbox,
    outlet::{Audience, Outlet},
    ports::{Created, Position},
    process::Process,
    signals::Signals,
    supervise::RestartPolicy,
};
use parking_lot::Mutex;
use remit_abi::{Fault, Label, Pid, Priority, Tokens, limits::Limits};
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering},
    },
};
use tokio::sync::Notify;

/// Whether a process outlives its host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// What it is told is in the journal, and it goes on where it was.
    #[default]
    Durable,
    /// Nothing of it is kept: it ends with its host.
    Ephemeral,
}

/// What is fixed about a process from its start on.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    /// The package's name.
    pub(crate) package: Arc<str>,
    /// SHA-256 of the component, in hexadecimal.
    pub(crate) digest: Arc<str>,
    /// Under which it receives messages, where the operator gave it one.
    pub(crate) name: Option<Arc<str>>,
    pub(crate) parent: Option<Pid>,
    /// Generations below the process that the operator started.
    pub(crate) depth: u32,
    pub(crate) priority: Priority,
    pub(crate) restart: RestartPolicy,
    /// What its account was given.
    pub(crate) funds: Tokens,
    /// On the wall clock.
    pub(crate) started_ns: u64,
    pub(crate) durability: Durability,
}

/// Why a process takes no turns although it lives. Both can hold at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hold {
    /// Its parent, or an operator, suspended it.
    Suspended,
    /// It is among those that an operator froze.
    Frozen,
    /// It was killed, and may not have ended yet.
    Killed,
}

impl Hold {
    pub(crate) const fn bit(self) -> u8 {
        match self {
            Self::Suspended => 1,
            Self::Frozen => 2,
            Self::Killed => 4,
        }
    }
}

/// Why a process cannot go on.
#[derive(Clone, Debug)]
struct Parked {
    why: Arc<str>,
    /// Whether an operator's word is enough.
    for_now: bool,
}

/// How much of a process is in memory.
#[derive(Debug, Default)]
pub(crate) enum Presence {
    /// All, and its life is under way.
    #[default]
    Whole,
    /// What others may reach. What it holds is to be read.
    Away(Box<Absence>),
    /// All, and its life is to begin.
    Back(Box<Created>),
}

/// One process, for everybody but itself.
pub(crate) struct ControlBlock {
    pub(crate) pid: Pid,
    pub(crate) facts: Facts,
    pub(crate) mailbox: Mailbox,
    pub(crate) signals: Arc<Signals>,
    pub(crate) outlet: Outlet,
    pub(crate) process: Mutex<Process>,
    pub(crate) restarts: AtomicU32,
    /// Shared with whoever waits for it.
    pub(crate) end: Arc<End>,
    pub(crate) presence: Mutex<Presence>,
    killed: AtomicBool,
    holds: AtomicU8,
    /// Why it cannot go on, where it cannot.
    parked: Mutex<Option<Parked>>,
    /// Whether it sleeps.
    asleep: AtomicBool,
    /// Whether it is to sleep before its time, as others need its place.
    hurried: AtomicBool,
    /// Woken at every change of the five above.
    changed: Notify,
}

impl fmt::Debug for ControlBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ControlBlock")
            .field("pid", &self.pid)
            .field("package", &self.facts.package)
            .finish_non_exhaustive()
    }
}

impl ControlBlock {
    pub(crate) fn new(pid: Pid, facts: Facts, process: Process, outlet: Outlet, signals: Arc<Signals>) -> Self {
        Self {
            pid,
            facts,
            mailbox: Mailbox::default(),
            signals,
            outlet,
            process: Mutex::new(process),
            restarts: AtomicU32::new(0),
            end: Arc::default(),
            presence: Mutex::default(),
            killed: AtomicBool::new(false),
            holds: AtomicU8::new(0),
            parked: Mutex::new(None),
            asleep: AtomicBool::new(false),
            hurried: AtomicBool::new(false),
            changed: Notify::new(),
        }
    }

    /// What is left of a process that had ended, with a report that nobody had taken.
    pub(crate) fn ended_before(pid: Pid, parent: Pid, finished: Finished) -> Self {
        let mut block = Self::left(pid);
        block.facts.parent = Some(parent);
        block.end(finished, Position::default());
        block
    }

    /// What is left of a process whose report was taken, or of one that kept no journal and ended with its host: of that, what
    /// came back of its funds.
    pub(crate) fn gone(pid: Pid, refunded: Option<Tokens>) -> Self {
        let block = Self::left(pid);
        let why = "its host was started anew, and it kept no journal";
        block.end(Finished::faulted(Fault::Host(why.into()), refunded.unwrap_or_default()), Position::default());
        if refunded.is_none() {
            drop(block.take_finished());
        }
        block
    }

    fn left(pid: Pid) -> Self {
        let nothing: Arc<str> = "".into();
        let facts = Facts {
            package: nothing.clone(),
            digest: nothing,
            name: None,
            parent: None,
            depth: 0,
            priority: Priority::default(),
            restart: RestartPolicy::default(),
            funds: Tokens::ZERO,
            started_ns: 0,
            durability: Durability::Durable,
        };
        let bill = Arc::new(Bill::of_nobody());
        let process = Process::new(pid, Limits::default(), Label::default(), bill, 0);
        Self::new(pid, facts, process, Outlet::new(Audience::Nobody), Arc::default())
    }

    /// Asks for its end. Whoever runs it has to be asked besides.
    pub(crate) fn kill(&self) {
        self.killed.store(true, Ordering::Release);
        self.changed.notify_waiters();
    }

    pub(crate) fn is_killed(&self) -> bool {
        self.killed.load(Ordering::Acquire)
    }

    pub(crate) async fn killed(&self) {
        self.until(Self::is_killed).await;
    }

    /// Sets or clears a hold; whether it is held for any reason now.
    pub(crate) fn hold(&self, hold: Hold, on: bool) -> bool {
        let holds = match on {
            true => self.holds.fetch_or(hold.bit(), Ordering::AcqRel) | hold.bit(),
            false => self.holds.fetch_and(!hold.bit(), Ordering::AcqRel) & !hold.bit(),
        };
        self.changed.notify_waiters();
        holds != 0
    }

    pub(crate) fn is_held(&self) -> bool {
        self.holds.load(Ordering::Acquire) != 0
    }

    pub(crate) fn is_held_by(&self, hold: Hold) -> bool {
        self.holds.load(Ordering::Acquire) & hold.bit() != 0
    }

    /// Waits until nothing holds it, or it is killed.
    pub(crate) async fn released(&self) {
        self.until(|block| !block.is_held() || block.is_killed()).await;
    }

    /// The bits of its holds.
    pub(crate) fn holds(&self) -> u8 {
        self.holds.load(Ordering::Acquire)
    }

    /// Puts back the holds that it had before the host started anew.
    pub(crate) fn restore_holds(&self, holds: u8) {
        self.holds.store(holds, Ordering::Release);
    }

    /// It cannot go on, for this reason.
    pub(crate) fn park(&self, why: Arc<str>) {
        *self.parked.lock() = Some(Parked { why, for_now: false });
    }

    /// It is not to go on before an operator says so, for this reason.
    pub(crate) fn park_for_now(&self, why: Arc<str>) {
        *self.parked.lock() = Some(Parked { why, for_now: true });
    }

    /// An operator said so.
    pub(crate) fn unpark(&self) {
        self.parked.lock().take_if(|parked| parked.for_now);
    }

    /// Why it cannot go on.
    pub(crate) fn parked(&self) -> Option<Arc<str>> {
        self.parked.lock().as_ref().map(|parked| parked.why.clone())
    }

    pub(crate) fn set_asleep(&self, asleep: bool) {
        self.asleep.store(asleep, Ordering::Release);
    }

    pub(crate) fn is_asleep(&self) -> bool {
        self.asleep.load(Ordering::Acquire)
    }

    /// Asks it to sleep now, where it still waits.
    pub(crate) fn hurry(&self) {
        self.hurried.store(true, Ordering::Release);
        self.changed.notify_waiters();
    }

    /// Waits until it is asked to sleep now.
    pub(crate) async fn hurried(&self) {
        self.until(|block| block.hurried.swap(false, Ordering::AcqRel)).await;
    }

    /// Sets its end, which is at this place of the log, once.
    pub(crate) fn end(&self, finished: Finished, at: Position) {
        self.end.set(finished, at);
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.end.is_set()
    }

    pub(crate) async fn ended(&self) {
        self.end.reached().await;
    }

    /// What is left of it, once; `None` while it lives and after that.
    pub(crate) fn take_finished(&self) -> Option<Finished> {
        self.end.take()
    }

    /// Puts back what could not be used.
    pub(crate) fn put_back(&self, finished: Finished) {
        self.end.put_back(finished);
    }

    async fn until(&self, holds: impl Fn(&Self) -> bool) {
        loop {
            let changed = self.changed.notified();
            if holds(self) {
                return;
            }
            changed.await;
        }
    }
}
