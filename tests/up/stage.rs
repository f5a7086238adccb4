//! A host on a data folder of its own, and whoever asks it.

use crate::stage::made;
use serde_json::Value;
use std::{
    io::{BufRead, BufReader, Read, Write},
    os::unix::net::UnixStream,
    path::PathBuf,
    process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio},
    time::{Duration, Instant},
};

/// Longer than anything takes that a test waits for: a test that waits so long has failed.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// What a command came to.
#[derive(Debug)]
pub(super) struct Ran {
    pub(super) code: i32,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

/// A running `remit up`. It is killed, by its process id, where a test ends before it does.
pub(super) struct Host {
    child: Child,
    home: tempfile::TempDir,
}

/// A command that runs beside the test; killed where the test ends before it does.
pub(super) struct Beside {
    child: Child,
    lines: BufReader<ChildStdout>,
}

pub(super) fn program(name: &str) -> String {
    made("REMIT_TEST_PROGRAMS").join(format!("{name}.wasm")).display().to_string()
}

fn command(home: &tempfile::TempDir, arguments: &[&str]) -> Command {
    let mut command = Command::new(made("REMIT_TEST_CLI"));
    command
        .args(arguments)
        .env("REMIT_HOME", home.path())
        .env_remove("REMIT_LOG")
        .env_remove("XDG_RUNTIME_DIR")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// A command on a data folder on which no host runs.
pub(super) fn remit_on(home: &tempfile::TempDir, arguments: &[&str]) -> Ran {
    ran(command(home, arguments).output().expect("the program is built"))
}

impl Host {
    pub(super) fn up() -> Self {
        Self::on(tempfile::tempdir().expect("a folder for the test"), &[])
    }

    /// Waits for the line that says that it listens.
    pub(super) fn on(home: tempfile::TempDir, arguments: &[&str]) -> Self {
        let child = command(&home, &[&["up"], arguments].concat()).stderr(Stdio::inherit()).spawn();
        let mut host = Self { child: child.expect("the program is built"), home };
        let mut line = String::new();
        let stdout = host.child.stdout.as_mut().expect("it is piped");
        BufReader::new(stdout).read_line(&mut line).expect("it says that it is ready");
        assert_eq!(line, format!("listening on {}\n", host.socket().display()));
        host
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.home.path().join("run/control.sock")
    }

    pub(super) fn system_pid(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn home(&self) -> &tempfile::TempDir {
        &self.home
    }

    /// A command, to its end.
    pub(super) fn remit(&self, arguments: &[&str]) -> Ran {
        let output = command(&self.home, arguments).output().expect("the program is built");
        ran(output)
    }

    /// A command that succeeds; what it wrote to standard output.
    pub(super) fn ask(&self, arguments: &[&str]) -> String {
        let ran = self.remit(arguments);
        assert_eq!(ran.code, 0, "{arguments:?}: {}", ran.stderr);
        ran.stdout
    }

    pub(super) fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.ask(&[arguments, &["--json"]].concat())).expect("it is one JSON value")
    }

    /// Starts a program on the host, and leaves it alone; its pid.
    pub(super) fn detach(&self, name: &str, input: &[&str]) -> String {
        self.ask(&[&["run", "--detach", &program(name)], input].concat()).trim().to_owned()
    }

    /// A command that goes on beside the test.
    pub(super) fn beside(&self, arguments: &[&str]) -> Beside {
        let mut child = command(&self.home, arguments).spawn().expect("the program is built");
        let lines = BufReader::new(child.stdout.take().expect("it is piped"));
        Beside { child, lines }
    }

    /// Asks until what comes back is as expected.
    pub(super) fn until<T>(&self, what: &str, mut look: impl FnMut(&Self) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(seen) = look(self) {
                return seen;
            }
            assert!(Instant::now() < deadline, "{what} did not come about");
        }
    }

    pub(super) fn connect(&self) -> UnixStream {
        let stream = UnixStream::connect(self.socket()).expect("the host listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("the system has timeouts");
        stream
    }

    /// A request by hand; all that is answered until the connection is closed.
    pub(super) fn answer(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect();
        // A host that has had enough does not read the rest, and closes with it unread.
        let _refused = stream.write_all(bytes);
        let mut answer = Vec::new();
        let _reset = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }

    pub(super) fn signal(&self, signal: &str) {
        send(&self.child, signal);
    }

    /// Waits for its end.
    pub(super) fn ended(mut self) -> (ExitStatus, tempfile::TempDir) {
        let status = self.child.wait().expect("it is our child");
        let home = std::mem::replace(&mut self.home, tempfile::tempdir().expect("a folder for nothing"));
        (status, home)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // It may have ended before.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

impl Beside {
    pub(super) fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("it writes text");
        line
    }

    /// Lines up to one that holds a text, that one included.
    pub(super) fn lines_until(&mut self, text: &str) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let line = self.line();
            assert!(!line.is_empty(), "it ended before it said {text:?}: {lines:?}");
            let found = line.contains(text);
            lines.push(line.trim_end().to_owned());
            if found {
                return lines;
            }
        }
    }

    pub(super) fn signal(&self, signal: &str) {
        send(&self.child, signal);
    }

    /// Waits for its end; what it wrote from here on.
    pub(super) fn ended(mut self) -> Ran {
        let (mut stdout, mut stderr) = (String::new(), String::new());
        self.lines.read_to_string(&mut stdout).expect("it writes text");
        let errors = self.child.stderr.as_mut().expect("it is piped");
        errors.read_to_string(&mut stderr).expect("it writes text");
        let status = self.child.wait().expect("it is our child");
        Ran { code: status.code().unwrap_or(-1), stdout, stderr }
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn send(child: &Child, signal: &str) {
    let sent = Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()]).status();
    assert!(sent.expect("the system has kill").success());
}

fn ran(Output { status, stdout, stderr }: Output) -> Ran {
    let text = |bytes| String::from_utf8(bytes).expect("it writes UTF-8");
    Ran { code: status.code().expect("no signal ended it"), stdout: text(stdout), stderr: text(stderr) }
}
