//! Packages from an author's folder to an operator's host: built, signed, looked at, installed, run by name, called back.

use super::stage::{Host, PATIENCE, Ran, program, remit_on};
use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// A key that is called back is at work no longer than this.
const PARKED_WITHIN: Duration = Duration::from_secs(1);

/// A data folder with an author's key, and a place for the author's agents.
pub(super) struct Author {
    home: TempDir,
    work: TempDir,
}

impl Author {
    pub(super) fn new() -> Self {
        let folder = || tempfile::tempdir().expect("a folder for the test");
        let author = Self { home: folder(), work: folder() };
        fs::write(author.path("passphrase"), "correct horse\n").expect("it is ours");
        author.ask(&["keys", "new", "work", "--passphrase-file", &author.text("passphrase")]);
        author
    }

    pub(super) fn path(&self, file: &str) -> PathBuf {
        self.work.path().join(file)
    }

    pub(super) fn text(&self, file: &str) -> String {
        self.path(file).display().to_string()
    }

    pub(super) fn remit(&self, arguments: &[&str]) -> Ran {
        remit_on(&self.home, arguments)
    }

    pub(super) fn ask(&self, arguments: &[&str]) -> String {
        let ran = self.remit(arguments);
        assert_eq!(ran.code, 0, "{arguments:?}: {}{}", ran.stdout, ran.stderr);
        ran.stdout
    }

    /// A folder of an agent that runs a program of `tests/programs`.
    fn folder(&self, name: &str, version: &str, rest: &str) -> PathBuf {
        let folder = self.path(&format!("{name}-{version}"));
        fs::create_dir_all(&folder).expect("it is ours");
        let manifest = format!("name = \"{name}\"\nversion = \"{version}\"\ncomponent = \"{name}.wasm\"\n{rest}");
        fs::write(folder.join("remit.toml"), manifest).expect("it is ours");
        fs::copy(program(name), folder.join(format!("{name}.wasm"))).expect("the set-up built it");
        folder
    }

    pub(super) fn build(&self, name: &str, version: &str, rest: &str) -> String {
        let (folder, file) = (self.folder(name, version, rest), self.text(&format!("{name}-{version}.package.wasm")));
        self.ask(&["build", &folder.display().to_string(), "-o", &file]);
        file
    }

    pub(super) fn sign(&self, file: &str, serial: u64) {
        let (passphrase, serial) = (self.text("passphrase"), serial.to_string());
        self.ask(&["sign", file, "--key", "work", "--serial", &serial, "--passphrase-file", &passphrase]);
    }

    fn package(&self, name: &str, version: &str, serial: u64) -> String {
        let file = self.build(name, version, "");
        self.sign(&file, serial);
        file
    }

    /// The policy of an operator who takes what this author's key signed, and nothing else.
    pub(super) fn trust(&self, home: &Path) {
        let public = self.ask(&["keys", "export", "work"]);
        let policy = format!(
            "[[keys]]\nname = \"author\"\npublic = \"\"\"\n{public}\"\"\"\n\
             [[packages]]\nnames = [\"*\"]\nsigners = [\"author\"]\ntokens_max = 100\n"
        );
        fs::write(home.join("trust.toml"), policy).expect("it is ours");
    }
}

/// A command that is refused with an exit code and these words.
#[track_caller]
pub(super) fn refused(ran: &Ran, code: i32, words: &str) {
    let told = format!("{}{}", ran.stdout, ran.stderr);
    assert!(ran.code == code && told.contains(words), "{} is not {code}, or {told:?} not {words:?}", ran.code);
    assert!(!told.contains("RUST_BACKTRACE"), "the program itself panicked: {told}");
}

