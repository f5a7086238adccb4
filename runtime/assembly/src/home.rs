//! The data folder: everything that Remit keeps on a machine.
//!
//! | folder | what it holds |
//! | --- | --- |
//! | `models.toml` | the operator's own names of models, besides the built-in ones |
//! | `routes.toml` | the operator's routes: names that send each request to a model |
//! | `recall.toml` | whose past can be looked through, and under which rules |
//! | `routes.state.toml` | which version of each route is in effect |
//! | `models/NAME/` | model files, verified when they were pulled |
//! | `trust.toml` | the operator's policy: whose packages run, and how far they go |
//! | `tenants/N/trust.toml` | a tenant's own policy, inside the operator's: both have to let a package in |
//! | `revoked.toml` | keys and packages that are believed no longer |
//! | `registries.toml` | registries besides public ones, and how they are reached |
//! | `keys/` | keys by name: one's own, and others' |
//! | `packages/` | installed packages, and the list of what their names mean |
//! | `incoming/` | packages on their way here |
//! | `agents/NAME/` | agents' folders that the operator put there: they are found by name, too |
//! | `components/DIGEST.wasm` | the components of processes that outlive the host |
//! | `journal/` | what those processes were told, and what is true after it |
//! | `kv/` | keys and values of models that have left memory, sealed; all of it can be computed again |
//! | `memory/` | what agents remember |
//! | `cache/` | compiled components, by digest |
//! | `toolchain/` | a compiler for agents, where `cargo xtask` had to put one together |
//! | `run/` | the lock and the control socket of the host that runs on this folder |

use crate::node::LOCAL_TENANT;
use remit_abi::TenantId;
use remit_package::{Trust, TrustError, read_policy};
use std::{
    fs::{self, File, TryLockError},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};
use thiserror::Error;

/// Overrides where the data folder is.
pub const HOME_VARIABLE: &str = "REMIT_HOME";

/// No data folder could be named.
#[derive(Debug, Error)]
#[error("there is no home folder to keep data in: set {HOME_VARIABLE} to a folder")]
pub struct NoHome;

/// Bytes of a lock's file: one number.
const LOCK_BYTES_MAX: u64 = 16;

/// A data folder that cannot be locked.
#[derive(Debug, Error)]
pub enum LockError {
    /// Another host has it.
    #[error("a host runs on {folder} already{}: stop that one, or set {HOME_VARIABLE} to another folder", named(*.pid))]
    Held {
        /// Which folder.
        folder: PathBuf,
        /// The system's number of the other host's process, where it has said it.
        pid: Option<u32>,
    },
    /// The disk's error.
    #[error("{path} cannot be locked: {error}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

fn named(pid: Option<u32>) -> String {
    pid.map(|pid| format!(", as process {pid}")).unwrap_or_default()
}

/// The right to be the one host on a data folder. The system takes it back at the latest when the process ends, however it
/// does.
#[derive(Debug)]
pub struct HomeLock {
    _file: File,
}

/// The data folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home(PathBuf);

impl Home {
    /// A folder of the caller's choice.
    #[must_use]
    pub fn at(folder: PathBuf) -> Self {
        Self(folder)
    }

    /// `$REMIT_HOME`, or `remit` in the platform's folder for data.
    ///
    /// # Errors
    /// [`NoHome`].
    pub fn find() -> Result<Self, NoHome> {
        let named = std::env::var_os(HOME_VARIABLE).filter(|value| !value.is_empty()).map(PathBuf::from);
        let usual = || directories::BaseDirs::new().map(|folders| folders.data_dir().join("remit"));
        named.or_else(usual).map(Self).ok_or(NoHome)
    }

    /// The folder itself.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.0
    }

    /// Where models are.
    #[must_use]
    pub fn models(&self) -> PathBuf {
        self.0.join("models")
    }

    /// The operator's own list of models.
    #[must_use]
    pub fn model_list(&self) -> PathBuf {
        self.0.join("models.toml")
    }

    /// The operator's routes.
    #[must_use]
    pub fn route_list(&self) -> PathBuf {
        self.0.join("routes.toml")
    }

    /// The operator's tools, where they are not in a file that is named.
    #[must_use]
    pub fn tool_list(&self) -> PathBuf {
        self.0.join("tools.toml")
    }

