//! Each way to tamper with an export is found, and the line is named.

use super::{export, link, staged, whole};
use crate::{
    sample::{Story, told},
    stage::{Stage, options},
};
use proptest::prelude::*;
use remit_journal::{
    Options, SqliteJournal,
    audit::{CLOCK_BACK_NS_MAX, Detail, Expected, Flaw, Summary, verify},
};
use remit_kernel::ports::Journal;
use rusqlite::Connection;
use serde_json::Value;
use std::{
    fs,
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
};

/// More than are between two checkpoints.
const LINES: u64 = 1_100;

fn story() -> Story {
    let mut story = Story::default();
    let pid = story.start(1, None);
    (2..LINES).for_each(|round| story.add(Some(pid), Some(told(round)), vec![]));
    story
}

fn exported() -> &'static [String] {
    static FILE: LazyLock<Vec<String>> = LazyLock::new(|| {
        let stage = staged(&story().records);
        text(&export(stage.journal(), 1, Detail::Contents).expect("it has a chain"))
    });
    &FILE
}

fn text(file: &[u8]) -> Vec<String> {
    String::from_utf8(file.to_vec()).expect("it is text").lines().map(str::to_owned).collect()
}

fn file(rows: &[String]) -> Vec<u8> {
    rows.iter().flat_map(|row| [row.as_bytes(), b"\n"].concat()).collect()
}

fn checked(rows: &[String]) -> Result<Summary, Flaw> {
    verify(&*file(rows), &Expected::default())
}

/// What is found of a file that somebody tampered with.
fn check(tamper: impl FnOnce(&mut Vec<String>), is_found: fn(&Flaw) -> bool, says: &str) {
    let mut rows = exported().to_vec();
    tamper(&mut rows);
    let flaw = checked(&rows).expect_err("it is found");
    assert!(is_found(&flaw), "{flaw:?}");
    assert!(flaw.to_string().contains(says), "{flaw}");
}

/// Exchanges a part of a row that is there once.
fn edit(rows: &mut [String], row: usize, from: &str, to: &str) {
    assert_eq!(rows[row].matches(from).count(), 1, "{from} in {}", rows[row]);
    rows[row] = rows[row].replace(from, to);
}

/// Another digit behind this, so that it is still a number of that form.
fn edit_digit(rows: &mut [String], row: usize, behind: &str) {
    let at = rows[row].find(behind).expect("it is there") + behind.len();
    let other = if &rows[row][at..=at] == "1" { "2" } else { "1" };
    rows[row].replace_range(at..=at, other);
}

fn is_changed(flaw: &Flaw) -> bool {
    matches!(flaw, Flaw::Changed { .. })
}

fn is_moved(flaw: &Flaw) -> bool {
    matches!(flaw, Flaw::OutOfOrder { .. })
}

#[test]
fn an_export_as_it_is_has_no_flaw() {
    let summary = checked(exported()).expect("nobody touched it");
    assert_eq!((summary.checkpoint.number, summary.entries, summary.revealed), (LINES, LINES, LINES));
    assert_eq!(summary.checkpoints, 2);
}

#[test]
fn an_edit_of_a_line_is_found() {
    check(|rows| edit(rows, 2, "\"restarts\":0", "\"restarts\":1"), is_changed, "line 2, in row 3");
    for part in ["\"position\":", "\"at_ns\":", "\"sequence\":", "\"digest\":\"", "\"link\":\"", "\"process\":\"1."] {
        check(|rows| edit_digit(rows, 700, part), is_changed, "line 700, in row 701");
    }
    check(|rows| edit(rows, 7, "\"process\":\"1.1.2\"", "\"process\":\"2.1.2\""), is_changed, "line 7,");
    check(|rows| edit_digit(rows, 9, "\"number\":"), is_moved, "line 9 is not where it belongs");
    let is_other = |flaw: &Flaw| matches!(flaw, Flaw::OtherContent { .. });
    for part in ["\"salt\":\"", "\"entry\":\"0"] {
        check(|rows| edit_digit(rows, 700, part), is_other, "line 700, in row 701");
    }
    let unsaid = |rows: &mut Vec<String>| edit(rows, 2, ",\"fact\":{\"began\":{\"restarts\":0}}", "");
    check(unsaid, is_changed, "line 2, in row 3");
}

