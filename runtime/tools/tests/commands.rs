//! Tools that are small shell scripts, called as the kernel calls them.

use remit_abi::{TenantId, limits};
use remit_kernel::ports::{ToolEnd, ToolFailure, ToolJob, ToolOutput, Tools};
use remit_tools::{Commands, Declarations};
use std::{
    fs,
    os::unix::process::{CommandExt, ExitStatusExt},
    path::Path,
    time::Duration,
};
use tempfile::TempDir;
use tokio::{runtime::Handle, time::sleep};

const TENANT: TenantId = TenantId(1);

/// Scripts as tools, in a folder of their own.
struct Bench {
    folder: TempDir,
    tools: Commands,
}

impl Bench {
    /// One tool `t` that does this, with these lines besides.
    fn with(script: &str, lines: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::write(folder.path().join("t.sh"), script).expect("it is writable");
        let text = format!(
            "[tool.t]\ndescription = 'x'\ncommand = ['/bin/sh', '{}/t.sh', 'first']\neffect = 'once'\n{lines}\n",
            folder.path().display()
        );
        let declared = Declarations::parse(&text, folder.path()).expect("it is whole");
        let tools = Commands::new(declared, Handle::current());
        Self { folder, tools }
    }

    fn of(script: &str) -> Self {
        Self::with(script, "")
    }

    async fn call(&self, arguments: &str) -> ToolEnd {
        self.tools.call(job(arguments)).await
    }

    /// Waits until a script has written a file, and reads it.
    async fn written(&self, name: &str) -> String {
        let path = self.folder.path().join(name);
        loop {
            match fs::read_to_string(&path) {
                Ok(text) if text.ends_with('\n') => return text.trim().to_owned(),
                _ => sleep(Duration::from_millis(5)).await,
            }
        }
    }
}

fn job(arguments: &str) -> ToolJob {
    let (tool, key, arguments) = ("t".into(), "1-7-ab".into(), arguments.to_owned().into());
    ToolJob { tenant: TENANT, tool, number: 7, key, arguments }
}

fn said(end: ToolEnd) -> (String, String) {
    let ToolOutput { bytes, media_type } = end.expect("it is done");
    (String::from_utf8_lossy(&bytes).into_owned(), media_type.to_string())
}

fn failed(end: ToolEnd) -> String {
    match end {
        Err(ToolFailure::Failed(why)) => why.into(),
        other => panic!("it fails: {other:?}"),
    }
}

