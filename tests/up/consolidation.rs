//! Consolidation by the host: by hand, as a plan, taken back, and by itself when nothing else happens. There is no model: what is there
//! word by word twice is merged all the same.

use super::stage::Host;
use crate::stage::made;
use std::fs;

/// A host on which the agent is installed.
fn host(options: &[&str]) -> Host {
    let home = tempfile::tempdir().expect("a folder for the test");
    let agent = home.path().join("agents/consolidator");
    fs::create_dir_all(&agent).expect("it is writable");
    for file in ["remit.toml", "consolidator.wasm"] {
        let from = made("REMIT_TEST_AGENTS").join("consolidator").join(file);
        fs::copy(from, agent.join(file)).expect("the set-up built it");
    }
    Host::on(home, options)
}

/// Three notes, of which two say the same.
fn note(host: &Host) {
    for text in ["the boat is red", "the lamp is lit", "the boat is red"] {
        host.ask(&["memory", "put", "notes", text]);
    }
}

fn notes(host: &Host) -> Vec<String> {
    let listed = host.json(&["memory", "ls", "--store", "notes"]);
    let entries = listed["entries"].as_array().expect("it is a list").iter();
    entries.map(|entry| entry["content"]["text"].as_str().expect("it is a text").to_owned()).collect()
}

#[test]
fn by_hand_it_is_planned_done_and_taken_back() {
    let host = host(&[]);
    note(&host);
    let plan = host.ask(&["memory", "consolidate", "--store", "notes", "--dry-run"]);
    assert!(plan.starts_with("notes, untrusted:\n") && plan.contains("merge m3 into m1: the boat is red"), "{plan}");
    assert_eq!(notes(&host).len(), 3);
    let done = host.ask(&["memory", "consolidate", "--store", "notes"]);
    assert!(done.contains("1 duplicates merged into 1 entries"), "{done}");
    assert_eq!(notes(&host), ["the boat is red", "the lamp is lit"]);
    let run = done.split("run ").nth(1).and_then(|rest| rest.split(':').next()).expect("it names the run");
    let undone = host.ask(&["memory", "consolidate", "--undo", run]);
    assert!(undone.contains("2 entries are as they were"), "{undone}");
    assert_eq!(notes(&host), ["the boat is red", "the lamp is lit", "the boat is red"]);
    let again = host.ask(&["memory", "consolidate", "--store", "notes"]);
    assert!(again.contains("nothing to do"), "what was taken back is not done again: {again}");
}

#[test]
fn by_itself_it_is_done_when_nothing_else_happens() {
    let host = host(&["--consolidate", "notes", "--consolidate-after", "1s"]);
    note(&host);
    host.until("it is merged", |host| (notes(host).len() == 2).then_some(()));
    // Those that the host names are the ones that are meant where none is.
    let again = host.ask(&["memory", "consolidate"]);
    assert!(again.contains("nothing to do"), "{again}");
}
