//! Packs the SDK that belongs to this version into the crate: its source, the interfaces that it is generated from, the manifest of the
//! workspace that both lie in, and the versions of what they stand on, as this workspace has locked them.
//!
//! It reads manifests line by line, so that it needs no crate: a line that is not as it expects stops the build with a sentence.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    error::Error,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

/// What is packed, as folders of the workspace; they lie in the same places in a project's `sdk`.
const FOLDERS: [&str; 2] = ["guest-sdk/rust", "wit"];

/// The packages of the SDK, as they are named in the lock.
const SDK: &str = "remit-sdk";

fn main() -> Result<(), Box<dyn Error>> {
    let own = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").ok_or("cargo names no folder of this crate")?);
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo names no folder for results")?);
    let root = own.ancestors().nth(2).ok_or("the crate lies below the workspace's root")?;
    let mut files = vec!["LICENSE".to_owned()];
    for folder in FOLDERS {
        println!("cargo::rerun-if-changed={}", root.join(folder).display());
        collect(root, folder, &mut files)?;
    }
    for file in ["LICENSE", "Cargo.toml", "Cargo.lock"] {
        println!("cargo::rerun-if-changed={}", root.join(file).display());
    }
    files.sort();
    let mut list = "pub(crate) static FILES: &[(&str, &str)] = &[\n".to_owned();
    for file in &files {
        let path = root.join(file);
        writeln!(
            list,
            "    ({file:?}, include_str!({:?})),",
            path.to_str().ok_or("the workspace's path is no UTF-8 text")?
        )?;
    }
    list += "];\n";
    fs::write(out.join("files.rs"), list)?;
    let workspace = fs::read_to_string(root.join("Cargo.toml"))?;
    let manifests: Vec<&String> = files.iter().filter(|file| file.ends_with("Cargo.toml")).collect();
    let texts = manifests.iter().map(|file| fs::read_to_string(root.join(file))).collect::<Result<Vec<_>, _>>()?;
    let members: Vec<&str> = manifests.iter().filter_map(|file| file.strip_suffix("/Cargo.toml")).collect();
    fs::write(out.join("workspace.toml"), manifest(&workspace, &members, &texts)?)?;
    fs::write(out.join("sdk.lock"), lock(&fs::read_to_string(root.join("Cargo.lock"))?)?)?;
    Ok(())
}

/// All files below a folder, by their paths below the root.
fn collect(root: &Path, folder: &str, files: &mut Vec<String>) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(root.join(folder))? {
        let entry = entry?;
        let name = entry.file_name().into_string().map_err(|_| "a name is no UTF-8 text")?;
        let path = format!("{folder}/{name}");
        if entry.file_type()?.is_dir() {
            collect(root, &path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

/// The manifest of a workspace that holds the SDK alone.
fn manifest(workspace: &str, members: &[&str], manifests: &[String]) -> Result<String, String> {
    let package = section(workspace, "[workspace.package]");
    let known = section(workspace, "[workspace.dependencies]");
    let inherits = |line: &str| line.contains(".workspace = true") || line.contains("workspace = true }");
    let names: BTreeSet<&str> = manifests
        .iter()
        .flat_map(|text| ["[dependencies]", "[dev-dependencies]"].map(|heading| section(text, heading)))
        .flatten()
        .filter(|line| inherits(line))
        .filter_map(|line| line.split(['.', ' ']).next())
        .collect();
    let mut text = format!("[workspace]\nresolver = \"3\"\nmembers = {members:?}\n\n[workspace.package]\n");
    for line in package {
        text += &format!("{line}\n");
    }
    text += "\n[workspace.dependencies]\n";
    for name in names {
        let line = known.iter().find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(" =")));
        let line = line.filter(|line| !line.ends_with('[') && !line.ends_with('{'));
        text += &format!("{}\n", line.ok_or(format!("the workspace's manifest has no line of its own for {name}"))?);
    }
    // What the SDK must be like is checked where it is written, not in everybody's project.
    text += "\n[workspace.lints.rust]\n";
    Ok(text)
}

/// The lines of a section that say something.
fn section<'t>(text: &'t str, heading: &str) -> Vec<&'t str> {
    let lines = text.lines().skip_while(|line| *line != heading).skip(1).take_while(|line| !line.starts_with('['));
    lines.filter(|line| !line.trim().is_empty() && !line.starts_with('#')).collect()
}

/// The part of the lock that the SDK needs.
fn lock(text: &str) -> Result<String, String> {
    let mut parts = text.split("[[package]]\n");
    let head = parts.next().unwrap_or_default();
    let packages: Vec<&str> = parts.map(str::trim_end).collect();
    let field = |package: &'_ str, key: &str| {
        let value = package.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = \"")?.strip_suffix('"'));
        value.unwrap_or_default().to_owned()
    };
    let mut by_name: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (index, package) in packages.iter().enumerate() {
        by_name.entry(field(package, "name")).or_default().push(index);
    }
    let (mut wanted, mut found) = (vec![SDK.to_owned()], BTreeSet::new());
    while let Some(dependency) = wanted.pop() {
        // A name, and a version where the lock has several.
        let mut words = dependency.split(' ');
        let (name, version) = (words.next().unwrap_or_default(), words.next());
        let of_name = by_name.get(name).map(Vec::as_slice).unwrap_or_default();
        let fits = |index: &&usize| version.is_none_or(|version| field(packages[**index], "version") == version);
        let index = *of_name.iter().find(fits).ok_or(format!("the lock has no {dependency}"))?;
        if found.insert(index) {
            let lines = packages[index].lines().skip_while(|line| *line != "dependencies = [").skip(1);
            let names = lines.take_while(|line| *line != "]").map(|line| line.trim().trim_matches([',', '"']));
            wanted.extend(names.map(str::to_owned));
        }
    }
    let parts = found.into_iter().map(|index| format!("[[package]]\n{}\n\n", packages[index]));
    Ok(format!("{head}{}", parts.collect::<String>()))
}
