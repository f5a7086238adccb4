//! A disk that fails on purpose: SQLite's files on the system's, with a record of what would be left after a loss of power.
//!
//! It counts what changes files (write, synchronise, truncate, remove), and does something else at a number that a [`Fault`] names:
//!
//! | what | is left after [`Disk::lose_power`] |
//! | --- | --- |
//! | written and synchronised | all of it |
//! | written since | of each sector of 512 bytes what [`Kept`] says |
//! | written before a failed synchronisation | nothing of it, and a later synchronisation does not help: Linux marks such pages clean |
//! | a file that was never synchronised | may be gone |
//! | a file that was removed | may be there again, until anything is synchronised: file systems log such changes in their order |

mod vfs;

use parking_lot::Mutex;
use rusqlite::ffi;
use std::{
    collections::BTreeMap,
    ffi::{CString, c_int},
    fs,
    ops::Range,
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
};

const SECTOR: usize = 512;

/// What a disk says instead of doing it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// ENOSPC, after half of what was to be written.
    Full,
    /// EIO.
    Broken,
}

/// What happens at the change with a number, counted from 0 on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Never,
    /// From there on nothing is done.
    PowerLoss(usize),
    Once(Refusal, usize),
    /// From there on.
    Always(Refusal, usize),
    /// A synchronisation of the WAL is confirmed and not done.
    LostSync(usize),
}

/// What is left of what was not synchronised.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kept {
    Nothing,
    Everything,
    /// Each sector, or not: by this seed.
    Some(u64),
}

