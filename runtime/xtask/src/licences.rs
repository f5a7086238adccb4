//! The licences of all that is in a program: what has to go with it to whoever gets it.
//!
//! They are read from the sources themselves, as cargo has them: each package's own files, each text once.

use crate::{build, command, host_rustc::HostRustc};
use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

/// How names of files with licences begin.
const NAMES: &[&str] = &["license", "licence", "copying", "copyright", "notice", "unlicense"];

/// A text longer than this is no licence.
const TEXT_BYTES_MAX: u64 = 1 << 20;

/// A package of somebody else.
#[derive(Debug)]
struct Part {
    name: String,
    version: String,
    /// An SPDX expression, or what the manifest says instead.
    licence: String,
    texts: Vec<String>,
}

/// What goes with programs of these packages: a list, then each text with whom it is of.
///
/// # Errors
/// Cargo cannot say what is in them, or something has no licence.
pub(crate) fn of(root: &Path, packages: &[&str]) -> Result<String> {
    let host = HostRustc::find()?;
    let mut cargo = build::cargo_in(root);
    cargo.args(["metadata", "--format-version", "1", "--locked", "--filter-platform", &host.triple]);
    let text = command::output(&mut cargo, "reading the workspace with `cargo metadata`")?;
    let metadata = serde_json::from_str(&text).context("`cargo metadata` wrote no JSON; is this cargo too old?")?;
    let parts = parts(&metadata, packages).context("`cargo metadata` lacks a field; is this cargo too old?")?;
    let parts = parts.into_iter().map(read).collect::<Result<Vec<_>>>()?;
    Ok(listed(&parts))
}

/// The packages of others that are compiled into these.
fn parts<'a>(metadata: &'a Value, roots: &[&str]) -> Option<Vec<&'a Value>> {
    let described: BTreeMap<&str, &Value> = metadata["packages"]
        .as_array()?
        .iter()
        .map(|package| Some((package["id"].as_str()?, package)))
        .collect::<Option<_>>()?;
    let needs: BTreeMap<&str, &Value> = metadata["resolve"]["nodes"]
        .as_array()?
        .iter()
        .map(|node| Some((node["id"].as_str()?, &node["deps"])))
        .collect::<Option<_>>()?;
    let is_root = |package: &Value| {
        package["source"].is_null() && package["name"].as_str().is_some_and(|name| roots.contains(&name))
    };
    let mut found: BTreeSet<&str> = BTreeSet::new();
    let mut left: Vec<&str> = described.iter().filter(|(_, package)| is_root(package)).map(|(id, _)| *id).collect();
    while let Some(id) = left.pop() {
        if found.insert(id) {
            let linked = needs.get(id)?.as_array()?.iter().filter(|needed| is_linked(needed));
            left.extend(linked.filter_map(|needed| needed["pkg"].as_str()));
        }
    }
    let mut parts: Vec<_> =
        found.iter().filter_map(|id| described.get(id).copied()).filter(|part| !part["source"].is_null()).collect();
    parts.sort_by_key(|part| (part["name"].as_str(), part["version"].as_str()));
    Some(parts)
}

/// What only builds or tests is in no program.
fn is_linked(needed: &Value) -> bool {
    needed["dep_kinds"].as_array().is_some_and(|kinds| kinds.iter().any(|kind| kind["kind"].is_null()))
}

fn read(package: &Value) -> Result<Part> {
    let text = |field: &str| package[field].as_str().unwrap_or_default().to_owned();
    let (name, version) = (text("name"), text("version"));
    let manifest = PathBuf::from(text("manifest_path"));
    let folder = manifest.parent().unwrap_or(Path::new("."));
    let mut files: Vec<PathBuf> = match fs::read_dir(folder) {
        Ok(entries) => entries.flatten().map(|entry| entry.path()).filter(|path| is_licence(path)).collect(),
        Err(error) => bail!("the source of {name} {version} cannot be read: {error}; run `cargo fetch`"),
    };
    files.extend(package["license_file"].as_str().map(|file| folder.join(file)));
    files.sort();
    files.dedup();
    let texts: Vec<_> = files.iter().filter_map(|file| fs::read(file).ok()).map(|bytes| plain(&bytes)).collect();
    let licence = match package["license"].as_str() {
        Some(licence) => licence.to_owned(),
        None if texts.is_empty() => bail!("{name} {version} has no licence: it cannot be handed out"),
        None => "its own".to_owned(),
    };
    Ok(Part { name, version, licence, texts })
}

fn is_licence(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let is_short = || path.metadata().is_ok_and(|about| about.is_file() && about.len() <= TEXT_BYTES_MAX);
    NAMES.iter().any(|beginning| name.starts_with(beginning)) && !name.ends_with(".rs") && is_short()
}

/// The same for all ends of lines.
fn plain(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let lines: Vec<_> = text.lines().map(str::trim_end).collect();
    lines.join("\n").trim_matches('\n').to_owned()
}

fn listed(parts: &[Part]) -> String {
    let mut list = "What is in this program besides Remit itself, and under which licences.\n\n".to_owned();
    let mut texts: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for Part { name, version, licence, texts: of } in parts {
        let _ = writeln!(list, "{name} {version}: {licence}");
        for text in of {
            texts.entry(text).or_default().push(format!("{name} {version}"));
        }
    }
    for (text, of) in texts {
        let _ = write!(list, "\n{}\n{}\n\n{text}\n", "=".repeat(80), of.join(", "));
    }
    list
}

#[cfg(test)]
mod unit_tests {
    use super::{Part, listed, parts, plain};
    use serde_json::json;

    #[test]
    fn what_is_linked_counts_and_nothing_else() {
        let package = |name: &str, source: Option<&str>| json!({ "id": name, "name": name, "version": "1.0.0", "source": source });
        let node = |name: &str, needs: &[(&str, Option<&str>)]| {
            let needed = |(name, kind): &(&str, Option<&str>)| json!({ "pkg": name, "dep_kinds": [{ "kind": kind }] });
            json!({ "id": name, "deps": needs.iter().map(needed).collect::<Vec<_>>() })
        };
        let from = Some("registry");
        let metadata = json!({
            "packages": [
                package("remit-cli", None), package("remit-kernel", None), package("other", None), package("serde", from),
                package("cc", from), package("proptest", from), package("tokio", from), package("unused", from),
            ],
            "resolve": { "nodes": [
                node("remit-cli", &[("remit-kernel", None), ("cc", Some("build")), ("proptest", Some("dev"))]),
                node("remit-kernel", &[("tokio", None), ("serde", None)]),
                node("other", &[("unused", None)]),
                node("tokio", &[("serde", None)]),
                node("serde", &[]), node("cc", &[]), node("proptest", &[]), node("unused", &[]),
            ] },
        });
        let found: Vec<_> =
            parts(&metadata, &["remit-cli"]).expect("it is complete").iter().map(|part| part["name"].clone()).collect();
        assert_eq!(found, ["serde", "tokio"]);
    }

    #[test]
    fn a_text_stands_there_once() {
        let part = |name: &str, text: &[u8]| Part {
            name: name.to_owned(),
            version: "1.0.0".to_owned(),
            licence: "MIT".to_owned(),
            texts: vec![plain(text)],
        };
        let list = listed(&[part("one", b"Do what\r\nyou like. \r\n\r\n"), part("two", b"\nDo what\nyou like.\n")]);
        assert_eq!(list.matches("Do what\nyou like.").count(), 1, "{list}");
        assert!(list.contains("two 1.0.0: MIT\n") && list.contains("one 1.0.0, two 1.0.0\n"), "{list}");
    }
}
