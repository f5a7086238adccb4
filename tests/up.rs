//! `remit up` and the commands that ask it, as an operator meets them.

mod audit;
mod author;
mod caps;
mod consolidation;
mod deployments;
mod durable;
mod examples;
mod history;
mod identities;
mod inbox;
mod memory;
mod metrics;
mod packages;
mod processes;
mod recall;
mod relay;
mod routes;
mod snapshots;
mod soak;
mod socket;
mod stage;
mod tools;
mod upgrade;

use stage::{Host, program};
use std::{
    os::unix::fs::MetadataExt,
    process::{Command, Stdio},
};

#[test]
fn a_host_is_alone_on_its_folder_and_its_socket_is_its_owners() {
    let host = Host::up();
    let mode = |path: &std::path::Path| std::fs::metadata(path).expect("it is there").mode() & 0o777;
    assert_eq!(mode(&host.socket()), 0o600);
    assert_eq!(mode(host.socket().parent().expect("it has a folder")), 0o700);
    let second = host.remit(&["up"]);
    assert_eq!((second.code, second.stderr.lines().count()), (7, 1), "{}", second.stderr);
    assert!(second.stderr.contains(&host.system_pid().to_string()), "{}", second.stderr);
    assert!(host.ask(&["status"]).contains("is well"), "the first one does not notice");
}

#[test]
fn without_a_host_commands_say_how_to_start_one() {
    let host = Host::up();
    host.signal("TERM");
    let (status, home) = host.ended();
    assert!(status.success());
    for arguments in [["ps"].as_slice(), &["kill", "0.0.1"], &["caps", "tree"], &["run", "--detach", "x"]] {
        let ran = Command::new(crate::stage::made("REMIT_TEST_CLI"))
            .args(arguments)
            .env("REMIT_HOME", home.path())
            .output()
            .expect("the program is built");
        let stderr = String::from_utf8_lossy(&ran.stderr);
        assert_eq!(ran.status.code(), Some(7), "{stderr}");
        assert!(stderr.contains("no host is running: start one with `remit up`"), "{stderr}");
    }
}

#[test]
fn a_run_on_a_host_is_like_a_run_without_one() {
    let host = Host::up();
    let check = |arguments: &[&str], code: i32| {
        let there = host.remit(&[&["run"], arguments].concat());
        let here = host.remit(&[&["run", "--local"], arguments].concat());
        assert_eq!(there.code, code, "{arguments:?}: {}", there.stderr);
        assert_eq!(
            (there.code, &there.stdout, &there.stderr),
            (here.code, &here.stdout, &here.stderr),
            "{arguments:?}"
        );
    };
    check(&[&program("echo"), "hello"], 0);
    check(&[&program("echo"), "hello", "-o", "json", "--tag", "secret"], 0);
    check(&[&program("echo")], 1);
    check(&["no-such-agent"], 2);
    check(&[&program("echo"), "x", "--grant", "vault"], 2);
    check(&[&program("echo"), "x", "--budget", "18446744073709551615"], 2);
    check(&[&program("spin"), "--budget", "1"], 4);
    check(&[&program("imports_http")], 5);
    check(&[&program("panics")], 6);
    check(&[&program("emits_much"), "--verbose"], 0);
    let prices = host.remit(&["run", &program("echo"), "x", "--prices", "prices.toml"]);
    assert_eq!(prices.code, 2, "{}", prices.stderr);
    assert!(prices.stderr.contains("--local"), "{}", prices.stderr);
    assert_eq!(host.ask(&["ps"]).lines().count(), 1, "nothing is left behind");
}

#[test]
fn an_interrupt_kills_what_a_run_started() {
    let host = Host::up();
    let mut run = host.beside(&["run", &program("chatter")]);
    run.lines_until("3");
    run.signal("INT");
    let ran = run.ended();
    assert_eq!(ran.code, 130, "{}", ran.stderr);
    host.until("the end", |host| (host.ask(&["ps"]).lines().count() == 1).then_some(()));
}

