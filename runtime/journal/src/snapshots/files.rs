//! The files of snapshots, as `FORMAT.md` lays them out.
//!
//! None is synchronised: what a loss of power leaves torn does not open, and is dropped when it is asked for.

use super::index::FileId;
use crate::{
    audit::{Hash, keyed},
    error::Damage,
    folder::Folder,
    seal::{Key, Place, Sealer},
};
use hmac::Mac;
use remit_abi::TenantId;
use remit_kernel::ports::SnapshotName;
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

/// What a file begins with: the last byte is its version.
const HEADER: &[u8; 4] = b"RKV\x01";
const ENDING: &str = "kv";
/// Under which a file is written before it is whole.
const NEW: &str = "new";
/// Bytes of a file that is read. 1 GiB: a block of the largest models has some ten MiB.
const FILE_BYTES_MAX: u64 = 1 << 30;

/// A folder of files, and the keys that they are sealed with.
pub(super) struct Files {
    keys: Arc<Folder>,
    path: PathBuf,
}

/// Why a file is not read.
#[derive(Debug)]
pub(super) enum Unread {
    Missing,
    Damaged(Damage),
}

impl Files {
    pub(super) fn new(keys: Arc<Folder>, path: &Path) -> Self {
        Self { keys, path: path.to_owned() }
    }

    fn folder(&self, tenant: TenantId) -> PathBuf {
        self.path.join(tenant.to_string())
    }

    fn file(&self, id: &FileId) -> PathBuf {
        self.folder(id.tenant).join(format!("{}.{ENDING}", hex::encode(id.name)))
    }

    /// Under which a tenant's files are named. Fails where the tenant has no key.
    pub(super) fn naming(&self, tenant: TenantId) -> Result<Hash, Damage> {
        Ok(self.keys.tenant(tenant)?.snapshot_names())
    }

    /// The name of a block's file.
    pub(super) fn id(naming: &Hash, tenant: TenantId, name: SnapshotName) -> FileId {
        FileId { tenant, name: keyed(naming).chain_update(name.0).finalize().into_bytes().into() }
    }

    /// Writes a block, whole or not at all; how many bytes the file has.
    pub(super) fn write(&self, id: &FileId, plain: &[u8], sealer: &mut Sealer) -> Result<u64, Damage> {
        let key = self.key(id.tenant)?;
        let sealed = sealer.seal(&key, place(id), plain)?;
        let (path, folder) = (self.file(id), self.folder(id.tenant));
        let new = folder.join(NEW);
        let written =
            fs::create_dir_all(&folder).and_then(|()| write(&new, &sealed)).and_then(|()| fs::rename(&new, &path));
        if let Err(error) = written {
            // It may be what fills the disk. Where it cannot be removed, the next block is written over it.
            drop(fs::remove_file(&new));
            return Err(error.into());
        }
        Ok((HEADER.len() + sealed.len()) as u64)
    }

    /// Reads a block.
    pub(super) fn read(&self, id: &FileId) -> Result<Vec<u8>, Unread> {
        let sealed = match read(&self.file(id)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Unread::Missing),
            Err(error) => return Err(Unread::Damaged(error.into())),
        };
        let open = || self.key(id.tenant)?.open(place(id), sealed.strip_prefix(HEADER).ok_or(Damage::Seal)?);
        open().map_err(Unread::Damaged)
    }

    /// Removes a file, where it is there.
    pub(super) fn remove(&self, id: &FileId) {
        match fs::remove_file(self.file(id)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(tenant = %id.tenant, %error, "a snapshot of keys and values cannot be removed");
            }
            _ => {}
        }
    }

    /// Removes all files of a tenant.
    pub(super) fn remove_tenant(&self, tenant: TenantId) {
        let folder = self.folder(tenant);
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                let folder = folder.display();
                tracing::warn!(%folder, %error, "snapshots that nobody can open any more cannot be removed; remove the folder");
            }
            _ => {}
        }
    }

    /// All files and their bytes, those that were used least recently first. What is no whole file is removed, and so is what nobody can
    /// open.
    pub(super) fn list(&self) -> Vec<(FileId, u64)> {
        let mut found: Vec<(SystemTime, FileId, u64)> = Vec::new();
        for folder in entries(&self.path) {
            let Some(tenant) = folder.file_name().to_str().and_then(|name| name.parse().ok()).map(TenantId) else {
                continue;
            };
            if matches!(self.keys.tenant(tenant), Err(Damage::Key)) {
                self.remove_tenant(tenant);
                continue;
            }
            for file in entries(&folder.path()) {
                let Ok(facts) = file.metadata() else { continue };
                match name_of(&file.path()) {
                    Some(name) => {
                        let used = facts.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                        found.push((used, FileId { tenant, name }, facts.len()));
                    }
                    None if file.file_name() == NEW => drop(fs::remove_file(file.path())),
                    None => {}
                }
            }
        }
        found.sort_unstable();
        found.into_iter().map(|(_, id, bytes)| (id, bytes)).collect()
    }

    fn key(&self, tenant: TenantId) -> Result<Key, Damage> {
        Ok(self.keys.tenant(tenant)?.snapshots())
    }
}

fn place(id: &FileId) -> Place {
    let mut numbers = [0; 4];
    for (number, bytes) in numbers.iter_mut().zip(id.name.as_chunks().0) {
        *number = u64::from_be_bytes(*bytes);
    }
    Place::snapshot(id.tenant, numbers)
}

fn name_of(path: &Path) -> Option<[u8; 32]> {
    let ending = path.extension().is_some_and(|ending| ending == ENDING);
    let mut name = [0; 32];
    hex::decode_to_slice(path.file_stem().filter(|_| ending)?.to_str()?, &mut name).ok()?;
    Some(name)
}

/// None of a folder that is not there, or cannot be read.
fn entries(folder: &Path) -> impl Iterator<Item = fs::DirEntry> {
    fs::read_dir(folder).into_iter().flatten().flatten()
}

fn write(path: &Path, sealed: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.create(true).truncate(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(HEADER)?;
    file.write_all(sealed)
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    // So that the next start knows what was used. It matters little where that fails.
    drop(file.set_modified(SystemTime::now()));
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}
