//! Between those who append and the thread that writes: the records that wait for the disk, and who waits for them.
//!
//! | lock | is held for | by |
//! | --- | --- | --- |
//! | of what is pending | one push, or taking all | appenders, the writer |
//! | of who waits | one entry of a map, or taking those who are done | waiters, the writer |
//!
//! Neither is held while anything is encoded, sealed or written, nor while somebody is woken.
//!
//! Appending does not wait for the disk, with one exception: whoever appends faster than it writes is held up until there is room again,
//! since guests that only read clocks would otherwise fill the memory in a second. A disk that does not write at all holds nobody up:
//! then the room is used to its end, and what comes after is refused.

use crate::{
    apart::{Apart, Inseparable, TakenApart, take_apart},
    audit,
    retain::Job,
};
use parking_lot::{Condvar, Mutex};
use remit_abi::{AccountId, EntryId, Pid};
use remit_kernel::ports::{Change, Entry, JournalError, MemoryAct, Position, Record, ToolOutcome};
use std::{
    collections::{BTreeMap, VecDeque},
    future::Future,
    mem,
    pin::Pin,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

/// What may wait for the disk, in bytes: records that are appended beyond are refused. 64 MiB: seconds of a busy node's records, and
/// far from what a node has in memory.
pub const WAITING_BYTES_MAX: usize = 64 << 20;
/// What may wait before whoever appends is held up, in bytes: some hundred milliseconds of writing.
const BUSY_BYTES: usize = 8 << 20;
/// How long somebody is held up before the disk is taken to stand still.
const HELD_UP_MAX: Duration = Duration::from_secs(30);
/// What a record takes besides its entry and its changes: its place in the group.
const RECORD_BYTES: usize = size_of::<Taken>();
/// What a change is taken to weigh besides the data that it carries.
const CHANGE_BYTES: usize = 2 * size_of::<Change>();

/// A line's meaning for its process's row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Created { parent: Option<Pid>, account: AccountId },
    Began,
    Other,
}

/// A line of a process's log, encoded.
#[derive(Debug)]
pub(crate) struct TakenLine {
    pub(crate) kind: Kind,
    pub(crate) bytes: Box<[u8]>,
    /// What lies apart from it.
    pub(crate) apart: Box<[Apart]>,
    /// What of it stays in the audit's chain for ever; empty where nothing does.
    pub(crate) fact: Box<[u8]>,
}

impl TakenLine {
    fn new(entry: &Entry<'_>) -> Result<Self, Inseparable> {
        let kind = match entry {
            Entry::Created(created) => Kind::Created { parent: created.parent, account: created.account },
            Entry::Began(_) => Kind::Began,
            _ => Kind::Other,
        };
        let fact = entry.fact().map(|fact| audit::said(&fact)).transpose()?.unwrap_or_default();
        let TakenApart { bytes, apart } = take_apart(entry)?;
        Ok(Self { kind, bytes, apart, fact: fact.into() })
    }

    /// About what it takes of memory.
    fn weight(&self) -> usize {
        let apart: usize = self.apart.iter().map(|apart| size_of::<Apart>() + apart.plain.len()).sum();
        self.bytes.len() + apart + self.fact.len()
    }
}

/// A record as it waits.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) pid: Option<Pid>,
    pub(crate) at_ns: u64,
    pub(crate) line: Option<TakenLine>,
    pub(crate) changes: Box<[Change]>,
}

impl Taken {
    pub(crate) fn new(record: &Record<'_>, at_ns: u64) -> Result<Self, JournalError> {
        let line = record.entry.as_ref().map(TakenLine::new).transpose();
        let line = line.map_err(|why| JournalError::Refused(why.into()))?;
        Ok(Self { pid: record.pid, at_ns, line, changes: record.changes.into() })
    }

    /// About what it takes of memory.
    fn bytes(&self) -> usize {
        let line = self.line.as_ref().map_or(0, TakenLine::weight);
        RECORD_BYTES + line + self.changes.iter().map(weight).sum::<usize>()
    }
}

