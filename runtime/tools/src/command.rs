//! Doing calls: each is a program with a process group, an environment and a folder of its own.
//!
//! | the program | the call |
//! | --- | --- |
//! | ends with 0 | is done: what it wrote is the result |
//! | ends otherwise | failed: how it ended, and the end of what it wrote to its standard error |
//! | writes more than a result may have | failed: it is killed |
//! | runs when its time is over | timed out: it is killed |
//! | runs when nobody wants the call any more | is stopped: it is killed |
//! | cannot be started | is not begun |
//!
//! Killed is a whole group: whatever the program started that did not leave its group ends with it. What a host leaves that is killed
//! itself, the next one ends (see `orphans`).

use crate::{Declarations, Declared, orphans};
use remit_abi::{TenantId, limits};
use remit_kernel::ports::{PortFuture, ToolEnd, ToolFacts, ToolFailure, ToolJob, ToolOutput, Tools};
use rustix::process::{Pid, Signal, kill_process_group};
use serde::de::IgnoredAny;
use serde_json::{Map, Value};
use std::{
    env,
    ffi::{OsStr, OsString},
    io::{self, Seek, Write},
    os::unix::process::ExitStatusExt,
    process::{ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::{Child, Command},
    runtime::Handle,
    sync::Semaphore,
    time::timeout,
};
use tracing::info;

/// Programs that run at a time, of all tenants: each takes some megabytes, and a share of the processors.
const PROGRAMS_MAX: usize = 64;

/// How long what a program wrote is read on after it has ended: somebody it started may hold its output open.
const GRACE: Duration = Duration::from_millis(500);

/// Where programs that a tool starts by name are looked for, unless it is given the host's `PATH`.
const SEARCH: &str = "/usr/local/bin:/usr/bin:/bin";

/// The declared tools of this machine.
pub struct Commands {
    declared: Declarations,
    runtime: Handle,
    slots: Arc<Semaphore>,
    host: Option<OsString>,
}

impl Commands {
    /// Tools whose programs a runtime looks after, with its I/O and its time enabled.
    #[must_use]
    pub fn new(declared: Declarations, runtime: Handle) -> Self {
        Self { declared, runtime, slots: Arc::new(Semaphore::new(PROGRAMS_MAX)), host: None }
    }

    /// The same for the one host of this name, which need not be text. Programs that an earlier host of the name left behind are killed
    /// before this returns, and so will be those that this one leaves. Blocks for some milliseconds.
    #[must_use]
    pub fn of_host(mut self, host: OsString) -> Self {
        match orphans::end(&host) {
            0 => {}
            count => info!(count, "ended processes of tools that an earlier host left behind"),
        }
        self.host = Some(host);
        self
    }
}

impl Tools for Commands {
    fn names(&self, _: TenantId) -> Vec<Box<str>> {
        self.declared.tools.keys().cloned().collect()
    }

    fn facts(&self, _: TenantId, name: &str) -> Option<Arc<ToolFacts>> {
        self.declared.tools.get(name).map(|declared| declared.facts.clone())
    }

    fn accepts(&self, _: TenantId, name: &str, arguments: &[u8]) -> Result<(), &'static str> {
        let Ok(object) = serde_json::from_slice::<Map<String, Value>>(arguments) else {
            return Err("its arguments are no JSON object");
        };
        match self.declared.tools.get(name) {
            Some(declared) if !declared.schema.is_valid(&Value::Object(object)) => {
                Err("its arguments do not fit the tool's parameters")
            }
            _ => Ok(()),
        }
    }

    fn call(&self, job: ToolJob) -> PortFuture<'static, ToolEnd> {
        let (declared, slots) = (self.declared.tools.get(&job.tool).cloned(), self.slots.clone());
        let host = self.host.clone();
        Box::pin(async move {
            let unavailable = |why: String| Err(ToolFailure::Unavailable(why.into()));
            let Some(declared) = declared else {
                return unavailable(format!("no tool {} is declared on this host", job.tool));
            };
            let Ok(_slot) = slots.acquire().await else {
                return unavailable("the host is stopping".to_owned());
            };
            let running = match Running::begin(&declared, &job, host.as_deref()) {
                Ok(running) => running,
                Err(error) => return unavailable(format!("its program cannot be started: {error}")),
            };
            match timeout(declared.timeout, running.end()).await {
                Ok(end) => end,
                Err(_) => Err(ToolFailure::TimedOut),
            }
        })
    }

    fn run(&self, work: PortFuture<'static, ()>) {
        // It ends of itself, or with the runtime.
        drop(self.runtime.spawn(work));
    }
}

/// A group of processes, killed when this is dropped.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.0.take() {
            // A group that is empty already is no group any more. Its number is not given out again so soon.
            let _gone = kill_process_group(leader, Signal::KILL);
        }
    }
}

