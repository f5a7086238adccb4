//! Imports point downward only: the layer table of `runtime/ARCHITECTURE.md`, asserted from what cargo says.
//!
//! Dependencies of tests are exempt: a test may drive a crate from above.

use serde_json::Value;
use std::process::Command;

/// A workspace crate, and the workspace crates that it may import.
///
/// Ordered by row, lowest first. Peers in one row never import each other; `host` knows `abi` alone, since it runs a
/// component behind any Door, on any run queue.
const LAYERS: &[(&str, &[&str])] = &[
    ("remit-abi", &[]),
    ("remit-authority", &["remit-abi"]),
    ("remit-context", &["remit-abi"]),
    ("remit-deploy", &[]),
    ("remit-batching", &["remit-abi"]),
    ("remit-compute", &[]),
    ("remit-grammar", &[]),
    ("remit-kernel", &["remit-abi", "remit-authority", "remit-context"]),
    ("remit-egress", &["remit-abi"]),
    ("remit-package", KERNEL_PORTS),
    ("remit-host", &["remit-abi"]),
    ("remit-inference", &["remit-abi", "remit-kernel", "remit-batching", "remit-compute", "remit-grammar"]),
    ("remit-remote", KERNEL_PORTS),
    ("remit-memory", KERNEL_PORTS),
    ("remit-journal", KERNEL_PORTS),
    ("remit-tools", KERNEL_PORTS),
    ("remit-registry", &["remit-abi", "remit-egress"]),
    ("remit-worker", &["remit-abi", "remit-kernel", "remit-host"]),
    ("remit-kit", &["remit-package"]),
    ("remit-assembly", BELOW_ASSEMBLY),
    ("remit-server", &["remit-abi", "remit-assembly"]),
    ("remit-cli", &["remit-abi", "remit-assembly", "remit-kit", "remit-server"]),
    ("xtask", &[]),
    ("remit-sdk-macros", &[]),
    ("remit-sdk", &["remit-sdk-macros"]),
    ("test-programs", GUEST),
];

/// What stands behind a port of the kernel knows the ports and the syscalls.
const KERNEL_PORTS: &[&str] = &["remit-abi", "remit-kernel"];

/// Assembly is the only crate that names all the others.
const BELOW_ASSEMBLY: &[&str] = &[
    "remit-abi",
    "remit-authority",
    "remit-context",
    "remit-deploy",
    "remit-kernel",
    "remit-egress",
    "remit-package",
    "remit-host",
    "remit-inference",
    "remit-remote",
    "remit-memory",
    "remit-journal",
    "remit-tools",
    "remit-registry",
    "remit-worker",
];

/// An agent reaches the kernel through the SDK, which is generated from `wit/`, and through nothing else.
const GUEST: &[&str] = &["remit-sdk"];

/// Other people's crates that belong to some of ours: a name, with all names that continue it behind a dash.
const OWNERS: &[(&str, &[&str])] = &[
    ("wasmtime", &["remit-host"]),
    ("burn", &["remit-inference"]),
    ("llguidance", &["remit-grammar"]),
    ("lancedb", &["remit-memory"]),
    ("lance", &["remit-memory"]),
    ("rusqlite", &["remit-journal"]),
    ("cap-std", &["remit-tools"]),
    ("cap-fs-ext", &["remit-tools"]),
    ("axum", &["remit-server"]),
    ("reqwest", &["remit-egress"]),
    ("hyper", &["remit-egress", "remit-server"]),
    ("rustls", &["remit-egress"]),
    ("tokio-rustls", &["remit-egress"]),
    ("prometheus", &["remit-server"]),
];

/// The end-to-end tests themselves stand above everything.
const EXEMPT: &str = "remit-tests";

struct Crate {
    name: String,
    /// The folder below the workspace's root, such as `runtime/abi`.
    folder: String,
    /// Normal and build dependencies.
    dependencies: Vec<String>,
}

/// One sentence for each import that the table does not allow.
fn violations(crates: &[Crate]) -> Vec<String> {
    let mut found = Vec::new();
    for member in crates.iter().filter(|member| member.name != EXEMPT) {
        let Some(allowed) = allowed_imports(member) else {
            found.push(format!(
                "{} ({}) is in no layer: add it to LAYERS in tests/layers.rs and to the table of runtime/ARCHITECTURE.md",
                member.name, member.folder
            ));
            continue;
        };
        for dependency in &member.dependencies {
            let ours = crates.iter().any(|other| other.name == *dependency);
            if ours && !allowed.contains(&dependency.as_str()) {
                found.push(format!("{} must not import {dependency}: it may import {allowed:?}", member.name));
            }
            if let Some(owners) = owners_of(dependency).filter(|owners| !owners.contains(&member.name.as_str())) {
                found.push(format!("{} must not import {dependency}: only {} does", member.name, owners.join(" or ")));
            }
        }
    }
    found
}

