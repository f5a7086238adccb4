//! `cargo xtask fuzz`: a coverage-guided search for bytes that a reader of others' files does not survive: of models, of packages.
//!
//! The targets are in the folder `fuzz` of each crate; cargo-fuzz, their build and what they found of interest lie below the cargo target folder.
//! No sanitizer is asked for, since that takes a nightly compiler, and the readers have no unsafe code of their own.

use crate::{command, environment::Environment, progress};
use anyhow::Result;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// The targets of each crate, each with a folder of files to begin with. No two have the same name.
const TARGETS: &[(&str, &[(&str, &str)])] = &[
    (
        "runtime/inference",
        &[
            ("gguf", "tests/goldens/tokenizers"),
            ("safetensors", "tests/goldens"),
            ("template", "tests/goldens/templates"),
            ("tokenizer_gguf", "tests/goldens/tokenizers"),
            ("tokenizer_json", "tests/goldens/tokenizers"),
        ],
    ),
    (
        "runtime/package",
        &[
            ("bundle", "tests/seeds/bundle"),
            ("envelope", "tests/seeds/envelope"),
            ("manifest", "tests/seeds/manifest"),
            ("package", "tests/seeds/package"),
            ("policy", "tests/seeds/policy"),
        ],
    ),
];

/// Memory that one target may take, in MiB, and seconds for one file: each far above what a reader's own limits let it take.
const MEMORY_MIB: u32 = 4096;
const FILE_SECONDS: u32 = 30;

/// `cargo xtask fuzz [SECONDS]`: so long for each target.
///
/// # Errors
///
/// cargo-fuzz cannot be had, or a target fell over; the file that did it is named.
pub(crate) fn command(seconds: u32) -> Result<()> {
    let mut environment = Environment::open()?;
    environment.set_up_host_build()?;
    let folder = environment.workspace.target.join("fuzz");
    let programs = installed(&environment, &folder)?;
    let each = TARGETS.iter().flat_map(|(reader, targets)| targets.iter().map(move |target| (reader, target)));
    for (reader, (target, seeds)) in each {
        let reader = environment.workspace.root.join(reader);
        let corpus = folder.join("corpus").join(target);
        fs::create_dir_all(&corpus)?;
        progress::already("fuzz", &format!("{target}, for {seconds} s"));
        let mut cargo = environment.cargo();
        cargo
            .current_dir(&reader)
            .args(["fuzz", "run", "--sanitizer", "none", "--debug-assertions", target])
            .args([&corpus, &reader.join(seeds)])
            .args(["--", &format!("-max_total_time={seconds}"), &format!("-rss_limit_mb={MEMORY_MIB}")])
            .args([&format!("-timeout={FILE_SECONDS}"), "-print_final_stats=1"])
            .env("PATH", with_first(&programs)?)
            .env("CARGO_TARGET_DIR", folder.join("target"))
            // The flags of coverage are not stable, and they are all that is used of what is not.
            .env("RUSTC_BOOTSTRAP", "1");
        command::run(&mut cargo, &format!("fuzzing {target}"))?;
    }
    Ok(())
}

/// The folder with cargo-fuzz in it.
fn installed(environment: &Environment, folder: &Path) -> Result<PathBuf> {
    let programs = folder.join("bin");
    if !programs.join(format!("cargo-fuzz{}", std::env::consts::EXE_SUFFIX)).exists() {
        let mut cargo = environment.cargo();
        cargo.args(["install", "cargo-fuzz", "--locked", "--root"]).arg(folder);
        command::run(&mut cargo, "installing cargo-fuzz")?;
    }
    Ok(programs)
}

/// PATH with a folder before all others.
fn with_first(folder: &Path) -> Result<std::ffi::OsString> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    Ok(std::env::join_paths(std::iter::once(folder.to_owned()).chain(std::env::split_paths(&path)))?)
}
