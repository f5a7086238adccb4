//! The compiler that builds the host: the one cargo uses here.

use crate::command;
use anyhow::{Context as _, Result, bail};
use std::path::{Path, PathBuf};

/// What every agent is compiled for: a module that imports nothing but what its WIT world names.
pub(crate) const GUEST_TARGET: &str = "wasm32-unknown-unknown";

/// The compiler that builds the host.
pub(crate) struct HostRustc {
    /// All of `rustc -vV`: equal text, equal compiler.
    pub(crate) verbose: String,
    pub(crate) release: String,
    /// The platform that it builds for unless it is told otherwise.
    pub(crate) triple: String,
    sysroot: PathBuf,
}

impl HostRustc {
    /// Asks the compiler.
    ///
    /// # Errors
    ///
    /// There is none that runs.
    pub(crate) fn find() -> Result<Self> {
        let program = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let verbose = command::output(command::new(&program).arg("-vV"), "asking rustc for its version")?;
        let sysroot =
            command::output(command::new(&program).args(["--print", "sysroot"]), "asking rustc where it lies")?;
        let field = |name: &str| version_field(&verbose, name).with_context(|| format!("`rustc -vV` names no {name}"));
        Ok(HostRustc {
            release: field("release")?,
            triple: field("host")?,
            sysroot: PathBuf::from(sysroot.trim()),
            verbose,
        })
    }

    /// Has it the guests' standard library?
    pub(crate) fn has_guest_target(&self) -> bool {
        has_standard_library(&self.sysroot.join("lib/rustlib").join(GUEST_TARGET))
    }

    /// Where the source of its standard library is, if anywhere.
    pub(crate) fn std_source(&self) -> PathBuf {
        self.sysroot.join("lib/rustlib/src/rust")
    }

    /// The linker for WebAssembly that comes with rustup's toolchains.
    pub(crate) fn rust_lld(&self) -> Option<PathBuf> {
        let program = format!("rust-lld{}", std::env::consts::EXE_SUFFIX);
        let file = self.sysroot.join("lib/rustlib").join(&self.triple).join("bin").join(program);
        file.is_file().then_some(file)
    }
}

/// Is there a libstd in this folder of a sysroot?
pub(crate) fn has_standard_library(target_folder: &Path) -> bool {
    let files = std::fs::read_dir(target_folder.join("lib")).into_iter().flatten().flatten();
    files.map(|entry| entry.file_name()).any(|name| name.to_string_lossy().starts_with("libstd-"))
}

fn version_field(verbose: &str, name: &str) -> Option<String> {
    let mut values = verbose.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    values.next().map(|value| value.trim().to_owned())
}

/// Major and minor of a version such as `1.96.0+dfsg1-1` or `1.95`.
///
/// # Errors
///
/// It does not begin with two numbers.
pub(crate) fn major_minor(version: &str) -> Result<(u32, u32)> {
    let mut numbers = version.split(|character: char| !character.is_ascii_digit()).map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => Ok((major, minor)),
        _ => bail!("{version:?} is no version of a compiler"),
    }
}

#[cfg(test)]
mod unit_tests {
    use super::{major_minor, version_field};

    #[test]
    fn versions() {
        let verbose = "rustc 1.95.0 (5980 2026-04-14)\nbinary: rustc\nhost: aarch64-apple-darwin\nrelease: 1.95.0\n";
        assert_eq!(version_field(verbose, "host").as_deref(), Some("aarch64-apple-darwin"));
        assert_eq!(version_field(verbose, "release").as_deref(), Some("1.95.0"));
        assert_eq!(version_field(verbose, "LLVM version"), None);
        assert_eq!(major_minor("1.96.0+dfsg1-1~deb12u2").ok(), Some((1, 96)));
        assert_eq!(major_minor("1.95").ok(), Some((1, 95)));
        assert!(major_minor("stable").is_err());
    }
}
