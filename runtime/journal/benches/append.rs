//! How fast records are taken and written, beside what SQLite does with rows of the same bytes.
//!
//! `cargo bench -p remit-journal --bench append [-- FOLDER]`
//!
//! | row | does |
//! | --- | --- |
//! | `each waits` | each thread waits for the disk after every record, as if each had an effect |
//! | `every 16th` | after every 16th record, as agents do that mostly read |
//! | `raw rows` | the same threads and the same groups; the writer puts each record's bytes into a table of two columns, and nothing else |
//!
//! The journal's folder is below the one that is named, or below the working directory: a disk, not memory.

#![allow(clippy::print_stdout, reason = "it prints a table")]
#![allow(clippy::unwrap_used, reason = "it ends where it cannot go on")]

use futures::executor::block_on;
use parking_lot::{Condvar, Mutex};
use remit_abi::{ClockReply, ClockRequest, Label, Pid, Reply, Request, TenantId, Tokens, ValueId};
use remit_journal::SqliteJournal;
use remit_kernel::ports::{Asked, Entry, Journal, Note, Position, Record, Told, ValueImage};
use rusqlite::Connection;
use std::{
    borrow::Cow,
    mem,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, Instant},
};

const THREADS: usize = 64;
const TIME: Duration = Duration::from_millis(700);
/// Turns of all rows, of which the middle one counts: disks are noisy.
const ROUNDS: usize = 7;
/// A message's body.
const MESSAGE_BYTES: usize = 200;

fn main() {
    let folder = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let folder = folder.map_or_else(|| std::env::current_dir().unwrap(), PathBuf::from);
    println!(
        "{:12} {:>10} {:>10} {:>10} {:>13} {:>9} {:>6}",
        "", "records/s", "commits/s", "a commit", "append p50", "MB/s", "ratio"
    );
    for (name, every) in [("each waits", 1), ("every 16th", 16)] {
        let (mut raw, mut ours) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            raw.push(with_folder(&folder, |folder| measure(&Raw::open(folder), every)));
            ours.push(with_folder(&folder, |folder| measure(&Ours(SqliteJournal::open(folder).unwrap()), every)));
        }
        let mut ratios: Vec<_> = ours.iter().zip(&raw).map(|(ours, raw)| ours.records / raw.records).collect();
        print("raw rows", &middle(raw), 1.0);
        ratios.sort_by(f64::total_cmp);
        print(name, &middle(ours), ratios[ROUNDS / 2]);
    }
}

/// The one with as many that are faster as are slower.
fn middle(mut figures: Vec<Figures>) -> Figures {
    figures.sort_by(|a, b| a.records.total_cmp(&b.records));
    figures.swap_remove(ROUNDS / 2)
}

fn with_folder<T>(parent: &Path, run: impl FnOnce(&Path) -> T) -> T {
    let folder = tempfile::tempdir_in(parent).unwrap();
    run(folder.path())
}

struct Figures {
    /// A second.
    records: f64,
    commits: f64,
    megabytes: f64,
    append_ns: u64,
}

fn print(name: &str, figures: &Figures, ratio: f64) {
    println!(
        "{name:12} {:>10.0} {:>10.0} {:>10.1} {:>10} ns {:>9.1} {ratio:>6.2}",
        figures.records,
        figures.commits,
        figures.records / figures.commits,
        figures.append_ns,
        figures.megabytes
    );
}

/// A log that can be measured.
trait Log: Sync {
    fn append(&self, thread: usize, entry: Entry<'static>) -> u64;
    fn wait(&self, position: u64);
    /// So far.
    fn commits(&self) -> u64;
}

/// What agents are told most: the time, and messages.
fn entry(number: u64) -> Entry<'static> {
    let label = Label::TRUSTED;
    let asked = Asked::of(&Request::Clock(ClockRequest::Wall));
    let reply = Cow::Owned(Reply::Clock(ClockReply::Wall(1_790_000_000_000_000_000 + number)));
    let message = |number: u64| {
        let bytes = vec![number as u8; MESSAGE_BYTES].into();
        Note::Value(ValueId { index: 7, generation: 1 }, ValueImage { bytes, media_type: "text/plain".into(), label })
    };
    let notes = if number.is_multiple_of(2) { Vec::new() } else { vec![message(number)] };
    Entry::Told(Told { asked, reply, notes, paid: Tokens::from_micro(12), label })
}

