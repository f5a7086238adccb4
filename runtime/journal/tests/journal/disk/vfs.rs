//! The table of C functions by which SQLite finds a [`Disk`]: each asks it first, and then the system's.

#![allow(unsafe_code, reason = "a VFS is a table of C functions")]

use super::{Change, Disk, File, Kind, Verdict};
use rusqlite::ffi;
use std::{
    ffi::{CStr, c_char, c_int, c_void},
    ptr, slice,
};

/// The VFS that SQLite registers itself. It is never freed.
fn system_vfs() -> *mut ffi::sqlite3_vfs {
    // SAFETY: asks for the default one, which no disk becomes.
    let vfs = unsafe { ffi::sqlite3_vfs_find(ptr::null()) };
    assert!(!vfs.is_null(), "SQLite has a VFS");
    vfs
}

/// Makes a disk known to SQLite, under its name and for good.
pub(super) fn register(disk: &'static Disk) {
    // SAFETY: the system's is a VFS that is never freed; a copy of it has the same functions. Those that are not replaced do not
    // look at the fields that are.
    let vfs = unsafe {
        let mut vfs = ptr::read(system_vfs());
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
        let Some(system_open) = (*system_vfs()).xOpen else { return ffi::SQLITE_CANTOPEN };
        let outcome = system_open(system_vfs(), name, system, flags, out);
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

unsafe extern "C" fn remove(vfs: *mut ffi::sqlite3_vfs, name: *const c_char, synced: c_int) -> c_int {
    // SAFETY: SQLite calls with the VFS that was registered, and a name that ends with a zero.
    unsafe {
        let disk: &'static Disk = &*(*vfs).pAppData.cast::<Disk>();
        let path = CStr::from_ptr(name).to_string_lossy().into_owned();
        let (Verdict::Do | Verdict::Pretend) = disk.judge(Kind::Remove, false) else { return ffi::SQLITE_IOERR_DELETE };
        let Some(system_remove) = (*system_vfs()).xDelete else { return ffi::SQLITE_IOERR_DELETE };
        let outcome = system_remove(system_vfs(), name, 0);
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
