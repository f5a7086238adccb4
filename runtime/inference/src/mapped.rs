//! A model file's bytes, mapped: pages are read when they are used and belong to the file's cache, not to the process.

use std::{fs::File, io, path::Path};

/// Bytes of a file, wherever they are.
pub(crate) type FileBytes = Box<dyn AsRef<[u8]> + Send + Sync>;

/// Why a file cannot be mapped.
#[derive(Debug)]
pub(crate) enum MapError {
    /// The operating system refused.
    Open(io::Error),
    /// A folder, a pipe or a device.
    NotAFile,
}

/// Maps the file at `path`; a symbolic link is followed.
pub(crate) fn map(path: &Path) -> Result<FileBytes, MapError> {
    let file = File::open(path).map_err(MapError::Open)?;
    if !file.metadata().map_err(MapError::Open)?.is_file() {
        return Err(MapError::NotAFile);
    }
    #[allow(unsafe_code, reason = "reading a model of gigabytes into memory first would double its memory")]
    // SAFETY: the map is only read. The model registry writes a file once, under another name, and renames it: nobody
    // changes it in place. Should somebody do so nevertheless, the bytes are still only read as plain integers, through
    // checks that use each number once; a file cut short meanwhile ends the process with SIGBUS. The map lives only
    // while a model loads.
    let map = unsafe { memmap2::Mmap::map(&file) }.map_err(MapError::Open)?;
    Ok(Box::new(map))
}
