//! What is not opened, and is told why in one sentence.

use crate::stage::{Stage, options};
use remit_journal::{OpenError, SqliteJournal};
use rusqlite::Connection;
use std::{fs, path::Path};

/// Opens a folder after something was done to a journal in it that has records.
fn check(spoil: impl FnOnce(&Path), expect: fn(&OpenError) -> bool, says: &str) {
    let mut stage = Stage::new();
    stage.append(&crate::crash::story().records);
    stage.close();
    let folder = stage.folder();
    spoil(folder);
    let before = fs::read(folder.join("journal.sqlite")).ok();
    let error = SqliteJournal::open_with(folder, options(None)).expect_err("it is refused");
    assert!(expect(&error), "{error:?}");
    assert!(error.to_string().contains(says), "{error}");
    assert_eq!(fs::read(folder.join("journal.sqlite")).ok(), before, "it is left as it was");
}

fn change(folder: &Path, pragma: &str) {
    let db = Connection::open(folder.join("journal.sqlite")).expect("it is a database");
    db.execute_batch(pragma).expect("it can be written");
}

#[test]
fn a_newer_version_is_refused() {
    let newer = |folder: &Path| change(folder, "PRAGMA user_version = 8");
    check(newer, |error| matches!(error, OpenError::Newer { found: 8, known: 7 }), "of version 8");
}

#[test]
fn what_is_no_journal_is_refused() {
    let is_foreign = |error: &OpenError| matches!(error, OpenError::Foreign(_));
    check(|folder| change(folder, "PRAGMA application_id = 7"), is_foreign, "another application");
    let replace = |folder: &Path, with: &[u8]| fs::write(folder.join("journal.sqlite"), with).expect("it is writable");
    check(|folder| replace(folder, &[b'x'; 4096]), is_foreign, "another application");
}

#[test]
fn the_keys_have_to_be_there_and_whole() {
    for name in ["node.key", "audit.key"] {
        let key = |folder: &Path| folder.join(name);
        let is_missing = |error: &OpenError| matches!(error, OpenError::KeyMissing(_));
        check(|folder| fs::remove_file(key(folder)).expect("it is there"), is_missing, "from a backup");
        let is_damaged = |error: &OpenError| matches!(error, OpenError::KeyDamaged(_));
        let shorten = |folder: &Path| {
            let bytes = fs::read(key(folder)).expect("it is there");
            fs::write(key(folder), &bytes[1..]).expect("it is writable");
        };
        check(shorten, is_damaged, "32 bytes");
    }
}

#[test]
fn the_public_key_is_written_again_where_it_is_not_there() {
    let mut stage = Stage::new();
    let (path, key) = (stage.folder().join("audit.pub"), stage.journal().audit_key().to_string());
    for spoil in [|path: &Path| fs::remove_file(path), |path: &Path| fs::write(path, "another")] {
        spoil(&path).expect("it is ours");
        stage.reopen();
        assert_eq!(fs::read_to_string(&path).expect("it is there"), format!("{key}\n"));
    }
}

#[cfg(unix)]
#[test]
fn a_key_that_others_can_read_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let stage = Stage::new();
    for file in ["node.key", "audit.key", "tenants/1.key"] {
        stage.append(&crate::crash::story().records);
        stage.settle();
        let mode = fs::metadata(stage.folder().join(file)).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    for file in ["node.key", "audit.key"] {
        let expose = |folder: &Path| {
            fs::set_permissions(folder.join(file), fs::Permissions::from_mode(0o640)).expect("it is ours");
        };
        check(expose, |error| matches!(error, OpenError::KeyExposed { mode: 0o640, .. }), "mode to 600");
    }
}

#[test]
fn one_process_uses_it_at_a_time() {
    let stage = Stage::new();
    let error = SqliteJournal::open_with(stage.folder(), options(None)).expect_err("it is in use");
    assert!(matches!(error, OpenError::InUse(_)), "{error:?}");
    assert!(error.to_string().contains("open already"), "{error}");
}
