//! What processes were told, looked through by an operator: where that is on, without what is excluded, and never unseen.

use super::stage::{Host, program};
use serde_json::Value;
use std::{fs, path::PathBuf};
use tempfile::TempDir;

/// A host whose operator wrote these rules.
fn host(rules: &str) -> Host {
    let home = tempfile::tempdir().expect("a folder for the test");
    fs::write(home.path().join("recall.toml"), rules).expect("it is writable");
    Host::on(home, &[])
}

fn again(host: Host, rules: Option<&str>) -> Host {
    host.signal("KILL");
    let home: TempDir = host.ended().1;
    let file = home.path().join("recall.toml");
    match rules {
        Some(rules) => fs::write(file, rules).expect("it is writable"),
        None => fs::remove_file(file).expect("it is there"),
    }
    Host::on(home, &[])
}

const ALL: &str = "[tenant.0]\nkeep_days = 30\n";

/// Has a durable process be told something, and end.
fn tell(host: &Host, text: &str, more: &[&str]) -> String {
    let pid = host.ask(&[&["run", "--detach", &program("echo"), text], more].concat()).trim().to_owned();
    host.until("its end", |host| (host.ask(&["ps"]).lines().count() == 1).then_some(()));
    pid
}

fn found(host: &Host, arguments: &[&str]) -> Vec<Value> {
    let found = host.json(&[&["recall"], arguments].concat());
    found["texts"].as_array().expect("it is a list").clone()
}

fn excerpts(host: &Host, arguments: &[&str]) -> Vec<String> {
    let mut texts: Vec<String> =
        found(host, arguments).iter().map(|text| text["excerpt"].as_str().expect("it is a text").to_owned()).collect();
    texts.sort();
    texts
}

fn index(host: &Host) -> PathBuf {
    host.home().path().join("journal/recall/0.sqlite")
}

#[test]
fn it_is_off_until_the_operator_says_otherwise_and_off_again_when_they_do() {
    let home = tempfile::tempdir().expect("a folder for the test");
    let host = Host::on(home, &[]);
    tell(&host, "the red kettle", &[]);
    let refused = host.remit(&["recall", "kettle"]);
    assert!(refused.code == 2 && refused.stderr.contains("recall.toml"), "{refused:?}");
    assert_eq!(refused.stderr.lines().count(), 1, "{refused:?}");
    assert!(!index(&host).exists());
    fs::write(host.home().path().join("recall.toml"), ALL).expect("it is writable");
    let host = again(host, Some(ALL));
    assert_eq!(excerpts(&host, &["kettles"]), ["the red kettle"], "what was told before is found too");
    assert!(index(&host).exists());
    let host = again(host, None);
    assert!(!index(&host).exists());
    assert_eq!(host.remit(&["recall", "kettle"]).code, 2);
}

#[test]
fn what_was_told_is_found_over_crashes_and_says_where_it_is_from() {
    let host = host(ALL);
    let one = tell(&host, "the red kettle sings", &[]);
    let two = tell(&host, "the blue kettle whistles", &["--tag", "home"]);
    assert_eq!(excerpts(&host, &["kettle"]), ["the blue kettle whistles", "the red kettle sings"]);
    let host = again(host, Some(ALL));
    let text = &found(&host, &["whistling", "--pid", &two])[0];
    assert_eq!((text["from"].as_str(), text["pid"].as_str()), (Some("task"), Some(two.as_str())));
    assert_eq!(text["label"]["tags"][0], "home");
    assert_eq!(excerpts(&host, &["kettle", "--pid", &one]), ["the red kettle sings"]);
    assert!(excerpts(&host, &["kettle", "--since", "0s"]).is_empty());
    assert_eq!(excerpts(&host, &["kettle", "--since", "1h", "--limit", "1"]).len(), 1);
    let shown = host.ask(&["recall", "red"]);
    assert!(shown.contains("the red kettle sings") && shown.contains(&one) && shown.contains("from a task"), "{shown}");
    assert!(host.ask(&["recall", "marmot"]).contains("nothing that is kept"));
    let refused = host.remit(&["recall", "?!"]);
    assert!(refused.code == 2 && refused.stderr.contains("no word"), "{refused:?}");
    assert_eq!(host.remit(&["recall", "kettle", "--tenant", "7"]).code, 2);
}

#[test]
fn what_is_excluded_is_not_found_and_who_looked_is_in_the_audit() {
    let host = host("[tenant.0]\nkeep_days = 30\nexclude = [\"medical\"]\n");
    tell(&host, "kettle of the kitchen", &[]);
    tell(&host, "kettle of the hospital", &["--tag", "medical"]);
    assert_eq!(excerpts(&host, &["kettle", "--as", "ann"]), ["kettle of the kitchen"]);
    let file = host.home().path().join("audit");
    let file = file.to_str().expect("it is text");
    host.ask(&["audit", "export", file]);
    let told = host.ask(&["audit", "verify", file]);
    assert!(told.contains("ann (uid ") && told.contains("1 times, and was shown 1 texts"), "{told}");
    assert!(!fs::read_to_string(file).expect("it is there").contains("kettle"), "{told}");
}

#[test]
fn what_is_erased_is_found_no_more() {
    let host = host(ALL);
    tell(&host, "the red kettle", &[]);
    assert_eq!(excerpts(&host, &["kettle"]).len(), 1);
    host.ask(&["erase", "--tenant", "0"]);
    assert!(!index(&host).exists());
    assert!(excerpts(&host, &["kettle"]).is_empty());
    tell(&host, "another kettle", &[]);
    assert_eq!(excerpts(&host, &["kettle"]), ["another kettle"]);
}

#[test]
fn rules_that_cannot_be_read_are_one_sentence() {
    let home = tempfile::tempdir().expect("a folder for the test");
    fs::write(home.path().join("recall.toml"), "[tenant.0]\nkeep = 3\n").expect("it is writable");
    let refused = super::stage::remit_on(&home, &["up"]);
    assert!(refused.code != 0 && refused.stderr.contains("recall.toml"), "{refused:?}");
    assert_eq!(refused.stderr.lines().count(), 1, "{refused:?}");
}
