//! Our bundles before Sigstore's own library for Python, and what that library writes before our policies.
//!
//! Nothing is signed by a public instance: the bundles are of the tests' own one, whose trust root both sides are given.

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

const NAME: &str = "suite sigstore";

/// The newest of 2026-11-23.
const LIBRARIES: [&str; 2] = ["sigstore==4.5.1", "cryptography"];

/// What is called there.
const SCRIPT: &str = include_str!("sigstore.py");

/// Ways to spoil a bundle, each of which both sides refuse.
const SPOILT: [&str; 8] =
    ["statement", "signature", "certificate", "promise", "time", "proof", "checkpoint", "unlogged"];

/// What our policy says of each.
const REFUSED: &str = "FAILED identity";

/// Runs all of it.
pub(super) fn run() -> Result<()> {
    let environment = Environment::open()?;
    let python = python::ensure(&environment.data, NAME, "Sigstore", &LIBRARIES)?;
    progress::already(NAME, "building our own part");
    let mut cargo = environment.cargo();
    cargo.args(["build", "--package", "remit-package", "--example", "voucher"]);
    let voucher = build::executable(&build::artifacts(&mut cargo, "building our own part")?, "voucher")?;
    let folder = environment.workspace.target.join("suite-sigstore");
    remove_folder(&folder)?;
    make_folder(&folder)?;
    let script = folder.join("sigstore.py");
    write_file(&script, SCRIPT.as_bytes())?;
    let bench = Bench { python, script, voucher, folder };
    let started = Instant::now();
    bench.run()?;
    let versions = command::output(&mut bench.script(&["versions"]), "asking for versions")?;
    println!("\n| {} | {} | all seen as expected |", versions.trim(), super::today()?);
    progress::already(NAME, &format!("done ({})", progress::duration(started.elapsed())));
    Ok(())
}

/// What all parts share.
struct Bench {
    python: PathBuf,
    script: PathBuf,
    voucher: PathBuf,
    folder: PathBuf,
}

impl Bench {
    fn run(&self) -> Result<()> {
        let folder = self.text();
        let said = command::output(command::new(&self.voucher).args(["make", &folder]), "making a bundle")?;
        let identity: Vec<&str> = said.split_whitespace().collect();
        let arguments = [&["read", &*folder][..], identity.as_slice()].concat();
        tell(&command::output(&mut self.script(&arguments), "having our bundle read")?);
        let (is_accepted, told) = self.judged()?;
        ensure!(is_accepted, "a bundle that their library wrote is refused:\n{told}");
        progress::already(NAME, "as their library writes it, our policy takes it");
        for way in SPOILT {
            let arguments = [&["spoil", &*folder, way][..], identity.as_slice()].concat();
            tell(&command::output(&mut self.script(&arguments), "having a bundle spoilt")?);
            let (is_accepted, told) = self.judged()?;
            ensure!(!is_accepted && told.contains(REFUSED), "{way}: {REFUSED:?} is not what is said:\n{told}");
            progress::already(NAME, &format!("spoilt ({way}): our policy refuses it"));
        }
        Ok(())
    }

    fn judged(&self) -> Result<(bool, String)> {
        let mut voucher = command::new(&self.voucher);
        let output = voucher.args(["judge", &self.text()]).output().context("cannot run our own part")?;
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

/// What the script saw, a line each.
fn tell(told: &str) {
    told.lines().for_each(|line| progress::already(NAME, line.trim_start_matches("ok  ")));
}
