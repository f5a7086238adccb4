//! Files: read up to a bound, and written whole or not at all.

use std::{
    fs::{self, File, Permissions},
    io::{self, Read, Write},
    path::Path,
};
use tempfile::{Builder, NamedTempFile};

/// Reads the first bytes of a file. One that grows meanwhile, or a pipe, is not read beyond them either.
pub(crate) fn read_start(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(bytes_max).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads a file that has at most so many bytes.
///
/// # Errors
/// The system's, and [`io::ErrorKind::FileTooLarge`].
pub fn read(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let bytes = read_start(path, bytes_max.saturating_add(1))?;
    if bytes.len() as u64 > bytes_max {
        let sentence = format!("it has more than {bytes_max} bytes, which are the most");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, sentence));
    }
    Ok(bytes)
}

/// As [`read`]; `None` where there is no such file.
///
/// # Errors
/// As [`read`].
pub fn read_if_there(path: &Path, bytes_max: u64) -> io::Result<Option<Vec<u8>>> {
    match read(path, bytes_max) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes a new file that its owner alone can read. One that is there stays as it is, and is an error.
///
/// # Errors
/// The system's.
pub fn create_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // What is not told otherwise has mode 0600.
    let file = written(Builder::new(), path, bytes)?;
    file.persist_noclobber(path).map_err(|error| error.error)?;
    sync_folder(path)
}

/// Writes a file that others may read, in the place of what was there.
///
/// # Errors
/// The system's.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut builder = Builder::new();
    #[cfg(unix)]
    builder.permissions(<Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o644));
    written(builder, path, bytes)?.persist(path).map_err(|error| error.error)?;
    sync_folder(path)
}

fn written(mut builder: Builder<'_, '_>, path: &Path, bytes: &[u8]) -> io::Result<NamedTempFile> {
    let folder = folder(path);
    fs::create_dir_all(folder)?;
    let mut file = builder.prefix(".writing-").tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    Ok(file)
}

/// A name that was given survives a crash as its content does.
fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(folder(path))?.sync_all()
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
