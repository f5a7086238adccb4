//! Who is let in: what a data folder says about whom to trust, read anew whenever one of its files changed, and what runs on those grounds.
//!
//! Principles:
//!
//! - Whatever is loaded passes here first, wherever it comes from, and what passed is what is loaded.
//! - Where it cannot be told whom the host trusts, nothing is let in.

use crate::{
    components,
    home::Home,
    node::{LOCAL_TENANT, Node},
};
use jiff::Timestamp;
use parking_lot::Mutex;
use remit_kernel::Selection;
use remit_package::{Admission, Denied, Evidence, Package, Signer, Store, StoreError, Trust, TrustError, parse_sha256};
use std::{
    collections::{BTreeMap, BTreeSet},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};
use thiserror::Error;

/// Which content a file has: when it was written, its length, and which file it is, since each is written anew.
pub(crate) type Stamp = Option<(SystemTime, u64, u64)>;

/// What is said of whom to trust, and what is installed, at one moment: four files, and those of trust roots.
pub(crate) type Stamps = Vec<Stamp>;

/// A package that is not let in.
#[derive(Debug, Error)]
pub enum GateError {
    /// Nobody knows whom this host trusts.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The list of what is installed cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The package is refused.
    #[error(transparent)]
    Denied(#[from] Denied),
}

/// What may run no longer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CalledBack {
    /// The package's name.
    pub package: Arc<str>,
    /// SHA-256 of its component, in hexadecimal.
    pub digest: Arc<str>,
    /// Why: one sentence without a full stop.
    pub why: String,
    /// How many processes of it live, and take no turns from now on.
    pub processes: usize,
}

/// A component that was let in.
#[derive(Clone, Debug)]
struct Admitted {
    name: Arc<str>,
    signers: BTreeSet<Signer>,
}

/// Whom the host of a data folder trusts.
pub(crate) struct Gate {
    home: Home,
    trust: Mutex<Option<(Stamps, Arc<Trust>)>>,
    /// Files of trust roots that the policies named when they were read last.
    roots: Mutex<Vec<PathBuf>>,
    /// By digest, in hexadecimal: as many as were ever loaded.
    admitted: Mutex<BTreeMap<Arc<str>, Admitted>>,
}

impl Gate {
    pub(crate) fn new(home: Home) -> Self {
        Self { home, trust: Mutex::default(), roots: Mutex::default(), admitted: Mutex::default() }
    }

    /// What changes whenever anything that is decided here might.
    pub(crate) fn stamps(&self) -> Stamps {
        let home = &self.home;
        let (operators, tenants) = (home.trust_policy(), home.tenant_policy(LOCAL_TENANT));
        let files = [operators, tenants, home.revoked(), Store::at(home.packages()).lockfile()];
        let roots = self.roots.lock();
        files.iter().chain(roots.iter()).map(|path| stamp(path)).collect()
    }

    /// Whom it trusts now.
    fn trust(&self) -> Result<Arc<Trust>, TrustError> {
        // What is written while it is read makes it stale, and not fresh.
        let stamps = self.stamps();
        let mut known = self.trust.lock();
        match &*known {
            Some((of, trust)) if *of == stamps => Ok(trust.clone()),
            _ => {
                let (stamps, trust) = self.read(stamps)?;
                *known = Some((stamps, trust.clone()));
                Ok(trust)
            }
        }
    }

    /// Reads whom it trusts, with stamps from before that.
    fn read(&self, stamps: Stamps) -> Result<(Stamps, Arc<Trust>), TrustError> {
        let trust = self.home.trust()?;
        let roots: Vec<_> = trust.root_files().map(Path::to_path_buf).collect();
        let before = std::mem::replace(&mut *self.roots.lock(), roots.clone());
        if before == roots {
            return Ok((stamps, Arc::new(trust)));
        }
        // Which files there are is known only now: they are stamped, and read once more.
        let stamps = self.stamps();
        Ok((stamps, Arc::new(self.home.trust()?)))
    }

