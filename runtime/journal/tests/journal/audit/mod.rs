//! The audit chains: what they say, and that whatever is done to an export is found.

mod chains;
mod erased;
mod purged;
mod tampering;

use crate::{
    model::{Model, Owned, without},
    stage::Stage,
};
use remit_abi::{Pid, TenantId};
use remit_journal::{
    ExportError, SqliteJournal,
    audit::{Detail, Expected, Summary, verify},
};
use remit_kernel::ports::{Entry, Fact, version_1};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// An export, as its rows.
pub(crate) fn export(journal: &SqliteJournal, tenant: u32, detail: Detail) -> Option<Vec<u8>> {
    let mut file = Vec::new();
    match journal.export_audit(TenantId(tenant), detail, &mut file) {
        Ok(exported) => {
            assert_eq!(exported.unreadable, 0);
            Some(file)
        }
        Err(ExportError::Empty(empty)) => {
            assert_eq!(empty, TenantId(tenant));
            None
        }
        Err(other) => panic!("{other}"),
    }
}

pub(crate) fn whole(file: &[u8]) -> Summary {
    verify(file, &Expected::default()).unwrap_or_else(|flaw| panic!("{flaw}"))
}

pub(crate) fn rows(file: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(file).expect("it is text");
    text.lines().map(|row| serde_json::from_str(row).expect("it is JSON")).collect()
}

/// A line as plain records have it: of an entry its process, its place there, its fact and itself.
#[derive(Debug, PartialEq)]
pub(crate) struct Told {
    position: u64,
    pid: String,
    sequence: u64,
    fact: Value,
    /// `None` where it is not shown.
    entry: Option<Vec<u8>>,
}

/// What records say of a tenant, the first one at position 1.
pub(crate) fn expected(records: &[Owned], tenant: u32) -> Vec<Told> {
    let mut places = std::collections::BTreeMap::<Pid, u64>::new();
    let purged = Model::of(records).purged;
    let told = (1..).zip(records).filter_map(|(position, record)| {
        let pid = record.pid.filter(|pid| pid.tenant == TenantId(tenant))?;
        let mut entry = record.entry.clone()?;
        without(&mut entry, pid, &purged);
        let place = places.entry(pid).or_default();
        *place += 1;
        let fact = serde_json::to_value(entry.fact()).expect("it is plain");
        let bytes = postcard::to_allocvec(&entry).expect("it is plain");
        Some(Told { position, pid: pid.to_string(), sequence: *place, fact, entry: Some(bytes) })
    });
    told.collect()
}

/// What an export says, acts apart.
pub(crate) fn told(file: &[u8]) -> Vec<Told> {
    let lines = rows(file).into_iter().filter_map(|mut row| {
        let line = row.get_mut("line")?.take();
        let entry = line["says"].get("entry")?;
        let content = entry.get("content").map(content);
        Some(Told {
            position: line["position"].as_u64().expect("a number"),
            pid: entry["process"].as_str().expect("a text").to_owned(),
            sequence: entry["sequence"].as_u64().expect("a number"),
            fact: entry.get("fact").cloned().unwrap_or_default(),
            entry: content,
        })
    });
    lines.collect()
}

/// The entry that is shown, with what lies apart from it where it only commits to that.
fn content(shown: &Value) -> Vec<u8> {
    let entry = bytes(&shown["entry"]);
    let Some(apart) = shown["remembered"].as_array() else { return entry };
    let mut entry: Entry<'static> = postcard::from_bytes(&entry).expect("it is an entry");
    for ((_, image), shown) in entry.remembered_mut().filter(|(_, image)| image.is_some()).zip(apart) {
        *image = (!shown.is_null()).then(|| {
            let [secret, content] = ["secret", "content"].map(|part| bytes(&shown[part]));
            let committed = image.as_ref().map(|image| image.bytes.to_vec());
            assert_eq!(
                committed,
                Some(Sha256::digest([&*secret, &content].concat()).to_vec()),
                "as `FORMAT.md` says it"
            );
            postcard::from_bytes(&content).expect("it is a value")
        });
    }
    postcard::to_allocvec(&entry).expect("it is plain")
}

