//! Agents in Python and JavaScript, made by their own tools and run by the host.
//!
//! Each SDK's sample is built with the SDK's own script, tried with its cases on the recorded engine, packed, run, run again from
//! its log, and asked to open a connection, which has to be an error in its own language.

mod toolchain;

use super::today;
use crate::{
    build, command,
    data_folder::{make_folder, remove_folder},
    environment::Environment,
    progress,
};
use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};
use toolchain::Toolchain;

const NAME: &str = "suite languages";

/// The host, as an operator has it.
const HOST: &[&str] = &["build", "--workspace", "--bins"];

/// What the samples count.
const TEXT: &str = "the sea, the sea and the wind";

/// And what they say of it, in both languages.
const COUNTED: &str = "\"words\":";

/// How long one of them may take on a host: less than a second, and its compilation half a minute on a slow machine.
const PATIENCE: Duration = Duration::from_secs(180);

/// A name that nobody has (RFC 2606), so that nothing is reached where the host is wrong.
const CONNECT: &str = "connect example.invalid";

/// How often a start from the cache is timed.
const STARTS: usize = 5;

/// A language that agents are written in.
struct Language {
    name: &'static str,
    /// Of its SDK, below `guest-sdk`.
    folder: &'static str,
    /// What its toolchain is, with versions.
    tools: &'static str,
    /// What its sample says of a connection.
    denied: &'static str,
    ensure: fn(&Environment) -> Result<Toolchain>,
}

const LANGUAGES: [Language; 2] = [
    Language {
        name: "Python",
        folder: "python",
        tools: "componentize-py 0.25.1",
        denied: "PermissionError",
        ensure: toolchain::python,
    },
    Language {
        name: "JavaScript",
        folder: "js",
        tools: "componentize-js 0.23.0, jco 1.35.0",
        denied: "TypeError: fetch is denied",
        ensure: toolchain::javascript,
    },
];

/// Runs all of it.
pub(super) fn run() -> Result<()> {
    let started = Instant::now();
    let mut environment = Environment::open()?;
    environment.set_up_host_build()?;
    let toolchains = LANGUAGES.iter().map(|language| (language.ensure)(&environment)).collect::<Result<Vec<_>>>()?;
    progress::already(NAME, "building the host");
    let remit = build::executable(&build::artifacts(environment.cargo().args(HOST), "building the host")?, "remit")?;
    let folder = environment.workspace.target.join("suite-languages");
    remove_folder(&folder)?;
    let mut rows = Vec::new();
    for (language, toolchain) in LANGUAGES.iter().zip(&toolchains) {
        let bench = Bench { language, toolchain, remit: &remit, folder: folder.join(language.folder) };
        rows.push(bench.row(&environment.workspace.root)?);
    }
    println!("\n| language | tools | date | component, bytes | package, bytes | built in | first start | start |");
    println!("| --- | --- | --- | ---: | ---: | ---: | ---: | ---: |");
    rows.iter().for_each(|row| println!("{row}"));
    progress::already(NAME, &format!("done ({})", progress::duration(started.elapsed())));
    Ok(())
}

/// What all parts of one language share.
struct Bench<'a> {
    language: &'a Language,
    toolchain: &'a Toolchain,
    remit: &'a Path,
    /// Holds copies of `wit` and of the SDK as they lie in the workspace, and the data folder.
    folder: PathBuf,
}

