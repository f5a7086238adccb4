//! What runs, and what is done to it.

use super::stage::{Host, program};
use serde_json::Value;
use std::fs;

/// Numbers of the events that a process showed last, and the numbers that the chatter said in them.
fn said(host: &Host, pid: &str) -> Vec<(u64, u64)> {
    let lines = host.ask(&["logs", pid, "--json"]);
    let events = lines.lines().map(|line| serde_json::from_str::<Value>(line).expect("each line is JSON"));
    let number = |event: Value| {
        let said = event["text"].as_str().and_then(|text| text.trim().parse().ok()).expect("it says numbers");
        (event["number"].as_u64().expect("events are numbered"), said)
    };
    events.map(number).collect()
}

fn state(host: &Host, pid: &str) -> String {
    host.json(&["inspect", pid])["state"].as_str().expect("it has one").to_owned()
}

#[test]
fn a_detached_task_is_listed_inspected_read_and_killed() {
    let host = Host::up();
    let pid = host.detach("chatter", &[]);
    let mut logs = host.beside(&["logs", &pid, "--follow"]);
    assert_eq!(logs.lines_until("3"), ["1", "2", "3"]);
    let ps = host.ask(&["ps"]);
    let [heading, line] = ps.lines().collect::<Vec<_>>()[..] else { panic!("{ps}") };
    assert_eq!(
        heading.split_whitespace().collect::<Vec<_>>(),
        ["PID", "PACKAGE", "STATE", "KEPT", "PARENT", "LABEL", "MESSAGES", "SPENT", "LEFT", "AGE"]
    );
    assert!(line.starts_with(&pid) && line.contains("chatter") && line.contains(" trusted "), "{line}");
    let listed = &host.json(&["ps"])["processes"][0];
    assert_eq!(listed["pid"], *pid);
    assert!(listed["ledger"]["paid_micro_tokens"].as_u64().is_some_and(|paid| paid > 0), "{listed}");
    let inspected = host.ask(&["inspect", &pid]);
    for fact in [&*pid, "sha256", "the operator", "trusted", "100 tokens"] {
        assert!(inspected.contains(fact), "{fact}: {inspected}");
    }
    let top = host.ask(&["top", "--sort", "fuel"]);
    assert!(top.starts_with("1 processes") && top.contains(&pid), "{top}");
    assert_eq!(host.ask(&["kill", &pid]), format!("{pid} was killed\n"));
    let rest = logs.ended();
    assert_eq!(rest.code, 0, "the log ends with its process: {}", rest.stderr);
    for arguments in [["logs", &*pid], ["inspect", &pid], ["kill", &pid], ["suspend", &pid], ["cancel", &pid]] {
        let ran = host.remit(&arguments);
        assert_eq!(ran.code, 2, "{arguments:?}: {}", ran.stderr);
        assert!(ran.stderr.contains("no such process"), "{arguments:?}: {}", ran.stderr);
    }
    assert_eq!(host.remit(&["kill", "everything"]).code, 2);
}

#[test]
fn a_task_ends_with_its_client_unless_it_was_detached() {
    let host = Host::up();
    let detached = host.detach("chatter", &[]);
    let mut run = host.beside(&["run", &program("chatter")]);
    run.lines_until("3");
    assert_eq!(host.json(&["ps"])["processes"].as_array().map(Vec::len), Some(2));
    run.signal("KILL");
    let left = host.until("the end", |host| {
        let listed = host.json(&["ps"])["processes"].as_array().cloned().unwrap_or_default();
        (listed.len() == 1).then_some(listed)
    });
    assert_eq!(left[0]["pid"], *detached);
    let before = said(&host, &detached).len();
    host.until("more of it", |host| (said(host, &detached).len() > before).then_some(()));
}