/// The acts of an export, in order.
pub(crate) fn acts(file: &[u8]) -> Vec<Value> {
    rows(file).into_iter().filter_map(|mut row| Some(row.get_mut("line")?["says"].get_mut("act")?.take())).collect()
}

fn bytes(text: &Value) -> Vec<u8> {
    hex::decode(text.as_str().expect("a text")).expect("it is hexadecimal")
}

/// The link of a line after another one, as `FORMAT.md` says it.
fn link(before: &[u8], line: &Value) -> Vec<u8> {
    let number = |of: &Value| of.as_u64().expect("a number").to_be_bytes();
    let mut hash = Sha256::new();
    let mut domain = [0; 64];
    domain[..16].copy_from_slice(b"remit audit line");
    hash.update(domain);
    hash.update(before);
    ["number", "position", "at_ns"].iter().for_each(|part| hash.update(number(&line[*part])));
    match line["says"].get("entry") {
        Some(entry) => {
            let pid: Pid = entry["process"].as_str().and_then(|pid| pid.parse().ok()).expect("it is a process's");
            hash.update(pid.index.to_be_bytes());
            hash.update(pid.generation.to_be_bytes());
            hash.update(number(&entry["sequence"]));
            hash.update(bytes(&entry["digest"]));
            if let Some(fact) = entry.get("fact") {
                let fact: Fact = serde_json::from_value(fact.clone()).expect("it is a fact");
                hash.update(postcard::to_extend(&fact, vec![1]).expect("it is plain"));
            }
        }
        None => {
            hash.update([0; 16 + 32]);
            hash.update(act(&line["says"]["act"]));
        }
    }
    hash.finalize().to_vec()
}

/// An act as it is hashed: the version, its place in the list, its numbers as postcard writes them.
fn act(act: &Value) -> Vec<u8> {
    let number = |of: &Value| of.as_u64().expect("a number");
    let numbers = match act {
        Value::String(_) => return vec![1, 3],
        act if act.get("began").is_some() => (0_u8, number(&act["began"]["after"]), None),
        act if act.get("forgot").is_some() => {
            (1, number(&act["forgot"]["before_ns"]), Some(number(&act["forgot"]["chunks"])))
        }
        act => (2, number(&act["erasing"]["processes"]), Some(number(&act["erasing"]["chunks"]))),
    };
    let first = postcard::to_extend(&(1_u8, numbers.0, numbers.1), Vec::new()).expect("they are plain");
    numbers.2.map_or(first.clone(), |second| postcard::to_extend(&second, first).expect("it is plain"))
}

/// The journal's chains are what records say, the first one at position 1, with all their contents.
pub(crate) fn compare_chains(journal: &SqliteJournal, records: &[Owned]) {
    compare_older_chains(journal, records, 0);
}

/// As [`compare_chains`], where an older version wrote what is up to a position. Its chains are over the bytes that it wrote.
pub(crate) fn compare_older_chains(journal: &SqliteJournal, records: &[Owned], older: usize) {
    for tenant in 0..4 {
        let expect = expected(records, tenant);
        let Some(file) = export(journal, tenant, Detail::Contents) else {
            assert_eq!(expect, [], "tenant {tenant}");
            continue;
        };
        let summary = whole(&file);
        let mut found = told(&file);
        let of_older = found.iter_mut().filter(|told| told.position <= older as u64);
        of_older.filter_map(|told| told.entry.as_mut()).for_each(bring_up);
        assert_eq!(found, expect, "tenant {tenant}");
        assert_eq!((summary.entries, summary.revealed), (expect.len() as u64, expect.len() as u64));
    }
}

/// An entry as this version writes it.
fn bring_up(entry: &mut Vec<u8>) {
    let older: version_1::Entry<'static> = postcard::from_bytes(entry).expect("it is an entry");
    *entry = postcard::to_allocvec(&Entry::from(older)).expect("it is plain");
}

/// A journal that has taken these.
fn staged(records: &[Owned]) -> Stage {
    let stage = Stage::new();
    stage.append(records);
    stage
}
