//! Files by their SHA-256.

use super::{KnownFile, ModelError, PullProgress};
use sha2::{Digest, Sha256};
use std::{
    fs::File,
    io::{self, Read, Write},
    path::Path,
};

/// A file of this machine as a list of models knows it: its size, and its digest, for which all of it is read.
///
/// # Errors
/// [`ModelError::Io`].
pub fn describe(path: &Path, progress: &mut dyn FnMut(PullProgress)) -> Result<KnownFile, ModelError> {
    let failed = |error| ModelError::io(path, error);
    let file = File::open(path).map_err(failed)?;
    let total = file.metadata().map_err(failed)?.len();
    let mut step = |done| progress(PullProgress::Checking { done, total });
    let Copied { bytes, sha256 } = copy_hashing(file, &mut io::sink(), &mut step).map_err(failed)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(KnownFile { name, from: None, bytes, sha256 })
}

/// What was copied.
pub(super) struct Copied {
    pub(super) bytes: u64,
    pub(super) sha256: String,
}

/// Copies all of a stream, and tells after each piece how much that was.
pub(super) fn copy_hashing(
    mut from: impl Read,
    to: &mut impl Write,
    progress: &mut dyn FnMut(u64),
) -> io::Result<Copied> {
    let (mut hasher, mut bytes) = (Sha256::new(), 0);
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = from.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        hasher.update(&buffer[..read]);
        to.write_all(&buffer[..read])?;
        bytes += read as u64;
        progress(bytes);
    }
    Ok(Copied { bytes, sha256: hexadecimal(hasher.finalize()) })
}

pub(super) fn hexadecimal(digest: impl AsRef<[u8]>) -> String {
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
