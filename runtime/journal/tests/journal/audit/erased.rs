//! What an erasure leaves: in no file anything that opens with any key, and a chain that says so.

use super::{acts, expected, export, told, whole};
use crate::{
    forget::story,
    model::Owned,
    sample::{Story, finished, told as told_line},
    stage::Stage,
};
use aes_gcm::aes::{
    Aes256, Block,
    cipher::{BlockEncrypt, KeyInit},
};
use remit_abi::TenantId;
use remit_journal::audit::{Detail, Expected, verify};
use remit_kernel::ports::Change;
use rusqlite::Connection;
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
};

pub(super) type Key = [u8; 32];

/// How far behind a nonce a text is looked for: a letter has less before it.
const WINDOW_BLOCKS: usize = 16;
/// What every sealed value but a key begins with.
const PLAIN_VERSION: u8 = 2;

/// All files, also of folders.
pub(super) fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).expect("it is there") {
        let path = entry.expect("it can be listed").path();
        match path.is_dir() {
            true => all.extend(files(&path)),
            false => all.push((path.clone(), fs::read(path).expect("it can be read"))),
        }
    }
    all
}

/// What AES-256-GCM makes of bytes at a nonce, whatever their tag is: a part of a value, or one whose row was changed, shows too.
fn decrypted(cipher: &Aes256, nonce: &[u8], bytes: &[u8], blocks: usize) -> Vec<u8> {
    let counter = |block: u32| {
        let mut counter = Block::default();
        counter[..12].copy_from_slice(nonce);
        counter[12..].copy_from_slice(&(block + 2).to_be_bytes());
        counter
    };
    let mut stream: Vec<Block> = (0..blocks as u32).map(counter).collect();
    cipher.encrypt_blocks(&mut stream);
    bytes.iter().zip(stream.iter().flatten()).map(|(byte, mask)| byte ^ mask).collect()
}

/// A key that is sealed under another one.
fn unsealed(under: &Key, sealed: &[u8]) -> Key {
    let plain = decrypted(&Aes256::new(under.into()), &sealed[..12], &sealed[12..44], 2);
    plain.try_into().expect("it has 32 bytes")
}

/// Every key that can be had from the files: the host's, tenants', and those of processes and of memories' entries.
pub(super) fn keys(folder: &Path) -> Vec<Key> {
    let of_host = ["node.key", "audit.key"].map(|name| of_host(folder, name));
    of_host.into_iter().chain((0..9).flat_map(|tenant| keys_of(folder, tenant))).collect()
}

fn of_host(folder: &Path, name: &str) -> Key {
    fs::read(folder.join(name)).expect("it is there").try_into().expect("it has 32 bytes")
}

/// A tenant's key, and those that are sealed under it.
pub(super) fn keys_of(folder: &Path, tenant: u32) -> Vec<Key> {
    let Ok(sealed) = fs::read(folder.join(format!("tenants/{tenant}.key"))) else { return Vec::new() };
    let key = unsealed(&of_host(folder, "node.key"), &sealed[1..]);
    let db = Connection::open(folder.join("journal.sqlite")).expect("it is a database");
    let mut select = db
        .prepare(
            "SELECT key FROM processes WHERE tenant = ?1
             UNION ALL SELECT key FROM memory_keys WHERE tenant = ?1 AND key <> zeroblob(60)",
        )
        .expect("the tables are there");
    let rows = select.query_map([tenant], |row| row.get::<_, Vec<u8>>(0)).expect("the tables are there");
    [key].into_iter().chain(rows.map(|sealed| unsealed(&key, &sealed.expect("it is a blob")))).collect()
}

