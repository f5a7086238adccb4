//! A process's whole log as far as it is kept, and the runs in it: what a replay, a fork and a comparison begin with.

use crate::{
    kernel::Kernel,
    ports::{Beginning, Created, Entry, Journal, JournalError, Line},
};
use remit_abi::Pid;
use thiserror::Error;

/// A log that nothing can begin with.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum HistoryError {
    /// There is none.
    #[error("there is no log of process {0}: it kept none, or never was")]
    Nothing(Pid),
    /// Its first lines are missing.
    #[error("the log of process {0} begins too late: what it was started with was forgotten")]
    NoBeginning(Pid),
    /// It has no such run.
    #[error("process {pid} has no run {asked}: its log has {runs}")]
    NoSuchRun {
        /// Whose.
        pid: Pid,
        /// Which was asked for.
        asked: usize,
        /// How many there are.
        runs: usize,
    },
    /// The journal does not say it.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// Lines that are read at once.
const PAGE_LINES: usize = 1024;

/// The log of one process.
#[derive(Clone, Debug, PartialEq)]
pub struct History {
    /// Whose.
    pub pid: Pid,
    /// What it is for good.
    pub created: Created,
    /// Its runs, oldest first; at least one.
    pub runs: Vec<Run>,
}

/// What is known of one run of a process.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// The place of its beginning in the log.
    pub sequence: u64,
    /// When that was, on the wall clock.
    pub at_ns: u64,
    /// What it found.
    pub began: Beginning,
    /// What follows up to the next one.
    pub lines: Vec<Line>,
}

impl History {
    /// What lines of a log say, from its first one on.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub fn of(pid: Pid, lines: Vec<Line>) -> Result<Self, HistoryError> {
        let mut lines = lines.into_iter();
        let created = match lines.next().ok_or(HistoryError::Nothing(pid))?.entry {
            Entry::Created(created) => *created,
            _ => return Err(HistoryError::NoBeginning(pid)),
        };
        let mut runs: Vec<Run> = Vec::new();
        for Line { sequence, at_ns, entry } in lines {
            match (entry, runs.last_mut()) {
                (Entry::Began(began), _) => runs.push(Run { sequence, at_ns, began: *began, lines: Vec::new() }),
                (entry, Some(run)) => run.lines.push(Line { sequence, at_ns, entry }),
                // What came before the first run that is kept was forgotten.
                (_, None) => {}
            }
        }
        if runs.is_empty() {
            return Err(HistoryError::NoBeginning(pid));
        }
        Ok(Self { pid, created, runs })
    }

    /// What a journal says of a process. Blocks while it is read.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub fn read(journal: &dyn Journal, pid: Pid) -> Result<Self, HistoryError> {
        let (mut lines, mut from) = (Vec::new(), 1);
        loop {
            let page = journal.history(pid, from, PAGE_LINES)?;
            let Some(last) = page.last() else { break };
            from = last.sequence.saturating_add(1);
            lines.extend(page);
        }
        Self::of(pid, lines)
    }

    /// All of it again, as lines.
    #[must_use]
    pub fn lines(&self) -> Vec<Line> {
        let first = self.runs.first().map_or(0, |run| run.at_ns);
        let created = Line { sequence: 1, at_ns: first, entry: Entry::Created(Box::new(self.created.clone())) };
        let runs = self.runs.iter().flat_map(|run| {
            let entry = Entry::Began(Box::new(run.began.clone()));
            let began = Line { sequence: run.sequence, at_ns: run.at_ns, entry };
            std::iter::once(began).chain(run.lines.iter().cloned())
        });
        std::iter::once(created).chain(runs).collect()
    }

    /// A run by its number, from 1 on; the last one without.
    ///
    /// # Errors
    /// [`HistoryError::NoSuchRun`].
    pub fn run(&self, number: Option<usize>) -> Result<&Run, HistoryError> {
        let (pid, runs) = (self.pid, self.runs.len());
        let asked = number.unwrap_or(runs);
        let index = asked.checked_sub(1);
        index.and_then(|index| self.runs.get(index)).ok_or(HistoryError::NoSuchRun { pid, asked, runs })
    }

    /// The run that a place of the log is in: the last one that begins at it or before.
    #[must_use]
    pub fn run_at(&self, sequence: u64) -> Option<&Run> {
        self.runs.iter().rev().find(|run| run.sequence <= sequence)
    }
}

impl Kernel {
    /// The whole log of a process, also of one that has ended, as far as it is kept. Blocks while it is read.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub fn history(&self, pid: Pid) -> Result<History, HistoryError> {
        History::read(&*self.shared.ports.journal, pid)
    }
}
