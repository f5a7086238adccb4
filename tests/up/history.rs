//! Looking back: a process is run again from its log, compared, taken to a file, and forked.

use super::stage::{Host, Ran, program, remit_on};
use serde_json::Value;
use std::fs;

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect()
}

/// The entries of the steps at which a process showed something.
fn emits(steps: &[Value]) -> Vec<u64> {
    let emits = steps.iter().filter(|step| step["interface"] == "task");
    emits.map(|step| step["sequence"].as_u64().expect("it is in the log")).collect()
}

/// A run of `remit replay`: its steps, and how it ended.
fn replayed(ran: &Ran) -> (Vec<Value>, String) {
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let mut steps = lines(&ran.stdout);
    let end = steps.pop().expect("it says how it ended");
    (steps, end["state"].as_str().expect("it has a state").to_owned())
}

/// Waits until a process has shown so many texts, which are their own numbers.
fn shows(host: &Host, pid: &str, wanted: u64) -> u64 {
    host.until("more of it", |host| {
        let shown = lines(&host.ask(&["logs", pid, "--json"]));
        for event in &shown {
            let text = event["text"].as_str().expect("it says texts").trim();
            assert_eq!(event["number"].to_string(), text, "a gap, or something twice");
        }
        shown.last().and_then(|last| last["number"].as_u64()).filter(|last| *last >= wanted)
    })
}

#[test]
fn a_process_is_run_again_step_by_step_with_and_without_its_host() {
    let host = Host::up();
    let pid = host.detach("chatter", &[]);
    shows(&host, &pid, 4);
    let (steps, end) = replayed(&host.remit(&["replay", &pid, "--json"]));
    assert_eq!(end, "log-ends");
    let places = emits(&steps);
    assert!(places.len() >= 4 && places.is_sorted(), "{places:?}");
    let until = places[1].to_string();
    let (steps, end) = replayed(&host.remit(&["replay", &pid, "--until", &until, "--json"]));
    assert_eq!((emits(&steps), &*end), (places[..2].to_vec(), "until"));
    assert!(host.ask(&["replay", &pid]).contains("the log ends here"));
    host.signal("KILL");
    let (_, home) = host.ended();
    let (steps, _) = replayed(&remit_on(&home, &["replay", &pid, "--json"]));
    assert_eq!(emits(&steps)[..places.len()], places[..]);
    let unknown = remit_on(&home, &["replay", "0.99.1"]);
    assert_eq!(unknown.code, 2, "{}", unknown.stderr);
    assert!(unknown.stderr.contains("there is no log of process 0.99.1"), "{}", unknown.stderr);
}

#[test]
fn what_a_guest_prints_and_how_it_leaves_are_the_same_when_it_is_run_again() {
    let host = Host::up();
    let pid = host.detach("unarmed", &[]);
    let result = host.until("its end", |host| {
        let listed = host.json(&["results"])["results"].as_array().cloned().unwrap_or_default();
        listed.into_iter().find(|result| result["pid"] == *pid)
    });
    assert_eq!(result["status"], "faulted");
    for _ in 0..2 {
        let (steps, end) = replayed(&host.remit(&["replay", &pid, "--all", "--json"]));
        assert_eq!(end, "ended");
        let mut printed = steps.iter().filter(|step| step["interface"] == "trace");
        let line = printed.next().expect("it printed a line");
        assert!(line["request"].to_string().contains("the socket is denied"), "{line}");
        assert!(printed.next().is_none(), "it printed one");
    }
}

#[test]
fn a_recording_is_compared_and_one_that_was_changed_is_refused() {
    let host = Host::up();
    let pid = host.detach("chatter", &[]);
    shows(&host, &pid, 3);
    let folder = tempfile::tempdir().expect("a folder for the test");
    let file = folder.path().join("chatter.remit").display().to_string();
    host.ask(&["export", &pid, &file]);
    let again = host.remit(&["export", &pid, &file]);
    assert_eq!(again.code, 7, "a file that is there is not overwritten: {}", again.stderr);
    let (steps, _) = replayed(&host.remit(&["replay", &file, "--json"]));
    let shown = emits(&steps).len() as u64;
    shows(&host, &pid, shown + 3);
    assert!(host.ask(&["diff", &file, &file]).contains("they ask the same"));
    let parted = host.remit(&["diff", &file, &pid]);
    assert_eq!(parted.code, 1, "{}", parted.stderr);
    assert!(parted.stdout.contains("it asked nothing more"), "{}", parted.stdout);
    let mut bytes = fs::read(&file).expect("it was written");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&file, bytes).expect("it can be written");
    let damaged = host.remit(&["replay", &file]);
    assert_eq!(damaged.code, 2);
    assert!(damaged.stderr.contains("it is damaged"), "{}", damaged.stderr);
}

#[test]
fn a_fork_and_an_import_go_on_where_the_first_one_was_and_outlive_their_host() {
    let host = Host::up();
    let pid = host.detach("chatter", &[]);
    let last = shows(&host, &pid, 6);
    let (steps, _) = replayed(&host.remit(&["replay", &pid, "--json"]));
    let at = emits(&steps)[2].to_string();
    let forked = host.ask(&["fork", &pid, "--at", &at]).trim().to_owned();
    let folder = tempfile::tempdir().expect("a folder for the test");
    let file = folder.path().join("chatter.remit").display().to_string();
    host.ask(&["export", &pid, &file]);
    let imported = host.ask(&["import", &file, "--agent", &program("chatter")]).trim().to_owned();
    assert!(forked != pid && imported != pid && forked != imported);
    // Both say what the first one said, and then what it would.
    shows(&host, &forked, 5);
    shows(&host, &imported, last + 2);
    let parted = host.remit(&["diff", &pid, &forked]);
    assert!(parted.stdout.contains("questions"), "{}", parted.stdout);
    host.signal("KILL");
    let host = Host::on(host.ended().1, &[]);
    for pid in [&pid, &forked, &imported] {
        let last = shows(&host, pid, 1);
        shows(&host, pid, last + 2);
    }
    host.ask(&["kill", &pid]);
    host.until("its end", |host| host.remit(&["inspect", &pid]).code.ne(&0).then_some(()));
    let refused = host.remit(&["fork", &pid]);
    assert_eq!(refused.code, 2, "{}", refused.stderr);
    assert!(refused.stderr.contains("name the agent"), "{}", refused.stderr);
    let again = host.ask(&["fork", &pid, "--at", &at, "--agent", &program("chatter")]).trim().to_owned();
    shows(&host, &again, 5);
}
