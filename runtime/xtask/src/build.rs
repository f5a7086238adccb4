//! A cargo build whose results are known by what cargo says, not by guessing names of files.

use crate::command;
use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use std::{
    path::PathBuf,
    process::{Command, Stdio},
};

/// One thing that cargo built, or found up to date.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Artifact {
    /// The name of the target: of the library, the binary or the example.
    pub(crate) target: String,
    pub(crate) manifest: PathBuf,
    pub(crate) files: Vec<PathBuf>,
    /// Set for programs.
    pub(crate) executable: Option<PathBuf>,
}

/// Runs a `cargo build …` whose diagnostics go to the terminal.
///
/// # Errors
///
/// The build fails; cargo has said why.
pub(crate) fn artifacts(cargo: &mut Command, purpose: &str) -> Result<Vec<Artifact>> {
    cargo.arg("--message-format=json-render-diagnostics").stdin(Stdio::null()).stderr(Stdio::inherit());
    let output = cargo.output().with_context(|| format!("{purpose} failed: cargo could not be started"))?;
    if !output.status.success() {
        bail!("{purpose} failed: what cargo wrote above says why");
    }
    Ok(String::from_utf8_lossy(&output.stdout).lines().filter_map(parse).collect())
}

/// The program of this name that a build made.
///
/// # Errors
///
/// It made none.
pub(crate) fn executable(artifacts: &[Artifact], name: &str) -> Result<PathBuf> {
    let mut programs = artifacts.iter().filter(|artifact| artifact.target == name);
    programs
        .find_map(|artifact| artifact.executable.clone())
        .with_context(|| format!("cargo built no program `{name}`"))
}

/// A command for cargo in the workspace's root.
pub(crate) fn cargo_in(root: &std::path::Path) -> Command {
    let mut cargo = command::cargo();
    cargo.current_dir(root);
    cargo
}

fn parse(line: &str) -> Option<Artifact> {
    let message: Value = serde_json::from_str(line).ok()?;
    if message["reason"] != "compiler-artifact" || message["profile"]["test"] == true {
        return None;
    }
    let files = message["filenames"].as_array()?.iter().filter_map(Value::as_str).map(PathBuf::from);
    Some(Artifact {
        target: message["target"]["name"].as_str()?.to_owned(),
        manifest: PathBuf::from(message["manifest_path"].as_str()?),
        files: files.collect(),
        executable: message["executable"].as_str().map(PathBuf::from),
    })
}

#[cfg(test)]
mod unit_tests {
    use super::{executable, parse};

    #[test]
    fn what_cargo_says() {
        let line = r#"{"reason":"compiler-artifact","manifest_path":"/w/cli/Cargo.toml","target":{"name":"remit"},
            "profile":{"test":false},"filenames":["/t/debug/remit"],"executable":"/t/debug/remit"}"#;
        let program = parse(line).expect("an artifact");
        let test = parse(&line.replace("\"test\":false", "\"test\":true"));
        assert_eq!(test, None, "the test of a program has its name");
        assert_eq!(executable(&[program], "remit").expect("it is there"), std::path::Path::new("/t/debug/remit"));
        assert!(executable(&[], "remit").is_err());
        assert_eq!(parse("   Compiling nonsense"), None);
        assert_eq!(parse(r#"{"reason":"build-finished","success":true}"#), None);
    }
}
