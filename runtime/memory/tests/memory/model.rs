//! Random writes against a plain model: with restarts between, and from every moment of every commit at which a host could have died.

use crate::support::{Memory, ONE, forget, options, put, text};
use futures::executor::block_on;
use parking_lot::Mutex;
use remit_kernel::ports::{EntryVersion, MemoryAct, MemoryStore, MemoryWrite};
use remit_memory::{CommitPoint, CommitPoints, Options};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tempfile::tempdir;

/// What a memory should be.
#[derive(Default)]
pub(crate) struct Model {
    /// Every entry that there ever was.
    known: BTreeSet<u64>,
    newest: BTreeMap<u64, EntryVersion>,
    versions: BTreeMap<u64, Vec<EntryVersion>>,
}

impl Model {
    pub(crate) fn of(writes: &[MemoryWrite]) -> Self {
        let mut model = Self::default();
        for write in writes {
            match &write.act {
                MemoryAct::Put(version) => {
                    model.known.insert(version.id.0);
                    model.newest.insert(version.id.0, (**version).clone());
                    model.versions.entry(version.id.0).or_default().push((**version).clone());
                }
                MemoryAct::Forget { entries, purge } => {
                    for entry in entries {
                        model.newest.remove(&entry.0);
                        if *purge {
                            model.versions.remove(&entry.0);
                        }
                    }
                }
            }
        }
        model
    }

    /// What is found: one look.
    pub(crate) fn check_list(&self, memory: &Memory, what: &str) {
        let expect: Vec<_> = self.newest.values().cloned().collect();
        assert_eq!(memory.list(ONE), expect, "{what}");
    }

    /// Everything: two looks for each entry.
    pub(crate) fn check(&self, memory: &Memory, what: &str) {
        self.check_list(memory, what);
        for id in &self.known {
            let versions = self.versions.get(id).cloned().unwrap_or_default();
            assert_eq!(memory.versions(ONE, *id), versions, "{what}: versions of {id}");
        }
        for id in self.known.iter().step_by(4).chain([&u64::MAX]) {
            assert_eq!(memory.get(ONE, *id), self.newest.get(id).cloned(), "{what}: entry {id}");
        }
    }
}

/// Numbers that look random, and are the same each time (Steele and others 2014, SplitMix64).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }
}

pub(crate) fn writes(seed: u64, count: u64) -> Vec<MemoryWrite> {
    let mut random = Random(seed);
    let mut versions = BTreeMap::<u64, u32>::new();
    let mut purged = Vec::new();
    (1..=count)
        .map(|place| {
            // Numbers are of all writes of the node: a tenant's have gaps.
            let number = place * 3;
            let known: Vec<_> = versions.keys().copied().filter(|id| !purged.contains(id)).collect();
            let some = |random: &mut Random| known[random.below(known.len() as u64) as usize];
            match random.below(10) {
                0 if !known.is_empty() => forget(number, &[some(&mut random)], false),
                1 if !known.is_empty() => {
                    let id = some(&mut random);
                    purged.push(id);
                    forget(number, &[id], true)
                }
                2..=5 if !known.is_empty() => {
                    let id = some(&mut random);
                    let version = versions.entry(id).or_default();
                    *version += 1;
                    put(number, text(id, *version, &format!("version {version} of {id}")))
                }
                _ => {
                    versions.insert(number, 1);
                    put(number, text(number, 1, &format!("entry {number}")))
                }
            }
        })
        .collect()
}

/// Words that are nowhere once the [`story`] is over.
pub(crate) const SECRET: &str = "xyzzyplugh";

/// Batches that do all that writes can do, to entries in memory and to such in the tables.
pub(crate) fn story() -> Vec<Vec<MemoryWrite>> {
    let secret = format!("the {SECRET} of entry 6");
    vec![
        vec![
            put(3, text(3, 1, "entry 3")),
            put(6, text(6, 1, &secret)),
            put(9, text(3, 2, "entry 3 once more")),
            put(12, text(12, 1, "entry 12")),
        ],
        vec![
            put(15, text(6, 2, &format!("{secret} once more"))),
            forget(18, &[3], false),
            put(21, text(21, 1, SECRET)),
            forget(24, &[21, 99], true),
        ],
        vec![
            // It is restored.
            put(27, text(3, 3, "entry 3 again")),
            forget(30, &[6], true),
            put(33, text(33, 1, "entry 33")),
            forget(36, &[12], false),
        ],
    ]
}

