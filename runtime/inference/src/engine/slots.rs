//! Blocks that left the device, until they are read again or nobody needs them.
//!
//! | where | pays |
//! | --- | --- |
//! | host memory | where the blocks are a GPU's |
//! | a file | where computing a block takes longer than a disk: the blocks may then be the CPU's own |
//!
//! Which blocks go, and when, is the batcher's decision, by the time that moves took so far. A file has no name: it is gone with its
//! engine, however that ends. Its room is taken when it is made, so that a full disk is found then and not in the middle of a step.

use remit_batching::Slot;
use std::{
    collections::{BTreeSet, HashMap},
    fs::{File, OpenOptions, remove_file},
    io,
    os::{fd::AsRawFd, unix::fs::FileExt},
    path::{Path, PathBuf},
};

/// The slots of one model's pool.
#[derive(Debug)]
pub(super) enum Slots {
    Memory(HashMap<Slot, Vec<u8>>),
    /// A file that is made with the first block, whose size all others have.
    FileOf {
        folder: PathBuf,
        slots: usize,
    },
    File {
        file: File,
        block_bytes: usize,
        used: BTreeSet<Slot>,
    },
}

impl Slots {
    /// So many, in memory or in a file of a folder.
    pub(super) fn new(slots: usize, folder: Option<&Path>) -> Self {
        match folder {
            Some(folder) => Self::FileOf { folder: folder.to_owned(), slots },
            None => Self::Memory(HashMap::new()),
        }
    }

    /// So many slots in a folder's file, for blocks of one size.
    fn in_file(folder: &Path, slots: usize, block_bytes: usize) -> io::Result<Self> {
        let path = folder.join(format!("kv-{}-{:016x}.swap", std::process::id(), unique()));
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
        remove_file(&path)?;
        reserve(&file, (slots as u64).saturating_mul(block_bytes as u64))?;
        Ok(Self::File { file, block_bytes, used: BTreeSet::new() })
    }

    /// Keeps a block's bytes.
    pub(super) fn write(&mut self, slot: Slot, bytes: Vec<u8>) {
        if let Self::FileOf { folder, slots } = self {
            *self = Self::in_file(folder, *slots, bytes.len()).unwrap_or_else(|error| {
                tracing::warn!(folder = %folder.display(), %error, "there is no file for slots; they are in memory");
                Self::Memory(HashMap::new())
            });
        }
        match self {
            Self::Memory(slots) => drop(slots.insert(slot, bytes)),
            Self::FileOf { .. } => unreachable!("its file was made"),
            Self::File { file, block_bytes, used } => {
                assert_eq!(bytes.len(), *block_bytes, "all blocks of a pool have one size");
                let written = file.write_all_at(&bytes, offset(slot, *block_bytes));
                written.unwrap_or_else(|error| panic!("a block cannot be written to the file of slots: {error}"));
                used.insert(slot);
            }
        }
    }

    /// The bytes of a block that was written.
    pub(super) fn read(&self, slot: Slot) -> Vec<u8> {
        match self {
            Self::Memory(slots) => {
                let bytes = slots.get(&slot).cloned();
                bytes.unwrap_or_else(|| unreachable!("what is read in was written out"))
            }
            Self::FileOf { .. } => unreachable!("what is read in was written out"),
            Self::File { file, block_bytes, .. } => {
                let mut bytes = vec![0; *block_bytes];
                let read = file.read_exact_at(&mut bytes, offset(slot, *block_bytes));
                read.unwrap_or_else(|error| panic!("a block cannot be read from the file of slots: {error}"));
                bytes
            }
        }
    }

    /// Forgets what nobody needs.
    pub(super) fn retain(&mut self, needs: impl Fn(Slot) -> bool) {
        match self {
            Self::Memory(slots) => slots.retain(|slot, _| needs(*slot)),
            Self::FileOf { .. } => {}
            Self::File { used, .. } => used.retain(|slot| needs(*slot)),
        }
    }

    /// How many have a block.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Memory(slots) => slots.len(),
            Self::FileOf { .. } => 0,
            Self::File { used, .. } => used.len(),
        }
    }

    /// Bytes of all blocks that are kept.
    pub(super) fn bytes(&self) -> u64 {
        match self {
            Self::Memory(slots) => slots.values().map(|bytes| bytes.len() as u64).sum(),
            Self::FileOf { .. } => 0,
            Self::File { block_bytes, used, .. } => (*block_bytes * used.len()) as u64,
        }
    }
}

fn offset(slot: Slot, block_bytes: usize) -> u64 {
    u64::from(slot.0) * block_bytes as u64
}

/// A number that no other file of this process has.
fn unique() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

#[allow(unsafe_code, reason = "the standard library has no call that takes a file's room")]
fn reserve(file: &File, bytes: u64) -> io::Result<()> {
    let bytes = libc::off_t::try_from(bytes).map_err(io::Error::other)?;
    // SAFETY: the descriptor is the file's, which is open for as long as this borrows it; the call touches no memory.
    match unsafe { libc::posix_fallocate(file.as_raw_fd(), 0, bytes) } {
        0 => Ok(()),
        code => Err(io::Error::from_raw_os_error(code)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(mut slots: Slots) {
        let block = |byte: u8| vec![byte; 8];
        for (slot, byte) in [(3, 1), (0, 2), (3, 3)] {
            slots.write(Slot(slot), block(byte));
        }
        assert_eq!((slots.read(Slot(3)), slots.read(Slot(0))), (block(3), block(2)));
        assert_eq!((slots.len(), slots.bytes()), (2, 16));
        slots.retain(|slot| slot == Slot(0));
        assert_eq!((slots.len(), slots.bytes()), (1, 8));
        assert_eq!(slots.read(Slot(0)), block(2));
    }

    #[test]
    fn what_was_written_is_read_until_nobody_needs_it() {
        let folder = tempfile::tempdir().unwrap();
        check(Slots::new(4, None));
        check(Slots::new(4, Some(folder.path())));
        // Without a file they are in memory.
        check(Slots::new(4, Some(&folder.path().join("absent"))));
    }

    #[test]
    fn a_file_has_no_name_and_its_room_is_taken_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let slots = Slots::in_file(folder.path(), 100, 4_096).unwrap();
        assert_eq!(folder.path().read_dir().unwrap().count(), 0);
        let Slots::File { file, .. } = &slots else { unreachable!("it was asked for") };
        assert_eq!(file.metadata().unwrap().len(), 409_600);
        assert!(Slots::in_file(folder.path(), usize::MAX >> 16, 1 << 20).is_err());
        assert!(Slots::in_file(&folder.path().join("absent"), 1, 1).is_err());
    }
}