#[test]
fn a_crash_of_the_host_leaves_nothing_in_the_way_of_the_next() {
    let host = Host::up();
    let mut run = host.beside(&["run", &program("chatter")]);
    run.lines_until("3");
    host.signal("KILL");
    let ran = run.ended();
    assert_eq!(ran.code, 7, "{}", ran.stderr);
    assert!(ran.stderr.contains("the host"), "{}", ran.stderr);
    let (_, home) = host.ended();
    assert!(home.path().join("run/control.sock").exists(), "a crash leaves its socket behind");
    let next = Host::on(home, &[]);
    assert_eq!(next.ask(&["ps"]).lines().count(), 1);
}

#[test]
fn a_shutdown_asks_first_and_leaves_nothing_behind() {
    let host = Host::on(tempfile::tempdir().expect("a folder for the test"), &["--grace", "300ms"]);
    let mut polite = host.beside(&["run", &program("chatter")]);
    polite.lines_until("3");
    let stubborn = host.beside(&["run", &program("spin"), "--budget", "1000000"]);
    host.until("both", |host| (host.ask(&["ps"]).lines().count() == 3).then_some(()));
    let children = children(host.system_pid());
    host.signal("TERM");
    let (polite, stubborn) = (polite.ended(), stubborn.ended());
    assert_eq!(polite.code, 0, "{}", polite.stderr);
    assert!(polite.stdout.ends_with("asked to end\n"), "{}", polite.stdout);
    assert_eq!(stubborn.code, 6, "{}", stubborn.stderr);
    assert!(stubborn.stderr.contains("killed"), "{}", stubborn.stderr);
    let (status, home) = host.ended();
    assert!(status.success());
    assert!(!home.path().join("run/control.sock").exists());
    for child in children {
        assert!(!std::path::Path::new(&format!("/proc/{child}")).exists(), "the child {child} is left behind");
    }
}

/// What a process started, by the system's own list.
fn children(system_pid: u32) -> Vec<String> {
    let threads = std::fs::read_dir(format!("/proc/{system_pid}/task")).expect("it runs");
    let of = |thread: std::fs::DirEntry| std::fs::read_to_string(thread.path().join("children")).unwrap_or_default();
    threads.flatten().flat_map(|thread| of(thread).split_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect()
}

#[test]
fn a_host_that_is_asked_twice_does_not_wait() {
    let host = Host::on(tempfile::tempdir().expect("a folder for the test"), &["--grace", "1h"]);
    let stubborn = host.beside(&["run", &program("spin"), "--budget", "1000000"]);
    host.until("its start", |host| (host.ask(&["ps"]).lines().count() == 2).then_some(()));
    host.signal("TERM");
    host.until("its first word", |host| host.ask(&["status"]).contains("shutting down").then_some(()));
    let refused = host.remit(&["run", &program("echo"), "x"]);
    assert_eq!(refused.code, 7, "{}", refused.stderr);
    assert!(refused.stderr.contains("shutting down"), "{}", refused.stderr);
    host.signal("INT");
    assert_eq!(stubborn.ended().code, 6);
    assert!(host.ended().0.success());
}

#[test]
fn a_compilation_does_not_outlive_its_host() {
    let host = Host::up();
    let run = host.beside(&["run", &program("chatter")]);
    let child = host.until("a compiling child", |host| children(host.system_pid()).into_iter().next());
    host.signal("KILL");
    drop(run);
    let (_, _home) = host.ended();
    let gone = || {
        let state = std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
        state.rsplit(") ").next().is_none_or(|rest| rest.is_empty() || rest.starts_with(['Z', 'X']))
    };
    let deadline = std::time::Instant::now() + stage::PATIENCE;
    while !gone() {
        assert!(std::time::Instant::now() < deadline, "the child {child} is left behind");
        std::thread::yield_now();
    }
}

#[test]
fn the_schema_of_manifests_is_one_json_object() {
    let ran = Command::new(crate::stage::made("REMIT_TEST_CLI")).arg("manifest-schema").stdin(Stdio::null()).output();
    let schema: serde_json::Value =
        serde_json::from_slice(&ran.expect("the program is built").stdout).expect("it is JSON");
    assert!(schema["properties"]["wants"].is_object(), "{schema}");
}
