//! Libraries of others for Python, before a program of ours and the other way round.
//!
//! A suite is a script that calls the libraries, and an example of `remit-package` that makes files and judges them, both in one folder.

use crate::{
    build, command,
    data_folder::{DataFolder, make_folder, remove_folder, write_file},
    environment::Environment,
    progress::{self, Step},
};
use anyhow::{Context as _, Result, ensure};
use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

/// What a suite consists of.
pub(super) struct Suite {
    /// `suite NAME`.
    pub(super) name: &'static str,
    /// Whose the libraries are, for people.
    pub(super) whose: &'static str,
    pub(super) libraries: &'static [&'static str],
    /// In Python. Asked for its `versions` it says them in a line, and each line of another answer is what was seen.
    pub(super) script: &'static str,
    /// An example of `remit-package`, which says in `judge FOLDER` whether our policy takes what lies there.
    pub(super) example: &'static str,
}

/// A suite that was set up.
pub(super) struct Bench {
    name: &'static str,
    python: PathBuf,
    script: PathBuf,
    ours: PathBuf,
    folder: PathBuf,
}

impl Suite {
    /// Sets it up, runs what is to be seen, and says of which versions that is.
    pub(super) fn run(&self, see: impl FnOnce(&Bench) -> Result<()>) -> Result<()> {
        let environment = Environment::open()?;
        let python = python_with(&environment.data, self.name, self.whose, self.libraries)?;
        progress::already(self.name, "building our own part");
        let mut cargo = environment.cargo();
        cargo.args(["build", "--package", "remit-package", "--example", self.example]);
        let ours = build::executable(&build::artifacts(&mut cargo, "building our own part")?, self.example)?;
        let folder = environment.workspace.target.join(self.name.replace(' ', "-"));
        remove_folder(&folder)?;
        make_folder(&folder)?;
        let script = folder.join("script.py");
        write_file(&script, self.script.as_bytes())?;
        let bench = Bench { name: self.name, python, script, ours, folder };
        let started = Instant::now();
        see(&bench)?;
        let versions = command::output(&mut bench.script(&["versions"]), "asking for versions")?;
        println!("\n| {} | {} | all seen as expected |", versions.trim(), super::today()?);
        bench.saw(&format!("done ({})", progress::duration(started.elapsed())));
        Ok(())
    }
}

impl Bench {
    /// Tells people.
    pub(super) fn saw(&self, what: &str) {
        progress::already(self.name, what);
    }

    /// Has our example make what is looked at; what it says of it.
    pub(super) fn make(&self) -> Result<String> {
        command::output(command::new(&self.ours).args(["make", &self.text()]), "making what is looked at")
    }

    /// Has the libraries do something with the folder, and tells what they saw.
    pub(super) fn have(&self, what: &str, more: &[&str]) -> Result<()> {
        let told = command::output(&mut self.script(&[&[what, &*self.text()], more].concat()), what)?;
        told.lines().for_each(|line| self.saw(line.trim_start_matches("ok  ")));
        Ok(())
    }

    /// Has our policy take what lies in the folder.
    pub(super) fn is_taken(&self, what: &str) -> Result<()> {
        let (is_taken, told) = self.judged()?;
        ensure!(is_taken, "refused, where it is to be so that {what}:\n{told}");
        self.saw(what);
        Ok(())
    }

    /// Has our policy refuse what lies in the folder, in these words.
    pub(super) fn is_refused(&self, way: &str, words: &str) -> Result<()> {
        let (is_taken, told) = self.judged()?;
        ensure!(!is_taken && told.contains(words), "{way}: {words:?} is not what is said:\n{told}");
        self.saw(&format!("spoilt ({way}): our policy refuses it"));
        Ok(())
    }

    fn judged(&self) -> Result<(bool, String)> {
        let mut ours = command::new(&self.ours);
        let output = ours.args(["judge", &self.text()]).output().context("cannot run our own part")?;
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

/// A Python with the libraries of a suite, which is called `suite NAME`, made once. `whose` they are is for people.
fn python_with(data: &DataFolder, suite: &'static str, whose: &str, libraries: &[&str]) -> Result<PathBuf> {
    let name = suite.trim_start_matches("suite ");
    let folder = data.join(format!("suites/{name}/python"));
    let (python, stamp, wanted) = (folder.join("bin/python3"), folder.join("stamp"), libraries.join("\n"));
    let _lock = data.lock()?;
    if std::fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) {
        progress::already(suite, &folder.display().to_string());
        return Ok(python);
    }
    let step = Step::start(suite, &format!("getting libraries of {whose} into {}", folder.display()));
    remove_folder(&folder)?;
    if let Some(above) = folder.parent() {
        make_folder(above)?;
    }
    let missing = || {
        format!(
            "there is no python3, which the libraries of {whose} are written for; install it (Debian: python3-venv)"
        )
    };
    let system = command::find_in_path("python3").with_context(missing)?;
    command::output(command::new(system).args(["-m", "venv"]).arg(&folder), "making a Python environment")?;
    let mut pip = command::new(&python);
    pip.args(["-m", "pip", "install", "--quiet"]).args(libraries);
    command::output(&mut pip, "getting the libraries")?;
    write_file(&stamp, wanted.as_bytes())?;
    step.done(&libraries.join(", "));
    Ok(python)
}
