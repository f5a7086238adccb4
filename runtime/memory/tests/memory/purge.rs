//! What is purged is in no file any more.

use crate::support::{Memory, ONE, WIDTH, hashed, options, text};
use arrow_array::{Array, RecordBatch};
use futures::executor::block_on;
use lance::{Dataset, cache::LanceCache, index::DatasetIndexExt};
use lance_index::scalar::{IndexStore, lance_format::LanceIndexStore};
use lance_io::object_store::ObjectStore;
use remit_abi::Field;
use remit_kernel::ports::MemoryStore;
use remit_memory::Options;
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};
use tempfile::tempdir;

/// All files of a folder and of those in it.
fn all(folder: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { all(&path) } else { vec![path] }).collect()
}

fn has(content: &[u8], bytes: &[u8]) -> bool {
    content.windows(bytes.len()).any(|window| window.eq_ignore_ascii_case(bytes))
}

/// Files in which these bytes are as they are on the disk, in any case of letters.
pub(crate) fn having(folder: &Path, bytes: &[u8]) -> Vec<String> {
    let having = all(folder).into_iter().filter(|path| has(&fs::read(path).unwrap(), bytes));
    having.map(|path| path.display().to_string()).collect()
}

/// The same of what Lance's files say when they are decoded; and how many of them there are.
fn decoded_having(folder: &Path, bytes: &[u8]) -> (Vec<String>, usize) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut files = all(folder);
    files.retain(|path| path.extension().is_some_and(|extension| extension == "lance" || extension == "idx"));
    let decoded_has = |path: &&PathBuf| has(&buffers(&runtime.block_on(decoded(path))), bytes);
    (files.iter().filter(decoded_has).map(|path| path.display().to_string()).collect(), files.len())
}

async fn decoded(path: &Path) -> RecordBatch {
    let folder = object_store::path::Path::from_absolute_path(path.parent().unwrap()).unwrap();
    let cache = Arc::new(LanceCache::no_cache());
    let store = LanceIndexStore::new(Arc::new(ObjectStore::local()), folder, cache);
    let file = store.open_index_file(&path.file_name().unwrap().to_string_lossy()).await.unwrap();
    file.read_range(0..file.num_rows(), None).await.unwrap()
}

fn buffers(batch: &RecordBatch) -> Vec<u8> {
    let mut content = Vec::new();
    let mut left: Vec<_> = batch.columns().iter().map(Array::to_data).collect();
    while let Some(data) = left.pop() {
        data.buffers().iter().for_each(|buffer| content.extend_from_slice(buffer));
        left.extend_from_slice(data.child_data());
    }
    content
}

/// The files of a table are those of its newest state, and none of their rows is only marked as gone.
fn only_one_state_is_left(folder: &Path) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for table in ["entries", "versions"] {
        let path = folder.join(format!("tenants/1/{table}.lance"));
        runtime.block_on(async {
            let dataset = Dataset::open(&path.to_string_lossy()).await.unwrap();
            assert_eq!(dataset.count_deleted_rows().await.unwrap(), 0, "{table}");
            let known =
                dataset.fragments().iter().flat_map(|fragment| fragment.files.iter().map(|file| file.path.clone()));
            assert_eq!(names(&path.join("data")), known.collect(), "{table}");
            let indexes = dataset.load_indices().await.unwrap();
            let known = indexes.iter().map(|index| index.uuid.to_string());
            assert_eq!(names(&path.join("_indices")), known.collect(), "{table}");
        });
    }
}

fn names(folder: &Path) -> BTreeSet<String> {
    let Ok(entries) = fs::read_dir(folder) else { return BTreeSet::new() };
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn no_file_has_a_byte_of_what_was_purged() {
    let folder = tempdir().unwrap();
    let memory = Memory::open_with(folder.path(), None, Options { unindexed_rows_max: 10, ..options() });
    let secret = "xyzzyplugh quuxfrotz";
    for id in 1..=40 {
        memory.put(ONE, id, text(id, 1, &format!("an ordinary line number{id}")));
    }
    let mut version = text(41, 1, secret);
    version.particulars.tags = vec!["markedtag".into()];
    version.particulars.metadata = vec![Field { name: "markedfield".into(), value: remit_abi::Scalar::Truth(true) }];
    memory.put(ONE, 41, version);
    memory.flush(ONE);
    // Words are indexed, and older versions kept.
    memory.put(ONE, 42, text(41, 2, "xyzzyplugh again"));
    block_on(memory.store.optimize(ONE)).unwrap();
    assert_eq!(memory.words(ONE, "xyzzyplugh"), [41]);
    let tables = folder.path().join("tenants");
    assert!(!having(&tables, b"xyzzyplugh").is_empty());
    assert!(!decoded_having(&tables, b"markedtag").0.is_empty());
    memory.forget(ONE, 43, &[41], true);
    memory.flush(ONE);
    assert_eq!(memory.versions(ONE, 41), []);
    assert_eq!(memory.list(ONE).len(), 40);
    assert_eq!(memory.words(ONE, "number7"), [7]);
    drop(memory);
    let vector: Vec<u8> = hashed(secret, WIDTH).iter().flat_map(|number| number.to_le_bytes()).collect();
    for marker in [&b"xyzzyplugh"[..], b"quuxfrotz", b"markedtag", b"markedfield", &vector] {
        let what = String::from_utf8_lossy(marker);
        assert_eq!(having(&tables, marker), [""; 0], "{what}");
        let (found, files) = decoded_having(&tables, marker);
        assert_eq!(found, [""; 0], "{what}");
        assert!(files >= 6, "{files} files");
    }
    only_one_state_is_left(folder.path());
    assert_eq!(Memory::open(folder.path()).list(ONE).len(), 40);
}
