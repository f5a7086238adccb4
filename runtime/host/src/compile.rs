//! Compilation, in a child process: a compiler cannot be stopped from inside, and what it reads is a stranger's.
//!
//! The child gets the component as its standard input and writes the artifact to its standard output, both of them files,
//! so that it needs no path and no environment. It limits itself before it reads a byte, and gives way to everything else on
//! the machine, where agents run while it works; the parent kills it when its time is up. What it says on standard error is one line: why the component was refused.

use crate::{
    LoadError,
    artifact::{ARTIFACT_BYTES_MAX, Cache},
    engine::{compiling_engine, one_line},
    imports::clean,
};
use remit_abi::limits::{COMPILE_MEMORY_BYTES_MAX, COMPILE_SECONDS_MAX, COMPONENT_BYTES_MAX};
use rustix::process::{Resource, Rlimit, nice, setrlimit};
use std::{
    ffi::OsString,
    fs::File,
    io::{self, Read, Seek, Write},
    os::unix::process::ExitStatusExt,
    path::PathBuf,
    process::{Child, Command, ExitCode, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

/// How often the parent looks whether the child is done. A small component takes 20 to 30 ms.
const LOOK: Duration = Duration::from_millis(1);

/// How much the child gives way: beside a thread of the host it gets a tenth of a core.
const NICENESS: i32 = 10;

/// What is read of the child's last words.
const LAST_WORDS_BYTES_MAX: u64 = 4096;

/// The child's answer where it did its work and the component is not valid.
const REFUSED: u8 = 3;

/// The system's number for "over its processor time".
const SIGXCPU: i32 = 24;

/// How the compiling child is started. It must end up in [`child_main`] with the arguments that follow these.
#[derive(Clone, Debug)]
pub struct CompilerCommand {
    /// The program, usually the running one.
    pub program: PathBuf,
    /// What makes it compile, for example a hidden subcommand.
    pub arguments: Vec<OsString>,
}

/// What one compilation may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompileLimits {
    /// Of the component, in bytes: [`COMPONENT_BYTES_MAX`] unless set.
    pub component_bytes_max: u64,
    /// Address space of the child, in bytes: [`COMPILE_MEMORY_BYTES_MAX`] unless set.
    pub memory_bytes_max: u64,
    /// Processor time of the child, and wall time, in seconds: [`COMPILE_SECONDS_MAX`] unless set.
    pub seconds_max: u64,
}

impl Default for CompileLimits {
    fn default() -> Self {
        Self {
            component_bytes_max: COMPONENT_BYTES_MAX,
            memory_bytes_max: COMPILE_MEMORY_BYTES_MAX,
            seconds_max: COMPILE_SECONDS_MAX,
        }
    }
}

/// Compiles a component in a child process, with the files in the cache's folder.
pub(crate) fn compile(
    command: &CompilerCommand,
    limits: CompileLimits,
    cache: &Cache,
    component: &[u8],
) -> Result<Vec<u8>, LoadError> {
    let failed = |source| cache.failed(source);
    let mut input = cache.begin()?;
    input.write_all(component).and_then(|()| input.rewind()).map_err(failed)?;
    let mut output = cache.begin()?;
    let child = Command::new(&command.program)
        .args(&command.arguments)
        .arg(limits.memory_bytes_max.to_string())
        .arg(limits.seconds_max.to_string())
        .env_clear()
        .stdin(input.reopen().map_err(failed)?)
        .stdout(output.reopen().map_err(failed)?)
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|source| LoadError::CompilerMissing { program: command.program.clone(), source })?;
    let last = wait(child, Duration::from_secs(limits.seconds_max)).map_err(failed)?;
    judge(&last, limits)?;
    let mut artifact = Vec::new();
    output.as_file_mut().take(ARTIFACT_BYTES_MAX).read_to_end(&mut artifact).map_err(failed)?;
    Ok(artifact)
}

/// How the child ended.
struct Last {
    status: ExitStatus,
    timed_out: bool,
    words: String,
}

/// Waits for the child, and kills it when its time is up.
fn wait(mut child: Child, time: Duration) -> io::Result<Last> {
    let deadline = Instant::now() + time;
    let (status, timed_out) = loop {
        if let Some(status) = child.try_wait()? {
            break (status, false);
        }
        if Instant::now() >= deadline {
            child.kill()?;
            break (child.wait()?, true);
        }
        thread::sleep(LOOK);
    };
    let mut words = Vec::new();
    if let Some(stderr) = child.stderr.take() {
        stderr.take(LAST_WORDS_BYTES_MAX).read_to_end(&mut words)?;
    }
    Ok(Last { status, timed_out, words: clean(String::from_utf8_lossy(&words).trim(), 512) })
}

fn judge(last: &Last, limits: CompileLimits) -> Result<(), LoadError> {
    let status = last.status;
    if status.success() {
        return Ok(());
    }
    if status.code() == Some(i32::from(REFUSED)) {
        return Err(LoadError::Invalid(last.words.clone()));
    }
    if last.timed_out || status.signal() == Some(SIGXCPU) {
        return Err(LoadError::CompileTime { seconds: limits.seconds_max });
    }
    tracing::warn!(%status, words = last.words, "the compiler crashed");
    Err(LoadError::CompilerCrashed { status, memory_bytes: limits.memory_bytes_max })
}

/// The child: limits itself, compiles standard input to standard output. The arguments are those that the parent added:
/// memory in bytes and time in seconds.
pub fn child_main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    match child(arguments.into_iter()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Refusal { code, text }) => {
            let _ = writeln!(io::stderr(), "{text}");
            code
        }
    }
}

struct Refusal {
    code: ExitCode,
    text: String,
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self { code: ExitCode::FAILURE, text: error.to_string() }
    }
}

fn child(mut arguments: impl Iterator<Item = OsString>) -> Result<(), Refusal> {
    let mut number = || arguments.next()?.to_str()?.parse().ok();
    let (Some(memory_bytes), Some(seconds)) = (number(), number()) else {
        let text = "usage: MEMORY_BYTES SECONDS, with a component as standard input".into();
        return Err(Refusal { code: ExitCode::FAILURE, text });
    };
    limit_self(memory_bytes, seconds)?;
    let mut component = Vec::new();
    io::stdin().lock().take(COMPONENT_BYTES_MAX).read_to_end(&mut component)?;
    let compiled = compiling_engine().and_then(|engine| engine.precompile_component(&component));
    let artifact = compiled.map_err(|error| Refusal { code: ExitCode::from(REFUSED), text: one_line(&error) })?;
    // Past std's line buffer: an artifact is no text.
    let mut output = File::from(rustix::io::dup(io::stdout()).map_err(io::Error::from)?);
    output.write_all(&artifact)?;
    Ok(())
}

/// No way back: the hard limits are set too.
fn limit_self(memory_bytes: u64, seconds: u64) -> io::Result<()> {
    for (resource, current, maximum) in [
        (Resource::As, memory_bytes, memory_bytes),
        // The soft limit's signal says why; the hard one's would not.
        (Resource::Cpu, seconds, seconds.saturating_add(1)),
        (Resource::Fsize, ARTIFACT_BYTES_MAX, ARTIFACT_BYTES_MAX),
        // A dump would hold a stranger's component.
        (Resource::Core, 0, 0),
    ] {
        setrlimit(resource, Rlimit { current: Some(current), maximum: Some(maximum) })?;
    }
    nice(NICENESS)?;
    Ok(())
}
