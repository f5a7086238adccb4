//! The guests' standard library, built from a compiler's own source: for compilers that come without one.
//!
//! - Nothing is fetched: the source's own `vendor` folder has the crates that std needs.
//! - The crate that asks for std lies above the source, so that cargo names the source relative to it, and the same
//!   source gives the same symbols in every data folder. Paths are remapped away for the same reason.
//! - With bitcode, since the guests' profile optimises across crates.

use crate::{
    command,
    data_folder::{make_folder, remove_folder, write_file},
    host_rustc::GUEST_TARGET,
    progress::Step,
};
use anyhow::{Context as _, Result, bail};
use std::{
    fs,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    path::{Path, PathBuf},
};

const CRATE_NAME: &str = "remit-guest-std";

const MANIFEST: &str = r#"[package]
name = "remit-guest-std"
version = "0.0.0"
edition = "2021"

[lib]
path = "lib.rs"

[workspace]
"#;

/// A guest that uses what a broken standard library would lack: formatting, a heap, a panic.
const PROBE: &str = r#"
#[unsafe(no_mangle)]
pub extern "C" fn probe(n: u32) -> usize {
    let words: Vec<String> = (0..n).map(|i| format!("{i:?}")).collect();
    words[n as usize / 2].len()
}
"#;

/// Builds std for guests with `<root>/bin/rustc`, puts it into that compiler's own library folder, and gives back a
/// fingerprint of what it put there: equal for equal bytes, of no use against an attacker.
///
/// # Errors
///
/// The source is not there, it does not compile, or a guest does not link against it.
pub(crate) fn build(root: &Path, build_folder: &Path, linker: &Path, step: &Step) -> Result<u64> {
    let library = root.join("usr/lib/rustlib/src/rust/library");
    if !library.join("std").is_dir() {
        bail!("the unpacked compiler has no source of std in {}", library.display());
    }
    step.note("compiling the guests' standard library (once, about two minutes)");
    let write = |name: &str, text: &str| {
        fs::write(root.join(name), text)
            .with_context(|| format!("cannot write into {}: is the disk full?", root.display()))
    };
    write("Cargo.toml", MANIFEST)?;
    write("lib.rs", "#![no_std]\n")?;
    let mut cargo = command::cargo();
    cargo
        .current_dir(root)
        .args(["build", "--release", "--offline", "-Zbuild-std=std,panic_abort", "--target", GUEST_TARGET])
        .arg("--target-dir")
        .arg(build_folder)
        .args(["--config", "source.crates-io.replace-with=\"guest-std\"", "--config"])
        .arg(format!("source.guest-std.directory={:?}", library.join("vendor")))
        .env("RUSTC", root.join("bin/rustc"))
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker)
        .env("CARGO_ENCODED_RUSTFLAGS", flags(root)?)
        .env("CARGO_INCREMENTAL", "0")
        .env_remove("RUSTC_WRAPPER")
        .env_remove("RUSTC_WORKSPACE_WRAPPER");
    command::follow(&mut cargo, "compiling the guests' standard library", |line| step.flicker(line.trim()))?;
    let fingerprint = install(root, &build_folder.join(GUEST_TARGET).join("release/deps"))?;
    for name in ["Cargo.toml", "Cargo.lock", "lib.rs"] {
        fs::remove_file(root.join(name)).with_context(|| format!("cannot remove {name} from {}", root.display()))?;
    }
    probe(root, build_folder, linker)?;
    Ok(fingerprint)
}

/// Every name of the source's folder becomes `/rust`; of the rules that fit, rustc takes the last one.
fn flags(root: &Path) -> Result<String> {
    let relative = Path::new("usr/lib/rustlib/src/rust");
    let named = root.join(relative);
    let real = named.canonicalize().with_context(|| format!("{} leads nowhere", named.display()))?;
    let mut flags = vec!["-Cembed-bitcode=yes".to_owned()];
    for folder in [root, relative, &named, &real] {
        flags.push(format!("--remap-path-prefix={}=/rust", folder.display()));
    }
    Ok(flags.join("\x1f"))
}

fn install(root: &Path, built: &Path) -> Result<u64> {
    let place = root.join("usr/lib/rustlib").join(GUEST_TARGET).join("lib");
    remove_folder(&place)?;
    make_folder(&place)?;
    let ours = format!("lib{}-", CRATE_NAME.replace('-', "_"));
    let files = fs::read_dir(built).with_context(|| format!("cannot read {}", built.display()))?;
    let mut names: Vec<String> =
        files.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.retain(|name| name.ends_with(".rlib") && !name.starts_with(&ours));
    names.sort();
    let mut fingerprint = DefaultHasher::new();
    for name in names {
        let bytes =
            fs::read(built.join(&name)).with_context(|| format!("cannot read {name} in {}", built.display()))?;
        (&name, &bytes).hash(&mut fingerprint);
        write_file(&place.join(&name), &bytes)?;
    }
    Ok(fingerprint.finish())
}

/// Links a small guest the way agents are linked.
fn probe(root: &Path, folder: &Path, linker: &Path) -> Result<()> {
    let source: PathBuf = folder.join("probe.rs");
    fs::write(&source, PROBE).with_context(|| format!("cannot write {}", source.display()))?;
    let mut rustc = command::new(root.join("bin/rustc"));
    rustc.args([
        "--edition=2024",
        "--crate-type=cdylib",
        "--target",
        GUEST_TARGET,
        "-Clto",
        "-Copt-level=s",
        "-Cpanic=abort",
    ]);
    rustc.arg(format!("-Clinker={}", linker.display())).arg("-o").arg(folder.join("probe.wasm")).arg(&source);
    command::output(&mut rustc, "linking a guest against the new standard library").map(drop)
}