#[test]
fn what_was_signed_and_installed_runs_by_its_name_and_nothing_else_does() {
    let author = Author::new();
    let file = author.build("echo", "1.0.0", "");
    let bytes = fs::read(&file).expect("it was built");
    assert_eq!(fs::read(author.build("echo", "1.0.0", "")).ok(), Some(bytes.clone()), "the same bytes each time");
    refused(&author.remit(&["verify", &file]), 16, "nobody is trusted");
    refused(&author.remit(&["install", &file]), 5, "nobody is trusted");
    let folder = author.path("echo-1.0.0").display().to_string();
    assert_eq!(author.ask(&["run", &folder, "x"]), "x\nx\n", "an author's own folder runs without a policy");

    author.trust(author.home.path());
    refused(&author.remit(&["run", &folder, "x"]), 5, "none of its signers signed it");
    refused(&author.remit(&["verify", &file]), 18, "FAILED signers (operator): none of its signers signed it");
    refused(&author.remit(&["run", &file, "x"]), 5, "none of its signers signed it");
    author.sign(&file, 1);
    assert!(author.ask(&["verify", &file]).contains("it would be installed"));
    assert_eq!(author.ask(&["run", &file, "x"]), "x\nx\n", "with its envelope beside it");
    author.ask(&["install", &file]);
    for name in ["echo", "echo@1.0.0"] {
        assert_eq!(author.ask(&["run", name, "x"]), "x\nx\n", "{name}");
    }
    refused(&author.remit(&["run", "echo@1.0.1", "x"]), 2, "there are echo@1.0.0");

    let mut flipped = bytes;
    *flipped.last_mut().expect("it has bytes") ^= 1;
    let kept = fs::read_dir(author.home.path().join("packages")).expect("it is there").flatten();
    let kept = kept.map(|file| file.path()).find(|path| path.extension().is_some_and(|it| it == "wasm"));
    fs::write(kept.expect("it was kept"), flipped).expect("it is ours");
    refused(&author.remit(&["run", "echo", "x"]), 5, "has other bytes than were installed");
}

#[test]
fn an_operator_refuses_what_is_too_wide_older_or_another_version_of_the_same() {
    let author = Author::new();
    author.trust(author.home.path());
    let wide = author.build("echo", "2.0.0", "[budget]\ntokens = 101\n");
    author.sign(&wide, 9);
    refused(&author.remit(&["verify", &wide]), 20, "it asks for 101 tokens, and it may ask for 100");
    refused(&author.remit(&["install", &wide]), 5, "it asks for 101 tokens");
    let (old, new) = (author.package("echo", "1.0.0", 1), author.package("echo", "1.1.0", 2));
    author.ask(&["install", &new]);
    refused(&author.remit(&["install", &old]), 5, "its serial is 1, and 2 was installed already");
    refused(&author.remit(&["verify", &old]), 15, "it is older");
    refused(&author.remit(&["run", &old, "x"]), 5, "it is older");
    author.ask(&["install", &old, "--allow-older"]);
    assert!(author.ask(&["packages"]).lines().any(|line| line.contains("1.0.0") && line.contains("current")));
    author.ask(&["rollback", "echo"]);
    assert!(author.ask(&["packages"]).lines().any(|line| line.contains("1.1.0") && line.contains("current")));
    author.ask(&["uninstall", "echo"]);
    refused(&author.remit(&["run", "echo", "x"]), 2, "no agent");
    refused(&author.remit(&["install", &old]), 5, "2 was installed already");
}

#[test]
fn files_that_are_no_packages_are_refused_each_in_its_own_words() {
    let author = Author::new();
    let write = |name: &str, bytes: &[u8]| {
        fs::write(author.path(name), bytes).expect("it is ours");
        author.text(name)
    };
    let file = author.package("echo", "1.0.0", 1);
    let bytes = fs::read(&file).expect("it was built");
    for (path, words) in [
        (program("core_module"), "it is a WebAssembly module, and a package is a component"),
        (program("echo"), "it is a component without a manifest in it"),
        (write("elf.wasm", b"\x7fELF and more"), "it is compiled machine code"),
        (write("half.wasm", &bytes[..bytes.len() / 2]), "it is"),
        (write("more.wasm", &[&bytes[..], b"\0\x05\x01xabc"].concat()), "is out of its place"),
        (author.path("echo-1.0.0").display().to_string(), "is a folder, and a package is one file"),
    ] {
        for command in ["verify", "install"] {
            refused(&author.remit(&[command, &path]), 5, words);
        }
    }
    refused(&author.remit(&["verify", &author.text("absent.wasm")]), 2, "there is no agent at");
    fs::write(author.path("echo-1.0.0.package.wasm.dsse.json"), "{}").expect("it is ours");
    author.trust(author.home.path());
    refused(&author.remit(&["verify", &file]), 10, "FAILED envelope");
}

fn state(host: &Host, pid: &str) -> String {
    host.json(&["inspect", pid])["state"].as_str().expect("it has one").to_owned()
}

/// How long a command took, to the moment at which the processes take no turns.
pub(super) fn until_frozen(host: &Host, command: &[&str], pids: &[&str]) -> (String, Duration) {
    let begun = Instant::now();
    let told = host.ask(command);
    while !pids.iter().all(|pid| state(host, pid) == "frozen") {
        assert!(begun.elapsed() < PATIENCE, "{pids:?} are not frozen");
    }
    (told, begun.elapsed())
}

