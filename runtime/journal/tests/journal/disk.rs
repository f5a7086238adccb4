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

#![allow(unsafe_code, reason = "a VFS is a table of C functions")]

use parking_lot::Mutex;
use rusqlite::ffi;
use std::{
    collections::BTreeMap,
    ffi::{CStr, CString, c_char, c_int, c_void},
    fs,
    ops::Range,
    path::Path,
    ptr, slice,
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
    system: *mut ffi::sqlite3_vfs,
    state: Mutex<State>,
}

// SAFETY: the pointer is to SQLite's own VFS, which is there as long as the program, and which any thread may use.
unsafe impl Send for Disk {}
// SAFETY: as above; the rest is behind a lock.
unsafe impl Sync for Disk {}

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
        // SAFETY: asks for the default VFS, which SQLite registers itself.
        let system = unsafe { ffi::sqlite3_vfs_find(ptr::null()) };
        assert!(!system.is_null(), "SQLite has a VFS");
        let state =
            State { fault: Fault::Never, count: 0, refused: 0, dead: false, met: false, files: BTreeMap::new() };
        let disk = Box::leak(Box::new(Self {
            name: CString::new(name).expect("there is no zero in it"),
            system,
            state: Mutex::new(state),
        }));
        // SAFETY: `system` is a VFS that is never freed; a copy of it has the same functions. Those that are not replaced do not
        // look at the fields that are.
        let vfs = unsafe {
            let mut vfs = ptr::read(system);
            vfs.szOsFile += size_of::<Handle>() as c_int;
            vfs.pNext = ptr::null_mut();
            vfs.zName = disk.name.as_ptr();
            vfs.pAppData = ptr::from_ref(disk).cast_mut().cast();
            vfs.xOpen = Some(open);
            vfs.xDelete = Some(remove);
            Box::leak(Box::new(vfs))
        };
        // SAFETY: the table and all that it points to is never freed.
        let outcome = unsafe { ffi::sqlite3_vfs_register(vfs, 0) };
        assert_eq!(outcome, ffi::SQLITE_OK);
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

/// An open file: SQLite's part, ours, and behind it the system's.
#[repr(C)]
struct Handle {
    base: ffi::sqlite3_file,
    disk: &'static Disk,
    /// `None` for a temporary file, which nobody misses.
    path: *mut String,
    system: *mut ffi::sqlite3_file,
}

impl Handle {
    /// # Safety
    /// `file` was opened by [`open`] and not closed since.
    unsafe fn of<'a>(file: *mut ffi::sqlite3_file) -> &'a Self {
        // SAFETY: then a handle is at its address.
        unsafe { &*file.cast::<Self>() }
    }

    fn path(&self) -> Option<&str> {
        // SAFETY: it is null, or owned by this handle until it is closed.
        unsafe { self.path.as_ref() }.map(String::as_str)
    }

    fn methods(&self) -> &ffi::sqlite3_io_methods {
        // SAFETY: the system's file is open as long as this one, and has its methods.
        unsafe { &*(*self.system).pMethods }
    }

    fn judge(&self, kind: Kind) -> Verdict {
        match self.path() {
            Some(path) => self.disk.judge(kind, path.ends_with("-wal")),
            None => Verdict::Do,
        }
    }
}

unsafe extern "C" fn open(
    vfs: *mut ffi::sqlite3_vfs,
    name: ffi::sqlite3_filename,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    // SAFETY: SQLite calls with the VFS that was registered, and with as much room for the file as it asked for.
    unsafe {
        let disk: &'static Disk = &*(*vfs).pAppData.cast::<Disk>();
        let system = file.cast::<u8>().add(size_of::<Handle>()).cast::<ffi::sqlite3_file>();
        (*file).pMethods = ptr::null();
        let Some(system_open) = (*disk.system).xOpen else { return ffi::SQLITE_CANTOPEN };
        let outcome = system_open(disk.system, name, system, flags, out);
        if outcome != ffi::SQLITE_OK {
            return outcome;
        }
        let path = (!name.is_null()).then(|| CStr::from_ptr(name).to_string_lossy().into_owned());
        if let Some(path) = &path {
            disk.opened(path);
        }
        let path = path.map_or(ptr::null_mut(), |path| Box::into_raw(Box::new(path)));
        ptr::write(
            file.cast::<Handle>(),
            Handle { base: ffi::sqlite3_file { pMethods: &raw const METHODS }, disk, path, system },
        );
        outcome
    }
}

impl Disk {
    /// What is in a file that is first seen is on the disk.
    fn opened(&self, path: &str) {
        let mut state = self.state.lock();
        if state.files.get(path).is_none_or(|file| file.removed) {
            let synced = fs::read(Path::new(path)).unwrap_or_default();
            let named = !synced.is_empty();
            state.files.insert(path.to_owned(), File { synced, named, ..File::default() });
        }
    }
}

