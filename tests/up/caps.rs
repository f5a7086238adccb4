//! Grants that an operator gives and takes back, and denials that are explained.

use super::stage::{Host, program};

#[test]
fn a_grant_is_given_used_revoked_and_each_denial_is_explained() {
    let host = Host::up();
    let pid = host.detach("chatter", &["peers"]);
    let mut logs = host.beside(&["logs", &pid, "--follow"]);
    logs.lines_until("no grant");
    host.ask(&["run", "--detach", "--name", "neighbour", &program("echo_server")]);
    let given =
        ["caps", "grant", &*pid, "peers", "mailbox", "neighbour", "--uses", "1000000", "--rate", "100000/second"];
    let grant = host.ask(&given).trim().to_owned();
    logs.lines_until("ok");
    let tree = host.ask(&["caps", "tree", &pid]);
    let line = tree.lines().find(|line| line.starts_with(&grant)).expect("it is in the tree");
    for part in ["peers", "mailbox", "neighbour", "uses 1000000 rate 100000/second", &pid, "open"] {
        assert!(line.contains(part), "{part}: {line}");
    }
    let taken = host.remit(&given);
    assert_eq!(taken.code, 2, "{}", taken.stderr);
    assert!(taken.stderr.contains("peers"), "{}", taken.stderr);
    assert_eq!(host.ask(&["caps", "revoke", &grant]), format!("{grant} is revoked\n"));
    logs.lines_until("revoked");
    assert!(host.ask(&["caps", "tree"]).contains("revoked"));
    let denials = host.json(&["caps", "explain", &pid]);
    let last = denials["denials"].as_array().and_then(|all| all.last()).expect("there are some");
    assert_eq!((&last["reason"], &last["refused_by"]), (&"revoked".into(), &grant.clone().into()), "{last}");
    let number = last["number"].to_string();
    let why = host.ask(&["caps", "explain", &number]);
    for part in [&*pid, "(chatter) called mailbox", &format!("grant {grant} was revoked"), "[[wants.mailboxes]]"] {
        assert!(why.contains(part), "{part}: {why}");
    }
}

#[test]
fn what_cannot_be_granted_or_revoked_is_said() {
    let host = Host::up();
    let pid = host.detach("chatter", &[]);
    let check = |arguments: &[&str], words: &str| {
        let ran = host.remit(&[&["caps"], arguments].concat());
        assert_eq!(ran.code, 2, "{arguments:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(words), "{arguments:?}: {}", ran.stderr);
    };
    check(&["grant", &pid, "x", "mailbox"], "SCOPE");
    check(&["grant", &pid, "x", "spoon", "a"], "mailbox");
    check(&["grant", &pid, "x", "mailbox", "with space"], "with space");
    check(&["grant", &pid, "no label", "mailbox", "a"], "no label");
    check(&["grant", "0.99.1", "x", "mailbox", "a"], "no such process");
    check(&["grant", &pid, "x", "mailbox", "a", "--rate", "1/fortnight"], "60/minute");
    check(&["revoke", "99.1"], "no such grant");
    check(&["revoke", "peers"], "two numbers");
    check(&["explain", "99999"], "99999");
    assert_eq!(host.ask(&["caps", "explain"]), "nothing was denied\n");
}