    /// Whose past can be looked through, and under which rules.
    #[must_use]
    pub fn recall_rules(&self) -> PathBuf {
        self.0.join("recall.toml")
    }

    /// Which version of each route is in effect.
    #[must_use]
    pub fn route_state(&self) -> PathBuf {
        self.0.join("routes.state.toml")
    }

    /// The operator's policy: whose packages run, and how far they go.
    #[must_use]
    pub fn trust_policy(&self) -> PathBuf {
        self.0.join("trust.toml")
    }

    /// A tenant's own policy. A package has to be let in by the operator's too, so that it can only narrow that.
    #[must_use]
    pub fn tenant_policy(&self, tenant: TenantId) -> PathBuf {
        self.0.join("tenants").join(tenant.0.to_string()).join("trust.toml")
    }

    /// Keys and packages that are believed no longer.
    #[must_use]
    pub fn revoked(&self) -> PathBuf {
        self.0.join("revoked.toml")
    }

    /// Whom the host of this folder trusts for its tenant: by the operator's policy, and by the tenant's own where it has one.
    ///
    /// # Errors
    /// [`TrustError`].
    pub fn trust(&self) -> Result<Trust, TrustError> {
        let trust = Trust::read(&self.trust_policy(), &self.revoked())?;
        let own = read_policy(&self.tenant_policy(LOCAL_TENANT))?;
        Ok(match own {
            Some(own) => trust.within(&format!("tenant {}", LOCAL_TENANT.0), own),
            None => trust,
        })
    }

    /// Where keys are.
    #[must_use]
    pub fn keys(&self) -> PathBuf {
        self.0.join("keys")
    }

    /// Where installed packages are.
    #[must_use]
    pub fn packages(&self) -> PathBuf {
        self.0.join("packages")
    }

    /// Registries besides public ones, and how they are reached.
    #[must_use]
    pub fn registry_list(&self) -> PathBuf {
        self.0.join("registries.toml")
    }

    /// Where packages are put together on their way here.
    #[must_use]
    pub fn incoming(&self) -> PathBuf {
        self.0.join("incoming")
    }

    /// Where an operator puts an agent's folder for it to be found by that name.
    #[must_use]
    pub fn agent(&self, name: &str) -> PathBuf {
        self.0.join("agents").join(name)
    }

    /// Where components of processes that outlive the host are kept, by their digests.
    #[must_use]
    pub fn components(&self) -> PathBuf {
        self.0.join("components")
    }

    /// Where the journal is.
    #[must_use]
    pub fn journal(&self) -> PathBuf {
        self.0.join("journal")
    }

    /// Where keys and values of models are that have left memory.
    #[must_use]
    pub fn kv(&self) -> PathBuf {
        self.0.join("kv")
    }

    /// Where memories are.
    #[must_use]
    pub fn memory(&self) -> PathBuf {
        self.0.join("memory")
    }

    /// Where compiled components are.
    #[must_use]
    pub fn cache(&self) -> PathBuf {
        self.0.join("cache")
    }

    /// Where a running host's lock and socket are.
    #[must_use]
    pub fn run(&self) -> PathBuf {
        self.0.join("run")
    }

    /// Makes the caller the one host on this folder.
    ///
    /// # Errors
    /// [`LockError`].
    pub fn lock(&self) -> Result<HomeLock, LockError> {
        let path = self.run().join("host.lock");
        let failed = |error| LockError::Io { path: path.clone(), error };
        fs::create_dir_all(self.run()).map_err(failed)?;
        // What a host that has the lock wrote stays until the next one has it.
        let mut file =
            File::options().read(true).write(true).create(true).truncate(false).open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let read = file.take(LOCK_BYTES_MAX).read_to_string(&mut text);
                let pid = read.ok().and_then(|_| text.trim().parse().ok());
                return Err(LockError::Held { folder: self.0.clone(), pid });
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(failed)?;
        Ok(HomeLock { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_host_at_a_time_has_the_data_folder() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let home = Home::at(folder.path().join("data"));
        let lock = home.lock().expect("nobody has it");
        let error = home.lock().expect_err("it is taken");
        assert!(matches!(error, LockError::Held { pid: Some(pid), .. } if pid == std::process::id()), "{error}");
        drop(lock);
        drop(home.lock().expect("it is free again"));
    }
}
