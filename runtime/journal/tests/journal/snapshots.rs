//! Keys and values in files: what is kept is read as it was by its own tenant, and by nobody else; what cannot be kept is not.

use crate::{
    forget::{holds, story},
    sample::finished,
    stage::Stage,
};
use remit_abi::TenantId;
use remit_journal::DiskSnapshots;
use remit_kernel::ports::{Change, SnapshotFigures, SnapshotName, Snapshots};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, mpsc::channel},
    time::{Duration, Instant},
};

const MINE: TenantId = TenantId(1);
const OTHERS: TenantId = TenantId(2);
const ROOM: u64 = 1 << 20;

fn name(number: u8) -> SnapshotName {
    SnapshotName([number; 32])
}

fn block(number: u8) -> Vec<u8> {
    b"a block of keys and values ".iter().copied().chain((0..4_000).map(|place| number ^ place as u8)).collect()
}

/// A journal with two tenants that have keys, and snapshots in a folder of their own.
fn stage() -> (Stage, tempfile::TempDir) {
    let (story, _) = story();
    let stage = Stage::new();
    stage.append(&story.records);
    stage.settle();
    (stage, tempfile::tempdir().expect("there is a folder for such things"))
}

fn open(stage: &Stage, folder: &tempfile::TempDir, bytes_max: u64) -> Arc<DiskSnapshots> {
    stage.journal().snapshots(&folder.path().join("kv"), bytes_max).expect("there is a thread")
}

/// Waits until the thread comes to it.
fn until(snapshots: &DiskSnapshots, is: impl Fn(&SnapshotFigures) -> bool) -> SnapshotFigures {
    let begin = Instant::now();
    loop {
        let figures = snapshots.figures();
        if is(&figures) {
            return figures;
        }
        assert!(begin.elapsed() < Duration::from_secs(60), "it never comes to that: {figures:?}");
        std::thread::yield_now();
    }
}

fn keep(snapshots: &DiskSnapshots, tenant: TenantId, numbers: std::ops::Range<u8>) {
    for number in numbers {
        assert!(snapshots.wants(tenant, name(number)));
        snapshots.keep(tenant, name(number), block(number));
        until(snapshots, |figures| figures.written + figures.refused > 0 && !snapshots.wants(tenant, name(number)));
    }
}

/// What is read of these, as far as it is there.
fn read(snapshots: &DiskSnapshots, tenant: TenantId, numbers: &[u8]) -> Vec<Vec<u8>> {
    let (send, read) = channel();
    let names = numbers.iter().map(|number| name(*number)).collect();
    let reader = move |read: remit_kernel::ports::ReadSnapshot| send.send(read.bytes).is_ok();
    snapshots.read(tenant, names, Box::new(reader));
    read.iter().flatten().collect()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("it can be listed").path()).collect();
    files.sort();
    files
}

#[test]
fn what_is_kept_is_its_own_tenants_also_after_the_next_start() {
    let (mut stage, folder) = stage();
    let snapshots = open(&stage, &folder, ROOM);
    keep(&snapshots, MINE, 0..3);
    until(&snapshots, |figures| figures.written == 3);
    assert!(snapshots.holds(MINE, name(0)) && !snapshots.holds(OTHERS, name(0)) && !snapshots.holds(MINE, name(9)));
    assert_eq!(read(&snapshots, MINE, &[2, 0]), [block(2), block(0)]);
    assert!(read(&snapshots, OTHERS, &[0]).is_empty());
    // In none of the files is anything of a block.
    for file in files(&folder.path().join("kv/1")) {
        assert!(!holds(&fs::read(&file).expect("it is there"), b"keys and values"));
        assert!(!file.to_string_lossy().contains(&"00".repeat(32)));
    }
    // What waits is written by the end.
    snapshots.keep(MINE, name(3), block(3));
    drop(snapshots);
    stage.reopen();
    let snapshots = open(&stage, &folder, ROOM);
    assert_eq!(until(&snapshots, |figures| figures.blocks == 4).bytes_max, ROOM);
    assert_eq!(read(&snapshots, MINE, &[0, 1, 2, 3]), [0, 1, 2, 3].map(block));
}

