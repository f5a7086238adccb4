//! Deployments from a file to replicas, messages and runs: applied, upgraded with a share, rolled back, and gone on with after a crash.

use super::{
    packages::{Author, refused},
    stage::{Host, PATIENCE, Ran},
};
use serde_json::Value;
use std::{
    collections::BTreeSet,
    fs, thread,
    time::{Duration, Instant},
};

/// A host that takes what an author signed, and may grant mailboxes.
fn host_of(author: &Author) -> Host {
    let host = Host::up();
    author.trust(host.home().path());
    let policy = host.home().path().join("trust.toml");
    let grants = "[[packages.grants.mailboxes]]\nmailboxes = [\"*\"]\n";
    fs::write(&policy, fs::read_to_string(&policy).expect("it is there") + grants).expect("it is ours");
    host
}

fn install(author: &Author, host: &Host, name: &str, version: &str, serial: u64, rest: &str) {
    let file = author.build(name, version, rest);
    author.sign(&file, serial);
    host.ask(&["install", &file]);
}

/// Writes a file of one deployment, and applies it.
fn deploy(host: &Host, name: &str, package: &str, rest: &str) -> Ran {
    let file = host.home().path().join(format!("{name}.toml"));
    let text = format!("[[deployment]]\nname = \"{name}\"\npackage = \"{package}\"\n{rest}");
    fs::write(&file, text).expect("it is ours");
    host.remit(&["deploy", "-f", &file.display().to_string()])
}

#[track_caller]
fn deployed(host: &Host, name: &str, package: &str, rest: &str) -> String {
    let ran = deploy(host, name, package, rest);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    ran.stdout
}

fn shown(host: &Host, name: &str) -> Value {
    host.json(&["deploy", "show", name])
}

/// The replicas of a deployment that live, when there are so many of a revision and no other ones.
fn replicas(host: &Host, name: &str, revision: u64, count: usize) -> BTreeSet<String> {
    host.until("its replicas", |host| {
        let living = shown(host, name)["living"].as_array().cloned().expect("it is a list");
        let is_it = |replica: &Value| replica["revision"] == revision;
        let pids = living.iter().map(|replica| replica["pid"].as_str().expect("it has one").to_owned());
        (living.len() == count && living.iter().all(is_it)).then(|| pids.collect())
    })
}

/// Names of all processes that live.
fn names(host: &Host) -> BTreeSet<String> {
    let listed = host.json(&["ps"])["processes"].as_array().cloned().expect("it is a list");
    listed.iter().filter_map(|process| process["name"].as_str().map(str::to_owned)).collect()
}

#[test]
fn a_file_is_applied_once_and_what_is_different_in_it_is_shown() {
    let author = Author::new();
    let host = host_of(&author);
    let rest = "replicas = 2\n[deployment.restart]\nbackoff_ms = 100\n";
    refused(&deploy(&host, "talk", "chatter", rest), 2, "no package chatter is installed");
    install(&author, &host, "chatter", "1.0.0", 1, "");
    refused(&deploy(&host, "talk", "chatter", "replica = 2\n"), 2, "line 4: unknown field `replica`, expected one of");
    refused(&deploy(&host, "talk", "chatter", "grants = [\"chat\"]\n"), 2, "the agent asks for no grant \"chat\"");
    assert_eq!(deployed(&host, "talk", "chatter", rest), "talk is deployed\n");
    let first = replicas(&host, "talk", 1, 2);
    assert_eq!(deployed(&host, "talk", "chatter", rest), "talk is as the file says\n");
    assert_eq!(names(&host), BTreeSet::from(["talk#1.1".to_owned(), "talk#1.2".to_owned()]));
    refused(&host.remit(&["run", "--name", "talk#1.3", "chatter"]), 2, "is no name");

    // One that is killed has another one in its place.
    let killed = first.first().expect("there are two").clone();
    host.ask(&["kill", &killed]);
    let second = host.until("another one", |host| {
        let now = replicas(host, "talk", 1, 2);
        (!now.contains(&killed)).then_some(now)
    });
    assert_eq!(first.intersection(&second).count(), 1, "the other one stayed");

    // A crash changes nothing: the same ones go on.
    host.signal("KILL");
    let host = Host::on(host.ended().1, &[]);
    assert_eq!(replicas(&host, "talk", 1, 2), second);
    let told = deployed(&host, "talk", "chatter", &rest.replace("replicas = 2", "replicas = 1"));
    assert_eq!(told, "talk is changed:\n  replicas: 2 -> 1\n");
    assert!(second.is_superset(&replicas(&host, "talk", 1, 1)));
    assert!(host.ask(&["deploy", "ls"]).contains("chatter@1.0.0"));
    host.ask(&["deploy", "rm", "talk"]);
    host.until("their end", |host| names(host).is_empty().then_some(()));
    refused(&host.remit(&["deploy", "show", "talk"]), 2, "there is no deployment talk");
}

