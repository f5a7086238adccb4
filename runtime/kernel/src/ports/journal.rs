//! What survives the node: one ordered log, and what is true after it.
//!
//! Principles:
//!
//! - A record is kept whole or not at all, and none is kept before those that were appended earlier.
//! - Appending does not wait for a disk that keeps up; it may hold up whoever is faster than it for long. Whoever lets something out of the node waits until what it may depend on is
//!   [durable](Journal::durable); since there is one order, that is one number.
//! - What is true after the log (accounts, grants, mailboxes) is kept beside it, so that a start reads no history.

use super::{
    AccountImage, Away, Beginning, CallImage, CallState, Change, Created, Entry, GrantImage, Holdings, LetterImage,
    MemoryWrite, Notice, PortFuture, PostedQuestion, QuestionState, Roused, Sleeper, StandingApproval, ToolCallImage,
};
use crate::{Finished, Selection};
use remit_abi::{AccountId, GrantId, Pid, TenantId};
use std::{fmt, sync::Arc};
use thiserror::Error;

/// A place in the node's log; what was appended later has a larger one. 0 is before all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub u64);

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What is appended at once.
#[derive(Clone, Debug, PartialEq)]
pub struct Record<'a> {
    /// Whose it is; `None` where an operator did something to no process of its own.
    pub pid: Option<Pid>,
    /// A line of that process's log. None of a process that keeps no journal.
    pub entry: Option<Entry<'a>>,
    /// What else is different from here on, in this order.
    pub changes: &'a [Change],
}

/// A journal that does not do what it is for.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum JournalError {
    /// It did not take a record; why, in one sentence.
    #[error("the journal did not take the entry: {0}")]
    Refused(Box<str>),
    /// It cannot be read; why, in one sentence.
    #[error("the journal cannot be read: {0}")]
    Unreadable(Box<str>),
}

/// A line of a process's log, as it is read back.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// Its place in the log of its process, from 1 on.
    pub sequence: u64,
    /// When it was appended, on the wall clock.
    pub at_ns: u64,
    /// What it says.
    pub entry: Entry<'static>,
}

/// A process that has not ended, as far as the log goes.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredProcess {
    /// Which.
    pub pid: Pid,
    /// What it is for good.
    pub created: Created,
    /// Where its last run begins.
    pub began: Beginning,
    /// What it was told in that run, in order.
    pub lines: Vec<Line>,
    /// What waits in its mailbox, oldest first.
    pub letters: Vec<(u64, LetterImage)>,
    /// Why it takes no turns: the bits of its holds.
    pub holds: u8,
    /// The bits of its signals.
    pub signals: u8,
    /// Whether whoever started it let go of it.
    pub detached: bool,
}

/// What is left of a process that an operator started, and that has ended.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredResult {
    /// Which.
    pub pid: Pid,
    /// What it was; `None` where that was forgotten.
    pub created: Option<Created>,
    /// When it ended, on the wall clock; `None` where that was forgotten.
    pub ended_ns: Option<u64>,
    /// How.
    pub finished: Finished,
}

/// What is true of a node after its log.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeImage {
    /// Each after the one that it is a part of.
    pub accounts: Vec<AccountImage>,
    /// Each after the one that it derives from.
    pub grants: Vec<GrantImage>,
    /// In the order of their numbers.
    pub calls: Vec<(CallImage, CallState)>,
    /// Children that have ended and whose report nobody has taken: with who started them.
    pub reports: Vec<(Pid, Pid, Finished)>,
    /// Processes that have not ended.
    pub living: Vec<Pid>,
    /// Tenant, bit and name of each confidentiality tag.
    pub tags: Vec<(TenantId, u32, Box<str>)>,
    /// What is frozen.
    pub frozen: Vec<Selection>,
    /// What operators keep running: tenant, name and what was decided, by tenant and name.
    pub deployments: Vec<(TenantId, Box<str>, Box<str>)>,
    /// Questions that were asked and whose answer nobody has taken, in the order of their numbers.
    pub questions: Vec<(PostedQuestion, QuestionState)>,
    /// Approvals that stand, in the order of their numbers.
    pub approvals: Vec<StandingApproval>,
    /// Notices that are kept, oldest first.
    pub notices: Vec<Notice>,
    /// Calls of tools that nobody has taken the outcome of, in the order of their numbers.
    pub tool_calls: Vec<ToolCallImage>,
    /// Writes of memories that their own files may not have yet, in the order of their numbers. Of an entry that is purged nothing but
    /// that it is.
    pub memory: Vec<(TenantId, MemoryWrite)>,
    /// What is given out next.
    pub next: NextNumbers,
    /// What the accounts hold and paid that were left out with processes that sleep.
    pub away: Away,
}

