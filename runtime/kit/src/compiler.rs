//! A compiler for guests: cargo with a rustc that has the target, found or set up.
//!
//! | way | what it takes |
//! | --- | --- |
//! | the rustc that cargo uses has the target | nothing |
//! | the data folder has one that this repository's set-up put there | nothing |
//! | rustup adds the target to the toolchain | rustup, and its server |
//!
//! The first that works is taken. Nothing else is tried: the rest is the machine's owner's to install, and the sentence says what.

use std::{
    env,
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};
use thiserror::Error;

/// What every agent is compiled for: a module that imports nothing but what its world names.
pub const GUEST_TARGET: &str = "wasm32-unknown-unknown";

/// No compiler for guests.
#[derive(Debug, Error)]
pub enum CompilerError {
    /// No Rust at all.
    #[error(
        "{program} cannot be started ({error}): install Rust 1.95 or newer, for example with rustup, and run this again"
    )]
    NoRust {
        /// Which program.
        program: String,
        /// Why.
        error: io::Error,
    },
    /// A compiler that does not say where it lies.
    #[error("{program} fails where it is asked for its version: {said}")]
    Broken {
        /// Which program.
        program: String,
        /// What it said.
        said: String,
    },
    /// Rustup could not.
    #[error("this Rust cannot build agents yet, and `rustup target add {GUEST_TARGET}` fails: {said}")]
    Rustup {
        /// What it said.
        said: String,
    },
    /// Nothing that could add the target.
    #[error(
        "this Rust cannot build agents yet, and there is no rustup to add what it lacks: install your distribution's package of Rust's \
         standard library for {GUEST_TARGET} (Fedora: rust-std-static-{GUEST_TARGET}, Arch: rust-wasm), or Rust by rustup"
    )]
    NoTarget,
}

/// How cargo is called to build a guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuestCompiler {
    /// For people: release and origin.
    pub description: String,
    pub(crate) sysroot: PathBuf,
    /// None: cargo's own choice.
    rustc: Option<PathBuf>,
    /// None: the compiler's own choice.
    linker: Option<PathBuf>,
}

impl GuestCompiler {
    /// What is here already, or what rustup adds. `say` hears what takes time, before it does.
    ///
    /// # Errors
    /// [`CompilerError`].
    pub fn ensure(data: &Path, say: impl FnOnce(&str)) -> Result<Self, CompilerError> {
        if let Some(found) = Self::find(data)? {
            return Ok(found);
        }
        if !starts("rustup") {
            return Err(CompilerError::NoTarget);
        }
        say(&format!("adding {GUEST_TARGET} to this Rust (`rustup target add {GUEST_TARGET}`, about 25 MB, once)"));
        let mut rustup = Command::new("rustup");
        rustup.args(["target", "add", GUEST_TARGET]).stdin(Stdio::null());
        let said = |text: String| CompilerError::Rustup { said: text };
        match rustup.output() {
            Ok(output) if output.status.success() => {}
            Ok(output) => return Err(said(last_line(&output.stderr))),
            Err(error) => return Err(said(error.to_string())),
        }
        Self::of_host()?
            .ok_or(CompilerError::Rustup { said: "it is there, and this rustc does not find it".to_owned() })
    }

    /// What is here already; changes nothing.
    ///
    /// # Errors
    /// [`CompilerError::NoRust`] and [`CompilerError::Broken`].
    pub fn find(data: &Path) -> Result<Option<Self>, CompilerError> {
        ask(&program("CARGO", "cargo"), &["--version"])?;
        match Self::of_host()? {
            Some(found) => Ok(Some(found)),
            None => Ok(Self::of_data_folder(data)),
        }
    }

    fn of_host() -> Result<Option<Self>, CompilerError> {
        let rustc = program("RUSTC", "rustc");
        let version = ask(&rustc, &["--version"])?;
        let sysroot = PathBuf::from(ask(&rustc, &["--print", "sysroot"])?);
        Ok(has_standard_library(&sysroot).then_some(Self { description: version, sysroot, rustc: None, linker: None }))
    }

    /// What `cargo xtask` unpacked there for machines whose Rust lacks the target.
    fn of_data_folder(data: &Path) -> Option<Self> {
        let folder = data.join("toolchain/debian");
        let sysroot = folder.join("usr");
        if !folder.join("stamp").is_file() || !has_standard_library(&sysroot) {
            return None;
        }
        let rustc = folder.join("bin/rustc");
        let version = ask(rustc.as_os_str(), &["--version"]).ok()?;
        Some(Self {
            description: format!("{version}, in {}", folder.display()),
            linker: Some(linker(&sysroot)?),
            sysroot,
            rustc: Some(rustc),
        })
    }

    /// Cargo, with this compiler for guests.
    pub(crate) fn cargo(&self) -> Command {
        let mut cargo = Command::new(program("CARGO", "cargo"));
        if let Some(rustc) = &self.rustc {
            cargo.env("RUSTC", rustc);
        }
        if let Some(linker) = &self.linker {
            cargo.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
        }
        cargo
    }
}

/// The one that the environment names, as cargo itself goes by it, or the usual one.
fn program(variable: &str, usual: &str) -> OsString {
    env::var_os(variable).filter(|value| !value.is_empty()).unwrap_or_else(|| usual.into())
}

fn starts(program: &str) -> bool {
    let mut command = Command::new(program);
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// What a program answers, without white space around it.
fn ask(program: &std::ffi::OsStr, arguments: &[&str]) -> Result<String, CompilerError> {
    let name = || program.to_string_lossy().into_owned();
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let output = output.map_err(|error| CompilerError::NoRust { program: name(), error })?;
    if !output.status.success() {
        return Err(CompilerError::Broken { program: name(), said: last_line(&output.stderr) });
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn last_line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it says nothing").trim().to_owned()
}

/// Is there a libstd for guests in this sysroot?
fn has_standard_library(sysroot: &Path) -> bool {
    let files =
        fs::read_dir(sysroot.join("lib/rustlib").join(GUEST_TARGET).join("lib")).into_iter().flatten().flatten();
    files.map(|entry| entry.file_name()).any(|name| name.to_string_lossy().starts_with("libstd-"))
}

/// The linker for guests: the one that came with the host's toolchain, else the one that was unpacked.
fn linker(unpacked: &Path) -> Option<PathBuf> {
    let host = ask(&program("RUSTC", "rustc"), &["--print", "sysroot"]).ok().map(PathBuf::from);
    let below = |folder: PathBuf, file: &'static str| {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(move |entry| entry.path().join("bin").join(file)).find(|file| file.is_file())
    };
    host.and_then(|host| below(host.join("lib/rustlib"), "rust-lld")).or_else(|| below(unpacked.join("lib"), "wasm-ld"))
}
