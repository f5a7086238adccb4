//! Damage is one tenant's, is told by a typed error, and loses nothing that is pending.

use crate::support::{Memory, ONE, TWO, every_store, options, text};
use futures::executor::block_on;
use lance::Dataset;
use remit_abi::EntryId;
use remit_kernel::ports::{MemoryStore, StoreError};
use std::{
    fs,
    path::{Path, PathBuf},
};
use tempfile::tempdir;

fn written(folder: &Path) {
    let memory = Memory::open(folder);
    for tenant in [ONE, TWO] {
        memory.put(tenant, 1, text(1, 1, "a plan"));
        memory.flush(tenant);
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// The other tenant's memory is as it was, and what is pending is still seen by nobody as lost.
fn others_go_on(memory: &Memory) {
    memory.put(TWO, 2, text(2, 1, "another plan"));
    memory.flush(TWO);
    assert_eq!(memory.list(TWO).len(), 2);
}

fn look(memory: &Memory) -> Result<(), StoreError> {
    block_on(memory.store.get(ONE, every_store(), EntryId(1), 0)).map(drop)
}

#[test]
fn a_file_that_is_missing_is_told() {
    let folder = tempdir().unwrap();
    written(folder.path());
    for file in files(&folder.path().join("tenants/1/entries.lance/data")) {
        fs::remove_file(file).unwrap();
    }
    let memory = Memory::open(folder.path());
    let error = look(&memory).unwrap_err();
    assert!(matches!(&error, StoreError::Damaged { tenant, .. } if *tenant == ONE), "{error}");
    others_go_on(&memory);
}

#[test]
fn a_file_that_was_cut_is_told() {
    for part in ["data", "_versions"] {
        let folder = tempdir().unwrap();
        written(folder.path());
        for file in files(&folder.path().join("tenants/1/entries.lance").join(part)) {
            let content = fs::read(&file).unwrap();
            fs::write(&file, &content[..content.len() / 2]).unwrap();
        }
        let memory = Memory::open(folder.path());
        let error = look(&memory).unwrap_err();
        let told =
            matches!(&error, StoreError::Damaged { tenant, .. } | StoreError::Io { tenant, .. } if *tenant == ONE);
        assert!(told, "{part}: {error}");
        others_go_on(&memory);
    }
}

#[test]
fn a_later_format_is_refused_and_left_as_it_is() {
    let folder = tempdir().unwrap();
    written(folder.path());
    let path = folder.path().join("tenants/1/entries.lance");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let mut entries = Dataset::open(&path.to_string_lossy()).await.unwrap();
        entries.update_schema_metadata([("remit.format", "2")]).await.unwrap();
    });
    let before = files(&path.join("_versions"));
    let memory = Memory::open(folder.path());
    assert_eq!(look(&memory), Err(StoreError::Newer { tenant: ONE, found: 2, known: 1 }));
    memory.put(ONE, 9, text(9, 1, "a plan"));
    let refused = block_on(memory.store.flush(ONE));
    assert_eq!(refused, Err(StoreError::Newer { tenant: ONE, found: 2, known: 1 }));
    assert_eq!(block_on(memory.store.room(ONE)), refused);
    assert_eq!(files(&path.join("_versions")), before);
    others_go_on(&memory);
}

#[test]
fn a_folder_may_have_any_name() {
    let parent = tempdir().unwrap();
    let folder = parent.path().join("Männer & 100 % Pläne? #1 ~");
    written(&folder);
    let memory = Memory::open(&folder);
    assert_eq!(memory.list(ONE).len(), 1);
    others_go_on(&memory);
}

#[test]
fn a_folder_that_cannot_be_made_keeps_writes_pending_until_it_can() {
    let folder = tempdir().unwrap();
    let memory = Memory::open_with(folder.path(), None, options());
    fs::create_dir_all(folder.path().join("tenants")).unwrap();
    fs::write(folder.path().join("tenants/1"), "in the way").unwrap();
    memory.put(ONE, 1, text(1, 1, "a plan"));
    let error = block_on(memory.store.flush(ONE)).unwrap_err();
    assert!(matches!(&error, StoreError::Io { tenant, .. } if *tenant == ONE), "{error}");
    others_go_on_from_nothing(&memory);
    fs::remove_file(folder.path().join("tenants/1")).unwrap();
    memory.flush(ONE);
    assert_eq!(memory.list(ONE).len(), 1);
}

fn others_go_on_from_nothing(memory: &Memory) {
    memory.put(TWO, 2, text(2, 1, "another plan"));
    memory.flush(TWO);
    assert_eq!(memory.list(TWO).len(), 1);
}
