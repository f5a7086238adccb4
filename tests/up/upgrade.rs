//! Hosts of this version on data folders that older ones left: their agents, built against the interfaces of then, go on where they were.
//!
//! `tests/kept` has one folder for each version of the interfaces and of the journal; its README says which, and how one is made.

use super::{
    relay,
    stage::{Host, program, remit_on},
};
use std::{fs, path::Path};

/// A data folder that a host left that was killed while a team worked on it; what a new host needs of it.
fn keep(to: &Path) {
    let home = tempfile::tempdir().expect("a folder for the test");
    relay::install(home.path());
    let host = Host::on(home, &[]);
    let pid = relay::start(&host);
    host.until("some rounds", |host| (relay::rounds(host, &pid) >= 5).then_some(()));
    host.signal("KILL");
    let home = host.ended().1;
    for part in ["journal", "components"] {
        relay::copy(&home.path().join(part), &to.join(part));
    }
    for made_anew in ["journal.lock", "journal.sqlite-shm"] {
        fs::remove_file(to.join("journal").join(made_anew)).expect("it was copied");
    }
    fs::write(to.join("pid"), pid).expect("it is writable");
}

/// A copy of a kept folder, and the boss's pid.
fn kept(folder: &Path) -> (tempfile::TempDir, String) {
    let home = tempfile::tempdir().expect("a folder for the test");
    relay::copy(folder, home.path());
    relay::install_tools(home.path());
    for key in ["node.key", "audit.key"].map(|name| home.path().join("journal").join(name)) {
        // Git keeps no such modes.
        fs::set_permissions(key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("it is ours");
    }
    let pid = fs::read_to_string(folder.join("pid")).expect("it is there");
    (home, pid)
}

#[test]
fn what_hosts_of_older_versions_left_goes_on() {
    if let Some(folder) = std::env::var_os("REMIT_KEEP_HOME") {
        keep(Path::new(&folder));
    }
    let all = Path::new(env!("CARGO_MANIFEST_DIR")).join("kept");
    let folders = fs::read_dir(all).expect("it is there").flatten().map(|entry| entry.path());
    let mut count = 0;
    for folder in folders.filter(|path| path.is_dir()) {
        let (home, pid) = kept(&folder);
        let replayed = remit_on(&home, &["replay", &pid]);
        assert_eq!(replayed.code, 0, "{}: {}", folder.display(), replayed.stderr);
        let host = Host::on(home, &[]);
        assert!(relay::ends_as_ever(&host, &pid) > 5, "{}", folder.display());
        count += 1;
    }
    assert!(count >= 1, "at least one is kept");
}

#[test]
fn an_agent_that_was_built_against_later_interfaces_is_refused_by_their_name() {
    let bytes = fs::read(program("relay")).expect("it is built");
    let (has, wants) = (b"remit:kernel/mailbox@0.1.0", b"remit:kernel/mailbox@0.2.0");
    let mut later = bytes.clone();
    for at in 0..bytes.len().saturating_sub(has.len()) {
        if bytes[at..].starts_with(has) {
            later[at..at + wants.len()].copy_from_slice(wants);
        }
    }
    assert_ne!(later, bytes);
    let home = tempfile::tempdir().expect("a folder for the test");
    let file = home.path().join("later.wasm");
    fs::write(&file, later).expect("it is writable");
    let ran = remit_on(&home, &["run", "--local", &file.display().to_string()]);
    assert_ne!(ran.code, 0);
    let sentence = "remit:kernel/mailbox@0.2.0 (this host has 0.1)";
    assert_eq!((ran.stderr.lines().count(), ran.stderr.contains(sentence)), (1, true), "{}", ran.stderr);
}
