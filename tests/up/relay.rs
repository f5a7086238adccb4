//! The team of the program `relay`, whose outcome does not depend on who is faster, on a host that may end at any moment.

use super::stage::{Host, program};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

const WORKERS: u64 = 3;

/// A tool that writes down under which key it was called, and with what.
const RECORD: &str = "echo \"$REMIT_IDEMPOTENCY_KEY $(cat)\" >> \"$(dirname \"$0\")/$1\"\n";

const MANIFEST: &str = "\
    name = \"relay\"\nversion = \"0.1.0\"\ncomponent = \"it.wasm\"\n\
    [[wants.processes]]\nlabel = \"workers\"\nagents = [\"relay\"]\n\
    [[wants.tools]]\nlabel = \"once\"\ntools = [\"once\"]\naccess = \"read-write\"\n\
    [[wants.tools]]\nlabel = \"keyed\"\ntools = [\"keyed\"]\naccess = \"read-write\"\n\
    [budget]\ntokens = 10000000\n";

/// Puts the program into a data folder, as an agent that may start others of its kind and have tools act.
pub(super) fn install(home: &Path) {
    let folder = home.join("agents/relay");
    fs::create_dir_all(&folder).expect("it is writable");
    fs::copy(program("relay"), folder.join("it.wasm")).expect("it is built");
    fs::write(folder.join("remit.toml"), MANIFEST).expect("it is writable");
    install_tools(home);
}

/// Puts its tools there.
pub(super) fn install_tools(home: &Path) {
    fs::create_dir_all(home.join("tools")).expect("it is writable");
    fs::write(home.join("tools/record.sh"), RECORD).expect("it is writable");
    let declared = |tool: &str| {
        let script = home.join("tools/record.sh");
        format!(
            "[tool.{tool}]\ndescription = \"Acts.\"\ncommand = [\"/bin/sh\", \"{}\", \"{tool}\"]\neffect = \"{tool}\"\n",
            script.display()
        )
    };
    fs::write(home.join("tools.toml"), ["once", "keyed"].map(declared).concat()).expect("it is writable");
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
    let logs = host.remit(&["logs", pid, "--json"]);
    assert_eq!(logs.code, 0, "{}; it came to {:?}", logs.stderr, host.remit(&["results", "show", pid]));
    logs.stdout.lines().map(text).collect()
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

/// What a tool wrote down: how often it was called with each arguments, under how many keys.
fn acts(host: &Host, tool: &str) -> Vec<(usize, usize)> {
    let written = fs::read_to_string(host.home().path().join("tools").join(tool)).unwrap_or_default();
    let mut calls = BTreeMap::<&str, Vec<&str>>::new();
    for line in written.lines() {
        let (key, arguments) = line.split_once(' ').expect("a key, and what it was called with");
        calls.entry(arguments).or_default().push(key);
    }
    let counted = |keys: Vec<&str>| (keys.len(), keys.iter().collect::<BTreeSet<_>>().len());
    calls.into_values().map(counted).collect()
}

/// What acts once acted once for each call, or not at all where its caller was told that this is not known; what takes a key acted for each
/// call, and never under another key.
fn acted_as_promised(host: &Host, calls: u64, acted: u64, uncertain: u64) {
    let (once, keyed) = (acts(host, "once"), acts(host, "keyed"));
    assert!(once.iter().all(|act| *act == (1, 1)), "what acts once acted twice: {once:?}");
    assert!(keyed.iter().all(|(_, keys)| *keys == 1), "one call had several keys: {keyed:?}");
    let [once, keyed] = [once.len(), keyed.len()].map(|count| count as u64);
    assert_eq!((acted + uncertain, keyed), (2 * calls, calls), "a call was lost");
    assert!(
        (acted - calls..=calls).contains(&once),
        "{once} acts, where {acted} of {calls} calls of each tool were done and {uncertain} are uncertain"
    );
}

/// Has the team go on for a round and come to its end, which is that of a team to which nothing happened; its rounds.
pub(super) fn ends_as_ever(host: &Host, pid: &str) -> u64 {
    let survived = host.until("rounds", |host| Some(rounds(host, pid)).filter(|rounds| *rounds > 0));
    host.until("one more round", |host| (rounds(host, pid) > survived).then_some(()));
    host.ask(&["cancel", pid]);
    let last = host.until("its outcome", |host| {
        texts(host, pid).pop().filter(|(_, text)| text.contains("rounds")).map(|(_, text)| text)
    });
    let [done, sum, notes, paid, ref tools @ ..] = numbers(&last)[..] else { panic!("it says its sums: {last}") };
    let squares = done * (done + 1) * (2 * done + 1) / 6;
    assert_eq!((sum, notes), (WORKERS * squares, WORKERS * squares), "{last}");
    // Teams of older versions have none.
    if let [acted, uncertain] = *tools {
        acted_as_promised(host, WORKERS * done, acted, uncertain);
    }
    // It waits, and its workers have ended: what it was given is what is left and what was spent.
    let boss = host.json(&["inspect", pid]);
    let micro = |value: &Value| value.as_u64().expect("it is an amount");
    let own = micro(&boss["ledger"]["paid_micro_tokens"]) + micro(&boss["remaining_micro_tokens"]);
    assert_eq!(own + paid, micro(&boss["funds_micro_tokens"]), "tokens were made or lost: {boss}");
    assert_eq!(host.json(&["ps"])["processes"].as_array().map(Vec::len), Some(1), "its workers have ended");
    done
}