/// None: the table does not know the crate.
fn allowed_imports(member: &Crate) -> Option<&'static [&'static str]> {
    if member.folder.starts_with("agents/") {
        return Some(GUEST);
    }
    LAYERS.iter().find(|(name, _)| *name == member.name).map(|(_, allowed)| *allowed)
}

fn owners_of(dependency: &str) -> Option<&'static [&'static str]> {
    let belongs =
        |name: &str| dependency.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'));
    OWNERS.iter().find(|(name, _)| belongs(name)).map(|(_, owners)| *owners)
}

/// The members of the workspace.
fn workspace() -> Vec<Crate> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .output()
        .expect("cargo starts");
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata writes JSON");
    let root = text(&metadata["workspace_root"]);
    metadata["packages"].as_array().expect("a list of packages").iter().map(|package| member(package, &root)).collect()
}

fn member(package: &Value, root: &str) -> Crate {
    let manifest = text(&package["manifest_path"]).replace('\\', "/");
    let folder = manifest.strip_prefix(&root.replace('\\', "/")).expect("a member lies below the root");
    let dependencies = package["dependencies"].as_array().expect("a list of dependencies");
    Crate {
        name: text(&package["name"]),
        folder: folder.trim_start_matches('/').trim_end_matches("/Cargo.toml").to_owned(),
        dependencies: dependencies
            .iter()
            .filter(|dependency| dependency["kind"] != "dev")
            .map(|dependency| text(&dependency["name"]))
            .collect(),
    }
}

fn text(value: &Value) -> String {
    value.as_str().expect("a string").to_owned()
}

#[test]
fn imports_point_downward_only() {
    let crates = workspace();
    assert!(crates.iter().any(|member| member.name == "remit-abi"), "this is not the workspace");
    let found = violations(&crates);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn each_crate_lies_where_its_name_says() {
    for member in workspace() {
        let Some(folder) = member.folder.strip_prefix("runtime/") else { continue };
        let expected = if folder == "xtask" { folder.to_owned() } else { format!("remit-{folder}") };
        assert_eq!(member.name, expected, "the crate in {} has another name than its folder", member.folder);
    }
}

#[test]
fn the_table_itself_points_downward() {
    for (row, (name, allowed)) in LAYERS.iter().enumerate() {
        for import in *allowed {
            let place = LAYERS.iter().position(|(other, _)| other == import);
            assert!(place.is_some_and(|place| place < row), "{import} does not stand above {name} in LAYERS");
        }
    }
}

#[test]
fn what_is_not_allowed_is_named() {
    let check = |name: &str, folder: &str, dependency: &str, expected: Option<&str>| {
        let known = LAYERS.iter().map(|(name, _)| (*name, "", Vec::new()));
        let tried = [(name, folder, vec![dependency.to_owned()])];
        let crates: Vec<Crate> = known
            .filter(|(known, ..)| *known != name)
            .chain(tried)
            .map(|(name, folder, dependencies)| Crate {
                name: name.to_owned(),
                folder: folder.to_owned(),
                dependencies,
            })
            .collect();
        let found = violations(&crates);
        match expected {
            None => assert!(found.is_empty(), "{found:?}"),
            Some(part) => assert!(found.len() == 1 && found[0].contains(part), "{found:?}"),
        }
    };
    check("remit-kernel", "runtime/kernel", "remit-authority", None);
    check("remit-authority", "runtime/authority", "remit-context", Some("must not import remit-context"));
    check("remit-abi", "runtime/abi", "remit-kernel", Some("must not import remit-kernel"));
    check("remit-host", "runtime/host", "remit-kernel", Some("must not import remit-kernel"));
    check("remit-host", "runtime/host", "wasmtime", None);
    check("remit-worker", "runtime/worker", "wasmtime-wasi", Some("only remit-host"));
    check("remit-assembly", "runtime/assembly", "burn", Some("only remit-inference"));
    check("remit-memory", "runtime/memory", "lance-index", None);
    check("remit-server", "runtime/server", "hyper-util", None);
    check("remit-cli", "runtime/cli", "hyper-util", Some("only remit-egress or remit-server"));
    check("remit-server", "runtime/server", "remit-kernel", Some("must not import remit-kernel"));
    check("remit-cli", "runtime/cli", "burnt-toast", None);
    check("xtask", "runtime/xtask", "remit-abi", Some("must not import remit-abi"));
    check("remit-novelty", "runtime/novelty", "serde", Some("in no layer"));
    check("assistant", "agents/assistant", "remit-sdk", None);
    check("assistant", "agents/assistant", "remit-abi", Some("must not import remit-abi"));
}
