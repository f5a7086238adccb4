//! An author's way, as somebody meets it who has the program and Rust, and nothing of this repository: an agent is begun, tried, changed,
//! broken, built, signed, installed, talked with, and looked into.

use super::stage::{Host, PATIENCE, Ran};
use crate::stage::made;
use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::Instant,
};
use tempfile::TempDir;

/// An agent without a model: it shows who said what.
const PARROT: &str = r#"
use remit::prelude::*;

#[remit::agent]
fn run(task: Task) -> Result<Outcome, Failure> {
    for input in &task.conversation {
        let text = input.content.text()?;
        assert!(text != "panic", "it was asked to");
        let who = if input.role == Role::User { "User" } else { "Assistant" };
        emit_text(format!("{who}: {text}\n"))?;
    }
    Ok(Outcome::complete())
}
"#;

const PARROT_CASES: &str = "
[[case]]
name = 'it says who says what'
say = ['hello']
given = ['from a stranger']
expect = [{ equals = \"User: hello\\nUser: from a stranger\" }]
";

/// Somebody's machine: a data folder, and a place for projects.
struct Author {
    home: TempDir,
    work: TempDir,
}

impl Author {
    fn new() -> Self {
        let folder = || tempfile::tempdir().expect("a folder for the test");
        let author = Self { home: folder(), work: folder() };
        // Where this machine's Rust lacks the target, the set-up has put a compiler into its data folder.
        let compiler = made("REMIT_HOME").join("toolchain");
        if compiler.exists() {
            std::os::unix::fs::symlink(compiler, author.home.path().join("toolchain")).expect("it is ours");
        }
        author
    }

    fn folder(&self, name: &str) -> PathBuf {
        self.work.path().join(name)
    }

    fn command(&self, folder: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(made("REMIT_TEST_CLI"));
        command
            .current_dir(folder)
            .args(arguments)
            .env("REMIT_HOME", self.home.path())
            // What one project stands on is not compiled for the next one again.
            .env("CARGO_TARGET_DIR", made("REMIT_TEST_PROGRAMS").with_file_name("author-target"))
            .env("CARGO_NET_OFFLINE", "true")
            .env_remove("REMIT_LOG")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn says(&self, folder: &Path, arguments: &[&str], input: &str) -> Ran {
        let mut child = self.command(folder, arguments).spawn().expect("the program is built");
        let _closed_early = child.stdin.take().expect("it is piped").write_all(input.as_bytes());
        let Output { status, stdout, stderr } = child.wait_with_output().expect("it ends");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("it writes UTF-8");
        Ran { code: status.code().expect("no signal ended it"), stdout: text(stdout), stderr: text(stderr) }
    }

    #[track_caller]
    fn check(&self, folder: &Path, arguments: &[&str], code: i32, words: &str) -> Ran {
        let ran = self.says(folder, arguments, "");
        let told = format!("{}{}", ran.stdout, ran.stderr);
        assert!(
            ran.code == code && told.contains(words),
            "{arguments:?}: {} is not {code}, or no {words:?}: {told}",
            ran.code
        );
        assert!(!told.contains("RUST_BACKTRACE"), "the program itself panicked: {told}");
        ran
    }

    /// A project whose agent needs no model.
    fn parrot(&self) -> PathBuf {
        self.check(self.work.path(), &["new", "parrot"], 0, "parrot is in parrot");
        let folder = self.folder("parrot");
        let write = |file: &str, text: &str| fs::write(folder.join(file), text).expect("it is ours");
        write("src/lib.rs", PARROT);
        write("remit.toml", "name = \"parrot\"\nversion = \"0.1.0\"\ncomponent = \"parrot.wasm\"\n");
        write("tests/answers.toml", PARROT_CASES);
        folder
    }
}

#[test]
fn what_every_template_makes_passes_its_own_cases() {
    let author = Author::new();
    for (template, cases) in [("chat", 4), ("memory", 3), ("tools", 3)] {
        author.check(author.work.path(), &["new", template, "--template", template], 0, "remit test");
        let folder = author.folder(template);
        let ran = author.check(&folder, &["test"], 0, &format!("{cases} of {cases} cases passed"));
        assert_eq!(ran.stdout.matches("  ok ").count(), cases, "{}", ran.stdout);
        author.check(&folder, &["check", "."], 0, "");
    }
    let refused = author.check(author.work.path(), &["new", "chat"], 2, "is there already");
    assert_eq!(refused.stderr.lines().count(), 1, "{}", refused.stderr);
    author.check(author.work.path(), &["new", "Chat"], 2, "can be no agent's name");
    author.check(author.work.path(), &["test"], 2, "holds no file of cases");
    author.check(author.work.path(), &["dev"], 2, "`remit new NAME` makes a project");
}

#[test]
fn an_agent_of_ones_own_is_tried_broken_mended_and_talked_with() {
    let author = Author::new();
    let folder = author.parrot();
    author.check(&folder, &["test"], 0, "1 of 1 cases passed");
    author.check(&folder, &["test", "--only", "nothing like it"], 2, "no case has");
    author.check(&folder, &["run", ".", "hello"], 0, "User: hello");
    let talk = author.says(&folder, &["chat", "."], "one\n\ntwo\n");
    assert_eq!(talk.code, 0, "{}", talk.stderr);
    assert_eq!(talk.stdout, "User: one\nUser: one\nAssistant: User: one\nUser: two\n");
    let talk = author.says(&folder, &["chat", ".", "--earlier", "0"], "one\ntwo\n");
    assert_eq!(talk.stdout, "User: one\nUser: two\n");

    // A panic names the line, and the line is shown.
    let line = "assert!(text != \"panic\", \"it was asked to\");";
    author.check(&folder, &["run", ".", "panic"], 6, line);
    let cases = "[[case]]\nname = 'it stands it'\nsay = ['panic']\n";
    fs::write(folder.join("tests/panics.toml"), cases).expect("it is ours");
    let ran = author.check(&folder, &["test"], 1, line);
    assert!(ran.stdout.contains("it is to end complete, and ended stopped"), "{}", ran.stdout);
    fs::remove_file(folder.join("tests/panics.toml")).expect("it is there");

    // What does not compile is cargo's to explain, and an agent that is none is ours.
    fs::write(folder.join("src/lib.rs"), PARROT.replace("text()?", "txet()?")).expect("it is ours");
    let ran = author.check(&folder, &["test"], 1, "the agent does not compile");
    assert!(ran.stderr.contains("txet"), "{}", ran.stderr);
    fs::write(folder.join("src/lib.rs"), PARROT).expect("it is ours");
    author.check(&folder, &["test"], 0, "1 of 1 cases passed");
}

#[test]
fn what_was_built_is_the_same_each_time_and_is_signed_installed_and_run_by_its_name() {
    let author = Author::new();
    let folder = author.parrot();
    author.check(&folder, &["build"], 0, "parrot 0.1.0");
    let file = folder.join("parrot-0.1.0.wasm");
    let bytes = fs::read(&file).expect("it was built");
    fs::remove_file(folder.join("parrot.wasm")).expect("it was made");
    author.check(&folder, &["build", "--update-sdk"], 0, "parrot 0.1.0");
    assert!(fs::read(&file).ok().as_deref() == Some(bytes.as_slice()), "the same source made other bytes");
    let text = String::from_utf8_lossy(&bytes);
    for private in [author.work.path(), author.home.path()] {
        assert!(!text.contains(&private.display().to_string()), "the author's folders are in it");
    }

    fs::write(folder.join("passphrase"), "correct horse\n").expect("it is ours");
    let passphrase = ["--passphrase-file", "passphrase"];
    author.check(&folder, &[&["keys", "new", "work"][..], &passphrase].concat(), 0, "");
    let sign = ["sign", "parrot-0.1.0.wasm", "--key", "work", "--serial", "1"];
    author.check(&folder, &[&sign[..], &passphrase].concat(), 0, "");
    let public = author.check(&folder, &["keys", "export", "work"], 0, "").stdout;
    let policy = format!(
        "[[keys]]\nname = \"author\"\npublic = \"\"\"\n{public}\"\"\"\n\
         [[packages]]\nnames = [\"*\"]\nsigners = [\"author\"]\ntokens_max = 100\n"
    );
    fs::write(author.home.path().join("trust.toml"), policy).expect("it is ours");
    author.check(&folder, &["install", "parrot-0.1.0.wasm"], 0, "");
    author.check(author.work.path(), &["run", "parrot", "hello"], 0, "User: hello");
}

/// A `remit dev` that is ended with its test.
struct Dev(Child);

impl Drop for Dev {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _gone = self.0.wait();
    }
}

#[test]
fn a_change_is_built_and_tried_again() {
    let author = Author::new();
    let folder = author.parrot();
    let mut dev = Dev(author.command(&folder, &["dev", "hello"]).spawn().expect("the program is built"));
    let mut lines = BufReader::new(dev.0.stdout.take().expect("it is piped")).lines();
    let deadline = Instant::now() + 3 * PATIENCE;
    let mut until = |wanted: &str| {
        let found = lines.by_ref().map_while(Result::ok).find(|line| line.contains(wanted));
        assert!(found.is_some() && Instant::now() < deadline, "it never says {wanted:?}");
    };
    until("1 of 1 cases passed");
    until("User: hello");
    fs::write(folder.join("src/lib.rs"), PARROT.replace("{who}: {text}", "{who} says {text}")).expect("it is ours");
    until("FAILED");
    until("User says hello");
    fs::write(folder.join("src/lib.rs"), PARROT).expect("it is ours");
    until("1 of 1 cases passed");
    until("User: hello");
}

#[test]
fn where_the_time_of_a_process_went_is_told_from_its_log() {
    let host = Host::up();
    let pid = host.detach("echo", &["x"]);
    let shown = host.until("its log", |host| {
        let ran = host.remit(&["trace", &pid]);
        (ran.code == 0 && ran.stdout.contains("task")).then_some(ran.stdout)
    });
    let lines: Vec<&str> = shown.lines().collect();
    assert!(lines[0].starts_with("SPAN") && lines[1].starts_with(&format!("{pid} echo")), "{shown}");
    assert!(lines[2..].iter().all(|line| line.starts_with("  ")), "{shown}");
    let json = host.ask(&["trace", &pid, "--json"]);
    let rows: Vec<serde_json::Value> =
        json.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect();
    assert!(rows.iter().all(|row| row["at_ns"].is_u64() && row["depth"].is_u64()), "{json}");
    assert!(host.remit(&["trace", "0.77.1"]).code != 0, "there is no such process");
}
