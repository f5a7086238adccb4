//! Components of processes that outlive the host: each is kept under its digest, since the process has to be told again what it was
//! told by the very bytes that it was told by, whatever becomes of the package.

use crate::home::Home;
use std::{
    fs, io,
    path::{Path, PathBuf},
};
use tempfile::NamedTempFile;

/// Where a component of that digest is, if it is kept. A digest is hexadecimal, so that it names no other file.
pub(crate) fn path(home: &Home, digest: &str) -> PathBuf {
    home.components().join(format!("{digest}.wasm"))
}

/// Keeps a component's file: a copy with the digest as its name, complete and on the disk before it has it.
pub(crate) fn keep(home: &Home, digest: &str, component: &Path) -> io::Result<()> {
    keep_read(home, digest, || fs::File::open(component))
}

/// As [`keep`], for a component that is in memory.
pub(crate) fn keep_bytes(home: &Home, digest: &str, component: &[u8]) -> io::Result<()> {
    keep_read(home, digest, || Ok(component))
}

fn keep_read<R: io::Read>(home: &Home, digest: &str, component: impl FnOnce() -> io::Result<R>) -> io::Result<()> {
    let kept = path(home, digest);
    if kept.exists() {
        return Ok(());
    }
    fs::create_dir_all(home.components())?;
    let mut copy = NamedTempFile::new_in(home.components())?;
    io::copy(&mut component()?, &mut copy)?;
    copy.as_file().sync_all()?;
    copy.persist(&kept)?;
    fs::File::open(home.components())?.sync_all()
}