fn weight(change: &Change) -> usize {
    let data = match change {
        Change::Sent { letter, .. } | Change::Answered { letter, .. } => letter.body.bytes.len() + letter.topic.len(),
        Change::Questioned(question) => question.content.bytes.len(),
        Change::Notified(notice) => notice.content.bytes.len(),
        Change::Deployed { state, .. } => state.as_deref().map_or(0, str::len),
        Change::ToolCalled(posted) => posted.arguments.bytes.len(),
        Change::ToolReturned { outcome, .. } => match &**outcome {
            ToolOutcome::Done(said) | ToolOutcome::Failed(said) => said.bytes.len(),
            _ => 0,
        },
        Change::Remembered { write, .. } => match &write.act {
            MemoryAct::Put(version) => {
                version.content.bytes.len() + version.vector.as_deref().map_or(0, <[f32]>::len) * size_of::<f32>()
            }
            MemoryAct::Forget { entries, .. } => entries.len() * size_of::<EntryId>(),
        },
        Change::Ended { finished, .. } => finished.checkpoint.as_deref().map_or(0, <[u8]>::len),
        _ => 0,
    };
    CHANGE_BYTES + data
}

/// Records in a row, to be written in one commit.
#[derive(Debug, Default)]
pub(crate) struct Group {
    /// The position of the first.
    pub(crate) first: u64,
    pub(crate) records: Vec<Taken>,
}

impl Group {
    /// The position of the last; of an empty one, that of the last before it.
    pub(crate) fn last(&self) -> u64 {
        self.first + self.records.len() as u64 - 1
    }
}

/// What the writer has to do next.
pub(crate) enum Work {
    Write(Group),
    Do(Job),
    /// Nothing is left, and nothing will come.
    End,
}

#[derive(Default)]
struct Pending {
    /// The next position.
    next: u64,
    records: Vec<Taken>,
    /// Of these records, and of the group that is being written.
    bytes: usize,
    /// Of the group that is being written.
    writing: usize,
    jobs: VecDeque<Job>,
    /// The last thing to do was a group: a job is next, so that neither waits for ever.
    wrote: bool,
    /// The writer sleeps.
    idle: bool,
    /// The disk does not write: nobody is held up.
    stuck: bool,
    closing: bool,
}

#[derive(Default)]
struct Waiters {
    /// By the position that they wait for, and a number that tells them apart.
    tasks: BTreeMap<(u64, u64), Waker>,
    numbers: u64,
}

/// The records that wait for the disk, and who waits for them.
pub(crate) struct Queue {
    pending: Mutex<Pending>,
    arrived: Condvar,
    /// A group was written, or none will be.
    room: Condvar,
    /// Everything up to here survives a crash.
    durable: AtomicU64,
    commits: AtomicU64,
    waiters: Mutex<Waiters>,
    settled: Condvar,
    /// Why nothing is written any more.
    failed: OnceLock<Box<str>>,
}

impl Queue {
    /// After `position`, which is on the disk.
    pub(crate) fn new(position: u64) -> Self {
        Self {
            pending: Mutex::new(Pending { next: position + 1, ..Pending::default() }),
            arrived: Condvar::new(),
            room: Condvar::new(),
            durable: AtomicU64::new(position),
            commits: AtomicU64::new(0),
            waiters: Mutex::default(),
            settled: Condvar::new(),
            failed: OnceLock::new(),
        }
    }

    /// Adds records to the group that is collected: all of them to the same one.
    pub(crate) fn push(&self, records: Vec<Taken>) -> Result<Position, JournalError> {
        if let Some(why) = self.failed.get() {
            return Err(JournalError::Refused(why.clone()));
        }
        let bytes: usize = records.iter().map(Taken::bytes).sum();
        let mut pending = self.pending.lock();
        let until = Instant::now() + HELD_UP_MAX;
        while pending.bytes + bytes > BUSY_BYTES && pending.bytes > 0 && !pending.stuck {
            pending.stuck |= self.room.wait_until(&mut pending, until).timed_out();
        }
        if pending.bytes + bytes > WAITING_BYTES_MAX {
            return Err(JournalError::Refused(
                format!("{} MiB of records wait for the disk: is it full?", WAITING_BYTES_MAX >> 20).into(),
            ));
        }
        pending.bytes += bytes;
        pending.next += records.len() as u64;
        pending.records.extend(records);
        let position = pending.next - 1;
        let wake = mem::take(&mut pending.idle);
        drop(pending);
        if wake {
            self.arrived.notify_one();
        }
        Ok(Position(position))
    }

    /// Has the writer do something between two groups. Where it has ended the job is dropped.
    pub(crate) fn ask(&self, job: Job) {
        let mut pending = self.pending.lock();
        if self.failed.get().is_some() {
            return;
        }
        pending.jobs.push_back(job);
        pending.idle = false;
        drop(pending);
        self.arrived.notify_one();
    }