#[test]
fn lines_that_are_dropped_repeated_or_moved_are_found() {
    check(|rows| drop(rows.remove(500)), is_moved, "line 500 is not where it belongs, in row 501: line 501 is");
    check(|rows| rows.insert(500, rows[500].clone()), is_moved, "line 501 is not where it belongs");
    check(|rows| rows.swap(500, 501), is_moved, "line 500 is not where it belongs");
    check(|rows| drop(rows.drain(1..=1_025)), is_moved, "line 1 is not where it belongs");
    check(|rows| drop(rows.remove(1)), is_moved, "line 1 is not where it belongs");
    // The last one before a checkpoint.
    let is_other = |flaw: &Flaw| matches!(flaw, Flaw::OtherHistory { .. });
    check(|rows| drop(rows.remove(1_024)), is_other, "row 1025 is over 1024 lines");
    // Numbers that were given anew.
    let renumber = |rows: &mut Vec<String>| {
        rows.remove(500);
        edit(rows, 500, "\"number\":501", "\"number\":500");
    };
    check(renumber, is_changed, "line 500, in row 501");
}

#[test]
fn a_file_that_was_cut_off_is_found_wherever_that_is() {
    let is_cut = |flaw: &Flaw| matches!(flaw, Flaw::CutOff { .. });
    for rows in [0, 1, 2, 500, 1_025, 1_026, exported().len() - 1] {
        check(|all| all.truncate(rows), is_cut, &format!("after row {rows} "));
    }
    let whole = file(exported());
    for end in [whole.len() - 1, whole.len() - 50] {
        let flaw = verify(&whole[..end], &Expected::default()).expect_err("it is found");
        assert!(matches!(flaw, Flaw::Malformed { .. }), "{flaw:?}");
    }
    let is_behind = |flaw: &Flaw| matches!(flaw, Flaw::BehindTheEnd { .. });
    check(|rows| rows.push(rows[1].clone()), is_behind, "follows the end");
}

#[test]
fn checkpoints_that_were_changed_are_found() {
    let (row, last) = (1_025, exported().len() - 1);
    let is_other = |flaw: &Flaw| matches!(flaw, Flaw::OtherHistory { .. });
    let is_forged = |flaw: &Flaw| matches!(flaw, Flaw::Forged { .. });
    check(|rows| edit(rows, row, "\"number\":1024", "\"number\":1023"), is_other, "row 1026");
    check(|rows| edit_digit(rows, row, "\"head\":\""), is_other, "row 1026");
    for row in [row, last] {
        check(|rows| edit_digit(rows, row, "\"at_ns\":"), is_forged, &format!("row {}", row + 1));
        check(|rows| edit_digit(rows, row, "\"signature\":\""), is_forged, &format!("row {}", row + 1));
    }
    // An end cannot be made of a checkpoint.
    let shorten = |rows: &mut Vec<String>| {
        rows.truncate(row + 2);
        rows[row + 1] = rows[row].replace("{\"checkpoint\":", "{\"end\":{\"checkpoints\":1,\"signed\":") + "}";
    };
    check(shorten, is_forged, "row 1027");
    let is_missing = |flaw: &Flaw| matches!(flaw, Flaw::Checkpoints { .. });
    check(|rows| drop(rows.remove(row)), is_missing, &format!("row {last}"));
    check(|rows| rows.insert(row, rows[row].clone()), is_missing, "row 1027");
}

/// Computes all links anew from a row on, and what checkpoints are over: all that can be done without the key.
fn link_again(rows: &mut [String], from: usize) {
    let mut values: Vec<Value> = rows.iter().map(|row| serde_json::from_str(row).expect("it is JSON")).collect();
    let mut head = hex::decode(values[from - 1]["line"]["link"].as_str().expect("a line")).expect("it is hexadecimal");
    for (row, value) in rows.iter_mut().zip(&mut values).skip(from) {
        let kind = ["line", "checkpoint", "end"].into_iter().find(|kind| value.get(kind).is_some()).expect("a row");
        let (old, part) = match kind {
            "line" => (value[kind]["link"].clone(), link(&head, &value[kind])),
            "end" => (value[kind]["signed"]["head"].clone(), head.clone()),
            _ => (value[kind]["head"].clone(), head.clone()),
        };
        *row = row.replace(old.as_str().expect("a text"), &hex::encode(&part));
        head = part;
    }
}

#[test]
fn whoever_computes_all_links_anew_lacks_the_key() {
    let rewrite = |rows: &mut Vec<String>| {
        edit(rows, 700, "\"sequence\":700", "\"sequence\":7");
        link_again(rows, 700);
    };
    check(rewrite, |flaw| matches!(flaw, Flaw::Forged { .. }), "row 1026 over 1024 lines");
}

