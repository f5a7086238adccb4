//! `cargo xtask doctor`: what is there and what is missing, with what to do. It changes nothing.

use crate::{
    command, data_folder::DataFolder, environment::Environment, guest_compiler::GuestCompiler, host_rustc::HostRustc,
    protoc::Protoc, vulkan::Vulkan,
};
use anyhow::Result;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// What set-up and build need at most: the compiler while it is put together, the cold build, the model.
const FREE_GIB_MIN: u64 = 12;

const BYTES_PER_GIB: u64 = 1 << 30;

/// What is known about one thing: fine, or missing with the way to get it.
type Finding = Result<String, String>;

/// `cargo xtask doctor`.
///
/// # Errors
///
/// The workspace cannot be read; what is missing is no error.
pub(crate) fn command() -> Result<()> {
    let environment = Environment::open()?;
    let (workspace, data) = (&environment.workspace, &environment.data);
    let cli = workspace.target.join("debug").join(format!("remit{}", std::env::consts::EXE_SUFFIX));
    report("rustc", &rustc(&workspace.rust_version));
    report("guest compiler", &guest_compiler(data));
    report("protoc", &protoc(data, workspace.needs_protoc));
    report("vulkan driver", &vulkan(data));
    report("data folder", &data_folder(data));
    report("target folder", &free(&workspace.target).map(|free| format!("{}, {free}", workspace.target.display())));
    report("agents", &agents(&workspace.target.join("agents")));
    if !cli.is_file() {
        report("remit", &Err("not built yet; `cargo xtask demo` builds it and gets the model".to_owned()));
        return Ok(());
    }
    report("remit", &Ok(cli.display().to_string()));
    println!("\n$ remit doctor");
    // Its own exit code says that it found something missing; it has said so itself.
    command::new(&cli).arg("doctor").env("REMIT_HOME", data.root()).status()?;
    Ok(())
}

fn report(name: &str, finding: &Finding) {
    match finding {
        Ok(what) => println!("ok       {name:16} {what}"),
        Err(what) => println!("missing  {name:16} {what}"),
    }
}

fn rustc(minimum: &str) -> Finding {
    let host = HostRustc::find().map_err(|error| format!("{error:#}; install Rust {minimum} or newer"))?;
    Ok(format!("{} (the workspace needs {minimum})", host.release))
}

fn guest_compiler(data: &DataFolder) -> Finding {
    match GuestCompiler::find(data) {
        Ok(Some(compiler)) => Ok(compiler.description),
        Ok(None) => Err("the set-up gets it: through rustup, else from Debian's packages".to_owned()),
        Err(error) => Err(format!("{error:#}")),
    }
}

fn protoc(data: &DataFolder, needed: bool) -> Finding {
    match Protoc::find(data) {
        Some(protoc) => Ok(protoc.description),
        None if needed => Err("the set-up gets it from Debian's packages; elsewhere install protobuf".to_owned()),
        None => Ok("not there, and nothing needs it yet".to_owned()),
    }
}

fn vulkan(data: &DataFolder) -> Finding {
    let found = Vulkan::find(data).map(|vulkan| vulkan.description);
    found.ok_or_else(|| "`cargo xtask test` gets one from Debian's packages; elsewhere install Mesa's".to_owned())
}

fn data_folder(data: &DataFolder) -> Finding {
    let free = free(data.root())?;
    if !data.root().is_dir() {
        return Ok(format!("{} does not exist yet; the set-up makes it ({free})", data.root().display()));
    }
    let mebibytes = size(data.root()) >> 20;
    Ok(format!("{}: {mebibytes} MiB, {free}", data.root().display()))
}

fn agents(folder: &Path) -> Finding {
    let names: Vec<String> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    if names.is_empty() {
        return Err("not built yet; `cargo xtask agents` builds them".to_owned());
    }
    Ok(format!("{}: {}", folder.display(), names.join(", ")))
}

/// The room on the disk where `folder` is, or will be.
fn free(folder: &Path) -> Finding {
    let existing = folder.ancestors().find(|ancestor| ancestor.is_dir()).unwrap_or(Path::new("."));
    let answer = command::output(command::new("df").arg("-Pk").arg(existing), "asking `df` for the free space");
    let Some(bytes) = answer.ok().and_then(|answer| parse_free(&answer)) else {
        return Ok("free space unknown".to_owned());
    };
    let gibibytes = bytes / BYTES_PER_GIB;
    if gibibytes < FREE_GIB_MIN {
        return Err(format!(
            "{gibibytes} GiB free at {}: a cold build needs {FREE_GIB_MIN}; make room",
            existing.display()
        ));
    }
    Ok(format!("{gibibytes} GiB free"))
}

/// The fourth column of the last line of `df -Pk`, in bytes.
fn parse_free(text: &str) -> Option<u64> {
    let kibibytes: u64 = text.lines().last()?.split_whitespace().nth(3)?.parse().ok()?;
    kibibytes.checked_mul(1024)
}

fn size(folder: &Path) -> u64 {
    let mut folders: Vec<PathBuf> = vec![folder.to_owned()];
    let mut bytes = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => folders.push(entry.path()),
                Ok(metadata) => bytes += metadata.len(),
                Err(_) => {}
            }
        }
    }
    bytes
}

#[cfg(test)]
mod unit_tests {
    use super::parse_free;

    #[test]
    fn free_space() {
        let text =
            "Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/vda 264011300 13400000 82000000 15% /\n";
        assert_eq!(parse_free(text), Some(82_000_000 * 1024));
        assert_eq!(parse_free("df: no such folder"), None);
    }
}
