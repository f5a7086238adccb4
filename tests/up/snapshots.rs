//! Keys and values that outlive their host: sealed in its folder, read by the next one instead of computed anew, and gone with their tenant.

use super::{
    metrics::value,
    stage::{Host, remit_on},
};
use crate::stage::made;
use std::{fs, path::Path};

const ROOM: [&str; 4] = ["--kv-snapshots", "1GB", "--device", "cpu"];
const RESTORED: &str = "remit_kv_blocks_restored_total{model=\"smollm2\"}";

/// Has a durable process of an agent be told something by a real model.
fn answered(host: &Host, prompt: &str) {
    let agent = made("REMIT_TEST_AGENTS").join("assistant").display().to_string();
    let pid = host.ask(&["run", "--detach", "--budget", "500", &agent, prompt]).trim().to_owned();
    host.until("its answer", |host| host.ask(&["results"]).contains(&pid).then_some(()));
}

fn files(folder: &Path) -> usize {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    entries.flatten().map(|entry| if entry.path().is_dir() { files(&entry.path()) } else { 1 }).sum()
}

#[test]
fn what_a_prompt_computed_is_read_by_the_next_host_and_gone_with_its_tenant() {
    let home = tempfile::tempdir().expect("a folder for the test");
    let model = made("REMIT_TEST_MODEL").display().to_string();
    let pulled = remit_on(&home, &["models", "pull", "smollm2", "--from", &model]);
    assert_eq!(pulled.code, 0, "{}", pulled.stderr);
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("documents/us-constitution.txt"));
    let prompt: String = text.expect("it is in the source").chars().take(1_200).collect();

    let host = Host::on(home, &ROOM);
    answered(&host, &prompt);
    assert_eq!(value(&host, RESTORED), 0.0);
    host.signal("TERM");
    let home = host.ended().1;
    let folder = home.path().join("kv");
    assert!(files(&folder) >= 10, "some hundred tokens are more than {} blocks", files(&folder));

    let host = Host::on(home, &ROOM);
    answered(&host, &prompt);
    assert!(value(&host, RESTORED) >= 10.0, "{} blocks were read", value(&host, RESTORED));
    host.ask(&["erase", "--tenant", "0"]);
    host.signal("KILL");
    let host = Host::on(host.ended().1, &ROOM);
    assert_eq!(files(&folder), 0, "what was sealed under a key that is gone is removed");
    answered(&host, &prompt);
    assert_eq!(value(&host, RESTORED), 0.0);
}