#[test]
fn any_writes_come_to_what_a_plain_map_says() {
    for seed in 0..3 {
        let folder = tempdir().unwrap();
        let writes = writes(seed, 80);
        let mut random = Random(seed ^ 0xabc);
        let mut memory = Memory::open(folder.path());
        for (place, write) in writes.iter().enumerate() {
            memory.store.accept(ONE, write.clone());
            match random.below(24) {
                0 => memory.flush(ONE),
                1 => {
                    let told = memory.told(ONE);
                    drop(memory);
                    memory = Memory::open(folder.path());
                    // The journal hands over what it was not told of.
                    for write in writes[..=place].iter().filter(|write| write.number > told) {
                        memory.store.accept(ONE, write.clone());
                    }
                }
                2 => Model::of(&writes[..=place]).check(&memory, &format!("seed {seed}, write {place}")),
                _ => {}
            }
        }
        let model = Model::of(&writes);
        model.check(&memory, &format!("seed {seed}, at the end"));
        memory.flush(ONE);
        assert_eq!(memory.told(ONE), writes.last().unwrap().number);
        model.check(&memory, &format!("seed {seed}, applied"));
        block_on(memory.store.optimize(ONE)).unwrap();
        model.check(&memory, &format!("seed {seed}, optimized"));
    }
}

/// Copies the folder as it is before and after commits, with all that the journal could hand over.
#[test]
fn from_moments_of_commits_nothing_is_lost_and_nothing_twice() {
    let (folder, copies) = (tempdir().unwrap(), tempdir().unwrap());
    let taken = Arc::new(Mutex::new((0, Vec::<PathBuf>::new())));
    let copy = {
        let (from, to, taken) = (folder.path().to_owned(), copies.path().to_owned(), Arc::clone(&taken));
        move |point, _: &Path| {
            // What is only on the disk since is no other file.
            if point == CommitPoint::Synced {
                return Ok(());
            }
            let mut taken = taken.lock();
            let (moments, taken) = &mut *taken;
            *moments += 1;
            // Of each commit one of the two.
            if *moments % 4 < 2 {
                let copy = to.join(moments.to_string());
                copy_folder(&from, &copy)?;
                taken.push(copy);
            }
            Ok(())
        }
    };
    let points = CommitPoints(Some(Arc::new(copy)));
    let options = Options { unindexed_rows_max: 2, ..options() };
    let memory = Memory::open_with(folder.path(), None, Options { commit_points: points, ..options.clone() });
    for batch in story() {
        for write in batch {
            memory.store.accept(ONE, write);
        }
        memory.flush(ONE);
    }
    block_on(memory.store.optimize(ONE)).unwrap();
    drop(memory);
    let writes = story().concat();
    let model = Model::of(&writes);
    let (moments, taken) = std::mem::take(&mut *taken.lock());
    assert!(moments >= 24, "{moments} moments");
    for copy in &taken {
        let what = copy.display();
        let memory =
            Memory::open_with(copy, None, Options { apply_after: Duration::from_millis(1), ..options.clone() });
        // All of them: the watermark in the files has to say which are there.
        for write in &writes {
            memory.store.accept(ONE, write.clone());
        }
        model.check_list(&memory, &format!("{what}, pending"));
        memory.flush(ONE);
        model.check(&memory, &format!("{what}, applied"));
    }
}

#[test]
fn a_commit_that_fails_is_made_later_and_once() {
    let writes = story().concat();
    let model = Model::of(&writes);
    for fails in (6..60).step_by(7) {
        let folder = tempdir().unwrap();
        let count = Arc::new(Mutex::new(0));
        let fail = move |_, _: &Path| {
            let mut count = count.lock();
            *count += 1;
            if *count > fails && *count <= fails + 2 {
                return Err(io::Error::new(io::ErrorKind::StorageFull, "no space is left"));
            }
            Ok(())
        };
        let points = CommitPoints(Some(Arc::new(fail)));
        let options = Options { unindexed_rows_max: 2, commit_points: points, ..options() };
        let memory = Memory::open_with(folder.path(), None, options);
        for batch in story() {
            for write in batch {
                memory.store.accept(ONE, write);
            }
            let mut attempts = 0;
            while block_on(memory.store.flush(ONE)).is_err() {
                attempts += 1;
                assert!(attempts < 5, "point {fails}");
            }
        }
        // A disk that is full in the middle of it, for points so late.
        let optimized = block_on(memory.store.optimize(ONE));
        let what = format!("point {fails}, {optimized:?}");
        model.check_list(&memory, &what);
        drop(memory);
        model.check(&Memory::open(folder.path()), &what);
    }
}

fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}
