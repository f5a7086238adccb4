//! The examples that go out with the program: each is in effect as it stands, once its lines are switched on.

use super::stage::Host;
use std::{fs, path::Path};

/// A file of a data folder, with its example switched on: lines that begin with a `#` and no blank.
fn example(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../runtime/cli/share").join(file);
    let text = fs::read_to_string(&path).expect("it is in the source");
    let line = |line: &str| match line.strip_prefix('#') {
        Some(on) if !on.starts_with(' ') => on.to_owned(),
        _ => line.to_owned(),
    };
    text.lines().map(|one| line(one) + "\n").collect()
}

#[test]
fn a_host_takes_the_examples_of_a_data_folder() {
    let home = tempfile::tempdir().expect("a folder for the test");
    for file in ["recall.toml", "registries.toml", "routes.toml", "trust.toml"] {
        fs::write(home.path().join(file), example(file)).expect("it is writable");
    }
    let host = Host::on(home, &[]);
    let policy = host.ask(&["trust", "check"]);
    assert!(policy.contains("packages clerk, post-* need 1 signatures of alice: up to 5000 tokens"), "{policy}");
    assert!(host.ask(&["routes", "ls"]).contains("assist"));
    assert_eq!(host.json(&["recall", "nothing"])["texts"].as_array().map(Vec::len), Some(0));
    // Its name leads nowhere, which is found out after the list is read.
    let refused = host.remit(&["pull", "registry.internal:5000/team/clerk:1"]);
    assert!(refused.code != 0 && !refused.stderr.contains("registries.toml"), "{refused:?}");
}
