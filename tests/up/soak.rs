//! A team that works while its host is killed over and over, at random moments. Here a few times; `cargo xtask soak` does it a thousand times,
//! and prints what the processes were told last before each kill.

use super::stage::{Host, program};
use remit_journal::SqliteJournal;
use remit_kernel::ports::{Asked, Entry, Journal as _};
use serde_json::Value;
use std::{collections::BTreeMap, fs, path::Path, thread, time::Duration};

const KILLS: u32 = 8;
const WORKERS: u64 = 3;
/// Between the host's first word and its end, at most.
const UP_MS_MAX: u64 = 150;

/// A linear congruential generator: the same moments every time, as far as a machine lets them be the same.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

fn install(home: &Path) {
    let folder = home.join("agents/relay");
    fs::create_dir_all(&folder).expect("it is writable");
    fs::copy(program("relay"), folder.join("it.wasm")).expect("it is built");
    let wants = "[[wants.processes]]\nlabel = \"workers\"\nagents = [\"relay\"]\n[budget]\ntokens = 10000000\n";
    let manifest = format!("name = \"relay\"\nversion = \"0.1.0\"\ncomponent = \"it.wasm\"\n{wants}");
    fs::write(folder.join("remit.toml"), manifest).expect("it is writable");
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("it is writable");
    for file in fs::read_dir(from).expect("it is there").flatten() {
        let (from, to) = (file.path(), to.join(file.file_name()));
        match from.is_dir() {
            true => copy(&from, &to),
            false => drop(fs::copy(from, to).expect("it is writable")),
        }
    }
}

/// What each process was told last; of a copy, so that the next host finds what the last one left.
fn last_told(home: &Path) -> Vec<String> {
    let scratch = tempfile::tempdir().expect("a folder for the test");
    copy(&home.join("journal"), scratch.path());
    let journal = SqliteJournal::open(scratch.path()).expect("it is whole");
    let living = journal.node().expect("it can be read").living;
    let last = |pid: &remit_abi::Pid| {
        let process = journal.process(*pid).expect("it can be read").expect("it lives");
        match process.lines.last().map(|line| &line.entry) {
            Some(Entry::Told(told)) => said(&told.asked),
            Some(_) => "another entry".to_owned(),
            None => "nothing yet".to_owned(),
        }
    };
    living.iter().map(last).collect()
}

/// The syscall, without what it is about.
fn said(asked: &Asked) -> String {
    let Some(request) = asked.request() else { return "a large request".to_owned() };
    let shown = format!("{request:?}");
    shown
        .split(|end: char| !end.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .take(2)
        .collect::<Vec<_>>()
        .join(".")
}

/// The texts that are still known, each with the number of its event.
fn texts(host: &Host, pid: &str) -> Vec<(u64, String)> {
    let text = |line: &str| {
        let event: Value = serde_json::from_str(line).expect("each line is JSON");
        let text = event["text"].as_str().expect("it says texts").trim().to_owned();
        (event["number"].as_u64().expect("events are numbered"), text)
    };
    host.ask(&["logs", pid, "--json"]).lines().map(text).collect()
}

/// The rounds that the boss has shown; it shows each once.
fn rounds(host: &Host, pid: &str) -> u64 {
    let texts = texts(host, pid);
    assert!(
        texts.iter().all(|(number, text)| number.to_string() == *text),
        "a round is missing, or there twice: {texts:?}"
    );
    texts.last().map_or(0, |(last, _)| *last)
}

fn numbers(text: &str) -> Vec<u64> {
    text.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect()
}

#[test]
fn a_team_loses_nothing_however_often_its_host_is_killed() {
    let kills = std::env::var("REMIT_SOAK_KILLS").map_or(KILLS, |kills| kills.parse().expect("it is a number"));
    let mut random = Random(20_261_122);
    let (patient, mut told) = (["--patience", "20ms"], BTreeMap::<String, u32>::new());
    let home = tempfile::tempdir().expect("a folder for the test");
    install(home.path());
    let mut host = Host::on(home, &patient);
    let pid = host.ask(&["run", "--detach", "relay", &format!("boss {WORKERS}")]).trim().to_owned();
    for _ in 0..kills {
        // The moment is the test.
        thread::sleep(Duration::from_millis(random.below(UP_MS_MAX)));
        host.signal("KILL");
        let home = host.ended().1;
        last_told(home.path()).into_iter().for_each(|step| *told.entry(step).or_default() += 1);
        host = Host::on(home, &patient);
    }
    let survived = host.until("more rounds", |host| Some(rounds(host, &pid)).filter(|rounds| *rounds > 0));
    host.until("a round after the last kill", |host| (rounds(host, &pid) > survived).then_some(()));
    host.ask(&["cancel", &pid]);
    let last = host.until("its outcome", |host| {
        texts(host, &pid).pop().filter(|(_, text)| text.contains("rounds")).map(|(_, text)| text)
    });
    let [done, sum, notes, paid] = numbers(&last)[..] else { panic!("it says four numbers: {last}") };
    let squares = done * (done + 1) * (2 * done + 1) / 6;
    assert_eq!((sum, notes), (WORKERS * squares, WORKERS * squares), "{last}");
    // It waits, and its workers have ended: what it was given is what is left and what was spent.
    let boss = host.json(&["inspect", &pid]);
    let micro = |value: &Value| value.as_u64().expect("it is an amount");
    let own = micro(&boss["ledger"]["paid_micro_tokens"]) + micro(&boss["remaining_micro_tokens"]);
    assert_eq!(own + paid, micro(&boss["funds_micro_tokens"]), "tokens were made or lost: {boss}");
    assert_eq!(host.json(&["ps"])["processes"].as_array().map(Vec::len), Some(1), "its workers have ended");
    println!("{kills} kills, {done} rounds; what the processes were told last:");
    told.iter().for_each(|(step, count)| println!("{count:>6}  {step}"));
}