/// Waits until a process is gone.
async fn is_gone(pid: &str) {
    // A zombie is gone, too: nothing of it runs.
    let runs = || fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "));
    while runs() {
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn it_gets_its_arguments_its_key_and_nothing_of_the_hosts() {
    let script = "cat; echo; echo \"$1 $REMIT_IDEMPOTENCY_KEY $REMIT_TOOL_CALL\"; env | cut -d= -f1 | sort | tr '\\n' ' '; ls -A";
    let bench = Bench::with(script, "env = ['CARGO_MANIFEST_DIR', 'NO_SUCH_NAME']");
    let (text, media_type) = said(bench.call("{\"n\":1}").await);
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[..2], ["{\"n\":1}", "first 1-7-ab 7"]);
    let names = "CARGO_MANIFEST_DIR PATH PWD REMIT_IDEMPOTENCY_KEY REMIT_TOOL_CALL";
    assert_eq!(lines[2].replace("OLDPWD ", "").replace("SHLVL ", "").replace("_ ", "").trim(), names);
    assert_eq!((lines.len(), &*media_type), (3, "text/plain; charset=utf-8"), "its folder is empty");
}

#[tokio::test]
async fn its_folder_is_its_own_and_gone_after_it() {
    let bench = Bench::of("pwd; echo x > left-behind");
    let (first, second) = (said(bench.call("{}").await).0, said(bench.call("{}").await).0);
    assert!(first != second && !Path::new(first.trim()).exists() && !Path::new(second.trim()).exists());
}

#[tokio::test]
async fn what_it_says_has_the_media_type_that_it_looks_like() {
    for (script, expect) in [
        ("echo '{\"a\": [1, 2]}'", "application/json"),
        ("echo 42", "application/json"),
        ("echo '{\"a\": '", "text/plain; charset=utf-8"),
        ("true", "text/plain; charset=utf-8"),
        ("printf '\\377\\376'", "application/octet-stream"),
    ] {
        assert_eq!(said(Bench::of(script).call("{}").await).1, expect, "{script}");
    }
}

#[tokio::test]
async fn a_failure_says_how_it_ended_and_its_last_words() {
    assert_eq!(
        failed(Bench::of("echo lost; echo 'no such article' >&2; exit 3").call("{}").await),
        "exit status 3\nno such article"
    );
    assert_eq!(failed(Bench::of("kill -9 $$").call("{}").await), "ended by signal 9");
    let talks = "i=0; while [ $i -lt 4000 ]; do echo \"complaint $i\" >&2; i=$((i+1)); done; exit 1";
    let why = failed(Bench::of(talks).call("{}").await);
    assert!(why.starts_with("exit status 1\n") && why.ends_with("complaint 3999"), "{}", why.len());
    assert!((4096..=limits::TOOL_FAILURE_BYTES_MAX).contains(&why.len()), "{}", why.len());
}

#[tokio::test]
async fn it_says_as_much_as_a_result_may_have_and_no_more() {
    let most = limits::TOOL_OUTPUT_BYTES_MAX;
    let all = said(Bench::of(&format!("head -c {most} /dev/zero | tr '\\0' x")).call("{}").await).0;
    assert_eq!(all.len(), most);
    let why = failed(Bench::of("while true; do echo xxxxxxxxxxxxxxxx; done").call("{}").await);
    assert!(why.contains("said more than"), "{why}");
}

#[tokio::test]
async fn what_it_does_not_read_is_no_failure() {
    let large = format!("{{\"x\":\"{}\"}}", "x".repeat(limits::TOOL_BYTES_MAX * 4));
    assert_eq!(said(Bench::of("exec 0<&-; echo done").call(&large).await).0, "done\n");
}

#[tokio::test]
async fn when_its_time_is_over_it_is_killed_and_what_it_started_with_it() {
    let script = "sleep 1000 & echo $! > $(dirname $0)/child; echo $$ > $(dirname $0)/self; wait";
    let bench = Bench::with(script, "timeout_seconds = 1");
    assert_eq!(bench.call("{}").await, Err(ToolFailure::TimedOut));
    is_gone(&bench.written("child").await).await;
    is_gone(&bench.written("self").await).await;
}

#[tokio::test]
async fn who_drops_the_call_kills_it() {
    let script = "sleep 1000 & echo $! > $(dirname $0)/child; echo $$ > $(dirname $0)/self; wait";
    let bench = Bench::of(script);
    let call = tokio::spawn(bench.tools.call(job("{}")));
    let (child, itself) = (bench.written("child").await, bench.written("self").await);
    call.abort();
    is_gone(&child).await;
    is_gone(&itself).await;
    assert!(call.await.is_err_and(|error| error.is_cancelled()));
}

#[tokio::test]
async fn nothing_is_begun_before_the_call_is_awaited() {
    let bench = Bench::of("echo x > $(dirname $0)/ran; echo done");
    let call = bench.tools.call(job("{}"));
    // Another one begins and ends meanwhile.
    assert_eq!(said(Bench::of("echo done").call("{}").await).0, "done\n");
    assert!(!bench.folder.path().join("ran").exists());
    assert_eq!(said(call.await).0, "done\n");
    assert!(bench.folder.path().join("ran").exists());
}

#[tokio::test]
async fn what_it_leaves_running_ends_with_it_and_holds_nobody_up() {
    let bench = Bench::of("sleep 1000 & echo $! > $(dirname $0)/child; echo done");
    assert_eq!(said(bench.call("{}").await).0, "done\n");
    is_gone(&bench.written("child").await).await;
}

#[tokio::test]
async fn what_a_host_that_was_killed_left_running_is_ended_by_the_next_of_its_name() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let name = |of: &str| folder.path().join(of).into_os_string();
    let text = "[tool.t]\ndescription = 'x'\ncommand = ['/bin/sh', '-c', 'echo $REMIT_TOOL_HOST']\neffect = 'once'\n";
    let declared = || Declarations::parse(text, folder.path()).expect("it is whole");
    let host = |of| Commands::new(declared(), Handle::current()).of_host(name(of));
    assert_eq!(said(host("first").call(job("{}")).await).0.trim(), name("first").to_str().expect("it is text"));
    // As a host would leave them: in groups of their own, and one of them left its group.
    let left = |of, script: &str| {
        let mut command = std::process::Command::new("/bin/sh");
        command.args(["-c", script]).env("REMIT_TOOL_HOST", name(of)).process_group(0);
        command.spawn().expect("there is a shell")
    };
    let (mut first, mut asleep, mut second) =
        (left("first", "sleep 1000 & wait"), left("first", "exec sleep 1000"), left("second", "sleep 1000"));
    drop(host("first"));
    for child in [&mut first, &mut asleep] {
        let status = child.try_wait().expect("it is a child of this test");
        assert_eq!(
            status.and_then(|status| status.signal()),
            Some(9),
            "it has ended before the next host calls anything"
        );
    }
    assert!(second.try_wait().expect("it is a child of this test").is_none(), "it is another host's");
    drop(host("second"));
    assert!(second.try_wait().expect("it is a child of this test").is_some());
}

#[tokio::test]
async fn a_program_that_cannot_be_started_did_nothing() {
    let bench = Bench::of("true");
    let unavailable = |end| matches!(end, Err(ToolFailure::Unavailable(_)));
    let unknown = ToolJob { tool: "u".into(), ..job("{}") };
    assert!(unavailable(bench.tools.call(unknown).await));
    let path = bench.folder.path().join("t.sh");
    let text = format!("[tool.t]\ndescription = 'x'\ncommand = ['{}']\neffect = 'none'\n", path.display());
    let declared = Declarations::parse(&text, bench.folder.path()).expect("the file is there");
    let tools = Commands::new(declared, Handle::current());
    assert!(unavailable(tools.call(job("{}")).await), "it is a file that is no program");
}

#[tokio::test]
async fn arguments_are_an_object() {
    let bench = Bench::of("true");
    for good in ["{}", " {\"a\": {\"b\": [null]}} "] {
        assert_eq!(bench.tools.accepts(TENANT, "t", good.as_bytes()), Ok(()), "{good}");
    }
    for bad in ["", "[]", "1", "{", "{\"a\":}", "{} {}", &format!("{{\"a\":{}}}", "[".repeat(1000))] {
        assert!(bench.tools.accepts(TENANT, "t", bad.as_bytes()).is_err(), "{bad}");
    }
}