    /// The last position that was given.
    fn appended(&self) -> u64 {
        self.pending.lock().next - 1
    }

    /// What to do next; waits until there is something. `spare` is reused for the records to come.
    pub(crate) fn work(&self, mut spare: Vec<Taken>) -> Work {
        spare.clear();
        let mut pending = self.pending.lock();
        loop {
            if !pending.records.is_empty() && (!pending.wrote || pending.jobs.is_empty()) {
                pending.wrote = true;
                let records = mem::replace(&mut pending.records, spare);
                pending.writing = pending.bytes;
                return Work::Write(Group { first: pending.next - records.len() as u64, records });
            }
            pending.wrote = false;
            if let Some(job) = pending.jobs.pop_front() {
                return Work::Do(job);
            }
            if pending.closing {
                return Work::End;
            }
            pending.idle = true;
            self.arrived.wait(&mut pending);
        }
    }

    /// Groups that were written.
    pub(crate) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    /// Everything up to `position` survives a crash.
    pub(crate) fn committed(&self, position: u64) {
        self.commits.fetch_add(1, Ordering::Relaxed);
        {
            let mut pending = self.pending.lock();
            pending.bytes -= mem::take(&mut pending.writing);
            pending.stuck = false;
        }
        self.room.notify_all();
        let done = {
            let mut waiters = self.waiters.lock();
            self.durable.store(position, Ordering::Release);
            let later = waiters.tasks.split_off(&(position + 1, 0));
            mem::replace(&mut waiters.tasks, later)
        };
        self.settled.notify_all();
        done.into_values().for_each(Waker::wake);
    }

    /// Nothing is written any more.
    pub(crate) fn fail(&self, why: Box<str>) {
        let told = {
            let mut waiters = self.waiters.lock();
            let _ = self.failed.set(why);
            mem::take(&mut waiters.tasks)
        };
        {
            let mut pending = self.pending.lock();
            pending.jobs.clear();
            pending.stuck = true;
        }
        self.room.notify_all();
        self.settled.notify_all();
        told.into_values().for_each(Waker::wake);
    }

    /// Has the writer end when all is written.
    pub(crate) fn close(&self) {
        self.pending.lock().closing = true;
        self.arrived.notify_one();
    }

    /// Waits before a failed write is tried again. Whether the journal is being closed: then there is no time left.
    pub(crate) fn pause(&self, time: Duration) -> bool {
        let until = Instant::now() + time;
        let mut pending = self.pending.lock();
        pending.stuck = true;
        self.room.notify_all();
        while !pending.closing && !self.arrived.wait_until(&mut pending, until).timed_out() {}
        pending.closing
    }

    fn refusal(&self) -> Option<&str> {
        self.failed.get().map(AsRef::as_ref)
    }

    /// Blocks until all that was appended is on the disk.
    pub(crate) fn settle(&self) -> Result<(), JournalError> {
        let position = self.appended();
        let mut waiters = self.waiters.lock();
        while self.durable.load(Ordering::Acquire) < position {
            if let Some(why) = self.refusal() {
                return Err(JournalError::Unreadable(why.into()));
            }
            self.settled.wait(&mut waiters);
        }
        Ok(())
    }

    /// Waits until everything up to a place is on the disk.
    pub(crate) fn durable(&self, position: Position) -> Durable<'_> {
        Durable { queue: self, position: position.0, number: None }
    }
}

/// Waits for the disk. Whoever drops it waits no longer.
pub(crate) struct Durable<'a> {
    queue: &'a Queue,
    position: u64,
    /// Under which it is found among those who wait.
    number: Option<u64>,
}

impl Future for Durable<'_> {
    type Output = Result<(), JournalError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let queue = self.queue;
        let is_durable = || queue.durable.load(Ordering::Acquire) >= self.position;
        if is_durable() {
            return Poll::Ready(Ok(()));
        }
        let mut waiters = queue.waiters.lock();
        if is_durable() {
            return Poll::Ready(Ok(()));
        }
        if let Some(why) = queue.refusal() {
            return Poll::Ready(Err(JournalError::Refused(why.into())));
        }
        let number = self.number.unwrap_or_else(|| {
            waiters.numbers += 1;
            waiters.numbers
        });
        waiters.tasks.insert((self.position, number), context.waker().clone());
        drop(waiters);
        self.number = Some(number);
        Poll::Pending
    }
}

impl Drop for Durable<'_> {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            self.queue.waiters.lock().tasks.remove(&(self.position, number));
        }
    }
}
