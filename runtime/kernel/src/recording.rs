//! Writing down: what a process is told before it is told, and what changed for the node with it.

use crate::{
    due::{Due, Publish},
    kernel::Shared,
    ports::{Asked, Change, Entry, JournalError, Position, Record, Told},
    process::Process,
};
use remit_abi::{Fault, Pid, Reply, Request};
use std::{
    borrow::Cow,
    mem,
    sync::{Arc, atomic::Ordering},
};

impl Shared {
    /// Writes down what a process is about to be told, and then lets others see what it did. A process whose journal fails
    /// stops rather than going on unrecorded.
    pub(crate) fn told(self: &Arc<Self>, process: &mut Process, request: &Request, reply: Reply) -> Reply {
        process.note_work(request, &reply);
        let written = match process.due.keeps_notes {
            true => {
                let notes = mem::take(&mut process.due.notes);
                let (paid, label) = (process.bill.take_untold(), process.label);
                let told = Told { asked: Asked::of(request), reply: Cow::Borrowed(&reply), notes, paid, label };
                self.write(process, Some(Entry::Told(told)))
            }
            false => self.write(process, None),
        };
        match written {
            Ok(_) => reply,
            Err(error) => Reply::Fault(Fault::Host(error.to_string().into())),
        }
    }

    /// Writes an entry of a process with all that is due, and lets others see what is due to them.
    pub(crate) fn write(
        self: &Arc<Self>,
        process: &mut Process,
        entry: Option<Entry<'_>>,
    ) -> Result<Position, JournalError> {
        let seen_by_nobody = process.due.publish.is_empty() && process.due.remembers.is_empty();
        if !process.due.keeps_changes && seen_by_nobody {
            return Ok(Position::default());
        }
        let entry = entry.filter(|_| process.due.keeps_notes);
        process.settle_written();
        let pid = process.pid;
        let in_order = self.number_writes(pid.tenant, &mut process.due);
        let written = self.append(Some(pid), entry, &mut process.due);
        let written = match in_order {
            Some(in_order) => self.remember(in_order, written),
            None => written,
        };
        process.due.held_entries.clear();
        if let Ok(at) = written {
            process.written_at = process.written_at.max(at);
        }
        for publish in mem::take(&mut process.due.publish) {
            match written {
                Ok(_) => publish.go_out(self, process.written_at),
                Err(_) => publish.be_dropped(self),
            }
        }
        written
    }

    /// Writes down what changed for the node by nobody's own act.
    pub(crate) fn change(&self, pid: Option<Pid>, changes: impl IntoIterator<Item = Change>) {
        if let Err(error) = self.try_change(pid, changes)
            && !self.has_stopped()
        {
            tracing::error!(%error, "a change of the node was not journaled");
        }
    }

    /// The same, for whoever does it only where it is written down.
    pub(crate) fn try_change(
        &self,
        pid: Option<Pid>,
        changes: impl IntoIterator<Item = Change>,
    ) -> Result<(), JournalError> {
        let mut due = Due { keeps_changes: self.ports.journal.keeps(), ..Due::default() };
        due.changes.extend(changes);
        self.append(pid, None, &mut due).map(drop)
    }

    /// Appends an entry, the changes that are due and those of the grant tree.
    pub(crate) fn append(
        &self,
        pid: Option<Pid>,
        entry: Option<Entry<'_>>,
        due: &mut Due,
    ) -> Result<Position, JournalError> {
        if !due.keeps_changes {
            return Ok(Position::default());
        }
        if self.has_stopped() {
            return Err(JournalError::Refused("the host is stopping".into()));
        }
        let mut changes = mem::take(&mut due.changes);
        self.add_changed_grants(&mut changes);
        if entry.is_none() && changes.is_empty() {
            return Ok(Position::default());
        }
        // A child is written down with what its parent is told of it.
        let started = due.publish.iter().filter_map(|publish| match publish {
            Publish::Start { block, program } => Some((block.pid, self.first_lines(block, program)?)),
            _ => None,
        });
        let lines = started.flat_map(|(pid, lines)| lines.map(|line| (Some(pid), line)));
        let mut records: Vec<_> = lines.map(|(pid, line)| Record { pid, entry: Some(line), changes: &[] }).collect();
        records.push(Record { pid, entry, changes: &changes });
        self.keep(&records)
    }

    /// Appends records, and remembers where the log is.
    pub(crate) fn keep(&self, records: &[Record<'_>]) -> Result<Position, JournalError> {
        let at = self.ports.journal.append(records)?;
        self.appended.fetch_max(at.0, Ordering::AcqRel);
        Ok(at)
    }

    /// What changed in the grant tree since somebody last wrote something down. It may be another's act that is not written down
    /// yet: a grant that nobody holds does no harm.
    pub(crate) fn add_changed_grants(&self, changes: &mut Vec<Change>) {
        let mut grants = self.grants.lock();
        if grants.has_changed() {
            changes.extend(grants.take_changed().into_iter().map(|changed| match changed {
                Ok(grant) => Change::Granted(Box::new(grant)),
                Err(grant) => Change::GrantGone { grant },
            }));
        }
    }
}
