//! The journal's folder: its lock, the host's keys, and a file for each tenant's key.

use crate::{
    error::{Damage, OpenError},
    seal::{KEY_BYTES, Key, Place, SEALED_KEY_BYTES, Sealer},
};
use parking_lot::Mutex;
use remit_abi::TenantId;
use rustc_hash::FxHashMap;
use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write},
    path::{Path, PathBuf},
};

/// The database.
pub(crate) const DATABASE: &str = "journal.sqlite";
const LOCK: &str = "journal.lock";
const NODE_KEY: &str = "node.key";
const TENANTS: &str = "tenants";
const RECALL: &str = "recall";
/// The first byte of a file of a tenant's key.
const KEY_VERSION: u8 = 1;

/// A folder that nobody else uses, as long as this is there.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    node: Key,
    tenants: Mutex<FxHashMap<TenantId, Key>>,
    /// Held, not used.
    _lock: File,
}

impl Folder {
    /// Makes the folder where there is none, and takes it.
    pub(crate) fn open(path: &Path) -> Result<Self, OpenError> {
        let tenants = path.join(TENANTS);
        fs::create_dir_all(&tenants).map_err(|source| OpenError::Folder { path: tenants.clone(), source })?;
        let lock = path.join(LOCK);
        let options = OpenOptions::new().create(true).write(true).truncate(false).open(&lock);
        let file = options.map_err(|source| OpenError::Folder { path: lock.clone(), source })?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(OpenError::InUse(path.to_owned())),
            Err(TryLockError::Error(source)) => return Err(OpenError::Folder { path: lock, source }),
        }
        // A journal whose making was cut off has nothing yet that the key would be needed for.
        let node = Key::new(&secret(&path.join(NODE_KEY), path.join(DATABASE).exists())?);
        Ok(Self { path: path.to_owned(), node, tenants: Mutex::default(), _lock: file })
    }

    /// A secret of 32 bytes: read where it is, drawn where it is not and nothing needs it yet.
    pub(crate) fn secret(&self, name: &str, is_needed: bool) -> Result<[u8; KEY_BYTES], OpenError> {
        secret(&self.path.join(name), is_needed)
    }

    /// A file for everybody.
    pub(crate) fn publish(&self, name: &str, content: &str) -> Result<(), OpenError> {
        let path = self.path.join(name);
        match fs::read(&path) {
            Ok(found) if found == content.as_bytes() => Ok(()),
            _ => write(&path, content.as_bytes(), 0o644).map_err(|source| OpenError::Folder { path, source }),
        }
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.path.join(DATABASE)
    }

    /// Where indexes are of what was told. It may not be there.
    pub(crate) fn recall(&self) -> PathBuf {
        self.path.join(RECALL)
    }

    /// Makes it survive a loss of power that indexes are no more.
    pub(crate) fn sync_recall(&self) -> io::Result<()> {
        match sync_folder(&self.recall()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            outcome => outcome,
        }
    }

    /// Makes new files survive a loss of power.
    pub(crate) fn sync(&self) -> io::Result<()> {
        sync_folder(&self.path)
    }

    /// Under which what belongs to no tenant is sealed.
    pub(crate) fn node(&self) -> &Key {
        &self.node
    }

    fn tenant_file(&self, tenant: TenantId) -> PathBuf {
        self.path.join(TENANTS).join(format!("{tenant}.key"))
    }

    /// A tenant's key, where it has one.
    pub(crate) fn tenant(&self, tenant: TenantId) -> Result<Key, Damage> {
        if let Some(key) = self.tenants.lock().get(&tenant) {
            return Ok(key.clone());
        }
        let bytes = match fs::read(self.tenant_file(tenant)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Damage::Key),
            Err(error) => return Err(error.into()),
        };
        let sealed = bytes.strip_prefix(&[KEY_VERSION]).filter(|sealed| sealed.len() == SEALED_KEY_BYTES);
        let key = self.node.open_key(Place::tenant_key(tenant), sealed.ok_or(Damage::Seal)?)?;
        self.tenants.lock().insert(tenant, key.clone());
        Ok(key)
    }

    /// A tenant's key, which is on the disk when this returns.
    pub(crate) fn tenant_or_new(&self, tenant: TenantId, sealer: &mut Sealer) -> Result<Key, Damage> {
        match self.tenant(tenant) {
            Err(Damage::Key) => {}
            found => return found,
        }
        let (key, sealed) = sealer.new_key(&self.node, Place::tenant_key(tenant))?;
        let mut bytes = vec![KEY_VERSION];
        bytes.extend_from_slice(&sealed);
        write(&self.tenant_file(tenant), &bytes, 0o600)?;
        self.tenants.lock().insert(tenant, key.clone());
        Ok(key)
    }

    /// Destroys a tenant's key; nothing that is sealed under it opens from then on.
    pub(crate) fn destroy(&self, tenant: TenantId) -> io::Result<()> {
        self.tenants.lock().remove(&tenant);
        let path = self.tenant_file(tenant);
        let mut file = match OpenOptions::new().write(true).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        file.write_all(&[0; 1 + SEALED_KEY_BYTES])?;
        file.sync_all()?;
        fs::remove_file(&path)?;
        sync_folder(&self.path.join(TENANTS))
    }
}

fn secret(path: &Path, is_needed: bool) -> Result<[u8; KEY_BYTES], OpenError> {
    let failed = |source| OpenError::Folder { path: path.to_owned(), source };
    match fs::read(path) {
        Ok(bytes) => {
            refuse_exposed(path)?;
            bytes.try_into().map_err(|_| OpenError::KeyDamaged(path.to_owned()))
        }
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(error)),
        Err(_) if is_needed => Err(OpenError::KeyMissing(path.to_owned())),
        Err(_) => {
            let mut bytes = [0; KEY_BYTES];
            getrandom::fill(&mut bytes).map_err(|error| OpenError::System(error.to_string().into()))?;
            write(path, &bytes, 0o600).map_err(failed)?;
            Ok(bytes)
        }
    }
}

#[cfg(unix)]
fn refuse_exposed(path: &Path) -> Result<(), OpenError> {
    use std::os::unix::fs::PermissionsExt;
    let metadata = fs::metadata(path).map_err(|source| OpenError::Folder { path: path.to_owned(), source })?;
    match metadata.permissions().mode() & 0o777 {
        mode if mode & 0o077 != 0 => Err(OpenError::KeyExposed { path: path.to_owned(), mode }),
        _ => Ok(()),
    }
}

/// Elsewhere a folder of a user's own is what keeps others away.
#[cfg(not(unix))]
fn refuse_exposed(_: &Path) -> Result<(), OpenError> {
    Ok(())
}

/// A file of this mode where the system has modes, whole or not at all, and on the disk when this returns.
fn write(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut options = OpenOptions::new();
    options.create(true).truncate(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(not(unix))]
    let _ = mode;
    let mut file = options.open(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    path.parent().map_or(Ok(()), sync_folder)
}

#[cfg(unix)]
fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Elsewhere a folder cannot be synchronised, and need not be.
#[cfg(not(unix))]
fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}
