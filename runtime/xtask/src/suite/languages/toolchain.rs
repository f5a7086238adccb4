//! What makes components of other languages, fetched once into the data folder by each language's own client.

use super::NAME;
use crate::{
    command,
    data_folder::{DataFolder, make_folder, remove_folder, write_file},
    environment::Environment,
    progress::{self, Step},
};
use anyhow::{Context as _, Result};
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

/// What a language's SDK is built with.
pub(super) enum Toolchain {
    /// A Python with what the SDK's requirements.txt names.
    Python(PathBuf),
    /// A Node, and a folder with what the SDK's package-lock.json names.
    Node {
        /// The program.
        node: PathBuf,
        /// The `node_modules`.
        modules: PathBuf,
    },
}

impl Toolchain {
    /// Makes a copy of an SDK find it.
    pub(super) fn link(&self, sdk: &Path) -> Result<()> {
        match self {
            Self::Python(_) => Ok(()),
            Self::Node { modules, .. } => std::os::unix::fs::symlink(modules, sdk.join("node_modules"))
                .with_context(|| format!("cannot link {}", modules.display())),
        }
    }

    /// The script of an SDK that makes agents.
    pub(super) fn script(&self, sdk: &Path) -> Command {
        let (program, script) = match self {
            Self::Python(python) => (python, "build.py"),
            Self::Node { node, .. } => (node, "build.mjs"),
        };
        let mut script_of = command::new(program);
        script_of.arg(sdk.join(script));
        script_of
    }

    /// Tries what of an SDK can be tried without a kernel.
    pub(super) fn try_sdk(&self, sdk: &Path) -> Result<()> {
        match self {
            Self::Python(python) => {
                let bindings = sdk.join("bindings");
                let mut make = command::new(python.with_file_name("componentize-py"));
                make.args(["-q", "-w", "agent", "-d"]).arg(sdk.join("../../wit")).arg("bindings").arg(&bindings);
                command::output(&mut make, "making the bindings")?;
                let path = env::join_paths([bindings.as_path(), sdk]).context("the folder's name has a colon in it")?;
                let mut unittest = command::new(python);
                unittest.args(["-m", "unittest", "discover", "-s"]).arg(sdk.join("tests")).env("PYTHONPATH", path);
                command::output(&mut unittest, "trying the SDK").map(drop)
            }
            Self::Node { node, .. } => {
                let mut tests = command::new(node);
                tests.args(["--test", "tests/"]).current_dir(sdk);
                command::output(&mut tests, "trying the SDK").map(drop)
            }
        }
    }
}

/// A Python environment, made once for what requirements.txt says.
pub(super) fn python(environment: &Environment) -> Result<Toolchain> {
    let requirements = environment.workspace.root.join("guest-sdk/python/requirements.txt");
    let system = command::find_in_path("python3")
        .context("there is no python3, with which Python agents are built; install it (Debian: python3-venv)")?;
    let folder = environment.data.join("suites/languages/python");
    let python = folder.join("bin/python3");
    ensure(&environment.data, &folder, &requirements, || {
        command::output(command::new(&system).args(["-m", "venv"]).arg(&folder), "making a Python environment")?;
        let mut pip = command::new(&python);
        pip.args(["-m", "pip", "install", "--quiet", "--requirement"]).arg(&requirements);
        command::output(&mut pip, "getting componentize-py").map(drop)
    })?;
    Ok(Toolchain::Python(python))
}

/// What npm gets for package-lock.json, made once. Not by `npm ci`, which refuses a lock without the packages of every other system.
pub(super) fn javascript(environment: &Environment) -> Result<Toolchain> {
    let sdk = environment.workspace.root.join("guest-sdk/js");
    let missing = "with which JavaScript agents are built; install Node 20 or newer";
    let node = command::find_in_path("node").with_context(|| format!("there is no node, {missing}"))?;
    let npm = command::find_in_path("npm").with_context(|| format!("there is no npm, {missing}"))?;
    let folder = environment.data.join("suites/languages/js");
    let lock = sdk.join("package-lock.json");
    ensure(&environment.data, &folder, &lock, || {
        for file in ["package.json", "package-lock.json"] {
            let copied = fs::copy(sdk.join(file), folder.join(file));
            copied.with_context(|| format!("cannot copy {file}"))?;
        }
        let mut client = command::new(&npm);
        client.args(["install", "--no-audit", "--no-fund"]).current_dir(&folder);
        command::output(&mut client, "getting componentize-js").map(drop)
    })?;
    Ok(Toolchain::Node { node, modules: folder.join("node_modules") })
}

/// Has a folder filled, unless it was for the same list of packages.
fn ensure(data: &DataFolder, folder: &Path, list: &Path, fill: impl FnOnce() -> Result<()>) -> Result<()> {
    let wanted = fs::read(list).with_context(|| format!("cannot read {}", list.display()))?;
    let stamp = folder.join("stamp");
    let _lock = data.lock()?;
    if fs::read(&stamp).is_ok_and(|found| found == wanted) {
        progress::already(NAME, &folder.display().to_string());
        return Ok(());
    }
    let step = Step::start(NAME, &format!("getting a toolchain into {}", folder.display()));
    remove_folder(folder)?;
    make_folder(folder)?;
    fill()?;
    write_file(&stamp, &wanted)?;
    step.done(&list.display().to_string());
    Ok(())
}
