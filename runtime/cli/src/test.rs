//! `remit test`: an agent, tried on a model whose replies are written down.

use crate::{
    build::compile_if_source,
    exit::CommandError,
    node::{open_recorded, runtime},
    terminal::name_of,
    text::plain,
};
use clap::Args;
use remit_abi::{GrantKind, LogLevel};
use remit_assembly::{
    Declarations, GrantChoice, Home, Package,
    cases::{CaseFile, Tried, read_cases, try_case},
    package::disk,
    recorded::RecordedEngine,
};
use remit_kit::{CASES_FOLDER, Project, panics::source_line};
use std::{
    fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// Bytes of a file of cases that are read: more than one may have, which its own reading says better.
const FILE_BYTES_MAX: u64 = 8 << 20;

/// The tools of the host that cases are tried on, beside the cases.
const TOOLS_FILE: &str = "tools.toml";

/// As much of what an agent said as is shown of a case that did not pass.
const SHOWN_CHARS_MAX: usize = 600;

/// Try an agent on a model whose replies are written down: every case of tests/*.toml in its folder. No model is loaded. Its
/// tools are those of tests/tools.toml, and its memory is empty for each file.
#[derive(Args)]
pub(crate) struct Test {
    /// The agent's folder
    #[arg(default_value = ".")]
    folder: PathBuf,
    /// Only cases whose name has this in it
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Take the component as it is, and compile nothing
    #[arg(long)]
    no_compile: bool,
    /// Show what the agent said and logged also where a case passes
    #[arg(short, long)]
    verbose: bool,
}

/// How many cases there were.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    tried: usize,
    passed: usize,
}

/// Where a project's cases are: its own files, but for the tools.
pub(crate) fn case_files(folder: &Path) -> Result<Vec<PathBuf>, CommandError> {
    let folder = folder.join(CASES_FOLDER);
    let entries = match fs::read_dir(&folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|error| failed(&folder, error))?,
    };
    let is_cases = |path: &PathBuf| {
        path.extension().is_some_and(|extension| extension == "toml")
            && path.file_name().is_some_and(|name| name != TOOLS_FILE)
    };
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(is_cases).collect();
    files.sort();
    Ok(files)
}

fn failed(path: &Path, error: impl std::fmt::Display) -> CommandError {
    CommandError::Machine(format!("{}: {error}", path.display()))
}

impl Test {
    pub(crate) fn run(self) -> Result<ExitCode, CommandError> {
        if !self.no_compile {
            compile_if_source(&self.folder)?;
        }
        let files = case_files(&self.folder)?;
        if files.is_empty() {
            let sentence = format!("{} holds no file of cases", self.folder.join(CASES_FOLDER).display());
            return Err(CommandError::Usage(format!("{sentence}: `remit new` shows one")));
        }
        let (started, package) = (Instant::now(), Package::open(&self.folder)?);
        let place = Place::of(&self.folder)?;
        let runtime = runtime(1)?;
        let mut count = Count::default();
        for file in &files {
            runtime.block_on(self.try_file(&package, &place, file, &mut count))?;
        }
        runtime.shutdown_background();
        let Count { tried, passed } = count;
        if tried == 0 {
            let only = self.only.unwrap_or_default();
            return Err(CommandError::Usage(format!("no case has {only:?} in its name")));
        }
        println!("{passed} of {tried} cases passed in {:.2} s", started.elapsed().as_secs_f64());
        Ok(if passed == tried { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// All cases of a file, one after the other on one node.
    async fn try_file(
        &self,
        package: &Package,
        place: &Place,
        file: &Path,
        count: &mut Count,
    ) -> Result<(), CommandError> {
        let text = disk::read(file, FILE_BYTES_MAX).map_err(|error| failed(file, error))?;
        let wrong = |error: &dyn std::fmt::Display| CommandError::Usage(format!("{}: {error}", file.display()));
        let text = String::from_utf8(text).map_err(|error| wrong(&error))?;
        let CaseFile { replies, cases } = read_cases(&text).map_err(|error| wrong(&error))?;
        let is_wanted = |name: &str| self.only.as_deref().is_none_or(|only| name.contains(only));
        if !cases.iter().any(|case| is_wanted(&case.name)) {
            return Ok(());
        }
        let tools = self.folder.join(CASES_FOLDER).join(TOOLS_FILE);
        let tools = if tools.exists() { Declarations::read(&tools)? } else { Declarations::default() };
        let home = place.home(file)?;
        let lock = home.lock()?;
        let engine = Arc::new(RecordedEngine::new(replies));
        let remembers = package.manifest.wants.iter().any(|want| want.kind == GrantKind::Memory);
        let node = open_recorded(home, engine.clone(), remembers, tools)?;
        // Nothing is there to go on: but from here on numbers are given out.
        node.recover().await?;
        let agent = node.load(package, &GrantChoice::All)?;
        println!("{}", file.display());
        for case in cases.iter().filter(|case| is_wanted(&case.name)) {
            let tried = try_case(&node, &engine, &agent, case).await?;
            count.tried += 1;
            count.passed += usize::from(tried.wrong.is_empty());
            self.show(&case.name, &tried);
        }
        drop((node, lock));
        Ok(())
    }

    fn show(&self, name: &str, tried: &Tried) {
        let Tried { wrong, text, logs, took } = tried;
        let passed = wrong.is_empty();
        println!("  {:6}  {} ({})", if passed { "ok" } else { "FAILED" }, plain(name), milliseconds(*took));
        for sentence in wrong {
            println!("          {}", plain(sentence));
        }
        if passed && !self.verbose {
            return;
        }
        let shown: String = text.chars().take(SHOWN_CHARS_MAX).collect();
        let cut = if shown.len() < text.len() { "..." } else { "" };
        println!("          it said {shown:?}{cut}");
        for (level, message) in logs.iter().filter(|(level, _)| self.verbose || *level >= LogLevel::Warn) {
            println!("          {}: {}", name_of(*level), plain(message));
            if let Some(line) = source_line(&self.folder, message) {
                line.to_string().lines().for_each(|line| println!("          {line}"));
            }
        }
    }
}

fn milliseconds(took: Duration) -> String {
    format!("{} ms", took.as_millis())
}

/// Where data folders of cases are: in the project's target folder, so that a component is compiled once; else in one that goes away.
enum Place {
    Kept(PathBuf),
    Passing(TempDir),
}

impl Place {
    fn of(folder: &Path) -> Result<Self, CommandError> {
        if Project::is_at(folder) {
            let folder = folder.canonicalize().map_err(|error| failed(folder, error))?;
            return Ok(Self::Kept(folder.join("target/remit-test")));
        }
        let made = tempfile::tempdir();
        made.map(Self::Passing).map_err(|error| CommandError::Machine(format!("a folder for the test: {error}")))
    }

    /// The data folder for the cases of a file, with nothing in it that anybody remembers.
    fn home(&self, file: &Path) -> Result<Home, CommandError> {
        let root = match self {
            Self::Kept(folder) => folder.as_path(),
            Self::Passing(folder) => folder.path(),
        };
        let home = Home::at(root.join(file.file_stem().unwrap_or_default()));
        for folder in [home.journal(), home.memory(), home.components()] {
            match fs::remove_dir_all(&folder) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(&folder, error)),
                _ => {}
            }
        }
        Ok(home)
    }
}
