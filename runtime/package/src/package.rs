//! A package on disk: a folder with `remit.toml`, one packed file, or a component alone.

use crate::{Manifest, ManifestError, PACKAGE_BYTES_MAX, PackError, Packed, manifest::MANIFEST_BYTES_MAX};
use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};
use thiserror::Error;

const MANIFEST_FILE: &str = "remit.toml";

/// An agent as it lies on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    /// What it is, and asks for.
    pub manifest: Manifest,
    /// Where its component is.
    pub component: PathBuf,
}

/// A package that cannot be opened.
#[derive(Debug, Error)]
pub enum PackageError {
    /// Neither a folder nor a file.
    #[error("there is no agent at {0}: give a package's folder, a component's file, or an installed agent's name")]
    NotFound(PathBuf),
    /// A folder without a manifest.
    #[error("{0} holds no remit.toml, so it is not a package")]
    NoManifest(PathBuf),
    /// A manifest that cannot be used.
    #[error("{path}: {error}")]
    Manifest {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: ManifestError,
    },
    /// A packed file that is not as it should be.
    #[error("{path} is no package: {error}")]
    Packed {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: Box<PackError>,
    },
    /// A manifest that is too large or not text.
    #[error("{0} is not a manifest: it is not UTF-8 text of at most {MANIFEST_BYTES_MAX} bytes")]
    NotAManifest(PathBuf),
    /// The disk's error.
    #[error("{path} cannot be read: {error}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

impl Package {
    /// Opens a package's folder, a packed file, or a component's file. A component with a manifest in it is that package,
    /// whatever lies beside it; else with a manifest beside it that names it; alone, it asks for nothing.
    ///
    /// # Errors
    /// [`PackageError`].
    pub fn open(path: &Path) -> Result<Self, PackageError> {
        if path.is_dir() {
            return match read_manifest(&path.join(MANIFEST_FILE))? {
                Some(manifest) => Ok(Self { component: path.join(&manifest.component), manifest }),
                None => Err(PackageError::NoManifest(path.to_owned())),
            };
        }
        if !path.is_file() {
            return Err(PackageError::NotFound(path.to_owned()));
        }
        if let Some(manifest) = packed_manifest(path)? {
            return Ok(Self { manifest, component: path.to_owned() });
        }
        let file = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let beside = read_manifest(&path.with_file_name(MANIFEST_FILE))?;
        let manifest = beside.filter(|manifest| manifest.component == file).unwrap_or_else(|| {
            let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
            Manifest::bare(&stem, &file)
        });
        Ok(Self { manifest, component: path.to_owned() })
    }
}

/// The manifest in a packed file; `None` where the file is none.
fn packed_manifest(path: &Path) -> Result<Option<Manifest>, PackageError> {
    let io_error = |error| PackageError::Io { path: path.to_owned(), error };
    let mut bytes = Vec::new();
    File::open(path).map_err(io_error)?.take(PACKAGE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(io_error)?;
    match Packed::read(&bytes) {
        Ok(packed) => Ok(Some(packed.manifest().clone())),
        // None of these has a section of ours that was read, so it can ask for nothing; a host says what is wrong with it.
        Err(
            PackError::NotPackage
            | PackError::NotWasm
            | PackError::Module
            | PackError::Precompiled
            | PackError::Damaged(_)
            | PackError::TooLarge { .. },
        ) => Ok(None),
        Err(error) => Err(PackageError::Packed { path: path.to_owned(), error: Box::new(error) }),
    }
}

fn read_manifest(path: &Path) -> Result<Option<Manifest>, PackageError> {
    let io_error = |error| PackageError::Io { path: path.to_owned(), error };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_error(error)),
    };
    let mut bytes = Vec::new();
    file.take(MANIFEST_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(io_error)?;
    let text = String::from_utf8(bytes).ok().filter(|text| text.len() as u64 <= MANIFEST_BYTES_MAX);
    let text = text.ok_or_else(|| PackageError::NotAManifest(path.to_owned()))?;
    Manifest::parse(&text).map(Some).map_err(|error| PackageError::Manifest { path: path.to_owned(), error })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_needs_a_manifest_and_a_file_does_not() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let component = folder.path().join("echo.wasm");
        std::fs::write(&component, b"\0asm").expect("it is writable");
        assert!(matches!(Package::open(folder.path()), Err(PackageError::NoManifest(_))));
        let alone = Package::open(&component).expect("a file is enough");
        assert_eq!((alone.manifest.name.as_str(), alone.manifest.wants.len()), ("echo", 0));
        let manifest = "name = \"named\"\nversion = \"1.0.0\"\ncomponent = \"echo.wasm\"\n";
        std::fs::write(folder.path().join(MANIFEST_FILE), manifest).expect("it is writable");
        for path in [folder.path(), &component] {
            let package = Package::open(path).expect("a whole package");
            assert_eq!((package.manifest.name.as_str(), &package.component), ("named", &component));
        }
        let large = " ".repeat(MANIFEST_BYTES_MAX as usize + 1);
        std::fs::write(folder.path().join(MANIFEST_FILE), large).expect("it is writable");
        assert!(matches!(Package::open(folder.path()), Err(PackageError::NotAManifest(_))));
        assert!(matches!(Package::open(&folder.path().join("none")), Err(PackageError::NotFound(_))));
    }
}