#[test]
fn what_is_damaged_torn_or_moved_is_dropped() {
    let (stage, folder) = stage();
    let snapshots = open(&stage, &folder, ROOM);
    keep(&snapshots, MINE, 0..1);
    let all = || files(&folder.path().join("kv/1"));
    until(&snapshots, |figures| figures.blocks == 1);
    let path = all()[0].clone();
    let whole = fs::read(&path).expect("it is there");
    let mut damaged = 0;
    let mut check = |bytes: &[u8]| {
        fs::write(&path, bytes).expect("it can be written");
        assert!(read(&snapshots, MINE, &[0]).is_empty());
        damaged += 1;
        let figures = until(&snapshots, |figures| figures.damaged == damaged);
        assert_eq!((figures.blocks, path.exists()), (0, false));
        keep(&snapshots, MINE, 0..1);
        until(&snapshots, |figures| figures.blocks == 1);
    };
    for at in [0, 3, 4, 20, whole.len() - 1] {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        check(&changed);
        check(&whole[..at]);
    }
    // Under another name it is not what that says.
    keep(&snapshots, MINE, 1..2);
    until(&snapshots, |figures| figures.blocks == 2);
    let [one, two] = [0, 1].map(|place| all()[place].clone());
    fs::copy(one, two).expect("it can be copied");
    assert_eq!(read(&snapshots, MINE, &[0]).len() + read(&snapshots, MINE, &[1]).len(), 1);
    // A file that is gone is missing, and no damage.
    fs::remove_file(&all()[0]).expect("it is there");
    let missing = [0, 1].iter().filter(|number| read(&snapshots, MINE, &[**number]).is_empty()).count();
    assert_eq!(missing, 2);
    assert!(until(&snapshots, |figures| figures.blocks == 0).missing >= 1);
}

#[test]
fn a_full_folder_drops_what_was_used_least_recently() {
    let (mut stage, folder) = stage();
    // Room for three.
    let room = 3 * (block(0).len() as u64 + 64) + 100;
    let snapshots = open(&stage, &folder, room);
    keep(&snapshots, MINE, 0..3);
    until(&snapshots, |figures| figures.written == 3);
    assert_eq!(read(&snapshots, MINE, &[0]), [block(0)]);
    keep(&snapshots, MINE, 3..4);
    let figures = until(&snapshots, |figures| figures.written == 4);
    assert_eq!((figures.blocks, figures.evicted), (3, 1));
    assert!(figures.bytes <= room);
    let held = [0, 1, 2, 3].map(|number| snapshots.holds(MINE, name(number)));
    assert_eq!(held, [true, false, true, true]);
    assert_eq!(files(&folder.path().join("kv/1")).len(), 3);
    // What has no room at all is not kept.
    snapshots.keep(MINE, name(9), vec![0; room as usize]);
    assert_eq!(until(&snapshots, |figures| figures.refused == 1).blocks, 3);
    // With less room the next start keeps less.
    drop(snapshots);
    stage.reopen();
    let snapshots = open(&stage, &folder, room / 2);
    until(&snapshots, |figures| figures.evicted == 2 && figures.blocks == 1);
}

#[test]
fn where_nothing_can_be_written_nothing_is_kept() {
    let (stage, folder) = stage();
    // A file where the folder should be.
    fs::write(folder.path().join("kv"), b"in the way").expect("it can be written");
    let snapshots = open(&stage, &folder, ROOM);
    snapshots.keep(MINE, name(0), block(0));
    let figures = until(&snapshots, |figures| figures.refused == 1);
    assert_eq!((figures.blocks, figures.bytes, figures.written), (0, 0, 0));
    assert!(!snapshots.holds(MINE, name(0)) && read(&snapshots, MINE, &[0]).is_empty());
    // A tenant without a key has none either.
    assert!(!snapshots.wants(TenantId(7), name(0)));
    snapshots.keep(TenantId(7), name(0), block(0));
    assert_eq!(snapshots.figures().refused, 3);
}

#[test]
fn a_tenant_that_is_erased_has_none() {
    let (mut story, [mine, _]) = story();
    let (mut stage, folder) = (Stage::new(), tempfile::tempdir().expect("there is a folder for such things"));
    story.add(Some(mine), None, vec![Change::Ended { pid: mine, finished: finished() }]);
    stage.append(&story.records);
    stage.settle();
    let snapshots = open(&stage, &folder, ROOM);
    keep(&snapshots, MINE, 0..2);
    keep(&snapshots, OTHERS, 0..1);
    until(&snapshots, |figures| figures.written == 3);
    // Somebody has a copy.
    let copies: Vec<_> = files(&folder.path().join("kv/1"));
    let copies: Vec<_> = copies.iter().map(|path| (path.clone(), fs::read(path).expect("it is there"))).collect();
    stage.journal().forget_tenant(MINE).expect("nobody of it lives");
    assert!(files(&folder.path().join("kv/1")).is_empty());
    assert!(!snapshots.holds(MINE, name(0)) && read(&snapshots, MINE, &[0]).is_empty());
    assert_eq!(read(&snapshots, OTHERS, &[0]), [block(0)]);
    // What is put back opens no more, and goes with the next start.
    fs::create_dir_all(folder.path().join("kv/1")).expect("it can be made");
    copies.iter().for_each(|(path, bytes)| fs::write(path, bytes).expect("it can be written"));
    assert!(read(&snapshots, MINE, &[0]).is_empty());
    drop(snapshots);
    stage.reopen();
    let snapshots = open(&stage, &folder, ROOM);
    until(&snapshots, |figures| figures.blocks == 1);
    assert!(files(&folder.path().join("kv/1")).is_empty());
}
