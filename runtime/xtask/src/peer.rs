//! What the bench of inference is held against: llama.cpp, as `llama-cpp-python` brings it, built on this machine for its processor.
//!
//! It lies in a Python environment of its own in the data folder, and is made once.

use crate::{
    command,
    data_folder::{DataFolder, make_folder, remove_folder, write_file},
    progress::{self, Step},
};
use anyhow::{Context as _, Result};
use std::path::PathBuf;

/// Of `llama-cpp-python`: the newest of 2026-11-21, with llama.cpp's kernels that repack weights.
const VERSION: &str = "0.3.36";
/// What is not needed to measure, and for this processor.
const CMAKE_ARGS: &str = "-DGGML_NATIVE=ON -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_TOOLS=OFF -DLLAMA_BUILD_SERVER=OFF";

/// The Python that has it; made where it is not there, which takes some ten minutes.
///
/// # Errors
///
/// There is no Python, no compiler, or no network.
pub(crate) fn ensure(data: &DataFolder) -> Result<PathBuf> {
    let folder = data.join(format!("peers/llama-cpp-python-{VERSION}"));
    let python = folder.join("bin/python3");
    let stamp = folder.join("stamp");
    if stamp.exists() {
        progress::already("llama.cpp", &folder.display().to_string());
        return Ok(python);
    }
    let _lock = data.lock()?;
    let step = Step::start("llama.cpp", "building llama-cpp-python; some ten minutes, once");
    remove_folder(&folder)?;
    if let Some(parent) = folder.parent() {
        make_folder(parent)?;
    }
    let system = command::find_in_path("python3")
        .context("there is no python3, which the comparison with llama.cpp needs; install it (Debian: python3-venv)")?;
    command::output(command::new(system).args(["-m", "venv"]).arg(&folder), "making a Python environment")?;
    let mut pip = command::new(&python);
    pip.args(["-m", "pip", "install", "--quiet", "--no-binary", "llama-cpp-python"])
        .arg(format!("llama-cpp-python=={VERSION}"))
        .env("CMAKE_ARGS", CMAKE_ARGS);
    command::output(&mut pip, "building llama-cpp-python")?;
    write_file(&stamp, VERSION.as_bytes())?;
    step.done(&folder.display().to_string());
    Ok(python)
}
