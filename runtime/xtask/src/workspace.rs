//! The workspace as cargo describes it: what there is to build, and where it goes.

use crate::{
    command,
    host_rustc::{GUEST_TARGET, HostRustc},
};
use anyhow::{Context as _, Result};
use serde_json::Value;
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

/// The package whose examples are the test programs.
const TEST_PROGRAMS: &str = "test-programs";

/// Packages whose build scripts call protoc.
const PROTOC_USERS: &[&str] = &["lance", "lance-encoding", "lance-file", "lance-table"];

/// The workspace.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
    /// Cargo's target folder.
    pub(crate) target: PathBuf,
    pub(crate) agents: Vec<Agent>,
    /// The names of the test programs that are written in Rust.
    pub(crate) programs: Vec<String>,
    /// The package of the test programs.
    pub(crate) programs_folder: PathBuf,
    /// The folders that hold the sources of other people's crates.
    pub(crate) registries: BTreeSet<PathBuf>,
    pub(crate) needs_protoc: bool,
    /// The oldest release that builds the workspace.
    pub(crate) rust_version: String,
}

/// A package in `agents/`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Agent {
    pub(crate) name: String,
    pub(crate) folder: PathBuf,
}

impl Workspace {
    /// Asks cargo about the workspace in which it runs this program. (Not the one that it was built from: checkouts that
    /// share a target folder share its builds.)
    ///
    /// # Errors
    ///
    /// Cargo does not run this program, a manifest is wrong, or dependencies cannot be fetched.
    pub(crate) fn open() -> Result<Self> {
        let here = std::env::var_os("CARGO_MANIFEST_DIR").context("start this program by `cargo xtask`")?;
        let here = Path::new(&here);
        let host = HostRustc::find()?;
        let mut cargo = command::cargo();
        cargo.args(["metadata", "--format-version", "1", "--manifest-path"]).arg(here.join("Cargo.toml"));
        // What only other platforms need is not fetched.
        cargo.args(["--filter-platform", &host.triple, "--filter-platform", GUEST_TARGET]);
        let text = command::output(&mut cargo, "reading the workspace with `cargo metadata`")?;
        let metadata: Value =
            serde_json::from_str(&text).context("`cargo metadata` wrote no JSON; is this cargo too old?")?;
        Workspace::parse(&metadata).context("`cargo metadata` lacks a field; is this cargo too old?")
    }

    fn parse(metadata: &Value) -> Option<Self> {
        let root = PathBuf::from(metadata["workspace_root"].as_str()?);
        let packages = metadata["packages"].as_array()?;
        let agents_folder = root.join("agents");
        let mut workspace = Workspace {
            target: PathBuf::from(metadata["target_directory"].as_str()?),
            agents: Vec::new(),
            programs: Vec::new(),
            programs_folder: PathBuf::new(),
            registries: BTreeSet::new(),
            needs_protoc: false,
            rust_version: String::new(),
            root,
        };
        for package in packages {
            let name = package["name"].as_str()?;
            let folder = Path::new(package["manifest_path"].as_str()?).parent()?;
            if !package["source"].is_null() {
                workspace.registries.extend(folder.parent().map(Path::to_owned));
                workspace.needs_protoc |= PROTOC_USERS.contains(&name);
            } else if folder.parent() == Some(&agents_folder) {
                workspace.agents.push(Agent { name: name.to_owned(), folder: folder.to_owned() });
            } else if name == TEST_PROGRAMS {
                workspace.programs = examples(package);
                workspace.programs_folder = folder.to_owned();
            } else if name == env!("CARGO_PKG_NAME") {
                workspace.rust_version = package["rust_version"].as_str()?.to_owned();
            }
        }
        workspace.agents.sort_by(|left, right| left.name.cmp(&right.name));
        Some(workspace)
    }

    /// Arguments that select the packages of all guests.
    pub(crate) fn guest_packages(&self) -> Vec<&str> {
        let programs = (!self.programs.is_empty()).then_some(TEST_PROGRAMS);
        let names = self.agents.iter().map(|agent| agent.name.as_str()).chain(programs);
        names.flat_map(|name| ["--package", name]).collect()
    }
}

/// The examples that are built as modules.
fn examples(package: &Value) -> Vec<String> {
    let has = |target: &Value, field: &str, value: &str| {
        target[field].as_array().is_some_and(|values| values.iter().any(|present| present == value))
    };
    let targets = package["targets"].as_array().into_iter().flatten();
    let modules = targets.filter(|target| has(target, "kind", "example") && has(target, "crate_types", "cdylib"));
    let mut names: Vec<String> = modules.filter_map(|target| Some(target["name"].as_str()?.to_owned())).collect();
    names.sort();
    names
}

#[cfg(test)]
mod unit_tests {
    use super::{Agent, Workspace};
    use serde_json::json;
    use std::path::PathBuf;

    #[test]
    fn what_cargo_tells() {
        let example = |name: &str, kind: &str| json!({ "name": name, "kind": ["example"], "crate_types": [kind] });
        let package =
            |name: &str, path: &str| json!({ "name": name, "manifest_path": path, "source": null, "targets": [] });
        let mut programs = package("test-programs", "/w/tests/programs/Cargo.toml");
        programs["targets"] = json!([example("spin", "cdylib"), example("echo", "cdylib"), example("native", "bin")]);
        let mut registry = package("lance", "/c/registry/src/x-1/lance-1.0.0/Cargo.toml");
        registry["source"] = json!("registry");
        let mut xtask = package("xtask", "/w/runtime/xtask/Cargo.toml");
        xtask["rust_version"] = json!("1.95");
        let agent = package("assistant", "/w/agents/assistant/Cargo.toml");
        let other = package("remit-abi", "/w/runtime/abi/Cargo.toml");
        let metadata = json!({
            "workspace_root": "/w", "target_directory": "/t", "packages": [programs, registry, xtask, agent, other],
        });
        let workspace = Workspace::parse(&metadata).expect("it is complete");
        let expected = Workspace {
            root: "/w".into(),
            target: "/t".into(),
            agents: vec![Agent { name: "assistant".to_owned(), folder: "/w/agents/assistant".into() }],
            programs: vec!["echo".to_owned(), "spin".to_owned()],
            programs_folder: "/w/tests/programs".into(),
            registries: [PathBuf::from("/c/registry/src/x-1")].into(),
            needs_protoc: true,
            rust_version: "1.95".to_owned(),
        };
        assert_eq!(workspace, expected);
        assert_eq!(workspace.guest_packages(), ["--package", "assistant", "--package", "test-programs"]);
    }
}
