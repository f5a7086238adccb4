//! From a project's source to its component: cargo makes a module, and `wit-component` a component of that.
//!
//! The same source gives the same bytes, wherever the project and cargo's home are: their paths are mapped away.

use crate::{GuestCompiler, Project, compiler::GUEST_TARGET, project::ProjectError};
use remit_package::{PACKAGE_BYTES_MAX, disk};
use serde_json::Value;
use std::{
    env,
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    process::Stdio,
};
use thiserror::Error;
use wit_component::ComponentEncoder;

/// A project that was not built.
#[derive(Debug, Error)]
pub enum BuildError {
    /// The folder.
    #[error(transparent)]
    Project(#[from] ProjectError),
    /// Cargo does not run.
    #[error("cargo cannot be started: {0}")]
    Cargo(io::Error),
    /// The compiler has said why.
    #[error("the agent does not compile: what cargo wrote above says why")]
    Source,
    /// No module.
    #[error("cargo built no WebAssembly module of {0}: give its [lib] `crate-type = [\"cdylib\"]`")]
    NoModule(PathBuf),
    /// The module is no agent.
    #[error("{module} is no agent: does it have one function with `#[remit::agent]`, and import nothing else? {error}")]
    NoAgent {
        /// The module.
        module: PathBuf,
        /// What is wrong with it.
        error: String,
    },
    /// The disk's error.
    #[error("{path}: {error}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// What a build made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Built {
    /// The component's file.
    pub component: PathBuf,
    /// How large it is.
    pub bytes: usize,
    /// Whether it is another one than before.
    pub changed: bool,
}

impl Project {
    /// Compiles the agent, and writes its component where the manifest names it; a file that holds it already is not touched. What
    /// cargo says goes to standard error. Blocks.
    ///
    /// # Errors
    /// [`BuildError`].
    pub fn build(&self, compiler: &GuestCompiler) -> Result<Built, BuildError> {
        let module = self.compile(compiler)?;
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |error| BuildError::Io { path, error }
        };
        let bytes = disk::read(&module, PACKAGE_BYTES_MAX).map_err(failed(&module))?;
        let component = encode(&bytes).map_err(|error| BuildError::NoAgent { module, error })?;
        let place = self.component();
        let before = disk::read_if_there(&place, PACKAGE_BYTES_MAX).map_err(failed(&place))?;
        let changed = before.as_ref() != Some(&component);
        if changed {
            disk::replace(&place, &component).map_err(failed(&place))?;
        }
        Ok(Built { component: place, bytes: component.len(), changed })
    }

    /// The module's file.
    fn compile(&self, compiler: &GuestCompiler) -> Result<PathBuf, BuildError> {
        let mut cargo = compiler.cargo();
        cargo
            .current_dir(self.folder())
            .args(["build", "--release", "--lib", "--target", GUEST_TARGET, "--message-format=json-render-diagnostics"])
            .env("CARGO_ENCODED_RUSTFLAGS", flags(self.folder(), &compiler.sysroot))
            .env_remove("RUSTFLAGS")
            .env_remove("RUSTC_WORKSPACE_WRAPPER")
            .stdin(Stdio::null())
            .stderr(Stdio::inherit());
        let output = cargo.output().map_err(BuildError::Cargo)?;
        if !output.status.success() {
            return Err(BuildError::Source);
        }
        let manifest = self.folder().join("Cargo.toml");
        let text = String::from_utf8_lossy(&output.stdout);
        let module = text.lines().find_map(|line| module_in(line, &manifest));
        module.ok_or(BuildError::NoModule(manifest))
    }
}

/// The module that a line of cargo's says was built of this manifest.
fn module_in(line: &str, manifest: &Path) -> Option<PathBuf> {
    let message: Value = serde_json::from_str(line).ok()?;
    let is_built = message.get("reason")?.as_str()? == "compiler-artifact";
    if !is_built || Path::new(message.get("manifest_path")?.as_str()?) != manifest {
        return None;
    }
    let files = message.get("filenames")?.as_array()?.iter().filter_map(Value::as_str).map(PathBuf::from);
    files.into_iter().find(|file| file.extension().is_some_and(|extension| extension == "wasm"))
}

/// No folder of this machine enters a guest's bytes.
fn flags(project: &Path, sysroot: &Path) -> OsString {
    let home = env::var_os("CARGO_HOME").filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = home.or_else(|| env::home_dir().map(|home| home.join(".cargo")));
    let registry = home.map(|home| (home.join("registry/src"), "/cargo"));
    let std_source = (sysroot.join("lib/rustlib/src/rust"), "/rust");
    let mut flags = OsString::new();
    for (folder, name) in registry.into_iter().chain([std_source, (project.to_owned(), "/agent")]) {
        if !flags.is_empty() {
            flags.push("\x1f");
        }
        flags.push("--remap-path-prefix=");
        flags.push(folder);
        flags.push("=");
        flags.push(name);
    }
    flags
}

fn encode(module: &[u8]) -> Result<Vec<u8>, String> {
    let encoded = ComponentEncoder::default().validate(true).module(module).and_then(|mut encoder| encoder.encode());
    encoded.map_err(|error| format!("{error:#}").replace('\n', " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_module_is_no_agent() {
        assert!(encode(b"").is_err());
        assert!(encode(b"\0asm\x0d\0\x01\0").is_err(), "a component is no module");
    }

    #[test]
    fn the_module_is_the_one_of_the_projects_own_package() {
        let line =
            r#"{"reason":"compiler-artifact","manifest_path":"/w/Cargo.toml","filenames":["/t/a.d","/t/a.wasm"]}"#;
        let of = |line: &str, manifest: &str| module_in(line, Path::new(manifest));
        assert_eq!(of(line, "/w/Cargo.toml"), Some(PathBuf::from("/t/a.wasm")));
        assert_eq!(of(line, "/w/sdk/Cargo.toml"), None);
        assert_eq!(of(&line.replace("compiler-artifact", "build-script-executed"), "/w/Cargo.toml"), None);
        assert_eq!(of("   Compiling nonsense", "/w/Cargo.toml"), None);
    }
}
