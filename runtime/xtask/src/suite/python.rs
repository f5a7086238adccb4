//! Pythons with libraries of others, one for each suite that asks for some.

use crate::{
    command,
    data_folder::{DataFolder, make_folder, remove_folder, write_file},
    progress::{self, Step},
};
use anyhow::{Context as _, Result};
use std::path::PathBuf;

/// A Python with the libraries of a suite, which is called `suite NAME`, made once. `whose` they are is for people.
pub(super) fn ensure(data: &DataFolder, suite: &'static str, whose: &str, libraries: &[&str]) -> Result<PathBuf> {
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
