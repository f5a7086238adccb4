//! The guests: every package of `agents/`, and every test program, as components. A test program is an example of the
//! package of test programs, or a text in its folder `wat` for what no honest compiler makes.
//!
//! What comes out, below cargo's target folder:
//!
//! | path | what |
//! | --- | --- |
//! | `agents/NAME/{remit.toml, NAME.wasm}` | an agent as `remit run` takes it |
//! | `programs/NAME.wasm` | a test program |
//! | `guest/` | cargo's own folder for guests, emptied when the guest compiler changes |
//!
//! The same source gives the same bytes, wherever the checkout and cargo's home are.

use crate::{
    build::{self, Artifact},
    component,
    data_folder::{self, make_folder, remove_folder, write_file},
    environment::Environment,
    guest_compiler::GuestCompiler,
    host_rustc::GUEST_TARGET,
    progress,
    workspace::{Agent, Workspace},
};
use anyhow::{Context as _, Result, bail};
use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

/// Where the guests are.
pub(crate) struct Guests {
    /// One folder for each agent.
    pub(crate) agents: PathBuf,
    /// One component for each test program.
    pub(crate) programs: PathBuf,
}

/// `cargo xtask agents`.
///
/// # Errors
///
/// There is no guest compiler, or a guest does not build.
pub(crate) fn command() -> Result<()> {
    let environment = Environment::open()?;
    let guests = build(&environment)?;
    println!("agents:   {}\nprograms: {}", guests.agents.display(), guests.programs.display());
    Ok(())
}

/// Builds all guests.
///
/// # Errors
///
/// There is no guest compiler, or a guest does not build.
pub(crate) fn build(environment: &Environment) -> Result<Guests> {
    let workspace = &environment.workspace;
    let compiler = GuestCompiler::ensure(&environment.data, &workspace.rust_version)?;
    let folder = workspace.target.join("guest");
    let _lock = data_folder::lock(&workspace.target.join("guest.lock"))?;
    let started = Instant::now();
    let mut artifacts = Vec::new();
    if !workspace.guest_packages().is_empty() {
        forget_other_compilers(&folder, &compiler)?;
        artifacts = compile(workspace, &compiler, &folder)?;
    }
    let guests = Guests { agents: workspace.target.join("agents"), programs: workspace.target.join("programs") };
    make_folder(&guests.agents)?;
    make_folder(&guests.programs)?;
    for agent in &workspace.agents {
        package(agent, &artifacts, &guests.agents.join(&agent.name))?;
    }
    let programs = make_programs(workspace, &artifacts, &guests.programs)?;
    remove_others(&guests.agents, &workspace.agents.iter().map(|agent| agent.name.clone().into()).collect())?;
    remove_others(&guests.programs, &programs)?;
    let took = progress::duration(started.elapsed());
    let (agents, programs) = (workspace.agents.len(), programs.len());
    progress::already("guests", &format!("{agents} agents and {programs} test programs ({took})"));
    Ok(guests)
}

/// Cargo does not see when a compiler's standard library is another one: its results would not fit together.
fn forget_other_compilers(folder: &Path, compiler: &GuestCompiler) -> Result<()> {
    let mark = folder.join("compiler");
    if !fs::read_to_string(&mark).is_ok_and(|present| present == compiler.identity) {
        remove_folder(folder)?;
        make_folder(folder)?;
        write_file(&mark, compiler.identity.as_bytes())?;
    }
    Ok(())
}

fn compile(workspace: &Workspace, compiler: &GuestCompiler, folder: &Path) -> Result<Vec<Artifact>> {
    progress::already("guests", &format!("compiling with {}", compiler.description));
    let mut cargo = build::cargo_in(&workspace.root);
    cargo
        .args(["build", "--target", GUEST_TARGET, "--profile", "guest", "--lib", "--examples", "--target-dir"])
        .arg(folder)
        .args(workspace.guest_packages())
        .env("CARGO_ENCODED_RUSTFLAGS", flags(workspace, compiler))
        .env_remove("RUSTFLAGS")
        .env_remove("RUSTC_WORKSPACE_WRAPPER");
    compiler.apply(&mut cargo);
    build::artifacts(&mut cargo, "building the guests")
}

/// No folder of this machine enters a guest's bytes.
fn flags(workspace: &Workspace, compiler: &GuestCompiler) -> OsString {
    let mut flags = OsString::new();
    let registries = workspace.registries.iter().map(|folder| (folder, "/cargo"));
    let std_source = compiler.std_source.iter().map(|folder| (folder, "/rust"));
    for (folder, name) in registries.chain(std_source).chain([(&workspace.root, "/remit")]) {
        if !flags.is_empty() {
            flags.push("\x1f");
        }
        flags.push("--remap-path-prefix=");
        flags.push(folder);
        flags.push("=");
        flags.push(name);
    }
    flags
}

/// Writes the package folder of an agent.
fn package(agent: &Agent, artifacts: &[Artifact], place: &Path) -> Result<()> {
    let manifest = agent.folder.join("Cargo.toml");
    let module = module_of(artifacts, |artifact| artifact.manifest == manifest).with_context(|| {
        format!("the agent {} was not built as a module: add `crate-type = [\"cdylib\"]` to its [lib]", agent.name)
    })?;
    let description = agent.folder.join("remit.toml");
    let Ok(text) = fs::read(&description) else {
        bail!("the agent {} has no manifest: write {}", agent.name, description.display())
    };
    make_folder(place)?;
    component::make(module, &place.join(format!("{}.wasm", agent.name)))?;
    write_file(&place.join("remit.toml"), &text).map(drop)
}

/// Writes the test programs and gives back the names of their files.
fn make_programs(workspace: &Workspace, artifacts: &[Artifact], place: &Path) -> Result<BTreeSet<OsString>> {
    let mut names = BTreeSet::new();
    for name in &workspace.programs {
        let module = module_of(artifacts, |artifact| artifact.target == *name)
            .with_context(|| format!("the test program {name} was not built as a module"))?;
        let file = format!("{name}.wasm");
        component::make(module, &place.join(&file))?;
        names.insert(file.into());
    }
    for entry in fs::read_dir(workspace.programs_folder.join("wat")).into_iter().flatten().flatten() {
        let source = entry.path();
        let file = Path::new(&entry.file_name()).with_extension("wasm");
        component::assemble(&source, &place.join(&file))?;
        if !names.insert(file.into_os_string()) {
            bail!("there are two test programs of the name of {}: rename one", source.display());
        }
    }
    Ok(names)
}

fn module_of(artifacts: &[Artifact], wanted: impl Fn(&Artifact) -> bool) -> Option<&PathBuf> {
    let files = artifacts.iter().filter(|artifact| wanted(artifact)).flat_map(|artifact| &artifact.files);
    files.into_iter().find(|file| file.extension().is_some_and(|extension| extension == "wasm"))
}

/// What is no longer in the source is no longer in the results.
fn remove_others(folder: &Path, names: &BTreeSet<OsString>) -> Result<()> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    for entry in entries.flatten().filter(|entry| !names.contains(&entry.file_name())) {
        let path = entry.path();
        let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.with_context(|| format!("cannot remove {}, which no longer has a source", path.display()))?;
    }
    Ok(())
}
