//! `cargo xtask dist`: the archive that is handed out, which runs on a machine without a toolchain.
//!
//! | in it | what |
//! | --- | --- |
//! | `bin/remit` | the program |
//! | `share/remit/agents/NAME/` | the agents, as `remit run` takes them |
//! | `share/remit/config/` | files of a data folder, with examples that are switched off |
//! | `share/man/man1/`, and below `share/` where each shell looks | manual pages and completions, as the program itself writes them |
//! | `README.md`, `LICENSE`, `THIRD-PARTY.txt` | what it is, and under which licences it and its parts are |
//!
//! What was packed is then tried: it is unpacked into an empty folder and run there with nothing of this machine but the system's
//! own programs, down to a first answer of a model.

use crate::{
    command,
    data_folder::{make_folder, remove_folder, write_file},
    environment::{Environment, LANGUAGE_MODEL, Prepared},
    host_rustc::HostRustc,
    licences, progress,
};
use anyhow::{Context as _, Result, ensure};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

/// As `cargo bench` builds it, so that both are one build; and as the tests do.
const RELEASE: &[&str] = &["--release", "--workspace", "--bins"];
const DEV: &[&str] = &["--workspace", "--bins"];

/// Shells, and where each looks for completions.
const SHELLS: &[(&str, &str)] = &[
    ("bash", "share/bash-completion/completions/remit"),
    ("zsh", "share/zsh/site-functions/_remit"),
    ("fish", "share/fish/vendor_completions.d/remit.fish"),
];

/// `cargo xtask dist [--dev]`.
///
/// # Errors
///
/// Something cannot be built or written, a part has no licence, or what was packed does not work.
pub(crate) fn command(dev: bool) -> Result<()> {
    let mut environment = Environment::open()?;
    let prepared = environment.prepare(if dev { DEV } else { RELEASE }, &[LANGUAGE_MODEL])?;
    let name = format!("remit-{}-{}", version(&prepared.cli)?, HostRustc::find()?.triple);
    let folder = environment.workspace.target.join("dist");
    let staged = folder.join(&name);
    remove_folder(&staged)?;
    stage(&environment, &prepared, &staged)?;
    let archive = folder.join(format!("{name}.tar.gz"));
    command::run(
        Command::new("tar").arg("-czf").arg(&archive).arg("-C").arg(&folder).arg(&name),
        "packing the archive with `tar`",
    )?;
    let bytes = fs::metadata(&archive).context("the archive is not there")?.len();
    progress::already("archive", &format!("{}, {} MB", archive.display(), bytes.div_ceil(1_000_000)));
    try_out(&environment, &archive, &name)
}

fn version(cli: &Path) -> Result<String> {
    let said = command::output(Command::new(cli).arg("--version"), "asking for the version")?;
    Ok(said.split_whitespace().last().context("`remit --version` says nothing")?.to_owned())
}

fn stage(environment: &Environment, prepared: &Prepared, staged: &Path) -> Result<()> {
    let root = &environment.workspace.root;
    let share = root.join("runtime/cli/share");
    copy(&prepared.cli, &staged.join("bin/remit"))?;
    copy(&root.join("LICENSE"), &staged.join("LICENSE"))?;
    copy(&share.join("README.md"), &staged.join("README.md"))?;
    for file in files(&share)?.iter().filter(|file| file.extension().is_some_and(|extension| extension == "toml")) {
        copy(file, &staged.join("share/remit/config").join(file.file_name().unwrap_or_default()))?;
    }
    let agents = prepared.agent_folders()?;
    for agent in &agents {
        let place = staged.join("share/remit/agents").join(agent.file_name().unwrap_or_default());
        for file in files(agent)? {
            copy(&file, &place.join(file.file_name().unwrap_or_default()))?;
        }
    }
    for (shell, place) in SHELLS {
        let script = command::output(
            Command::new(&prepared.cli).args(["completions", shell]),
            "asking for what completes commands in a shell",
        )?;
        write(&staged.join(place), script.as_bytes())?;
    }
    let pages = staged.join("share/man/man1");
    command::run(Command::new(&prepared.cli).arg("man").arg(&pages), "writing the manual pages")?;
    let agents = environment.workspace.agents.iter().map(|agent| agent.name.as_str());
    let packages: Vec<_> = agents.chain(["remit-cli"]).collect();
    write(&staged.join("THIRD-PARTY.txt"), licences::of(root, &packages)?.as_bytes())
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut files: Vec<_> = entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    files.sort();
    Ok(files)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    make_folder(to.parent().unwrap_or(Path::new(".")))?;
    let copied = fs::copy(from, to);
    copied.with_context(|| format!("cannot copy {} to {}", from.display(), to.display())).map(drop)
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    make_folder(path.parent().unwrap_or(Path::new(".")))?;
    write_file(path, bytes).map(drop)
}

/// Runs what is in the archive as somebody does who has just got it. The model is ours: how long it takes to get depends on the network.
fn try_out(environment: &Environment, archive: &Path, name: &str) -> Result<()> {
    let place = environment.workspace.target.join("dist/tried");
    remove_folder(&place)?;
    let home = place.join("home");
    make_folder(&home)?;
    let started = Instant::now();
    command::run(Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(&place), "unpacking the archive")?;
    let unpacked = place.join(name);
    let remit = || {
        let mut remit = Command::new(unpacked.join("bin/remit"));
        remit
            .current_dir(&unpacked)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", &home)
            .env("REMIT_HOME", &home);
        remit
    };
    command::output(remit().args(["check", "share/remit/agents/assistant"]), "looking at an agent of the archive")?;
    for file in files(&unpacked.join("share/remit/config"))? {
        copy(&file, &home.join(file.file_name().unwrap_or_default()))?;
    }
    command::output(remit().args(["trust", "check"]), "reading the archive's trust.toml")?;
    fs::remove_file(home.join("trust.toml")).context("the archive has no trust.toml")?;
    std::os::unix::fs::symlink(environment.data.join("models"), home.join("models"))
        .context("the models cannot be found from the folder where the archive is tried")?;
    let answer = command::output(
        remit().args(["run", "share/remit/agents/assistant", "What is the capital of France?"]),
        "asking an agent of the archive",
    )?;
    ensure!(!answer.trim().is_empty(), "an agent of the archive answered nothing");
    let took = progress::duration(started.elapsed());
    progress::already("archive", &format!("tried: from unpacking to an answer {took}; it said: {}", answer.trim()));
    remove_folder(&place)
}
