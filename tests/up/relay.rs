//! The team of the program `relay`, whose outcome does not depend on who is faster, on a host that may end at any moment.

use super::stage::{Host, program};
use serde_json::Value;
use std::{fs, path::Path};

const WORKERS: u64 = 3;

/// Puts the program into a data folder, as an agent that may start others of its kind.
pub(super) fn install(home: &Path) {
    let folder = home.join("agents/relay");
    fs::create_dir_all(&folder).expect("it is writable");
    fs::copy(program("relay"), folder.join("it.wasm")).expect("it is built");
    let wants = "[[wants.processes]]\nlabel = \"workers\"\nagents = [\"relay\"]\n[budget]\ntokens = 10000000\n";
    let manifest = format!("name = \"relay\"\nversion = \"0.1.0\"\ncomponent = \"it.wasm\"\n{wants}");
    fs::write(folder.join("remit.toml"), manifest).expect("it is writable");
}

/// Starts the team; the boss's pid.
pub(super) fn start(host: &Host) -> String {
    host.ask(&["run", "--detach", "relay", &format!("boss {WORKERS}")]).trim().to_owned()
}

/// A folder with all that is in it.
pub(super) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("it is writable");
    for file in fs::read_dir(from).expect("it is there").flatten() {
        let (from, to) = (file.path(), to.join(file.file_name()));
        match file.file_type().expect("it is there") {
            kind if kind.is_dir() => copy(&from, &to),
            kind if kind.is_file() => drop(fs::copy(from, to).expect("it is writable")),
            // The socket of a host that has ended.
            _ => {}
        }
    }
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
pub(super) fn rounds(host: &Host, pid: &str) -> u64 {
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

/// Has the team go on for a round and come to its end, which is that of a team to which nothing happened; its rounds.
pub(super) fn ends_as_ever(host: &Host, pid: &str) -> u64 {
    let survived = host.until("rounds", |host| Some(rounds(host, pid)).filter(|rounds| *rounds > 0));
    host.until("one more round", |host| (rounds(host, pid) > survived).then_some(()));
    host.ask(&["cancel", pid]);
    let last = host.until("its outcome", |host| {
        texts(host, pid).pop().filter(|(_, text)| text.contains("rounds")).map(|(_, text)| text)
    });
    let [done, sum, notes, paid] = numbers(&last)[..] else { panic!("it says four numbers: {last}") };
    let squares = done * (done + 1) * (2 * done + 1) / 6;
    assert_eq!((sum, notes), (WORKERS * squares, WORKERS * squares), "{last}");
    // It waits, and its workers have ended: what it was given is what is left and what was spent.
    let boss = host.json(&["inspect", pid]);
    let micro = |value: &Value| value.as_u64().expect("it is an amount");
    let own = micro(&boss["ledger"]["paid_micro_tokens"]) + micro(&boss["remaining_micro_tokens"]);
    assert_eq!(own + paid, micro(&boss["funds_micro_tokens"]), "tokens were made or lost: {boss}");
    assert_eq!(host.json(&["ps"])["processes"].as_array().map(Vec::len), Some(1), "its workers have ended");
    done
}