    /// Lets a package in.
    pub(crate) fn admit(&self, package: &Package) -> Result<Admission, GateError> {
        let trust = self.trust()?;
        let admission = admit(&self.home, &trust, package)?;
        self.note(&package.manifest.name, &package.digest(), admission.signers.clone());
        Ok(admission)
    }

    /// Lets a component in that was let in before, by a host that may be gone: what it asks for was looked at then, and whoever
    /// stands behind it is looked at now.
    pub(crate) fn readmit(&self, name: &str, digest: &str) -> Result<(), String> {
        let trust = self.trust().map_err(|error| error.to_string())?;
        let bytes = parse_sha256(digest).ok_or_else(|| format!("{digest} is no digest"))?;
        let known = self.admitted.lock().get(digest).map(|admitted| admitted.signers.clone());
        let signers = known.unwrap_or_else(|| self.kept_signers(&trust, digest));
        self.note(name, digest, signers.clone());
        trust.against(name, &bytes, &signers).map_or(Ok(()), Err)
    }

    /// Who stands behind a component that was kept, by the envelope and the bundles that were kept with it.
    fn kept_signers(&self, trust: &Trust, digest: &str) -> BTreeSet<Signer> {
        let evidence = Evidence::read(&components::path(&self.home, digest)).ok();
        let signers = evidence.zip(parse_sha256(digest)).map(|(evidence, bytes)| trust.signers_of(&bytes, &evidence));
        signers.unwrap_or_default()
    }

    /// What was let in, or runs, and is to run no longer. Nothing was done about its processes yet.
    fn recalled(&self, running: impl IntoIterator<Item = (Arc<str>, Arc<str>)>) -> Result<Vec<CalledBack>, TrustError> {
        let trust = self.trust()?;
        // What is being loaded was let in, and does not run yet.
        let mut all = self.admitted.lock().clone();
        for (name, digest) in running {
            let signers = || self.kept_signers(&trust, &digest);
            all.entry(digest.clone()).or_insert_with(|| Admitted { name, signers: signers() });
        }
        let against = |(digest, Admitted { name, signers }): (Arc<str>, Admitted)| {
            let why = trust.against(&name, &parse_sha256(&digest)?, &signers)?;
            Some(CalledBack { package: name, digest, why, processes: 0 })
        };
        Ok(all.into_iter().filter_map(against).collect())
    }

    fn note(&self, name: &str, digest: &str, signers: BTreeSet<Signer>) {
        self.admitted.lock().insert(digest.into(), Admitted { name: name.into(), signers });
    }
}

impl Node {
    /// Reads anew whom this host trusts, and has whatever it let in on other grounds take no turns from now on: within a tick where
    /// it runs. Nothing of it is started until somebody thaws its component.
    ///
    /// # Errors
    /// [`TrustError`]; nothing is frozen then.
    pub fn reload_trust(&self) -> Result<Vec<CalledBack>, TrustError> {
        let running = self.kernel.processes().into_iter().map(|process| (process.package, process.digest));
        let mut recalled = self.gate.recalled(running)?;
        for one in &mut recalled {
            one.processes = self.kernel.freeze(&Selection::Component(one.digest.clone()));
        }
        Ok(recalled)
    }
}

/// Whether the host of a data folder lets a package in, and on what grounds.
///
/// # Errors
/// [`GateError`].
pub fn admission(home: &Home, package: &Package) -> Result<Admission, GateError> {
    admit(home, &home.trust()?, package)
}

fn admit(home: &Home, trust: &Trust, package: &Package) -> Result<Admission, GateError> {
    let newest = Store::at(home.packages()).newest(&package.manifest.name)?;
    Ok(trust.admit(package, &package.circumstances(Timestamp::now(), newest))?)
}

pub(crate) fn stamp(path: &Path) -> Stamp {
    let found = path.metadata().ok()?;
    Some((found.modified().ok()?, found.len(), found.ino()))
}