/// At how many places of all files a text shows: as it is, or where each byte in turn is taken for the beginning of a sealed value.
pub(super) fn shows(files: &[(PathBuf, Vec<u8>)], keys: &[Key], text: &str) -> usize {
    let has_text = |bytes: &[u8]| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    let ciphers: Vec<_> = keys.iter().map(|key| Aes256::new(key.into())).collect();
    let places = files.iter().map(|(_, bytes)| {
        let opens = |at: &usize| {
            let (nonce, rest) = bytes[*at..].split_at(12);
            let begins = |cipher: &&Aes256| decrypted(cipher, nonce, rest, 1)[0] == PLAIN_VERSION;
            let shows = |cipher: &Aes256| has_text(&decrypted(cipher, nonce, rest, WINDOW_BLOCKS));
            ciphers.iter().filter(begins).any(shows)
        };
        let sealed = (0..bytes.len().saturating_sub(12)).filter(opens).count();
        sealed + usize::from(has_text(bytes))
    });
    places.sum()
}

/// Both tenants' processes have ended.
fn ended() -> Vec<Owned> {
    let (mut story, last) = story();
    for pid in last {
        story.add(Some(pid), None, vec![Change::Ended { pid, finished: finished() }]);
    }
    story.records
}

const TEXTS: [&str; 2] = ["tenant 1 saw the heron", "tenant 2 saw the heron"];

#[test]
fn nothing_of_an_erased_tenant_opens_with_any_key_that_was_or_is() {
    let records = ended();
    let mut stage = Stage::new();
    for part in records.chunks(4) {
        stage.append(part);
        stage.settle();
    }
    stage.close();
    let keys_before = keys(stage.folder());
    let all = files(stage.folder());
    for text in TEXTS {
        assert!(shows(&all, &keys_before, text) > 20, "the test finds what is there: {text}");
    }
    stage.reopen();
    stage.journal().forget_tenant(TenantId(1)).expect("nobody lives");
    for closed in [false, true] {
        let all = files(stage.folder());
        let left = keys(stage.folder());
        assert_eq!(left.len(), keys_before.len() - 3, "a tenant's and two processes' are gone");
        assert!(shows(&all, &left, TEXTS[1]) > 20, "closed: {closed}");
        // Also whoever kept the keys finds nothing that they open.
        for keys in [&left, &keys_before] {
            assert_eq!(shows(&all, keys, TEXTS[0]), 0, "closed: {closed}");
        }
        // And what is gone was not sealed under keys that are left: somebody who kept the files has the same trouble.
        stage.close();
    }
    let db = Connection::open(stage.folder().join("journal.sqlite")).expect("it is a database");
    let pages: i64 = db.query_row("PRAGMA freelist_count", [], |row| row.get(0)).expect("SQLite knows");
    assert_eq!(pages, 0, "all pages were written anew");
    for table in ["processes", "grants", "tags"] {
        let count = db.query_row(&format!("SELECT count(*) FROM {table} WHERE tenant = 1"), [], |row| row.get(0));
        assert_eq!(count, Ok(0_i64), "{table}");
    }
}

#[test]
fn old_files_do_not_open_with_the_keys_that_are_left() {
    let records = ended();
    let mut stage = Stage::new();
    stage.append(&records);
    stage.close();
    let old: Vec<_> = files(stage.folder()).into_iter().filter(|(path, _)| path.ends_with("journal.sqlite")).collect();
    stage.reopen();
    stage.journal().forget_tenant(TenantId(1)).expect("nobody lives");
    let left = keys(stage.folder());
    assert_eq!(shows(&old, &left, TEXTS[0]), 0);
    assert!(shows(&old, &left, TEXTS[1]) > 2);
}

