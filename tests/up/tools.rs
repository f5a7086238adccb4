//! Tools that act outside the node, over crashes of the host: each act is done as often as was promised, with the same key.

use super::stage::{Beside, Host, program};
use std::{fs, path::PathBuf};
use tempfile::TempDir;

/// A tool that writes its key down, and then hangs as long as the file `hang` is there.
const SCRIPT: &str = "folder=$(dirname \"$0\")\n\
                      echo $$ >> \"$folder/pids\"\n\
                      echo \"$REMIT_IDEMPOTENCY_KEY\" >> \"$folder/keys\"\n\
                      while [ -e \"$folder/hang\" ]; do sleep 0.02; done\n\
                      echo \"acted $(cat)\"\n";

/// A host whose one tool does this, and an agent that may call it.
struct Bench {
    host: Host,
    /// Where the tool is, which no host's end takes away.
    folder: TempDir,
}

impl Bench {
    fn up(policy: &str) -> Self {
        let [folder, home] = [(); 2].map(|()| tempfile::tempdir().expect("a folder for the test"));
        fs::write(folder.path().join("act.sh"), SCRIPT).expect("it is writable");
        let declared = format!(
            "[tool.act]\ndescription = \"It acts.\"\ncommand = [\"/bin/sh\", \"{}/act.sh\"]\n{policy}\n",
            folder.path().display()
        );
        fs::write(home.path().join("tools.toml"), declared).expect("it is writable");
        let agent = home.path().join("agents/acts");
        fs::create_dir_all(&agent).expect("it is writable");
        fs::copy(program("acts"), agent.join("it.wasm")).expect("it is built");
        let wants = "[[wants.tools]]\nlabel = \"tool\"\ntools = [\"act\"]\naccess = \"read-write\"\n";
        let manifest = format!("name = \"acts\"\nversion = \"0.1.0\"\ncomponent = \"it.wasm\"\n{wants}");
        fs::write(agent.join("remit.toml"), manifest).expect("it is writable");
        let bench = Self { host: Host::on(home, &[]), folder };
        bench.hang(true);
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn hang(&self, on: bool) {
        let path = self.path("hang");
        match on {
            true => fs::write(path, "").expect("it is writable"),
            false => fs::remove_file(path).expect("it is there"),
        }
    }

    /// The key of each time that the tool was begun.
    fn keys(&self) -> Vec<String> {
        let keys = fs::read_to_string(self.path("keys")).unwrap_or_default();
        keys.lines().map(str::to_owned).collect()
    }

    /// How many of its programs run.
    fn running(&self) -> usize {
        let pids = fs::read_to_string(self.path("pids")).unwrap_or_default();
        let runs = |pid: &&str| {
            // A zombie has ended.
            fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
        };
        pids.lines().filter(runs).count()
    }

    /// Starts the agent, and waits until the tool was begun so often.
    fn start(&self, begun: usize) -> String {
        let pid = self.host.ask(&["run", "--detach", "acts", "2"]).trim().to_owned();
        self.until_begun(begun);
        pid
    }

    fn until_begun(&self, begun: usize) {
        self.host.until("the tool", |_| (self.keys().len() >= begun).then_some(()));
    }

    /// Kills the host without a word, and starts another one on its folder.
    fn again(self) -> Self {
        self.host.signal("KILL");
        Self { host: Host::on(self.host.ended().1, &[]), folder: self.folder }
    }

    /// Listens to the agent, while its tool hangs.
    fn listen(&self, pid: &str) -> Beside {
        let mut logs = self.host.beside(&["logs", pid, "--follow"]);
        logs.lines_until("begins");
        logs
    }

    /// Waits until the agent has said all of these, and has ended.
    fn says(&self, mut logs: Beside, lines: &[&str]) {
        lines.iter().for_each(|line| drop(logs.lines_until(line)));
        self.host.until("its end", |host| (host.ask(&["ps"]).lines().count() == 1).then_some(()));
    }
}

/// What is done again after its host was killed, twice: with the same key each time.
fn check_again(policy: &str) {
    let bench = Bench::up(policy);
    let pid = bench.start(1);
    let bench = bench.again();
    bench.until_begun(2);
    let bench = bench.again();
    bench.until_begun(3);
    assert_eq!(bench.running(), 1, "{policy}: what a host left that was killed does not run beside its repetition");
    let logs = bench.listen(&pid);
    bench.hang(false);
    bench.says(logs, &["call 1 done: acted {\"call\": 1}", "call 2 done: acted {\"call\": 2}"]);
    let keys = bench.keys();
    assert_eq!(keys.len(), 4, "{policy}: {keys:?}");
    assert!(keys[..3].iter().all(|key| *key == keys[0]) && keys[3] != keys[0], "{policy}: {keys:?}");
}

#[test]
fn what_may_be_done_twice_is_done_again_with_the_same_key() {
    for policy in ["effect = \"none\"", "effect = \"idempotent\"", "effect = \"keyed\""] {
        check_again(policy);
    }
}

#[test]
fn an_operator_may_have_it_done_again_all_the_same() {
    check_again("effect = \"once\"\nuncertain = \"retry\"");
}

#[test]
fn what_acts_once_is_not_done_again_and_says_that_it_is_not_known() {
    let bench = Bench::up("effect = \"once\"");
    let pid = bench.start(1);
    let bench = bench.again();
    let logs = bench.listen(&pid);
    bench.hang(false);
    bench.says(logs, &["call 1 error: it is not known whether the tool acted", "call 2 done"]);
    let keys = bench.keys();
    assert!(keys.len() == 2 && keys[0] != keys[1], "{keys:?}");
}

#[test]
fn a_person_decides_whether_it_is_done_again() {
    for (choice, begun, line) in [
        ("1", 2, "call 1 error: the tool acted, and what it returned is lost: ann"),
        ("2", 3, "call 1 done: acted {\"call\": 1}"),
        ("3", 2, "call 1 error: it is not known whether the tool acted"),
    ] {
        let bench = Bench::up("effect = \"once\"\nuncertain = \"ask\"\ndesk = \"boss\"");
        let pid = bench.start(1);
        let bench = bench.again().again();
        let question = bench.host.until("a question", |host| {
            let inbox = host.json(&["inbox"]);
            inbox["questions"].as_array().expect("it is a list").first().cloned()
        });
        assert!(question["text"].as_str().is_some_and(|text| text.contains("The tool act was called")), "{question}");
        assert_eq!((bench.keys().len(), &question["desk"]), (1, &"boss".into()), "{question}");
        let logs = bench.listen(&pid);
        bench.hang(false);
        let number = question["number"].to_string();
        bench.host.ask(&["inbox", "answer", &number, "--as", "ann", "--choice", choice]);
        bench.says(logs, &[line, "call 2 done"]);
        let keys = bench.keys();
        assert_eq!(keys.len(), begun, "choice {choice}: {keys:?}");
        assert!(begun == 2 || keys[0] == keys[1], "choice {choice}: {keys:?}");
    }
}

#[test]
fn tools_are_listed_and_an_agent_that_asks_for_another_one_is_told() {
    let bench = Bench::up("effect = \"once\"\nuncertain = \"ask\"\ndesk = \"boss\"");
    let listed = bench.host.ask(&["tools"]);
    assert!(listed.contains("act") && listed.contains("asked at boss") && !listed.contains("FOLDER"), "{listed}");
    let declared = bench.path("folders.toml");
    let folder = format!("[folder.papers]\npath = {:?}\ntags = [\"hr\"]\n", bench.folder.path());
    fs::write(&declared, folder).expect("it is writable");
    let listed = bench.host.ask(&["tools", "--tools", &declared.display().to_string()]);
    assert!(listed.contains("papers") && listed.contains("untrusted hr") && !listed.contains("TOOL"), "{listed}");
    let agent = bench.host.home().path().join("agents/acts/remit.toml");
    let manifest = fs::read_to_string(&agent).expect("it is there").replace("\"act\"", "\"other\"");
    fs::write(agent, manifest).expect("it is writable");
    let ran = bench.host.remit(&["run", "--detach", "acts", "1"]);
    assert_ne!(ran.code, 0);
    assert!(ran.stderr.contains("the tool other") && ran.stderr.contains("has declared act"), "{}", ran.stderr);
}
