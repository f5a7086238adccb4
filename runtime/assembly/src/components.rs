//! Components of processes that outlive the host: each is kept under its digest, since the process has to be told again what it was
//! told by the very bytes that it was told by, whatever becomes of the package.

use crate::home::Home;
use remit_package::{Package, disk};
use std::{io, path::PathBuf};

/// Where a component of that digest is, if it is kept. A digest is hexadecimal, so that it names no other file.
pub(crate) fn path(home: &Home, digest: &str) -> PathBuf {
    home.components().join(format!("{digest}.wasm"))
}

/// Keeps a package's component, and the envelope and bundles that it came with: whoever stands behind it is looked at again when its
/// processes come back.
pub(crate) fn keep(home: &Home, package: &Package) -> io::Result<()> {
    let digest = package.digest();
    if !package.evidence().is_empty() {
        package.evidence().write(&path(home, &digest))?;
    }
    keep_bytes(home, &digest, package.bytes())
}

/// Keeps a component: a file with the digest as its name, complete and on the disk before it has it.
pub(crate) fn keep_bytes(home: &Home, digest: &str, component: &[u8]) -> io::Result<()> {
    let kept = path(home, digest);
    if kept.exists() {
        return Ok(());
    }
    disk::replace(&kept, component)
}