#[test]
fn what_is_frozen_shows_nothing_and_goes_on_where_it_was() {
    let host = Host::up();
    let pid = host.detach("chatter", &[]);
    let mut logs = host.beside(&["logs", &pid, "--follow"]);
    logs.lines_until("3");
    let other = host.detach("sleeper", &["3600000"]);
    assert!(host.ask(&["freeze", "--package", "chatter"]).starts_with("1 processes"));
    // The same program under another name says some numbers more meanwhile: that is how long one waits.
    let talker = host.home().path().join("talker.wasm");
    fs::copy(program("chatter"), &talker).expect("it is built");
    let witness = host.ask(&["run", "--detach", &talker.display().to_string()]).trim().to_owned();
    let mut numbers = host.beside(&["logs", &witness, "--follow"]);
    numbers.lines_until("10");
    let frozen = said(&host, &pid);
    numbers.lines_until("40");
    assert_eq!(said(&host, &pid), frozen, "a frozen process says nothing");
    assert_eq!((state(&host, &pid).as_str(), state(&host, &other).as_str()), ("frozen", "waiting"));
    assert_eq!(host.ask(&["frozen"]), "package chatter\n");
    let refused = host.remit(&["run", &program("chatter")]);
    assert_eq!(refused.code, 2, "{}", refused.stderr);
    assert!(refused.stderr.contains("frozen"), "{}", refused.stderr);
    assert!(host.ask(&["thaw", "--package", "chatter"]).starts_with("1 processes"));
    let (_, last) = *frozen.last().expect("it said something");
    let numbers = logs.lines_until(&(last + 3).to_string());
    let tail: Vec<String> = (last..=last + 3).map(|number| number.to_string()).collect();
    assert!(numbers.ends_with(&tail), "it goes on with the next number: {numbers:?}");
    assert_eq!(host.ask(&["frozen"]), "");
    assert_eq!(host.remit(&["freeze"]).code, 2, "what to freeze must be said");
}

#[test]
fn what_is_suspended_goes_on_when_it_is_resumed() {
    let host = Host::up();
    let pid = host.detach("chatter", &[]);
    let mut logs = host.beside(&["logs", &pid, "--follow"]);
    logs.lines_until("3");
    host.ask(&["suspend", &pid]);
    assert_eq!(state(&host, &pid), "suspended");
    host.ask(&["resume", &pid]);
    let (_, last) = *said(&host, &pid).last().expect("it said something");
    logs.lines_until(&(last + 3).to_string());
    host.ask(&["cancel", &pid]);
    logs.lines_until("asked to end");
    assert_eq!(logs.ended().code, 0);
}

#[test]
fn children_stand_below_those_who_started_them_and_end_with_them() {
    let host = Host::up();
    let workers = "[[wants.processes]]\nlabel = \"workers\"\nagents = [\"chatter\"]\n";
    for (name, wants) in [("spawner", workers), ("chatter", "")] {
        let folder = host.home().path().join("agents").join(name);
        fs::create_dir_all(&folder).expect("it is writable");
        fs::copy(program(name), folder.join("it.wasm")).expect("it is built");
        let manifest = format!("name = \"{name}\"\nversion = \"0.1.0\"\ncomponent = \"it.wasm\"\n{wants}");
        fs::write(folder.join("remit.toml"), manifest).expect("it is writable");
    }
    let parent = host.ask(&["run", "--detach", "spawner", "chatter 1"]).trim().to_owned();
    let ps = host.until("the child", |host| Some(host.ask(&["ps"])).filter(|ps| ps.lines().count() == 3));
    let lines: Vec<&str> = ps.lines().collect();
    assert!(lines[1].starts_with(&parent) && lines[1].contains("spawner"), "{ps}");
    assert!(lines[2].starts_with("  ") && lines[2].contains("chatter") && lines[2].contains(&parent), "{ps}");
    assert!(host.ask(&["caps", "tree", &parent]).contains("workers"), "it asked for it");
    host.ask(&["kill", &parent]);
    assert_eq!(host.ask(&["ps"]).lines().count(), 1, "the child went with it");
}
