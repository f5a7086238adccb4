//! Processes that outlive their host: it is killed or stopped, another one starts on its folder, and they go on where they were.

use super::stage::{Host, program};
use serde_json::Value;
use tempfile::TempDir;

/// What a process showed and is still known, oldest first: the numbers of the events, and their texts.
fn shown(host: &Host, pid: &str) -> Vec<(u64, String)> {
    let lines = host.ask(&["logs", pid, "--json"]);
    let events = lines.lines().map(|line| serde_json::from_str::<Value>(line).expect("each line is JSON"));
    let event = |event: Value| {
        let text = event["text"].as_str().expect("it says texts").trim().to_owned();
        (event["number"].as_u64().expect("events are numbered"), text)
    };
    events.map(event).collect()
}

/// Ends the host with a signal, without a word to anybody.
fn ended_by(host: Host, signal: &str) -> TempDir {
    host.signal(signal);
    host.ended().1
}

/// What detached tasks came to: pid, package and end of each, latest first.
fn results(host: &Host) -> Vec<(String, String, String)> {
    let listed = host.json(&["results"])["results"].as_array().cloned().expect("it is a list");
    let text = |value: &Value| value.as_str().expect("it is a text").to_owned();
    listed.iter().map(|result| (text(&result["pid"]), text(&result["package"]), text(&result["status"]))).collect()
}

fn pids(host: &Host) -> Vec<String> {
    let listed = host.json(&["ps"])["processes"].as_array().cloned().unwrap_or_default();
    listed.iter().map(|process| process["pid"].as_str().expect("each has a pid").to_owned()).collect()
}

/// Waits until the chatter has shown so many events that are still known; it says their numbers, without a gap.
fn says_on(host: &Host, pid: &str, events: u64) -> u64 {
    host.until("more of it", |host| {
        let shown = shown(host, pid);
        assert!(shown.iter().all(|(number, text)| *text == number.to_string()), "{shown:?}");
        shown.last().map(|(last, _)| *last).filter(|last| *last >= events)
    })
}

#[test]
fn a_process_goes_on_where_it_was_however_its_host_ended() {
    let host = Host::up();
    let (pid, gone) = (host.detach("chatter", &[]), host.ask(&["run", "--detach", "--ephemeral", &program("chatter")]));
    let mut last = says_on(&host, &pid, 3);
    assert!(host.ask(&["inspect", &pid]).contains("durable"));
    assert!(host.ask(&["inspect", gone.trim()]).contains("ephemeral"));
    let mut home = ended_by(host, "KILL");
    for signal in ["KILL", "TERM", "KILL"] {
        let host = Host::on(home, &[]);
        assert_eq!(pids(&host), [pid.as_str()], "the one that kept no journal ended with its host");
        last = says_on(&host, &pid, last + 5);
        home = ended_by(host, signal);
    }
    let host = Host::on(home, &[]);
    host.ask(&["cancel", &pid]);
    host.until("its end", |host| pids(host).is_empty().then_some(()));
    let host = Host::on(ended_by(host, "KILL"), &[]);
    assert!(pids(&host).is_empty(), "what has ended stays ended");
}

#[test]
fn what_was_suspended_stays_so_and_a_process_without_its_component_is_parked() {
    let host = Host::up();
    let (held, lost) = (host.detach("chatter", &[]), host.detach("sleeper", &["3600000"]));
    let last = says_on(&host, &held, 3);
    host.ask(&["suspend", &held]);
    let digest = host.json(&["inspect", &lost])["digest"].as_str().expect("it has one").to_owned();
    let home = ended_by(host, "KILL");
    std::fs::remove_file(home.path().join("components").join(format!("{digest}.wasm"))).expect("it was kept there");
    let host = Host::on(home, &[]);
    let state = |pid: &str| host.json(&["inspect", pid])["state"].as_str().expect("it has one").to_owned();
    assert_eq!([state(&held), state(&lost)], ["suspended", "parked"]);
    assert!(host.ask(&["inspect", &lost]).contains("its package cannot be loaded again"));
    host.ask(&["resume", &held]);
    says_on(&host, &held, last + 5);
    host.ask(&["kill", &lost]);
    host.until("the end of one", |host| (pids(host) == [held.as_str()]).then_some(()));
}

#[test]
fn who_waits_for_long_leaves_memory_and_comes_back() {
    let patient = ["--patience", "50ms"];
    let host = Host::on(tempfile::tempdir().expect("a folder for the test"), &patient);
    let (long, short) = (host.detach("sleeper", &["3600000"]), host.detach("sleeper", &["2000"]));
    let is_asleep = |host: &Host, pid: &str| {
        let found = host.remit(&["inspect", pid, "--json"]);
        (found.code == 0 && found.stdout.contains("asleep")).then_some(())
    };
    host.until("the sleep of one", |host| is_asleep(host, &short));
    host.until("the end of one that slept", |host| (pids(host) == [long.as_str()]).then_some(()));
    host.until("the sleep of the other", |host| is_asleep(host, &long));
    let host = Host::on(ended_by(host, "KILL"), &patient);
    host.until("its sleep on another host", |host| is_asleep(host, &long));
    host.ask(&["kill", &long]);
    host.until("its end", |host| pids(host).is_empty().then_some(()));
}

#[test]
fn what_a_detached_task_came_to_is_there_until_it_is_dropped() {
    let host = Host::up();
    let ended = |host: &Host| pids(host).is_empty().then_some(());
    let (echo, dies) = (host.detach("echo", &["hello"]), host.detach("panics", &[]));
    host.ask(&["run", "--detach", "--ephemeral", &program("echo"), "gone"]);
    host.until("their ends", ended);
    let host = Host::on(ended_by(host, "KILL"), &[]);
    let of = |pid: &str, end: &str| results(&host).into_iter().find(|result| result.0 == pid && result.2 == end);
    assert!(of(&echo, "complete").is_some_and(|result| result.1 == "echo"), "{:?}", results(&host));
    assert!(of(&dies, "faulted").is_some() && results(&host).len() == 2, "{:?}", results(&host));
    assert_eq!(host.ask(&["results", "show", &echo]).trim(), "hello");
    let shown = host.remit(&["results", "show", &dies]);
    assert!(shown.code != 0 && shown.stderr.contains("crashed"), "{shown:?}");
    assert!(host.ask(&["results"]).contains("complete"));
    host.ask(&["results", "drop", &dies]);
    let again = host.remit(&["results", "drop", &dies]);
    assert!(again.code == 2 && again.stderr.contains("there is no result"), "{again:?}");
    let host = Host::on(ended_by(host, "TERM"), &[]);
    assert_eq!(results(&host).into_iter().map(|result| result.0).collect::<Vec<_>>(), [echo.as_str()]);
    host.ask(&["forget", "--older-than", "0s"]);
    assert_eq!(host.ask(&["results"]), "no detached task has ended whose result is kept\n");
}