#[test]
fn who_is_called_back_takes_no_turn_after_a_second_nor_after_a_start() {
    for is_key in [true, false] {
        let author = Author::new();
        let host = Host::up();
        author.trust(host.home().path());
        for name in ["chatter", "sleeper"] {
            host.ask(&["install", &author.package(name, "1.0.0", 1)]);
        }
        let chatter = host.ask(&["run", "--detach", "chatter"]).trim().to_owned();
        let by_path = author.text("chatter-1.0.0.package.wasm");
        let of_path = host.ask(&["run", "--detach", &by_path]).trim().to_owned();
        let sleeper = host.ask(&["run", "--detach", "sleeper", "3600000"]).trim().to_owned();
        let command: &[&str] =
            if is_key { &["keys", "revoke", "author"] } else { &["packages", "revoke", "chatter@1.0.0"] };
        let (told, took) = until_frozen(&host, command, &[&chatter, &of_path]);
        assert!(took < PARKED_WITHIN, "{took:?}");
        assert!(told.contains("chatter: 2 processes take no turns any more"), "{told}");
        assert_eq!(state(&host, &sleeper) == "frozen", is_key, "only who stands on what was called back");
        refused(&host.remit(&["run", "chatter"]), 5, "revoked");
        refused(&host.remit(&["run", &by_path]), 5, "revoked");
        host.signal("KILL");
        let (_, home) = host.ended();
        let host = Host::on(home, &[]);
        for pid in [&chatter, &of_path] {
            assert!(["frozen", "parked"].contains(&&*state(&host, pid)), "{}", state(&host, pid));
        }
        host.ask(&["kill", &chatter]);
    }
}

#[test]
fn what_is_installed_anew_is_what_a_running_host_starts() {
    let author = Author::new();
    let host = Host::up();
    author.trust(host.home().path());
    host.ask(&["install", &author.package("echo", "1.0.0", 1)]);
    assert_eq!(host.ask(&["run", "echo", "x"]), "x\nx\n");
    let first = fs::read_to_string(host.home().path().join("packages/packages.lock")).expect("it was written");
    host.ask(&["install", &author.package("echo", "1.1.0", 2)]);
    assert_eq!(host.ask(&["run", "echo", "x"]), "x\nx\n");
    assert_ne!(fs::read_to_string(host.home().path().join("packages/packages.lock")).ok(), Some(first));
    fs::write(host.home().path().join("trust.toml"), "[[packages]]\n").expect("it is ours");
    let ran = host.remit(&["run", "echo", "x"]);
    refused(&ran, 7, "has no `names`, which it needs");
}

#[test]
fn an_agent_starts_the_installed_package_and_no_other() {
    let author = Author::new();
    let host = Host::up();
    let worker = "[[wants.processes]]\nlabel = \"workers\"\nagents = [\"nothing\"]\n";
    let (spawner, nothing) = (author.build("spawner", "1.0.0", worker), author.package("nothing", "1.0.0", 1));
    author.sign(&spawner, 1);
    author.trust(host.home().path());
    let policy = host.home().path().join("trust.toml");
    let grant = "[[packages.grants.processes]]\nagents = [\"nothing\"]\n";
    fs::write(&policy, fs::read_to_string(&policy).expect("it is there") + grant).expect("it is ours");
    host.ask(&["install", &spawner]);
    // A folder of that name is there, and nobody signed it.
    let folder = host.home().path().join("agents/nothing");
    fs::create_dir_all(&folder).expect("it is ours");
    for file in ["remit.toml", "nothing.wasm"] {
        fs::copy(author.path("nothing-1.0.0").join(file), folder.join(file)).expect("it was made");
    }
    let ran = host.remit(&["run", "spawner", "nothing 1"]);
    assert_ne!(ran.code, 0, "{}", ran.stdout);
    assert!(ran.stderr.contains("none of its signers signed it"), "{}", ran.stderr);
    host.ask(&["install", &nothing]);
    assert!(host.ask(&["run", "spawner", "nothing 2"]).contains("2 children"));
}