#[test]
fn two_exports_put_together_are_found() {
    let mut stage = staged(&story().records[..600]);
    stage.close();
    let copy = tempfile::tempdir().expect("there is a folder for such things");
    crate::versions::copy(stage.folder(), copy.path());
    stage.reopen();
    let copy = Stage::at(copy);
    let files = [&stage, &copy].map(|stage| {
        stage.append(&story().records[600..]);
        text(&export(stage.journal(), 1, Detail::Digests).expect("it has a chain"))
    });
    let spliced = [&files[0][..800], &files[1][800..]].concat();
    assert_ne!(files[0][700], files[1][700], "they went on at other times");
    let flaw = checked(&spliced).expect_err("it is found");
    assert!(matches!(flaw, Flaw::Changed { number: 799, .. }), "{flaw:?}");
    // Each is whole by itself, and the one does not go on from where the other was.
    let [one, other] = files.map(|rows| file(&rows));
    let expected = Expected { earlier: Some(whole(&one).checkpoint), ..Expected::default() };
    assert_eq!(whole(&other).checkpoint.number, whole(&one).checkpoint.number);
    let flaw = verify(&*other, &expected).expect_err("it is found");
    assert!(matches!(flaw, Flaw::Rewritten { number: LINES, .. }), "{flaw:?}");
}

#[test]
fn a_later_export_has_to_go_on_from_an_earlier_one() {
    let (stage, records) = (Stage::new(), story().records);
    let mut exports = Vec::new();
    for part in records.chunks(400) {
        stage.append(part);
        exports.push(export(stage.journal(), 1, Detail::Digests).expect("it has a chain"));
    }
    let ends: Vec<_> = exports.iter().map(|file| whole(file).checkpoint).collect();
    for (number, file) in exports.iter().enumerate() {
        for (earlier, end) in ends.iter().enumerate() {
            let outcome = verify(&**file, &Expected { earlier: Some(*end), ..Expected::default() });
            match earlier <= number {
                true => assert_eq!(outcome.expect("it goes on").checkpoint, ends[number]),
                false => assert!(matches!(outcome, Err(Flaw::Shorter { .. })), "{outcome:?}"),
            }
        }
    }
}

#[test]
fn another_key_and_another_chain_are_found() {
    let (mine, other) = (staged(&story().records), staged(&story().records));
    let [file_of_mine, file_of_other] =
        [&mine, &other].map(|stage| export(stage.journal(), 1, Detail::Digests).expect("it has a chain"));
    let of = |stage: &Stage| Expected { key: Some(stage.journal().audit_key()), ..Expected::default() };
    assert!(verify(&*file_of_mine, &of(&mine)).is_ok());
    let flaw = verify(&*file_of_other, &of(&mine)).expect_err("it is found");
    assert!(matches!(flaw, Flaw::OtherKey { .. }), "{flaw:?}");
    let expected = Expected { earlier: Some(whole(&file_of_mine).checkpoint), ..Expected::default() };
    let flaw = verify(&*file_of_other, &expected).expect_err("it is found");
    assert!(matches!(flaw, Flaw::OtherChain { .. }), "{flaw:?}");
    let (key, other_key) = (mine.journal().audit_key().to_string(), other.journal().audit_key().to_string());
    let mut rows = text(&file_of_mine);
    edit(&mut rows, 0, &key, &other_key);
    let flaw = checked(&rows).expect_err("it is found");
    assert!(matches!(flaw, Flaw::Changed { number: 1, .. }), "{flaw:?}");
    let public = fs::read_to_string(mine.folder().join("audit.pub")).expect("it is there");
    assert_eq!(public, format!("{key}\n"));
}

#[test]
fn times_that_go_back_are_found_where_nobody_expects_them() {
    /// Each look is two minutes before the one before it.
    fn falling() -> u64 {
        static NOW: AtomicU64 = AtomicU64::new(1 << 50);
        NOW.fetch_sub(2 * CLOCK_BACK_NS_MAX, Ordering::Relaxed)
    }
    let folder = tempfile::tempdir().expect("there is a folder for such things");
    let options = Options { clock: falling, ..options(None) };
    let journal = SqliteJournal::open_with(folder.path(), options).expect("it opens");
    for record in &story().records[..3] {
        journal.append(&[record.record()]).expect("there is room");
    }
    let file = export(&journal, 1, Detail::Digests).expect("it has a chain");
    let flaw = verify(&*file, &Expected::default()).expect_err("it is found");
    assert!(matches!(flaw, Flaw::BackInTime { number: 2, .. }), "{flaw:?}");
    let expected = Expected { clock_back_ns_max: 4 * CLOCK_BACK_NS_MAX, ..Expected::default() };
    assert_eq!(verify(&*file, &expected).expect("it was expected").entries, 3);
    let steady = Expected { clock_back_ns_max: 0, ..Expected::default() };
    assert!(verify(&*self::file(exported()), &steady).is_ok(), "that clock was never set back");
}

#[test]
fn rows_that_no_export_has_are_refused() {
    let is_malformed = |flaw: &Flaw| matches!(flaw, Flaw::Malformed { .. });
    check(|rows| rows[3].push(' '), is_malformed, "row 4");
    check(|rows| rows[3] = rows[3].replace(':', ": "), is_malformed, "another spelling");
    check(|rows| rows[3].insert_str(1, "\"more\":1,"), is_malformed, "row 4");
    check(|rows| rows[3].clear(), is_malformed, "row 4");
    check(|rows| rows.insert(3, rows[0].clone()), is_malformed, "row 4");
    check(|rows| drop(rows.remove(0)), is_malformed, "row 1");
    let is_other = |flaw: &Flaw| matches!(flaw, Flaw::Version { found: 9 });
    check(|rows| edit(rows, 0, "\"version\":1", "\"version\":9"), is_other, "version 9");
}