#[test]
fn messages_to_its_name_go_to_its_replicas_and_one_that_did_its_work_is_started_no_more() {
    let author = Author::new();
    let host = host_of(&author);
    install(&author, &host, "echo_server", "1.0.0", 1, "");
    let peer = "[[wants.mailboxes]]\nlabel = \"peer\"\nmailboxes = [\"desk\"]\n";
    install(&author, &host, "pinger", "1.0.0", 1, peer);
    let rest = "replicas = 2\ntask = \"2\"\n[deployment.restart]\npolicy = \"on-failure\"\nbackoff_ms = 100\n";
    deployed(&host, "desk", "echo_server", rest);
    replicas(&host, "desk", 1, 2);
    // Each of the two answers two, in turn, and ends.
    assert!(host.ask(&["run", "pinger", "4"]).contains("done"));
    host.until("both ends", |host| (shown(host, "desk")["ended"] == 2).then_some(()));
    host.signal("KILL");
    let host = Host::on(host.ended().1, &[]);
    let deployment = shown(&host, "desk");
    assert_eq!((&deployment["ended"], deployment["living"].as_array().map(Vec::len)), (&2.into(), Some(0)));
}

#[test]
fn a_version_that_asks_for_more_is_refused_and_a_share_is_tried_promoted_and_taken_back() {
    let author = Author::new();
    let host = host_of(&author);
    install(&author, &host, "chatter", "1.0.0", 1, "");
    deployed(&host, "talk", "chatter", "replicas = 1\n[deployment.restart]\nbackoff_ms = 100\n");
    let stable = replicas(&host, "talk", 1, 1);
    let peer = "[[wants.mailboxes]]\nlabel = \"peer\"\nmailboxes = [\"desk\"]\n";
    install(&author, &host, "chatter", "1.1.0", 2, peer);
    install(&author, &host, "chatter", "1.2.0", 3, "");
    assert_eq!(shown(&host, "talk")["stable"]["package"], "chatter@1.0.0", "the name means another one by now");
    let ran = host.remit(&["upgrade", "talk@1.1.0"]);
    refused(&ran, 5, "chatter@1.1.0 asks for more than chatter@1.0.0, which runs: the want \"peer\"");
    refused(&host.remit(&["upgrade", "talk@9.0.0"]), 2, "no package chatter@9.0.0 is installed");
    refused(&host.remit(&["upgrade", "talk@1.0.0"]), 2, "is what everything goes to already");
    refused(&host.remit(&["upgrade", "talk", "--promote"]), 2, "no version is tried");
    refused(&host.remit(&["upgrade", "talk@1.2.0", "--canary", "100"]), 2, "100");

    host.ask(&["upgrade", "talk@1.2.0", "--canary", "50"]);
    host.until("one of each", |host| {
        (names(host) == BTreeSet::from(["talk#1.1".to_owned(), "talk#2.1".to_owned()])).then_some(())
    });
    for _ in 0..4 {
        host.ask(&["deploy", "run", "talk", ""]);
    }
    let runs: BTreeSet<_> = names(&host).into_iter().filter(|name| name.contains('!')).collect();
    assert_eq!(runs, ["talk!1.run0", "talk!1.run2", "talk!2.run1", "talk!2.run3"].map(str::to_owned).into());

    // What is tried is tried also behind a crash, and becomes everybody's.
    host.signal("KILL");
    let host = Host::on(host.ended().1, &[]);
    assert_eq!((&shown(&host, "talk")["percent"], &shown(&host, "talk")["runs"]), (&50.into(), &4.into()));
    host.ask(&["upgrade", "talk", "--promote"]);
    let promoted = replicas(&host, "talk", 2, 1);
    assert!(promoted.is_disjoint(&stable));
    assert!(host.ask(&["rollback", "talk"]).contains("everything goes to chatter@1.0.0 instead of chatter@1.2.0"));
    replicas(&host, "talk", 1, 1);
    host.ask(&["upgrade", "talk@1.1.0", "--allow-wider"]);
    replicas(&host, "talk", 3, 1);

    // Who stands behind it no more is not gone back to.
    host.ask(&["packages", "revoke", "chatter@1.0.0"]);
    refused(&host.remit(&["rollback", "talk"]), 5, "revoked");
    assert_eq!(shown(&host, "talk")["stable"]["package"], "chatter@1.1.0");
}

#[test]
fn a_schedule_begins_a_run_once_also_where_the_host_crashes() {
    let author = Author::new();
    let host = host_of(&author);
    install(&author, &host, "sleeper", "1.0.0", 1, "");
    deployed(
        &host,
        "rest",
        "sleeper",
        "[[deployment.cron]]\nschedule = \"* * * * *\"\ntask = \"3600000\"\n[[deployment.cron]]\nschedule = \"0 0 29 2 *\"\ntask = \"x\"\n",
    );
    assert!(host.ask(&["deploy", "show", "rest"]).contains("0 0 29 2 * (next "));
    host.signal("KILL");
    let host = Host::on(host.ended().1, &[]);
    // A minute at most.
    let begun = Instant::now();
    let first = loop {
        if let Some(first) = names(&host).pop_first() {
            break first;
        }
        assert!(begun.elapsed() < 2 * PATIENCE, "nothing was begun");
        thread::sleep(Duration::from_millis(200));
    };
    assert!(first.starts_with("rest!1.cron0."), "{first}");
    host.signal("KILL");
    let host = Host::on(host.ended().1, &[]);
    let minute = |name: &str| name.rsplit('.').next().and_then(|text| text.parse::<u64>().ok()).expect("it has one");
    let all = names(&host);
    assert!(all.contains(&first) && all.iter().all(|name| minute(name) >= minute(&first)), "{all:?}");
    assert_eq!(host.json(&["ps"])["processes"].as_array().map(Vec::len), Some(all.len()), "none is there twice");
}