#[test]
fn an_erased_tenants_chain_is_whole_and_says_when_and_what() {
    let records = ended();
    let mut stage = Stage::new();
    for part in records.chunks(4) {
        stage.append(part);
        stage.settle();
    }
    let before = export(stage.journal(), 1, Detail::Contents).expect("it has a chain");
    let chunks = stage_chunks(&mut stage, 1);
    stage.journal().forget_tenant(TenantId(1)).expect("nobody lives");
    let [mine, other] = [1, 2].map(|tenant| export(stage.journal(), tenant, Detail::Contents).expect("it has a chain"));
    let earlier = Expected { earlier: Some(whole(&before).checkpoint), ..Expected::default() };
    let summary = verify(&*mine, &earlier).expect("it goes on");
    assert_eq!(summary.entries, expected(&records, 1).len() as u64);
    assert_eq!((summary.revealed, summary.erased, summary.erasures.len()), (0, chunks, 1));
    assert!(summary.times_ns.is_some_and(|(_, last)| summary.erasures == [last]));
    assert_eq!(acts(&mine), [json!({ "erasing": { "processes": 2, "chunks": chunks } }), json!("erased")]);
    let shown = told(&mine);
    assert!(shown.iter().all(|told| told.entry.is_none()) && shown.len() == told(&before).len());
    // Digests are what they were, without what they were of.
    let digests = |file: &[u8]| {
        let digest = |row: &Value| Some(row.get("line")?["says"]["entry"]["digest"].as_str()?.to_owned());
        super::rows(file).iter().filter_map(digest).collect::<Vec<_>>()
    };
    assert_eq!(digests(&mine), digests(&before));
    assert_eq!(told(&other), expected(&records, 2), "another tenant's is as it was");
    // One that nobody knows is erased without a trace, and a second time it is told again.
    stage.journal().forget_tenant(TenantId(9)).expect("nobody lives");
    assert_eq!(export(stage.journal(), 9, Detail::Digests), None);
    stage.journal().forget_tenant(TenantId(1)).expect("nobody lives");
    let again = export(stage.journal(), 1, Detail::Digests).expect("it has a chain");
    assert_eq!(whole(&again).erasures.len(), 2);
    // The tenant may come again, and its chain goes on.
    let mut again = Story::default();
    again.start(1, None);
    stage.append(&again.records);
    let file = export(stage.journal(), 1, Detail::Contents).expect("it has a chain");
    assert_eq!((whole(&file).processes, whole(&file).revealed), (3, 2));
}

/// How many chunks a tenant has.
fn stage_chunks(stage: &mut Stage, tenant: u32) -> u64 {
    stage.close();
    let db = Connection::open(stage.folder().join("journal.sqlite")).expect("it is a database");
    let count = "SELECT count(*) FROM chunks JOIN processes USING (process) WHERE tenant = ?1";
    let chunks: i64 = db.query_row(count, [tenant], |row| row.get(0)).expect("the tables are there");
    drop(db);
    stage.reopen();
    chunks.unsigned_abs()
}

#[test]
fn history_that_is_forgotten_for_its_age_is_told_by_the_chains_that_lose_it() {
    let records = ended();
    let stage = Stage::new();
    stage.append(&records);
    stage.settle();
    let gone = stage.journal().forget_before(u64::MAX).expect("it forgets");
    let files = [1, 2].map(|tenant| export(stage.journal(), tenant, Detail::Contents).expect("it has a chain"));
    let summaries = files.each_ref().map(|file| whole(file));
    assert!(summaries.iter().all(|summary| summary.forgotten > 0 && summary.revealed == 0));
    assert_eq!(summaries.iter().map(|summary| summary.forgotten).sum::<u64>(), gone);
    // Nothing is left that is old, and nobody says that something was forgotten.
    assert_eq!(stage.journal().forget_before(u64::MAX).expect("it forgets"), 0);
    assert_eq!(acts(&export(stage.journal(), 1, Detail::Digests).expect("it has a chain")).len(), 1);
    let mut more = Story::default();
    let pid = more.start(1, None);
    more.add(Some(pid), Some(told_line(3)), vec![]);
    stage.append(&more.records);
    let file = export(stage.journal(), 1, Detail::Contents).expect("it has a chain");
    assert_eq!(whole(&file).revealed, 3);
}
