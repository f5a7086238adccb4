//! What agents ask people, and people who answer from the command line, over crashes of the host.

use super::stage::{Host, program};
use serde_json::Value;

/// Puts the program on the host as an agent that may ask the boss.
fn install(host: &Host, name: &str) {
    let folder = host.home().path().join("agents").join(name);
    std::fs::create_dir_all(&folder).expect("it is writable");
    std::fs::copy(program("asks_people"), folder.join("it.wasm")).expect("it is built");
    let wants = "[[wants.people]]\nlabel = \"boss\"\npeople = [\"boss\"]\naccess = \"read-write\"\n";
    let manifest = format!("name = \"{name}\"\nversion = \"0.1.0\"\ncomponent = \"it.wasm\"\n{wants}");
    std::fs::write(folder.join("remit.toml"), manifest).expect("it is writable");
}

fn up() -> Host {
    let host = Host::on(tempfile::tempdir().expect("a folder for the test"), &["--patience", "50ms"]);
    install(&host, "clerk");
    host
}

fn start(host: &Host, name: &str, letters: &str) -> String {
    host.ask(&["run", "--detach", name, letters]).trim().to_owned()
}

/// The one question that waits, once it does.
fn question(host: &Host) -> Value {
    host.until("a question", |host| {
        let inbox = host.json(&["inbox"]);
        let questions = inbox["questions"].as_array().expect("it is a list");
        assert!(questions.len() <= 1, "{inbox}");
        questions.first().cloned()
    })
}

/// Answers the one question that waits; what it was.
fn answer(host: &Host, said: &[&str]) -> Value {
    let question = question(host);
    let number = question["number"].to_string();
    assert_eq!(
        host.ask(&[&["inbox", "answer", &number, "--as", "ann"], said].concat()),
        format!("{number} is answered\n")
    );
    question
}

fn is_over(host: &Host) -> Option<()> {
    (host.ask(&["ps"]).lines().count() == 1).then_some(())
}

/// Kills the host without a word, and starts another one on its folder.
fn again(host: Host) -> Host {
    host.signal("KILL");
    Host::on(host.ended().1, &["--patience", "50ms"])
}

#[test]
fn people_answer_agents_that_outlive_their_host_meanwhile() {
    let host = up();
    let pid = start(&host, "clerk", "2");
    let asked = question(&host);
    assert_eq!((&asked["number"], &asked["text"]), (&2.into(), &"Which colour?".into()), "{asked}");
    assert_eq!((&asked["asker"], &asked["desk"]), (&pid.as_str().into(), &"boss".into()), "{asked}");
    host.until("its sleep", |host| host.ask(&["inspect", &pid]).contains("asleep").then_some(()));
    let host = again(host);
    let mut logs = host.beside(&["logs", &pid, "--follow"]);
    assert_eq!(answer(&host, &["Blue."])["number"], 2, "it is the same question");
    logs.lines_until("Blue. by ann (uid ");
    let drink = question(&host);
    let number = drink["number"].to_string();
    let show = host.ask(&["inbox", "show", &number]);
    assert!(show.contains("Which drink?") && show.contains("1        tea"), "{show}");
    for (wrong, words) in [(["--choice", "beer"], "1: tea, 2: coffee"), (["--reject", "no"], "one of its 2 choices")] {
        let ran = host.remit(&[&["inbox", "answer", &number], &wrong[..]].concat());
        assert_eq!(ran.code, 2, "{}", ran.stderr);
        assert!(ran.stderr.contains(words), "{}", ran.stderr);
    }
    answer(&host, &["--choice", "coffee"]);
    logs.lines_until("choice 1 by ann");
    answer(&host, &["--reject", "Not on Sundays."]);
    logs.lines_until("letter 1 rejected: Not on Sundays. by ann");
    answer(&host, &["--approve"]);
    host.until("its end", is_over);
    let host = again(host);
    let told = host.ask(&["inbox", "notices"]);
    assert!(told.contains("I begin.") && told.contains("I end."), "{told}");
    assert_eq!(host.ask(&["inbox"]), "nobody asks anything\n");
    let late = host.remit(&["inbox", "answer", "2", "Red."]);
    assert_eq!(late.code, 2, "{}", late.stderr);
    assert!(late.stderr.contains("no question 2 is open"), "{}", late.stderr);
}

#[test]
fn what_is_approved_always_stands_until_it_is_withdrawn() {
    let host = up();
    let pid = start(&host, "clerk", "3");
    let mut logs = host.beside(&["logs", &pid, "--follow"]);
    answer(&host, &["Blue."]);
    answer(&host, &["--choice", "1"]);
    let number = answer(&host, &["--always"])["number"].to_string();
    logs.lines_until("letter 3 always by ann");
    host.until("its end", is_over);
    let host = again(host);
    let standing = host.json(&["inbox", "approvals"]);
    let [approval] = &standing["approvals"].as_array().expect("it is a list")[..] else { panic!("{standing}") };
    assert_eq!((&approval["action"], &approval["package"]), (&"mail/send".into(), &"clerk".into()), "{approval}");
    assert!(approval["by"].as_str().is_some_and(|by| by.starts_with("ann (uid ")), "{approval}");
    let withdrawn = host.ask(&["inbox", "withdraw", &number, "--as", "bob"]);
    assert_eq!(withdrawn, "clerk has to ask again for mail/send\n");
    let twice = host.remit(&["inbox", "withdraw", &number]);
    assert_eq!(twice.code, 2, "{}", twice.stderr);
    start(&host, "clerk", "1");
    answer(&host, &["Red."]);
    answer(&host, &["--choice", "tea"]);
    let asked = answer(&host, &["--approve"]);
    assert_eq!(asked["wanted"]["action"], "mail/send", "{asked}");
    host.until("its end", is_over);
}
