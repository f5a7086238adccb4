//! Our envelopes before the libraries of in-toto, and theirs before our policies.

use super::python;
use crate::{
    build, command,
    data_folder::{make_folder, remove_folder, write_file},
    environment::Environment,
    progress,
};
use anyhow::{Context as _, Result, ensure};
use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

const NAME: &str = "suite intoto";

/// The newest of 2026-11-23. `cryptography` comes with an OpenSSL of its own, which reads our secret keys.
const LIBRARIES: [&str; 3] = ["securesystemslib==1.6.0", "in-toto-attestation==0.9.3", "cryptography"];

/// What is called there.
const SCRIPT: &str = include_str!("intoto.py");

/// Ways to spoil an envelope of theirs, and what our policy says of each.
const SPOILT: [(&str, &str); 5] = [
    ("statement", "FAILED signers"),
    ("type", "FAILED envelope"),
    ("signature", "FAILED signers"),
    ("twice", "FAILED envelope"),
    ("swapped", "FAILED signers"),
];

/// Runs all of it.
pub(super) fn run() -> Result<()> {
    let environment = Environment::open()?;
    let python = python::ensure(&environment.data, NAME, "in-toto", &LIBRARIES)?;
    progress::already(NAME, "building our own part");
    let mut cargo = environment.cargo();
    cargo.args(["build", "--package", "remit-package", "--example", "notary"]);
    let notary = build::executable(&build::artifacts(&mut cargo, "building our own part")?, "notary")?;
    let folder = environment.workspace.target.join("suite-intoto");
    remove_folder(&folder)?;
    make_folder(&folder)?;
    let script = folder.join("intoto.py");
    write_file(&script, SCRIPT.as_bytes())?;
    let bench = Bench { python, script, notary, folder };
    let started = Instant::now();
    bench.ours()?;
    bench.theirs()?;
    let versions = command::output(&mut bench.script(&["versions"]), "asking for versions")?;
    println!("\n| {} | {} | all seen as expected |", versions.trim(), super::today()?);
    progress::already(NAME, &format!("done ({})", progress::duration(started.elapsed())));
    Ok(())
}

/// What all parts share.
struct Bench {
    python: PathBuf,
    script: PathBuf,
    notary: PathBuf,
    folder: PathBuf,
}

impl Bench {
    /// Their libraries read what we made.
    fn ours(&self) -> Result<()> {
        let folder = self.text();
        let ids = command::output(command::new(&self.notary).args(["make", &folder]), "making a signed package")?;
        let mut arguments = vec!["read", &folder];
        arguments.extend(ids.split_whitespace());
        let told = command::output(&mut self.script(&arguments), "having our envelope read")?;
        told.lines().for_each(|line| progress::already(NAME, line.trim_start_matches("ok  ")));
        Ok(())
    }

    /// We read what their libraries made, and refuse what was spoilt.
    fn theirs(&self) -> Result<()> {
        let folder = self.text();
        command::output(&mut self.script(&["write", &folder]), "having a package signed")?;
        let (is_accepted, told) = self.judged()?;
        ensure!(is_accepted, "an envelope that their library made is refused:\n{told}");
        progress::already(NAME, "an envelope of theirs with two signatures is accepted");
        for (way, expected) in SPOILT {
            command::output(&mut self.script(&["spoil", &folder, way]), "having an envelope spoilt")?;
            let (is_accepted, told) = self.judged()?;
            ensure!(!is_accepted && told.contains(expected), "{way}: {expected:?} is not what is said:\n{told}");
            progress::already(NAME, &format!("spoilt ({way}): refused"));
        }
        Ok(())
    }

    fn judged(&self) -> Result<(bool, String)> {
        let mut notary = command::new(&self.notary);
        let output = notary.args(["judge", &self.text()]).output().context("cannot run our own part")?;
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(matches!(output.status.code(), Some(0 | 1)), "{}", String::from_utf8_lossy(&output.stderr));
        Ok((output.status.success(), told))
    }

    fn script(&self, arguments: &[&str]) -> Command {
        let mut python = command::new(&self.python);
        python.arg(&self.script).args(arguments);
        python
    }

    fn text(&self) -> String {
        Path::display(&self.folder).to_string()
    }
}