#[test]
fn rows_of_the_database_that_were_changed_are_found() {
    let changes = [
        ("UPDATE audit SET lines = changed(lines) WHERE first = 1", "was changed"),
        ("UPDATE audit SET head = zeroblob(32) WHERE first = 1", "was changed"),
        ("UPDATE audit SET at_ns = at_ns + 1 WHERE first = 1", "was changed"),
        ("UPDATE audit SET position = position + 1 WHERE first = 1", "was changed"),
        ("UPDATE checkpoints SET at_ns = at_ns + 1 WHERE number = 1024", "over 1024 lines is not the host's"),
        ("UPDATE checkpoints SET signature = zeroblob(64) WHERE number = 1024", "over 1024 lines is not the host's"),
    ];
    for (change, says) in changes {
        let mut stage = staged(&story().records);
        stage.close();
        let db = Connection::open(stage.folder().join("journal.sqlite")).expect("it is a database");
        let first = "SELECT lines FROM audit WHERE first = 1";
        let mut lines: Vec<u8> = db.query_row(first, [], |row| row.get(0)).expect("there is one");
        // In the digest of the first line.
        lines[20] ^= 1;
        let change = change.replace("changed(lines)", &format!("x'{}'", hex::encode(lines)));
        assert_eq!(db.execute(&change, []), Ok(1), "{change}");
        drop(db);
        stage.reopen();
        let file = export(stage.journal(), 1, Detail::Digests).expect("it has a chain");
        let flaw = verify(&*file, &Expected::default()).expect_err("it is found").to_string();
        assert!(flaw.contains(says), "{change}: {flaw}");
    }
}

/// Something that somebody does to a file.
#[derive(Clone, Debug)]
enum Mutation {
    Byte(prop::sample::Index, u8),
    Insert(prop::sample::Index, u8),
    Remove(prop::sample::Index),
    Drop(prop::sample::Index),
    Repeat(prop::sample::Index, prop::sample::Index),
    Swap(prop::sample::Index, prop::sample::Index),
    Cut(prop::sample::Index),
}

fn mutations() -> impl Strategy<Value = Mutation> {
    use prop::sample::Index;
    let byte = prop_oneof![any::<u8>(), prop::sample::select(b"0123456789abcdefAF\"{}:, \n".to_vec())];
    prop_oneof![
        (any::<Index>(), byte.clone()).prop_map(|(at, byte)| Mutation::Byte(at, byte)),
        (any::<Index>(), byte).prop_map(|(at, byte)| Mutation::Insert(at, byte)),
        any::<Index>().prop_map(Mutation::Remove),
        any::<Index>().prop_map(Mutation::Drop),
        (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Mutation::Repeat(from, to)),
        (any::<Index>(), any::<Index>()).prop_map(|(one, other)| Mutation::Swap(one, other)),
        any::<Index>().prop_map(Mutation::Cut),
    ]
}

fn mutated(whole: &[u8], mutation: &Mutation) -> Vec<u8> {
    let mut bytes = whole.to_vec();
    let mut rows = text(whole);
    let all = rows.len();
    match mutation {
        Mutation::Byte(at, byte) => bytes[at.index(whole.len())] = *byte,
        Mutation::Insert(at, byte) => bytes.insert(at.index(whole.len() + 1), *byte),
        Mutation::Remove(at) => drop(bytes.remove(at.index(whole.len()))),
        Mutation::Cut(at) => bytes.truncate(at.index(whole.len())),
        Mutation::Drop(row) => {
            rows.remove(row.index(all));
            return file(&rows);
        }
        Mutation::Repeat(from, to) => {
            rows.insert(to.index(all + 1), rows[from.index(all)].clone());
            return file(&rows);
        }
        Mutation::Swap(one, other) => {
            rows.swap(one.index(all), other.index(all));
            return file(&rows);
        }
    }
    bytes
}

/// A small one, so that each kind of row is often met.
fn small() -> &'static [u8] {
    static FILE: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let stage = staged(&story().records[..12]);
        drop(export(stage.journal(), 1, Detail::Digests));
        stage.append(&story().records[12..20]);
        export(stage.journal(), 1, Detail::Contents).expect("it has a chain")
    });
    &FILE
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn any_change_of_a_file_is_found(mutation in mutations()) {
        let changed = mutated(small(), &mutation);
        prop_assert_eq!(verify(&*changed, &Expected::default()).is_ok(), changed == small());
    }
}