fn measure(log: &impl Log, every: u64) -> Figures {
    let (stop, bytes) = (AtomicBool::new(false), AtomicU64::new(0));
    let (start, commits) = (Instant::now(), log.commits());
    let times: Vec<Vec<u64>> = std::thread::scope(|scope| {
        let (stop, bytes) = (&stop, &bytes);
        let start = |thread| scope.spawn(move || run(log, thread, every, stop, bytes));
        let threads: Vec<_> = (0..THREADS).map(start).collect();
        std::thread::sleep(TIME);
        stop.store(true, Ordering::Relaxed);
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let seconds = start.elapsed().as_secs_f64();
    let mut times = times.concat();
    let middle = times.len() / 2;
    Figures {
        records: times.len() as f64 / seconds,
        commits: (log.commits() - commits) as f64 / seconds,
        megabytes: bytes.load(Ordering::Relaxed) as f64 / seconds / 1e6,
        append_ns: *times.select_nth_unstable(middle).1,
    }
}

/// How long each append took.
fn run(log: &impl Log, thread: usize, every: u64, stop: &AtomicBool, bytes: &AtomicU64) -> Vec<u64> {
    let mut times = Vec::new();
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        number += 1;
        let entry = entry(number);
        bytes.fetch_add(if number.is_multiple_of(2) { 0 } else { MESSAGE_BYTES as u64 } + 32, Ordering::Relaxed);
        let start = Instant::now();
        let position = log.append(thread, entry);
        times.push(start.elapsed().as_nanos() as u64);
        if number.is_multiple_of(every) {
            log.wait(position);
        }
    }
    times
}

struct Ours(SqliteJournal);

impl Log for Ours {
    fn append(&self, thread: usize, entry: Entry<'static>) -> u64 {
        let pid = Pid { tenant: TenantId(thread as u32 % 4), index: thread as u32, generation: 1 };
        self.0.append(&[Record { pid: Some(pid), entry: Some(entry), changes: &[] }]).unwrap().0
    }

    fn wait(&self, position: u64) {
        block_on(self.0.durable(Position(position))).unwrap();
    }

    fn commits(&self) -> u64 {
        self.0.commits()
    }
}

/// Rows of the same bytes, in groups that form in the same way.
struct Raw {
    state: &'static RawState,
    writer: Option<std::thread::JoinHandle<()>>,
}

#[derive(Default)]
struct RawState {
    pending: Mutex<(u64, Vec<Vec<u8>>, bool)>,
    arrived: Condvar,
    done: Mutex<u64>,
    committed: Condvar,
    commits: AtomicU64,
}

impl Raw {
    fn open(folder: &Path) -> Self {
        let db = Connection::open(folder.join("raw.sqlite")).unwrap();
        db.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 4096;
             CREATE TABLE rows (position INTEGER PRIMARY KEY, payload BLOB NOT NULL)",
        )
        .unwrap();
        let state: &'static RawState = Box::leak(Box::default());
        Self { state, writer: Some(std::thread::spawn(move || state.write(&db))) }
    }
}

impl RawState {
    fn write(&self, db: &Connection) {
        loop {
            let (last, rows) = {
                let mut pending = self.pending.lock();
                while pending.1.is_empty() {
                    if pending.2 {
                        return;
                    }
                    self.arrived.wait(&mut pending);
                }
                (pending.0, mem::take(&mut pending.1))
            };
            db.prepare_cached("BEGIN IMMEDIATE").unwrap().execute([]).unwrap();
            let mut insert = db.prepare_cached("INSERT INTO rows(position, payload) VALUES (?1, ?2)").unwrap();
            let first = last + 1 - rows.len() as u64;
            for (position, row) in (first..).zip(&rows) {
                insert.execute(rusqlite::params![position as i64, row]).unwrap();
            }
            db.prepare_cached("COMMIT").unwrap().execute([]).unwrap();
            self.commits.fetch_add(1, Ordering::Relaxed);
            *self.done.lock() = last;
            self.committed.notify_all();
        }
    }
}

impl Log for Raw {
    fn append(&self, _: usize, entry: Entry<'static>) -> u64 {
        let bytes = postcard::to_allocvec(&entry).unwrap();
        let mut pending = self.state.pending.lock();
        pending.0 += 1;
        pending.1.push(bytes);
        let position = pending.0;
        drop(pending);
        self.state.arrived.notify_one();
        position
    }

    fn wait(&self, position: u64) {
        let mut done = self.state.done.lock();
        while *done < position {
            self.state.committed.wait(&mut done);
        }
    }

    fn commits(&self) -> u64 {
        self.state.commits.load(Ordering::Relaxed)
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        self.state.pending.lock().2 = true;
        self.state.arrived.notify_one();
        self.writer.take().map(std::thread::JoinHandle::join);
    }
}