/// The next numbers: those before were given out once, and are not again, so that a stale one never finds something new. Those of
/// ids are as [`Numbered`](remit_authority::Numbered) counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NextNumbers {
    /// Of processes.
    pub process: u64,
    /// Of accounts.
    pub account: u64,
    /// Of grants.
    pub grant: u64,
    /// Of letters and calls.
    pub letter: u64,
    /// Of questions and notices; the first one is 1.
    pub question: u64,
    /// Of calls of tools; the first one is 1.
    pub tool_call: u64,
    /// Of writes of memories; the first one is 1.
    pub memory_write: u64,
    /// Of entries of memories; the first one is 1.
    pub memory_entry: u64,
}

/// One ordered log, and what is true after it.
pub trait Journal: Send + Sync + 'static {
    /// Whether it keeps anything: where it does not, nothing has to be told.
    fn keeps(&self) -> bool {
        true
    }

    /// Adds records that belong together: all of them are kept, or none. They are in the log, in order, when this returns; it
    /// does not wait for the disk. The place is that of the last one.
    ///
    /// # Errors
    /// [`JournalError::Refused`] where the log is full or its disk fails; the process then stops rather than going on
    /// unrecorded.
    fn append(&self, records: &[Record<'_>]) -> Result<Position, JournalError>;

    /// Waits until everything up to a place survives a crash.
    fn durable(&self, position: Position) -> PortFuture<'_, Result<(), JournalError>>;

    /// What is true after the log.
    ///
    /// # Errors
    /// [`JournalError::Unreadable`].
    fn node(&self) -> Result<NodeImage, JournalError>;

    /// What is true after the log of all but the processes that sleep, and the accounts and grants that left with them; each of these
    /// processes is told instead. A journal that knows of none leaves nobody out.
    ///
    /// # Errors
    /// [`JournalError::Unreadable`].
    fn awake(&self, _sleeper: &mut dyn FnMut(Sleeper)) -> Result<NodeImage, JournalError> {
        self.node()
    }

    /// Accounts and grants as they are; what is not there is left out.
    ///
    /// # Errors
    /// [`JournalError::Unreadable`].
    fn holdings(&self, accounts: &[AccountId], grants: &[GrantId]) -> Result<Holdings, JournalError>;

    /// A process that sleeps, with what left with it; `None` where there is none.
    ///
    /// # Errors
    /// [`JournalError::Unreadable`], which concerns this process alone.
    fn rouse(&self, sleeper: &Sleeper) -> Result<Option<Roused>, JournalError> {
        let Some(process) = self.process(sleeper.pid)? else { return Ok(None) };
        let accounts: Vec<_> = sleeper.accounts().collect();
        Ok(Some(Roused { process, holdings: self.holdings(&accounts, &sleeper.grants)? }))
    }

    /// As [`Journal::rouse`], without blocking the caller's thread.
    fn rouse_later(&self, sleeper: Arc<Sleeper>) -> PortFuture<'_, Result<Option<Roused>, JournalError>> {
        Box::pin(std::future::ready(self.rouse(&sleeper)))
    }

    /// A process that has not ended; `None` where there is none.
    ///
    /// # Errors
    /// [`JournalError::Unreadable`], which concerns this process alone.
    fn process(&self, pid: Pid) -> Result<Option<StoredProcess>, JournalError>;

    /// As [`Journal::process`], without blocking the caller's thread.
    fn wake(&self, pid: Pid) -> PortFuture<'_, Result<Option<StoredProcess>, JournalError>> {
        Box::pin(std::future::ready(self.process(pid)))
    }

    /// What processes that have no parent came to, latest first: of one of them, or at most `limit` of all. Each is kept until it is
    /// [dropped](Change::ReportGone), or all of its history is forgotten.
    ///
    /// # Errors
    /// [`JournalError::Unreadable`].
    fn results(&self, of: Option<Pid>, limit: usize) -> Result<Vec<StoredResult>, JournalError>;

    /// The whole log of a process, also of one that has ended, as far as it is kept: at most `limit` lines from `from` on.
    ///
    /// # Errors
    /// [`JournalError::Unreadable`], which concerns this process alone.
    fn history(&self, pid: Pid, from: u64, limit: usize) -> Result<Vec<Line>, JournalError>;
}