impl Kept {
    /// Whether the next one is.
    fn next(&mut self) -> bool {
        match self {
            Self::Nothing => false,
            Self::Everything => true,
            Self::Some(seed) => {
                *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                *seed >> 63 == 1
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Change {
    Written(usize, Vec<u8>),
    Truncated(usize),
}

#[derive(Debug, Default)]
struct File {
    /// What a loss of power leaves for sure.
    synced: Vec<u8>,
    /// What came since, in order.
    since: Vec<Change>,
    /// Its name is on the disk.
    named: bool,
    removed: bool,
}

#[derive(Debug)]
struct State {
    fault: Fault,
    count: usize,
    refused: usize,
    dead: bool,
    /// It came to the fault, since [`Disk::start`].
    met: bool,
    files: BTreeMap<String, File>,
}

/// A disk that SQLite knows by a name. It is never freed, since SQLite keeps its address.
pub(crate) struct Disk {
    name: CString,
    state: Mutex<State>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Write,
    Sync,
    Truncate,
    Remove,
}

/// What a change comes to.
enum Verdict {
    Do,
    Pretend,
    Fail(c_int),
}

impl Disk {
    /// A new one, without faults.
    pub(crate) fn new() -> &'static Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let name = format!("disk-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let state =
            State { fault: Fault::Never, count: 0, refused: 0, dead: false, met: false, files: BTreeMap::new() };
        let disk = Box::leak(Box::new(Self {
            name: CString::new(name).expect("there is no zero in it"),
            state: Mutex::new(state),
        }));
        vfs::register(disk);
        disk
    }

    pub(crate) fn vfs(&self) -> &str {
        self.name.to_str().expect("it is ASCII")
    }

    /// Counts from 0 on again, and forgets all files.
    pub(crate) fn start(&self, fault: Fault) {
        *self.state.lock() = State { fault, count: 0, refused: 0, dead: false, met: false, files: BTreeMap::new() };
    }

    /// The disk is well from here on.
    pub(crate) fn heal(&self) {
        self.state.lock().fault = Fault::Never;
    }

    /// Whether it came to the fault, since [`Disk::start`].
    pub(crate) fn met(&self) -> bool {
        self.state.lock().met
    }

    /// Whether it has refused so often.
    pub(crate) fn refused_at_least(&self, times: usize) -> bool {
        self.state.lock().refused >= times
    }

    /// Cuts the power: nothing is written from here on.
    pub(crate) fn cut_power(&self) {
        self.state.lock().dead = true;
    }

    /// Leaves in the files what the power's loss leaves, and has the disk work again. Nobody may have them open.
    pub(crate) fn lose_power(&self, mut kept: Kept) {
        let files = std::mem::take(&mut self.state.lock().files);
        for (path, file) in files {
            let _ = fs::remove_file(format!("{path}-shm"));
            let is_there = match (file.removed, file.named) {
                (true, _) => kept.next(),
                (false, true) => true,
                (false, false) => kept.next(),
            };
            if is_there {
                fs::write(&path, file.after(&mut kept)).expect("the system's own disk works");
            } else {
                let _ = fs::remove_file(&path);
            }
        }
        let mut state = self.state.lock();
        (state.fault, state.dead) = (Fault::Never, false);
    }

    fn judge(&self, kind: Kind, is_wal: bool) -> Verdict {
        let mut state = self.state.lock();
        let number = state.count;
        state.count += 1;
        if state.dead {
            return Verdict::Fail(ffi::SQLITE_IOERR);
        }
        let refusal = match state.fault {
            Fault::PowerLoss(at) if number >= at => {
                (state.dead, state.met) = (true, true);
                return Verdict::Fail(ffi::SQLITE_IOERR);
            }
            Fault::Once(refusal, at) if number == at => refusal,
            Fault::Always(refusal, at) if number >= at => refusal,
            Fault::LostSync(at) if number >= at && kind == Kind::Sync && is_wal => {
                (state.fault, state.met) = (Fault::Never, true);
                return Verdict::Pretend;
            }
            _ => return Verdict::Do,
        };
        let code = match (refusal, kind) {
            (Refusal::Full, Kind::Write) => ffi::SQLITE_FULL,
            (Refusal::Full, _) => return Verdict::Do,
            (Refusal::Broken, Kind::Write) => ffi::SQLITE_IOERR_WRITE,
            (Refusal::Broken, Kind::Sync) => ffi::SQLITE_IOERR_FSYNC,
            (Refusal::Broken, Kind::Truncate) => ffi::SQLITE_IOERR_TRUNCATE,
            (Refusal::Broken, Kind::Remove) => ffi::SQLITE_IOERR_DELETE,
        };
        (state.refused, state.met) = (state.refused + 1, true);
        Verdict::Fail(code)
    }

    /// What is in a file that is first seen is on the disk.
    fn opened(&self, path: &str) {
        let mut state = self.state.lock();
        if state.files.get(path).is_none_or(|file| file.removed) {
            let synced = fs::read(Path::new(path)).unwrap_or_default();
            let named = !synced.is_empty();
            state.files.insert(path.to_owned(), File { synced, named, ..File::default() });
        }
    }

    fn with(&self, path: &str, change: impl FnOnce(&mut File)) {
        change(self.state.lock().files.entry(path.to_owned()).or_default());
    }
}

impl File {
    /// Its content after a loss of power.
    fn after(&self, kept: &mut Kept) -> Vec<u8> {
        let mut bytes = self.synced.clone();
        for change in &self.since {
            match change {
                Change::Written(offset, written) => {
                    for part in sectors(*offset, written.len()) {
                        if kept.next() {
                            put(&mut bytes, offset + part.start, &written[part]);
                        }
                    }
                }
                Change::Truncated(size) => {
                    if kept.next() {
                        bytes.truncate(*size);
                    }
                }
            }
        }
        bytes
    }

    fn sync(&mut self) {
        self.synced = self.after(&mut Kept::Everything);
        self.since.clear();
        self.named = true;
    }
}

/// The parts of a write that lie in one sector each.
fn sectors(offset: usize, length: usize) -> impl Iterator<Item = Range<usize>> {
    let mut from = 0;
    std::iter::from_fn(move || {
        let to = length.min(from + SECTOR - (offset + from) % SECTOR);
        let part = from..to;
        from = to;
        (!part.is_empty()).then_some(part)
    })
}

fn put(bytes: &mut Vec<u8>, offset: usize, written: &[u8]) {
    bytes.resize(bytes.len().max(offset + written.len()), 0);
    bytes[offset..offset + written.len()].copy_from_slice(written);
}
