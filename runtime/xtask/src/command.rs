//! Running other programs: captured with a limit in time, followed line by line, or straight on the terminal.
//!
//! Every failure names the program, what it was run for, and the last lines of what it said.

use anyhow::{Context as _, Result, bail};
use std::{
    collections::VecDeque,
    ffi::OsStr,
    io::{BufRead as _, BufReader, Read},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

/// How much of a failed program's output an error repeats: enough for a compiler's last error, short enough to read.
const TAIL_LINES: usize = 25;

/// How often a program with a limit in time is looked at.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// A command for a child that must not believe to be run by the `cargo run` that runs us.
pub(crate) fn new(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&*name);
        }
    }
    command
}

/// The cargo that runs us.
pub(crate) fn cargo() -> Command {
    new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Where PATH has a program of this name.
pub(crate) fn find_in_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let file_name = format!("{program}{}", std::env::consts::EXE_SUFFIX);
    std::env::split_paths(&path).map(|folder| folder.join(&file_name)).find(|file| file.is_file())
}

/// Runs to the end with the terminal as its own.
///
/// # Errors
///
/// It cannot be started, or it fails.
pub(crate) fn run(command: &mut Command, purpose: &str) -> Result<()> {
    let status = command.status().with_context(|| could_not_start(command, purpose))?;
    if !status.success() {
        bail!("{purpose} failed: `{}` {}; its own messages are above", name(command), ending(status));
    }
    Ok(())
}

/// Runs to the end without input and gives back what it wrote to stdout.
///
/// # Errors
///
/// It cannot be started, it fails, or it writes something that is not UTF-8.
pub(crate) fn output(command: &mut Command, purpose: &str) -> Result<String> {
    follow(command, purpose, |_| ())
}

/// Like [`output`], ended by force after `limit`.
///
/// # Errors
///
/// As [`output`], and when the limit has passed.
pub(crate) fn output_within(command: &mut Command, purpose: &str, limit: Duration) -> Result<String> {
    supervise(command, purpose, Some(limit), |_| ())
}

/// Like [`output`], and hands over each line that it writes to stderr as it comes.
///
/// # Errors
///
/// As [`output`].
pub(crate) fn follow(command: &mut Command, purpose: &str, on_line: impl FnMut(&str) + Send) -> Result<String> {
    supervise(command, purpose, None, on_line)
}

fn supervise(
    command: &mut Command,
    purpose: &str,
    limit: Option<Duration>,
    mut on_line: impl FnMut(&str) + Send,
) -> Result<String> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| could_not_start(command, purpose))?;
    let stdout = child.stdout.take();
    let stderr = child.stderr.take();
    let mut tail = VecDeque::new();
    let (status, output) = thread::scope(|scope| {
        let reader = scope.spawn(move || read_all(stdout));
        scope.spawn(|| {
            for_each_line(stderr, |line| {
                on_line(line);
                keep_tail(&mut tail, line);
            });
        });
        let status = wait(&mut child, limit);
        (status, reader.join().unwrap_or_default())
    });
    let status = status.with_context(|| format!("{purpose} failed: cannot wait for `{}`", name(command)))?;
    let Some(status) = status else {
        let seconds = limit.unwrap_or_default().as_secs();
        bail!("{purpose} failed: `{}` was still running after {seconds} s and was ended", name(command));
    };
    if !status.success() {
        let said = Vec::from(tail).join("\n");
        bail!("{purpose} failed: `{}` {}, and its last lines were:\n{said}", name(command), ending(status));
    }
    String::from_utf8(output).with_context(|| format!("{purpose} failed: `{}` wrote no valid UTF-8", name(command)))
}

/// None: the limit has passed, and the child was ended.
fn wait(child: &mut Child, limit: Option<Duration>) -> std::io::Result<Option<ExitStatus>> {
    let Some(limit) = limit else { return child.wait().map(Some) };
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if started.elapsed() > limit {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(POLL_INTERVAL);
    }
}

fn read_all(stream: Option<impl Read>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(mut stream) = stream {
        // A pipe that breaks ends what can be read; the exit status tells whether that was a failure.
        let _ = stream.read_to_end(&mut bytes);
    }
    bytes
}

fn for_each_line(stream: Option<impl Read>, mut on_line: impl FnMut(&str)) {
    let Some(stream) = stream else { return };
    for line in BufReader::new(stream).split(b'\n') {
        let Ok(line) = line else { return };
        on_line(String::from_utf8_lossy(&line).trim_end());
    }
}

fn keep_tail(tail: &mut VecDeque<String>, line: &str) {
    if tail.len() == TAIL_LINES {
        tail.pop_front();
    }
    tail.push_back(line.to_owned());
}

fn name(command: &Command) -> String {
    command.get_program().to_string_lossy().into_owned()
}

fn could_not_start(command: &Command, purpose: &str) -> String {
    format!("{purpose} failed: `{}` could not be started", name(command))
}

fn ending(status: ExitStatus) -> String {
    match status.code() {
        Some(code) => format!("ended with code {code}"),
        None => "was ended by a signal".to_owned(),
    }
}

#[cfg(all(test, unix))]
mod unit_tests {
    use super::{output, output_within};
    use std::{process::Command, time::Duration};

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn what_it_says_comes_back() {
        assert_eq!(output(&mut shell("echo yes; echo no >&2"), "a test").expect("it succeeds"), "yes\n");
        let error = output(&mut shell("echo no room >&2; exit 7"), "a test").expect_err("it fails").to_string();
        assert_eq!(error, "a test failed: `sh` ended with code 7, and its last lines were:\nno room");
    }

    #[test]
    fn a_limit_in_time_ends_it() {
        let error = output_within(&mut shell("exec sleep 60"), "a test", Duration::from_millis(100))
            .expect_err("it is ended")
            .to_string();
        assert!(error.contains("still running"), "{error}");
    }
}