/// A program that runs. The fields are dropped in this order: its group is killed before its folder goes.
struct Running {
    group: Group,
    child: Child,
    _folder: TempDir,
}

impl Running {
    fn begin(declared: &Declared, job: &ToolJob, host: Option<&OsStr>) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("remit-tool-").tempdir()?;
        let mut command = Command::new(&declared.program);
        command.args(&declared.arguments).env_clear().env("PATH", SEARCH);
        for name in &declared.environment {
            if let Some(value) = env::var_os(name) {
                command.env(name, value);
            }
        }
        command.env("REMIT_IDEMPOTENCY_KEY", &*job.key).env("REMIT_TOOL_CALL", job.number.to_string());
        if let Some(host) = host {
            command.env(orphans::VARIABLE, host);
        }
        command.current_dir(folder.path()).process_group(0).kill_on_drop(true);
        command.stdin(whole(&job.arguments)?).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn()?;
        let leader = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        Ok(Self { group: Group(leader), child, _folder: folder })
    }

    /// Waits until it has ended. Dropped before, it is killed.
    async fn end(mut self) -> ToolEnd {
        let (stdout, stderr) = (self.child.stdout.take(), self.child.stderr.take());
        let (mut said, mut complained) = (Vec::new(), Vec::new());
        let status = {
            let talk = async { tokio::join!(read_first(stdout, &mut said), read_last(stderr, &mut complained)) };
            tokio::pin!(talk);
            let mut heard = None;
            let status = tokio::select! {
                status = self.child.wait() => status,
                (whole, ()) = &mut talk => {
                    heard = Some(whole);
                    if !whole {
                        drop(std::mem::replace(&mut self.group, Group(None)));
                    }
                    self.child.wait().await
                }
            };
            // What it started ends with it.
            drop(std::mem::replace(&mut self.group, Group(None)));
            if heard.is_none() {
                heard = timeout(GRACE, &mut talk).await.ok().map(|(whole, ())| whole);
            }
            if heard == Some(false) {
                let most = limits::TOOL_OUTPUT_BYTES_MAX;
                return Err(ToolFailure::Failed(format!("it said more than {most} bytes, and was stopped").into()));
            }
            status
        };
        match status {
            Ok(status) if status.success() => Ok(output(said)),
            Ok(status) => Err(ToolFailure::Failed(failure(status, &complained))),
            Err(error) => Err(ToolFailure::Failed(format!("how it ended is not known: {error}").into())),
        }
    }
}

/// What a program reads: a file that has no name and that nobody else sees. It is there as a whole before the program begins: one whose host
/// ends, by whatever, still reads all that it was called with, and never acts on a part.
fn whole(arguments: &[u8]) -> io::Result<Stdio> {
    let mut file = tempfile::tempfile()?;
    file.write_all(arguments)?;
    file.rewind()?;
    Ok(file.into())
}

/// Reads what a result may have; whether that is all.
async fn read_first(from: Option<impl AsyncRead + Unpin>, said: &mut Vec<u8>) -> bool {
    let Some(from) = from else { return true };
    let most = limits::TOOL_OUTPUT_BYTES_MAX;
    // What cannot be read any more was not said.
    let _broken = from.take(most as u64 + 1).read_to_end(said).await;
    said.len() <= most
}

/// Reads all, and keeps the end.
async fn read_last(from: Option<impl AsyncRead + Unpin>, kept: &mut Vec<u8>) {
    let Some(mut from) = from else { return };
    let most = limits::TOOL_FAILURE_BYTES_MAX / 2;
    let mut piece = [0; 4096];
    while let Ok(count @ 1..) = from.read(&mut piece).await {
        kept.extend_from_slice(&piece[..count]);
        if kept.len() > 2 * most {
            kept.drain(..kept.len() - most);
        }
    }
}

fn output(said: Vec<u8>) -> ToolOutput {
    let media_type = if serde_json::from_slice::<IgnoredAny>(&said).is_ok() {
        "application/json"
    } else if std::str::from_utf8(&said).is_ok() {
        "text/plain; charset=utf-8"
    } else {
        "application/octet-stream"
    };
    ToolOutput { bytes: said.into(), media_type: media_type.into() }
}

/// How a program ended, and the end of what it complained of.
fn failure(status: ExitStatus, complained: &[u8]) -> Box<str> {
    let how = match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("ended by signal {signal}"),
        (None, None) => "ended, and did not say how".to_owned(),
    };
    let text = String::from_utf8_lossy(complained);
    let text = text.trim();
    // Replacements of what is no text may have made it longer.
    let most = limits::TOOL_FAILURE_BYTES_MAX - how.len() - 1;
    let from = text.ceil_char_boundary(text.len().saturating_sub(most));
    format!("{how}\n{}", &text[from..]).trim_end().into()
}