unsafe extern "C" fn remove(vfs: *mut ffi::sqlite3_vfs, name: *const c_char, synced: c_int) -> c_int {
    // SAFETY: SQLite calls with the VFS that was registered, and a name that ends with a zero.
    unsafe {
        let disk: &'static Disk = &*(*vfs).pAppData.cast::<Disk>();
        let path = CStr::from_ptr(name).to_string_lossy().into_owned();
        let (Verdict::Do | Verdict::Pretend) = disk.judge(Kind::Remove, false) else { return ffi::SQLITE_IOERR_DELETE };
        let Some(system_remove) = (*disk.system).xDelete else { return ffi::SQLITE_IOERR_DELETE };
        let outcome = system_remove(disk.system, name, 0);
        if outcome == ffi::SQLITE_OK {
            match synced {
                0 => disk.with(&path, |file| file.removed = true),
                _ => drop(disk.state.lock().files.remove(&path)),
            }
        }
        outcome
    }
}

unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    // SAFETY: SQLite closes what was opened, once.
    unsafe {
        let handle = Handle::of(file);
        let outcome = handle.methods().xClose.map_or(ffi::SQLITE_OK, |close| close(handle.system));
        if !handle.path.is_null() {
            drop(Box::from_raw(handle.path));
        }
        outcome
    }
}

unsafe extern "C" fn write(file: *mut ffi::sqlite3_file, from: *const c_void, count: c_int, offset: i64) -> c_int {
    // SAFETY: SQLite writes to what is open, and hands over as many bytes as it says.
    unsafe {
        let handle = Handle::of(file);
        let bytes = slice::from_raw_parts(from.cast::<u8>(), count as usize);
        let (length, answer) = match handle.judge(Kind::Write) {
            Verdict::Do | Verdict::Pretend => (bytes.len(), ffi::SQLITE_OK),
            Verdict::Fail(ffi::SQLITE_FULL) => (bytes.len() / 2, ffi::SQLITE_FULL),
            Verdict::Fail(code) => return code,
        };
        let written = Change::Written(offset as usize, bytes[..length].to_vec());
        if let Some(path) = handle.path() {
            handle.disk.with(path, |file| file.since.push(written));
        }
        let write = handle.methods().xWrite.expect("it writes");
        match write(handle.system, from, length as c_int, offset) {
            ffi::SQLITE_OK => answer,
            code => code,
        }
    }
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, size: i64) -> c_int {
    // SAFETY: SQLite truncates what is open.
    unsafe {
        let handle = Handle::of(file);
        if let Verdict::Fail(code) = handle.judge(Kind::Truncate) {
            return code;
        }
        if let Some(path) = handle.path() {
            handle.disk.with(path, |file| file.since.push(Change::Truncated(size as usize)));
        }
        handle.methods().xTruncate.expect("it truncates")(handle.system, size)
    }
}

/// The system's own disk need not be waited for.
unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, _flags: c_int) -> c_int {
    // SAFETY: SQLite synchronises what is open.
    let handle = unsafe { Handle::of(file) };
    match (handle.judge(Kind::Sync), handle.path()) {
        (Verdict::Do, Some(path)) => {
            handle.disk.with(path, File::sync);
            handle.disk.state.lock().files.retain(|_, file| !file.removed);
        }
        (Verdict::Do | Verdict::Pretend, _) => {}
        (Verdict::Fail(code), path) => {
            // What was written is in the cache, clean: nobody will write it again.
            path.into_iter().for_each(|path| handle.disk.with(path, |file| file.since.clear()));
            return code;
        }
    }
    ffi::SQLITE_OK
}

/// Functions that only hand on.
macro_rules! hand_on {
    ($($name:ident = $method:ident($($argument:ident: $type:ty),*) -> $answer:ty;)*) => {$(
        unsafe extern "C" fn $name(file: *mut ffi::sqlite3_file, $($argument: $type),*) -> $answer {
            // SAFETY: SQLite calls for what is open, with arguments that are the system's.
            unsafe {
                let handle = Handle::of(file);
                handle.methods().$method.expect("the system has it")(handle.system, $($argument),*)
            }
        }
    )*};
}

hand_on! {
    read = xRead(to: *mut c_void, count: c_int, offset: i64) -> c_int;
    size = xFileSize(size: *mut i64) -> c_int;
    lock = xLock(level: c_int) -> c_int;
    unlock = xUnlock(level: c_int) -> c_int;
    reserved = xCheckReservedLock(answer: *mut c_int) -> c_int;
    control = xFileControl(operation: c_int, argument: *mut c_void) -> c_int;
    sector_size = xSectorSize() -> c_int;
    characteristics = xDeviceCharacteristics() -> c_int;
    shm_map = xShmMap(region: c_int, size: c_int, extend: c_int, memory: *mut *mut c_void) -> c_int;
    shm_lock = xShmLock(offset: c_int, count: c_int, flags: c_int) -> c_int;
    shm_barrier = xShmBarrier() -> ();
    shm_unmap = xShmUnmap(remove: c_int) -> c_int;
}

static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    // No `xFetch`: nothing is read past this table.
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(reserved),
    xFileControl: Some(control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};
