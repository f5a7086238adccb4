//! Installed agents as the kernel's packages: those that a process can start by name.

use crate::{
    components,
    gate::{Gate, Stamp, Stamps, stamp},
    home::Home,
    opening::{OpenError, open_installed},
    wants,
};
use jiff::Timestamp;
use parking_lot::Mutex;
use remit_abi::{GrantKind, TenantId, limits::Limits};
use remit_host::Host;
use remit_kernel::ports::{PackageError, Packages, PortFuture, Program};
use remit_package::{PACKAGE_BYTES_MAX, disk};
use sha2::{Digest, Sha256};
use std::{collections::HashMap, path::Path, sync::Arc};
use tokio::runtime::Handle;

/// Loaded agents that are kept: each is some hundred kilobytes of code.
const LOADED_MAX: usize = 64;

/// Which agent, linked for which grants.
type Key = (String, Vec<GrantKind>);

/// An agent that is ready to be started.
struct Loaded {
    /// Of whom to trust and what is installed, when it was loaded, and of its own manifest.
    stamps: (Stamps, Stamp),
    /// When whoever stands behind it no longer does.
    not_after: Option<Timestamp>,
    program: Program,
}

/// What loading takes.
#[derive(Clone)]
struct Loading {
    home: Home,
    host: Arc<Host>,
    gate: Arc<Gate>,
    loaded: Arc<Mutex<HashMap<Key, Loaded>>>,
    /// Whether processes outlive the host, so that the bytes that they run are kept.
    keeps: bool,
}

/// The agents of a data folder.
pub(crate) struct InstalledPackages {
    loading: Loading,
    runtime: Handle,
}

impl InstalledPackages {
    pub(crate) fn new(home: Home, host: Arc<Host>, gate: Arc<Gate>, runtime: Handle, keeps: bool) -> Self {
        Self { loading: Loading { home, host, gate, loaded: Arc::default(), keeps }, runtime }
    }

    /// Loading blocks, on tokio's threads for that.
    fn spawn(
        &self,
        load: impl FnOnce(Loading) -> Result<Program, PackageError> + Send + 'static,
    ) -> PortFuture<'static, Result<Program, PackageError>> {
        let loading = self.loading.clone();
        let loading = self.runtime.spawn_blocking(move || load(loading));
        Box::pin(async move {
            loading.await.unwrap_or_else(|error| Err(PackageError(format!("it was not loaded: {error}").into())))
        })
    }
}

impl Packages for InstalledPackages {
    fn open(
        &self,
        _: TenantId,
        agent: &str,
        granted: &[GrantKind],
    ) -> PortFuture<'static, Result<Program, PackageError>> {
        let key = (agent.to_owned(), granted.to_vec());
        // Looking at the files' stamps takes microseconds.
        match self.loading.fresh(&key) {
            Some(program) => Box::pin(std::future::ready(Ok(program))),
            None => self.spawn(move |loading| loading.load(key)),
        }
    }

    fn reopen(
        &self,
        _: TenantId,
        agent: &str,
        digest: &str,
        granted: &[GrantKind],
    ) -> PortFuture<'static, Result<Program, PackageError>> {
        let (agent, digest, granted) = (Arc::from(agent), Arc::from(digest), granted.to_vec());
        self.spawn(move |loading| loading.reload(agent, digest, &granted))
    }
}

impl Loading {
    fn stamps(&self, agent: &str) -> (Stamps, Stamp) {
        (self.gate.stamps(), stamp(&self.home.agent(agent).join("remit.toml")))
    }

    /// What was loaded before and is as it was.
    fn fresh(&self, key: &Key) -> Option<Program> {
        let loaded = self.loaded.lock();
        let Loaded { stamps, not_after, program } = loaded.get(key)?;
        let is_fresh = *stamps == self.stamps(&key.0) && not_after.is_none_or(|end| Timestamp::now() <= end);
        is_fresh.then(|| program.clone())
    }

    fn load(&self, key: Key) -> Result<Program, PackageError> {
        // What changes while it is loaded makes it stale.
        let stamps = self.stamps(&key.0);
        let package = open_installed(&self.home, &key.0).map_err(|error| match error {
            OpenError::Package(remit_package::PackageError::NotFound(_)) => not_installed(&key.0),
            error => refused(&error),
        })?;
        let not_after = self.gate.admit(&package).map_err(|error| refused(&error))?.not_after;
        let linked = wants::linked(&package.manifest, key.1.iter().copied());
        let image = self.host.load(package.bytes(), &wants::names_of(&linked)).map_err(|error| refused(&error))?;
        if self.keeps {
            components::keep(&self.home, &package).map_err(|error| refused(&error))?;
        }
        let program = Program {
            name: package.manifest.name.as_str().into(),
            digest: image.digest().into(),
            linked,
            image,
            limits: wants::limits(&package.manifest),
        };
        let mut loaded = self.loaded.lock();
        if loaded.len() >= LOADED_MAX {
            loaded.clear();
        }
        loaded.insert(key, Loaded { stamps, not_after, program: program.clone() });
        Ok(program)
    }

    /// Loads a component that was kept under its digest. Its limits are those that its process had.
    fn reload(&self, name: Arc<str>, digest: Arc<str>, granted: &[GrantKind]) -> Result<Program, PackageError> {
        self.gate.readmit(&name, &digest).map_err(|why| PackageError(why.into()))?;
        let path = components::path(&self.home, &digest);
        let bytes = read(&path, &digest)?;
        let image = self.host.load(&bytes, &wants::names_of(granted)).map_err(|error| refused(&error))?;
        Ok(Program { name, digest, linked: granted.to_vec(), image, limits: Limits::default() })
    }
}

/// Reads what was kept. Other bytes than those are neither run nor compiled.
fn read(path: &Path, digest: &str) -> Result<Vec<u8>, PackageError> {
    let bytes = disk::read(path, PACKAGE_BYTES_MAX)
        .map_err(|error| PackageError(format!("cannot read the agent {}: {error}", path.display()).into()))?;
    match hex::encode(Sha256::digest(&bytes)) == digest {
        true => Ok(bytes),
        false => Err(PackageError(format!("{} has other bytes than its name says", path.display()).into())),
    }
}

fn refused(error: &dyn std::error::Error) -> PackageError {
    PackageError(error.to_string().into())
}

fn not_installed(agent: &str) -> PackageError {
    PackageError(format!("no agent {agent:?} is installed").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_components_are_read_by_their_digest() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let path = folder.path().join("x.wasm");
        std::fs::write(&path, b"x").expect("it is ours");
        let digest = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881";
        assert_eq!(read(&path, digest).ok(), Some(b"x".to_vec()));
        std::fs::write(&path, b"y").expect("it is ours");
        let told = read(&path, digest).map_err(|PackageError(told)| told);
        assert!(told.is_err_and(|told| told.contains("has other bytes than its name says")));
    }
}
