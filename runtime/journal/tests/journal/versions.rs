//! Journals that older versions wrote are read.
//!
//! `REMIT_JOURNAL_GOLDEN=FOLDER cargo test -p remit-journal versions` writes one of this version.

use crate::{
    crash::story,
    stage::{Stage, compare, options},
};
use remit_journal::SqliteJournal;
use remit_kernel::ports::Journal;
use std::{fs, path::Path};

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("it is writable");
    for entry in fs::read_dir(from).expect("it is there") {
        let from = entry.expect("it can be listed").path();
        let to = to.join(from.file_name().expect("it has a name"));
        match from.is_dir() {
            true => copy(&from, &to),
            false => drop(fs::copy(&from, &to).expect("it can be copied")),
        }
    }
}

/// Git keeps no such modes.
fn hide(key: &Path) {
    #[cfg(unix)]
    fs::set_permissions(key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("it is ours");
}

#[test]
fn a_journal_of_version_1_is_read_and_goes_on() {
    if let Some(folder) = std::env::var_os("REMIT_JOURNAL_GOLDEN") {
        let journal = SqliteJournal::open_with(Path::new(&folder), options(None)).expect("it opens");
        for record in story().records {
            journal.append(&[record.record()]).expect("there is room");
        }
    }
    let folder = tempfile::tempdir().expect("there is a folder for such things");
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/versions/1"), folder.path());
    hide(&folder.path().join("node.key"));
    let stage = Stage::at(folder);
    let mut story = story();
    compare(stage.journal(), &story.model);
    let from = story.records.len();
    story.start(3, None);
    stage.append(&story.records[from..]);
    compare(stage.journal(), &story.model);
}
