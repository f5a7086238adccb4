//! What a start costs, by how many processes live: opening, reading the node's tables, and rebuilding one process.
//!
//! `cargo bench -p remit-journal --bench open [-- FOLDER [PROCESSES...]]`
//!
//! A process has three lines, a letter, an account and a grant. The system has the files in memory, since they were just written.

#![allow(clippy::print_stdout, reason = "it prints a table")]
#![allow(clippy::unwrap_used, reason = "it ends where it cannot go on")]

use futures::executor::block_on;
use remit_abi::{
    Access, AccountId, ClockReply, ClockRequest, GrantId, GrantKind, GrantLimits, GrantSpec, Label, Pid, Priority,
    Reply, Request, Scope, TenantId, Tokens, limits::Limits,
};
use remit_journal::SqliteJournal;
use remit_kernel::{
    RestartPolicy,
    ports::{Asked, Change, Created, Entry, GrantImage, Journal, LetterImage, Record, Told, ValueImage},
};
use std::{borrow::Cow, fs, path::PathBuf, time::Instant};

/// Between two waits for the disk: about the node's memory for records that wait.
const GROUP: u32 = 10_000;
/// Processes that are rebuilt.
const REBUILT: u32 = 1_000;

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with('-'));
    let parent = arguments.next().map_or_else(|| std::env::current_dir().unwrap(), PathBuf::from);
    let mut counts: Vec<u32> = arguments.map(|count| count.parse().unwrap()).collect();
    if counts.is_empty() {
        counts = vec![1_000, 100_000];
    }
    println!("{:>10} {:>8} {:>8} {:>10} {:>10} {:>14}", "processes", "made", "MB", "open", "node", "a process p50");
    for count in counts {
        let folder = tempfile::tempdir_in(&parent).unwrap();
        let start = Instant::now();
        make(&SqliteJournal::open(folder.path()).unwrap(), count);
        let made = start.elapsed().as_secs_f64();
        let size = fs::metadata(folder.path().join("journal.sqlite")).unwrap().len() as f64 / 1e6;
        let start = Instant::now();
        let journal = SqliteJournal::open(folder.path()).unwrap();
        let open = start.elapsed().as_secs_f64() * 1e3;
        let start = Instant::now();
        assert_eq!(journal.node().unwrap().living.len(), count as usize);
        let node = start.elapsed().as_secs_f64() * 1e3;
        let mut times: Vec<f64> = (0..REBUILT)
            .map(|number| {
                let start = Instant::now();
                let process = journal.process(pid(number * (count / REBUILT))).unwrap();
                assert_eq!(process.unwrap().lines.len(), 1);
                start.elapsed().as_secs_f64() * 1e6
            })
            .collect();
        times.sort_by(f64::total_cmp);
        let process = times[times.len() / 2];
        println!("{count:>10} {made:>6.1} s {size:>8.0} {open:>7.1} ms {node:>7.0} ms {process:>11.0} µs");
    }
}

fn pid(number: u32) -> Pid {
    Pid { tenant: TenantId(number % 16), index: number, generation: 1 }
}

fn make(journal: &SqliteJournal, count: u32) {
    for number in 0..count {
        let pid = pid(number);
        let account = AccountId { index: number, generation: 1 };
        let amount = Tokens::from_micro(1_000_000);
        let opened = [Change::Deposited { account, amount }, granted(number)];
        let append = |entry, changes: &[Change]| {
            journal.append(&[Record { pid: Some(pid), entry: Some(entry), changes }]).unwrap()
        };
        append(created(account), &opened);
        append(began(), &[]);
        let letter = Box::new(letter(pid));
        let last = append(told(), &[Change::Sent { number: number.into(), to: pid, letter }]);
        if number % GROUP == GROUP - 1 {
            block_on(journal.durable(last)).unwrap();
        }
    }
}

fn granted(index: u32) -> Change {
    let spec = GrantSpec {
        label: "model".into(),
        kind: GrantKind::Model,
        scope: Scope::parse(GrantKind::Model, &["small"]).unwrap(),
        access: Access::default(),
        limits: GrantLimits::default(),
    };
    Change::Granted(Box::new(GrantImage {
        grant: GrantId { index, generation: 1 },
        parent: None,
        spec,
        derived_as: "model".into(),
        uses: 0,
        revoked: false,
        released: false,
    }))
}

fn created(account: AccountId) -> Entry<'static> {
    Entry::Created(Box::new(Created {
        package: "agent".into(),
        digest: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08".into(),
        kinds: vec![GrantKind::Model],
        limits: Limits::default(),
        name: None,
        parent: None,
        depth: 0,
        priority: Priority::Normal,
        restart: RestartPolicy::default(),
        account,
        funds: Tokens::from_micro(1_000_000),
        started_ns: 0,
        input: Vec::new(),
    }))
}

fn began() -> Entry<'static> {
    Entry::Began(Box::default())
}

fn told() -> Entry<'static> {
    Entry::Told(Told {
        asked: Asked::of(&Request::Clock(ClockRequest::Wall)),
        reply: Cow::Owned(Reply::Clock(ClockReply::Wall(1))),
        notes: Vec::new(),
        paid: Tokens::ZERO,
        label: Label::TRUSTED,
    })
}

fn letter(sender: Pid) -> LetterImage {
    let body = ValueImage { bytes: vec![7; 200].into(), media_type: "text/plain".into(), label: Label::TRUSTED };
    LetterImage { sender, sender_label: Label::TRUSTED, topic: "news".into(), body, grants: Vec::new(), call: None }
}