impl Bench<'_> {
    /// All parts; the row for the table.
    fn row(&self, workspace: &Path) -> Result<String> {
        copy_folder(&workspace.join("wit"), &self.folder.join("wit"))?;
        let sdk = self.folder.join("guest-sdk").join(self.language.folder);
        copy_folder(&workspace.join("guest-sdk").join(self.language.folder), &sdk)?;
        self.toolchain.link(&sdk)?;
        self.toolchain.try_sdk(&sdk)?;
        self.seen("what of the SDK can be tried without a kernel is as expected");
        let built = self.build(&sdk, &sdk.join("sample"))?;
        self.template(&sdk)?;
        let (component, package) = self.pack(&sdk.join("sample"))?;
        self.cases(&sdk.join("sample"))?;
        let first = self.timed(&package, TEXT, COUNTED)?;
        let mut starts = (0..STARTS).map(|_| self.timed(&package, TEXT, COUNTED)).collect::<Result<Vec<_>>>()?;
        starts.sort_unstable();
        let start = starts.get(STARTS / 2).copied().unwrap_or_default();
        self.timed(&package, CONNECT, self.language.denied)?;
        self.replayed(&package)?;
        let Language { name, tools, .. } = self.language;
        Ok(format!(
            "| {name} | {tools} | {} | {component} | {} | {built:.1?} | {first:.1?} | {start:.1?} |",
            today()?,
            size(&package)?
        ))
    }

    /// The component of a project, by the SDK's own script.
    fn build(&self, sdk: &Path, project: &Path) -> Result<Duration> {
        let started = Instant::now();
        let mut script = self.toolchain.script(sdk);
        script.arg("build").arg(project);
        let said = command::output(&mut script, &format!("building the agent in {}", self.language.name))?;
        self.seen(said.trim());
        Ok(started.elapsed())
    }

    /// A new agent is one that passes its cases.
    fn template(&self, sdk: &Path) -> Result<()> {
        let project = self.folder.join("newborn");
        let mut script = self.toolchain.script(sdk);
        script.args(["new", "newborn"]).arg(&project);
        command::output(&mut script, "making a new agent")?;
        self.build(sdk, &project)?;
        self.cases(&project)
    }

    /// The cases of a project, on the recorded engine.
    fn cases(&self, project: &Path) -> Result<()> {
        let told = command::output(self.remit(&["test"]).arg(project), "trying the cases")?;
        told.lines().map(str::trim).filter(|line| !line.is_empty()).for_each(|line| self.seen(line));
        Ok(())
    }

    /// One file of the sample, and the size of the component in it.
    fn pack(&self, project: &Path) -> Result<(u64, PathBuf)> {
        let package = self.folder.join("package.wasm");
        let mut remit = self.remit(&["build"]);
        remit.arg(project).arg("--output").arg(&package);
        command::output(&mut remit, "packing")?;
        let entries = fs::read_dir(project).context("the sample's folder cannot be read")?;
        let is_component = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "wasm");
        let component = entries.flatten().map(|entry| entry.path()).find(is_component);
        Ok((size(&component.context("the script made no component")?)?, package))
    }

    /// A run on a node of its own, and how long the command took. No model is there, and the agent does without.
    fn timed(&self, package: &Path, input: &str, expected: &str) -> Result<Duration> {
        let started = Instant::now();
        let mut remit = self.remit(&["run", "--local", "--grant", "none", "--output", "json"]);
        let told = command::output(remit.arg(package).arg(input), "running the sample")?;
        let took = started.elapsed();
        let lines = told.lines().map(serde_json::from_str).collect::<Result<Vec<Value>, _>>();
        let lines = lines.context("`remit run` wrote a line that is no JSON")?;
        let texts = lines.iter().filter(|line| line["type"] == "text").filter_map(|line| line["text"].as_str());
        let said: String = texts.collect();
        ensure!(said.contains(expected), "{input:?}: {expected:?} is not what it said: {said:?}");
        let end = lines.last().context("`remit run` wrote nothing")?;
        ensure!(end["status"] == "complete", "{input:?}: it ended with {end}");
        self.seen(&format!("{input:?}: {} ({took:.1?})", said.trim()));
        Ok(took)
    }

    /// On a host that keeps what it is told: the agent does the same when it is told the same again.
    fn replayed(&self, package: &Path) -> Result<()> {
        let host = self.up()?;
        for input in [TEXT, CONNECT] {
            let mut remit = self.remit(&["run", "--detach", "--grant", "none"]);
            let pid = command::output(remit.arg(package).arg(input), "starting the sample on a host")?;
            let pid = pid.trim();
            let end = self.result(pid)?;
            ensure!(end["status"] == "complete", "{input:?}: on a host it ended with {end}");
            let told = command::output(&mut self.remit(&["replay", "--json", pid]), "running it again from its log")?;
            let steps = told.lines().count().saturating_sub(1);
            let last: Value = serde_json::from_str(told.lines().last().unwrap_or_default())
                .context("`remit replay` does not say how it ended")?;
            ensure!(steps > 0 && last["state"] == "ended", "{input:?}: its replay ended otherwise: {last}");
            self.seen(&format!("{input:?}: run again from its log in {steps} steps, to the same end"));
        }
        drop(host);
        Ok(())
    }

    /// What a detached process came to.
    fn result(&self, pid: &str) -> Result<Value> {
        let begun = Instant::now();
        loop {
            let listed = command::output(&mut self.remit(&["results", "--json"]), "asking for results")?;
            let listed: Value = serde_json::from_str(&listed).context("`remit results` wrote no JSON")?;
            let mut results = listed["results"].as_array().into_iter().flatten();
            if let Some(result) = results.find(|result| result["pid"] == pid) {
                return Ok(result.clone());
            }
            ensure!(begun.elapsed() < PATIENCE, "process {pid} does not end");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// A host on the language's own data folder.
    fn up(&self) -> Result<Host> {
        let mut up = self.remit(&["up"]);
        let mut host =
            Host(up.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("the host cannot be started")?);
        let mut line = String::new();
        let output = host.0.stdout.as_mut().context("the host has no output")?;
        BufReader::new(output).read_line(&mut line).context("the host's output cannot be read")?;
        ensure!(line.starts_with("listening on "), "the host does not listen: {line:?}");
        Ok(host)
    }

    fn remit(&self, words: &[&str]) -> Command {
        let mut remit = command::new(self.remit);
        remit.args(words).env("REMIT_HOME", self.folder.join("home")).env_remove("XDG_RUNTIME_DIR");
        remit
    }

    fn seen(&self, what: &str) {
        progress::already(NAME, &format!("{}: {what}", self.language.name));
    }
}

/// A running host, ended by its process id when it is dropped.
struct Host(Child);

impl Drop for Host {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to do.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn size(file: &Path) -> Result<u64> {
    Ok(file.metadata().with_context(|| format!("cannot read {}", file.display()))?.len())
}

/// A folder without what its toolchain and earlier builds put into it.
fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    make_folder(to)?;
    let read = || format!("cannot read {}", from.display());
    for entry in fs::read_dir(from).with_context(read)? {
        let entry = entry.with_context(read)?;
        let (name, path) = (entry.file_name(), entry.path());
        let is_made = path.extension().is_some_and(|extension| extension == "wasm");
        if is_made || name == "node_modules" || name == "__pycache__" {
            continue;
        }
        match entry.file_type().with_context(read)?.is_dir() {
            true => copy_folder(&path, &to.join(name))?,
            false => {
                let copied = fs::copy(&path, to.join(name));
                copied.with_context(|| format!("cannot copy {}", path.display()))?;
            }
        }
    }
    Ok(())
}
