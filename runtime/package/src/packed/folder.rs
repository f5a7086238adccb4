//! A package as its author has it: a folder with a manifest, a component, and files below `assets`.

use super::{AssetError, Build, PACKAGE_BYTES_MAX, PackError, Packed, Parts, assets, build, producers};
use crate::{Manifest, disk, manifest::MANIFEST_BYTES_MAX, name::quoted};
use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};
use thiserror::Error;

/// A package's manifest, in its folder.
pub(crate) const MANIFEST_FILE: &str = "remit.toml";

/// The folder of the files that a package brings along.
const ASSETS_FOLDER: &str = "assets";

/// A folder that no package can be made of.
#[derive(Debug, Error)]
pub enum FolderError {
    /// No manifest.
    #[error("{0} holds no remit.toml, so there is nothing to build")]
    NoManifest(PathBuf),
    /// No component.
    #[error("{path} is not there, and the manifest names it as its component: compile the agent first")]
    NoComponent {
        /// Where it should be.
        path: PathBuf,
    },
    /// A file that cannot be brought along.
    #[error("{0} is neither a file nor a folder: a package has no links, and nothing else that leads out of it")]
    Kind(PathBuf),
    /// A path that no package has.
    #[error("{path}: its path is not UTF-8 text")]
    Path {
        /// Which.
        path: PathBuf,
    },
    /// A manifest or a component that no package can be made of.
    #[error("{path}: {error}")]
    Pack {
        /// Which file, or the folder.
        path: PathBuf,
        /// Why.
        error: Box<PackError>,
    },
    /// The disk's error.
    #[error("{path} cannot be read: {error}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// What is read of a package's folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder {
    path: PathBuf,
    manifest_text: String,
    manifest: Manifest,
    component: Vec<u8>,
    assets: BTreeMap<String, Vec<u8>>,
}

impl Folder {
    /// Reads a folder: its `remit.toml`, the component that this names, and every file below `assets`, if there is such a folder.
    ///
    /// # Errors
    /// [`FolderError`].
    pub fn read(path: &Path) -> Result<Self, FolderError> {
        let manifest_path = path.join(MANIFEST_FILE);
        let text = read(&manifest_path, MANIFEST_BYTES_MAX)?.ok_or_else(|| FolderError::NoManifest(path.to_owned()))?;
        let wrong = |error| FolderError::Pack { path: manifest_path.clone(), error: Box::new(error) };
        let manifest_text = String::from_utf8(text).map_err(|_| wrong(PackError::NotText))?;
        let manifest = Manifest::parse(&manifest_text).map_err(|error| wrong(PackError::Manifest(error)))?;
        let component = path.join(&manifest.component);
        let component = read(&component, PACKAGE_BYTES_MAX)?.ok_or(FolderError::NoComponent { path: component })?;
        let assets = files(&path.join(ASSETS_FOLDER))?;
        Ok(Self { path: path.to_owned(), manifest_text, manifest, component, assets })
    }

    /// What it is, and asks for.
    #[must_use]
    pub const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The package's bytes: the same for the same folder, `build` and `sbom`. The programs that the component says made it are
    /// put before those that `build` names.
    ///
    /// # Errors
    /// [`FolderError::Pack`].
    pub fn pack(&self, build: Build, sbom: Option<&str>) -> Result<Vec<u8>, FolderError> {
        let wrong = |error| FolderError::Pack { path: self.path.clone(), error: Box::new(error) };
        let mut producers = producers::of(&self.component);
        producers.truncate(build::PRODUCERS_MAX.saturating_sub(build.producers.len()));
        producers.extend(build.producers);
        let build = Build { producers, ..build };
        let parts = Parts {
            component: &self.component,
            manifest: &self.manifest_text,
            assets: &self.assets,
            build: Some(&build),
            sbom,
        };
        Packed::make(&parts).map_err(wrong)
    }
}

fn read(path: &Path, bytes_max: u64) -> Result<Option<Vec<u8>>, FolderError> {
    disk::read_if_there(path, bytes_max).map_err(|error| FolderError::Io { path: path.to_owned(), error })
}

/// Every file below a folder, by its path there. Bounds hold while they are read, and not afterwards.
fn files(folder: &Path) -> Result<BTreeMap<String, Vec<u8>>, FolderError> {
    let failed = |path: &Path, error| FolderError::Io { path: path.to_owned(), error };
    let too_much = |error| FolderError::Pack { path: folder.to_owned(), error: Box::new(PackError::Assets(error)) };
    let (mut files, mut total) = (BTreeMap::new(), 0);
    match fs::symlink_metadata(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(files),
        Err(error) => return Err(failed(folder, error)),
        Ok(found) if !found.is_dir() => return Err(FolderError::Kind(folder.to_owned())),
        Ok(_) => {}
    }
    let mut folders = vec![(folder.to_owned(), String::new())];
    while let Some((folder, prefix)) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(|error| failed(&folder, error))? {
            let entry = entry.map_err(|error| failed(&folder, error))?;
            let path = entry.path();
            let name = entry.file_name().into_string().map_err(|_| FolderError::Path { path: path.clone() })?;
            let relative = format!("{prefix}{name}");
            if relative.len() > assets::PATH_BYTES_MAX {
                let fault = format!("is longer than {} bytes", assets::PATH_BYTES_MAX);
                return Err(too_much(AssetError::Path { path: quoted(&relative), fault }));
            }
            // The entry's own kind: a link is not followed.
            let kind = entry.file_type().map_err(|error| failed(&path, error))?;
            if kind.is_dir() {
                folders.push((path, format!("{relative}/")));
                continue;
            } else if !kind.is_file() {
                return Err(FolderError::Kind(path));
            }
            let content = disk::read(&path, super::ASSETS_BYTES_MAX).map_err(|error| failed(&path, error))?;
            total += content.len() as u64;
            files.insert(relative, content);
            if files.len() > assets::FILES_MAX {
                return Err(too_much(AssetError::TooMany(files.len())));
            } else if total > super::ASSETS_BYTES_MAX {
                return Err(too_much(AssetError::TooLarge(total)));
            }
        }
    }
    Ok(files)
}
