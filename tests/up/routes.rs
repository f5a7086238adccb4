//! Routes: a version that is tried, given to everybody and taken back, with a host that is told each time.

use super::stage::Host;

/// Writes down what is wanted of the route `assist`.
fn want(host: &Host, models: &str) {
    let text = format!(
        "[route.assist]\ndefault = [{models}]\n\n[[route.assist.rule]]\nname = 'sums'\nuse = ['smollm2']\nwhen = {{ task = ['sum'] }}\n"
    );
    std::fs::write(host.home().path().join("routes.toml"), text).expect("the folder can be written");
}

/// The rows of the list: name, version, share, and requests on the host.
fn rows(host: &Host) -> Vec<Vec<String>> {
    let list = host.ask(&["routes", "ls"]);
    list.lines().skip(1).map(|line| line.split_whitespace().take(4).map(str::to_owned).collect()).collect()
}

#[test]
fn a_version_is_tried_promoted_and_taken_back() {
    let host = Host::up();
    want(&host, "'smollm2'");
    assert_eq!(rows(&host), [["assist", "1", "1000", "-"]], "the host has not read it yet");
    let nothing = host.remit(&["routes", "set-canary", "assist", "--share", "100"]);
    assert_eq!(nothing.code, 2, "{}", nothing.stderr);
    assert!(nothing.stderr.contains("routes.toml says what everybody gets already"), "{}", nothing.stderr);

    want(&host, "'smollm2', 'minilm'");
    assert!(host.ask(&["routes", "ls"]).contains("routes.toml says something else"));
    let tried = host.ask(&["routes", "set-canary", "assist", "--share", "100"]);
    assert_eq!(tried, "assist: version 2 is tried on 100 of a thousand\n");
    assert_eq!(rows(&host), [["assist", "1", "900", "0"], ["assist", "2", "100", "0"]]);
    let shown = host.ask(&["routes", "show", "assist", "--version", "2"]);
    assert!(shown.contains("default = [\"smollm2\", \"minilm\"]"), "{shown}");

    let told = host.ask(&["routes", "explain", "assist", "--process", "0.3.1"]);
    assert_eq!(told.lines().count(), if told.contains("minilm") { 5 } else { 4 }, "{told}");
    assert!(told.contains("  not sums          the task is chat, and it is for sum\n  rule default\n"), "{told}");
    assert!(told.contains("1. smollm2  passed over: it is not open"), "{told}");
    let told = host.ask(&["routes", "explain", "assist", "--task", "sum"]);
    assert_eq!(told.matches("  rule sums\n    1. smollm2").count(), 2, "{told}");

    let promoted = host.ask(&["routes", "promote", "assist"]);
    assert_eq!(promoted, "assist: everybody gets version 2 instead of 1\n");
    assert_eq!(rows(&host), [["assist", "2", "1000", "0"]]);
    let back = host.ask(&["routes", "rollback", "assist"]);
    assert_eq!(back, "assist: everybody gets version 1 again instead of 2\n");
    assert_eq!(rows(&host), [["assist", "1", "1000", "0"]]);
    let nothing = host.remit(&["routes", "rollback", "assist"]);
    assert_eq!(
        (nothing.code, nothing.stderr.contains("there is nothing to go back to")),
        (2, true),
        "{}",
        nothing.stderr
    );
}

#[test]
fn what_cannot_be_read_is_told_with_its_line_and_changes_nothing() {
    let host = Host::up();
    want(&host, "'smollm2'");
    host.ask(&["routes", "ls"]);
    want(&host, "'smolm2'");
    let wrong = host.remit(&["routes", "promote", "assist"]);
    assert_eq!(wrong.code, 2, "{}", wrong.stderr);
    assert!(wrong.stderr.contains("routes.toml, line 2: there is no model \"smolm2\""), "{}", wrong.stderr);
    assert!(wrong.stderr.contains("did you mean `smollm2`?"), "{}", wrong.stderr);
    want(&host, "'smollm2'");
    assert_eq!(rows(&host)[0][..3], ["assist", "1", "1000"]);
    let unknown = host.remit(&["routes", "show", "other"]);
    assert_eq!((unknown.code, unknown.stderr.contains("known are assist")), (2, true), "{}", unknown.stderr);
    for arguments in [["--share", "0"], ["--share", "1001"]] {
        assert_eq!(host.remit(&[&["routes", "set-canary", "assist"][..], &arguments].concat()).code, 2);
    }
}

#[test]
fn tasks_that_cannot_be_read_are_refused_before_a_model_is_opened() {
    let host = Host::up();
    let file = host.home().path().join("tasks.toml");
    std::fs::write(&file, "[[task]]\nname = 'a'\nprompt = 'q'\n").expect("the folder can be written");
    let path = file.display().to_string();
    let wrong = host.remit(&["eval", &path, "--on", "smollm2"]);
    assert_eq!(wrong.code, 2, "{}", wrong.stderr);
    assert!(wrong.stderr.contains("the task \"a\" expects 0 things"), "{}", wrong.stderr);
    let missing = host.remit(&["eval", "/no/such/file", "--on", "smollm2"]);
    assert_eq!(missing.code, 7, "{}", missing.stderr);
}