/// What an operator takes is still the tenant's to refuse, when it is installed and when it runs already.
#[test]
fn a_tenants_own_policy_narrows_its_operators() {
    let author = Author::new();
    let host = Host::up();
    author.trust(host.home().path());
    let (operators, folder) = (host.home().path().join("trust.toml"), host.home().path().join("tenants/0"));
    let policy = fs::read_to_string(operators).expect("it is there");
    let own = |policy: &str| {
        fs::create_dir_all(&folder).expect("it is ours");
        fs::write(folder.join("trust.toml"), policy).expect("it is ours");
    };
    let (rich, plain) =
        (author.build("echo", "1.0.0", "[budget]\ntokens = 90\n"), author.package("chatter", "1.0.0", 1));
    author.sign(&rich, 1);
    own(&policy.replace("tokens_max = 100", "tokens_max = 50"));
    refused(
        &host.remit(&["verify", &rich]),
        20,
        "FAILED budget (tenant 0): it asks for 90 tokens, and it may ask for 50",
    );
    refused(&host.remit(&["install", &rich]), 5, "budget (tenant 0): it asks for 90 tokens");
    own(&policy.replace("tokens_max = 100", "tokens_max = 100000"));
    host.ask(&["install", &rich]);
    host.ask(&["install", &plain]);
    assert!(host.ask(&["trust", "check"]).contains("tenant 0 has a policy of its own"));
    let wide = author.build("echo", "2.0.0", "[budget]\ntokens = 101\n");
    author.sign(&wide, 2);
    refused(&host.remit(&["install", &wide]), 5, "budget (operator): it asks for 101 tokens, and it may ask for 100");

    let pid = host.ask(&["run", "--detach", "chatter"]).trim().to_owned();
    own(&policy.replace("names = [\"*\"]", "names = [\"echo\"]"));
    let (told, _) = until_frozen(&host, &["trust", "reload"], &[&pid]);
    assert!(told.contains("by the policy of tenant 0: no entry of [[packages]] covers the name"), "{told}");
    refused(&host.remit(&["run", "chatter"]), 5, "name (tenant 0)");
    own("[[packages]]\n");
    refused(&host.remit(&["run", "echo", "x"]), 7, "tenants/0/trust.toml: ");
}

/// A package and its signatures go through a folder in the form of a registry.
#[test]
fn what_was_pushed_is_installed_with_its_signatures_and_stays_what_it_was() {
    let (author, operator) = (Author::new(), tempfile::tempdir().expect("a folder for the test"));
    author.trust(operator.path());
    let desk = |arguments: &[&str]| remit_on(&operator, arguments);
    let at = |tag: &str| format!("oci:{}:{tag}", author.text("shelf"));
    let first = author.build("echo", "1.0.0", "");
    let told = author.ask(&["push", &first, &at("stable")]);
    assert!(told.contains("unsigned") && told.contains("manifest sha256:"), "{told}");
    refused(&desk(&["install", &at("stable")]), 5, "none of its signers signed it");
    author.sign(&first, 1);
    author.ask(&["push", &first, &at("stable")]);
    let installed = desk(&["install", &at("stable")]);
    assert!(
        installed.code == 0 && installed.stdout.contains("shelf@sha256:"),
        "{}{}",
        installed.stdout,
        installed.stderr
    );

    // The tag leads elsewhere now: the name means what was installed until somebody installs again.
    let second = author.package("echo", "2.0.0", 2);
    let told = author.ask(&["push", &second, &at("stable")]);
    let digest = told.split_whitespace().skip_while(|word| *word != "sha256").nth(1).expect("it is told").to_owned();
    let listed = desk(&["packages", "ls"]).stdout;
    assert!(listed.contains("1.0.0") && !listed.contains("2.0.0"), "{listed}");
    assert_eq!(desk(&["run", "echo", "x"]).stdout, "x\nx\n");
    assert_eq!(desk(&["install", &at("stable")]).code, 0);
    assert!(desk(&["packages", "ls"]).stdout.contains("2.0.0"));

    let (pulled, file) = (author.text("pulled.wasm"), at("stable"));
    author.ask(&["pull", &file, "-o", &pulled]);
    let same = |one: &str, other: &str| assert_eq!(fs::read(one).ok(), fs::read(other).ok(), "{one} is {other}");
    same(&pulled, &second);
    same(&format!("{pulled}.dsse.json"), &format!("{second}.dsse.json"));

    refused(&desk(&["install", &at("none")]), 7, "there is no");
    refused(&desk(&["pull", "clerk"]), 2, "write the registry before it");
    refused(&desk(&["push", &second, "./elsewhere.wasm"]), 2, "is a file");
    let blob = author.path("shelf/blobs/sha256").join(digest);
    let mut bytes = fs::read(&blob).expect("it was pushed");
    *bytes.last_mut().expect("it has bytes") ^= 1;
    fs::write(&blob, bytes).expect("it is ours");
    refused(&desk(&["pull", &file, "-o", &pulled]), 5, "it was changed, or damaged on its way");
    fs::write(operator.path().join("registries.toml"), "[[registry]]\nhost = \"a\"\ntls = false\n")
        .expect("it is ours");
    refused(&desk(&["pull", &file, "-o", &pulled]), 2, "write its port too");
}
