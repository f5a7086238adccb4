//! The audit of a tenant, as an operator exports it and somebody else checks it; and what is erased.

use super::stage::Host;
use std::{fs, path::PathBuf, process::Command};

/// A file beside the data folder's.
fn path(host: &Host, name: &str) -> PathBuf {
    host.home().path().join(name)
}

/// Exports the local tenant's audit into a new file, and says how many lines it has.
fn export(host: &Host, name: &str, more: &[&str]) -> u64 {
    let file = path(host, name).display().to_string();
    let told = host.ask(&[&["audit", "export"], more, &[&file]].concat());
    let lines = told.strip_prefix(&format!("{file}: ")).and_then(|rest| rest.split(' ').next());
    lines.and_then(|lines| lines.parse().ok()).unwrap_or_else(|| panic!("it says how many lines: {told}"))
}

/// Checks a file; what was said, and the exit code.
fn verify(host: &Host, name: &str, more: &[&str]) -> (i32, String) {
    let ran = host.remit(&[&["audit", "verify", &path(host, name).display().to_string()], more].concat());
    (ran.code, ran.stdout + &ran.stderr)
}

/// A process that is kept, and has said something.
fn chatter(host: &Host) -> String {
    let pid = host.detach("chatter", &[]);
    host.until("its first words", |host| (!host.ask(&["logs", &pid]).is_empty()).then_some(()));
    pid
}

#[test]
fn an_export_is_whole_until_somebody_touches_it() {
    let host = Host::up();
    let pid = chatter(&host);
    let first = export(&host, "first", &[]);
    let key = fs::read_to_string(path(&host, "journal/audit.pub")).expect("it is there");
    let (code, told) = verify(&host, "first", &["--key", key.trim()]);
    assert_eq!(code, 0, "{told}");
    assert!(told.contains("nothing is wrong with it") && told.contains("1 processes began"), "{told}");
    let (code, told) = verify(&host, "first", &["--key", &"a7".repeat(32)]);
    assert!(code == 1 && told.contains("another host's"), "{told}");

    let text = fs::read_to_string(path(&host, "first")).expect("it is there");
    let spoil = |name: &str, text: &str| fs::write(path(&host, name), text).expect("it is writable");
    spoil("edited", &text.replacen("\"restarts\":0", "\"restarts\":7", 1));
    let (code, told) = verify(&host, "edited", &[]);
    assert!(code == 1 && told.contains("line 2, in row 3, was changed"), "{told}");
    let dropped: Vec<_> = text.lines().enumerate().filter(|(row, _)| *row != 2).map(|(_, line)| line).collect();
    spoil("dropped", &(dropped.join("\n") + "\n"));
    let (code, told) = verify(&host, "dropped", &[]);
    assert!(code == 1 && told.contains("line 2 is not where it belongs"), "{told}");
    spoil("cut", &(text.lines().take(3).collect::<Vec<_>>().join("\n") + "\n"));
    let (code, told) = verify(&host, "cut", &[]);
    assert!(code == 1 && told.contains("it was cut off"), "{told}");

    let more = host.until("more of it", |host| {
        let file = path(host, "second");
        let _old = fs::remove_file(&file);
        let lines = export(host, "second", &["--reveal"]);
        (lines > first).then_some(lines)
    });
    let extends = ["--extends", &path(&host, "first").display().to_string()];
    let (code, told) = verify(&host, "second", &extends);
    assert_eq!(code, 0, "{told}");
    assert!(told.contains(&format!("{more} entries, {more} of them shown")), "{told}");
    assert!(told.contains(&format!("its first {first} lines are those of the earlier export")), "{told}");
    let extends = ["--extends", &path(&host, "second").display().to_string()];
    let (code, told) = verify(&host, "first", &extends);
    assert!(code == 1 && told.contains("lines are missing at its end"), "{told}");
    let again = host.remit(&["audit", "export", &path(&host, "first").display().to_string()]);
    assert!(again.code == 7 && again.stderr.contains("exists"), "{}", again.stderr);
    host.ask(&["kill", &pid]);
}

#[test]
fn a_tenant_is_erased_when_none_of_its_processes_lives_and_its_audit_stays() {
    let host = Host::up();
    let nothing = host.remit(&["audit", "export", &path(&host, "none").display().to_string()]);
    assert!(nothing.code == 2 && nothing.stderr.contains("has no audit chain"), "{}", nothing.stderr);
    let pid = chatter(&host);
    export(&host, "before", &["--reveal"]);
    let refused = host.remit(&["erase", "--tenant", "0"]);
    assert!(refused.code == 2 && refused.stderr.contains("kill them first"), "{}", refused.stderr);
    host.ask(&["kill", &pid]);
    host.until("its end", |host| (host.ask(&["ps"]).lines().count() == 1).then_some(()));
    assert!(host.ask(&["forget", "--older-than", "0s"]).contains("pieces of history are forgotten"));
    assert_eq!(host.ask(&["erase", "--tenant", "0"]), "tenant 0 is erased; its audit says so, and stays\n");
    export(&host, "after", &["--reveal"]);
    let extends = ["--extends", &path(&host, "before").display().to_string()];
    let (code, told) = verify(&host, "after", &extends);
    assert_eq!(code, 0, "{told}");
    assert!(told.contains("0 of them shown") && told.contains("the tenant was erased, by 20"), "{told}");
    // The host is well, and the tenant may come again.
    let pid = chatter(&host);
    host.ask(&["kill", &pid]);
}

#[test]
fn a_check_needs_no_host_and_other_commands_do() {
    let host = Host::up();
    let pid = chatter(&host);
    export(&host, "first", &[]);
    host.ask(&["kill", &pid]);
    host.signal("TERM");
    let (_, home) = host.ended();
    let run = |arguments: &[&str]| {
        let mut remit = Command::new(crate::stage::made("REMIT_TEST_CLI"));
        let output = remit.args(arguments).env("REMIT_HOME", home.path()).output().expect("the program is built");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let file = home.path().join("first").display().to_string();
    assert_eq!(run(&["audit", "verify", &file]), (Some(0), String::new()));
    for arguments in [&["audit", "export", "x"][..], &["forget", "--older-than", "1d"], &["erase", "--tenant", "0"]] {
        let (code, stderr) = run(arguments);
        assert!(code == Some(7) && stderr.contains("no host is running"), "{stderr}");
    }
}
