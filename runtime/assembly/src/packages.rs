//! Installed agents as the kernel's packages: those that a process can start by name.

use crate::{components, home::Home, wants};
use parking_lot::Mutex;
use remit_abi::{GrantKind, TenantId, limits::Limits};
use remit_host::Host;
use remit_kernel::ports::{PackageError, Packages, PortFuture, Program};
use remit_package::Package;
use std::{collections::HashMap, fs, path::Path, sync::Arc, time::SystemTime};
use tokio::runtime::Handle;

/// Loaded agents that are kept: each is some hundred kilobytes of code.
const LOADED_MAX: usize = 64;

/// Which agent, linked for which grants.
type Key = (String, Vec<GrantKind>);

/// Whether a file is still the one that was loaded.
type Stamp = (Option<SystemTime>, u64);

/// The agents of a data folder.
pub(crate) struct InstalledPackages {
    home: Home,
    host: Arc<Host>,
    runtime: Handle,
    loaded: Arc<Mutex<HashMap<Key, (Stamp, Program)>>>,
    /// Whether processes outlive the host, so that the bytes that they run are kept.
    keeps: bool,
}

impl InstalledPackages {
    pub(crate) fn new(home: Home, host: Arc<Host>, runtime: Handle, keeps: bool) -> Self {
        Self { home, host, runtime, loaded: Arc::default(), keeps }
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
        let path = match is_plain_name(agent) {
            true => self.home.agent(agent),
            false => return Box::pin(std::future::ready(Err(not_installed(agent)))),
        };
        let (host, loaded) = (self.host.clone(), self.loaded.clone());
        // Reading the manifest's stamp takes microseconds; loading what was not loaded blocks, on tokio's threads for that.
        let fresh =
            loaded.lock().get(&key).filter(|(stamp, _)| is_fresh(*stamp, &path)).map(|(_, program)| program.clone());
        if let Some(program) = fresh {
            return Box::pin(std::future::ready(Ok(program)));
        }
        let keeps = self.keeps.then(|| self.home.clone());
        let loading = self.runtime.spawn_blocking(move || load(keeps.as_ref(), &host, &loaded, key, &path));
        Box::pin(async move {
            loading.await.unwrap_or_else(|error| Err(PackageError(format!("it was not loaded: {error}").into())))
        })
    }

    fn reopen(
        &self,
        _: TenantId,
        agent: &str,
        digest: &str,
        granted: &[GrantKind],
    ) -> PortFuture<'static, Result<Program, PackageError>> {
        let (host, path) = (self.host.clone(), components::path(&self.home, digest));
        let (agent, digest, granted) = (Arc::from(agent), Arc::from(digest), granted.to_vec());
        let loading = self.runtime.spawn_blocking(move || reload(&host, &path, agent, digest, &granted));
        Box::pin(async move {
            loading.await.unwrap_or_else(|error| Err(PackageError(format!("it was not loaded: {error}").into())))
        })
    }
}

/// Loads a component that was kept under its digest. Its limits are those that its process had.
fn reload(
    host: &Host,
    path: &Path,
    name: Arc<str>,
    digest: Arc<str>,
    granted: &[GrantKind],
) -> Result<Program, PackageError> {
    let kinds: Vec<&str> = granted.iter().map(|kind| kind.name()).collect();
    let image = host.load_file(path, &kinds).map_err(|error| PackageError(error.to_string().into()))?;
    match *image.digest() == *digest {
        true => Ok(Program { name, digest, image, limits: Limits::default() }),
        false => Err(PackageError(format!("{} has other bytes than its name says", path.display()).into())),
    }
}

fn load(
    keeps: Option<&Home>,
    host: &Host,
    loaded: &Mutex<HashMap<Key, (Stamp, Program)>>,
    key: Key,
    path: &Path,
) -> Result<Program, PackageError> {
    let refused = |error: &dyn std::error::Error| PackageError(error.to_string().into());
    let package = Package::open(path).map_err(|error| match error {
        remit_package::PackageError::NotFound(_) => not_installed(&key.0),
        error => refused(&error),
    })?;
    let stamp = stamp(path);
    let kinds: Vec<&str> = key.1.iter().map(|kind| kind.name()).collect();
    let image = host.load_file(&package.component, &kinds).map_err(|error| refused(&error))?;
    if let Some(home) = keeps {
        components::keep(home, image.digest(), &package.component).map_err(|error| refused(&error))?;
    }
    let program = Program {
        name: package.manifest.name.as_str().into(),
        digest: image.digest().into(),
        image,
        limits: wants::limits(&package.manifest),
    };
    let mut loaded = loaded.lock();
    if loaded.len() >= LOADED_MAX {
        loaded.clear();
    }
    loaded.insert(key, (stamp, program.clone()));
    Ok(program)
}

/// A name opens a folder of its own, and no other file of the machine.
fn is_plain_name(agent: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    agent.bytes().all(fits) && agent.starts_with(|first: char| first.is_ascii_alphanumeric())
}

fn not_installed(agent: &str) -> PackageError {
    PackageError(format!("no agent {agent:?} is installed").into())
}

/// When a package was changed last: its folder is written anew when it is installed.
fn stamp(path: &Path) -> Stamp {
    fs::metadata(path.join("remit.toml")).map_or((None, 0), |manifest| (manifest.modified().ok(), manifest.len()))
}

fn is_fresh(known: Stamp, path: &Path) -> bool {
    known.0.is_some() && known == stamp(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_names_open_a_folder() {
        for (name, plain) in
            [("worker", true), ("a-1_b.c", true), ("", false), ("..", false), ("../x", false), ("a/b", false)]
        {
            assert_eq!(is_plain_name(name), plain, "{name}");
        }
    }
}
