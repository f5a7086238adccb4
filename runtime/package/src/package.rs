//! A package on disk: a folder with `remit.toml`, one packed file, or a component alone.
//!
//! All of it that matters is read once, when it is opened: what is looked at afterwards, and what runs in the end, are those
//! bytes, whatever becomes of the files meanwhile.

use crate::{
    Circumstances, Evidence, EvidenceError, Installed, Manifest, ManifestError, PACKAGE_BYTES_MAX, PackError, Packed,
    Parts, Policy, Verdict, disk, manifest::MANIFEST_BYTES_MAX, packed::MANIFEST_FILE, verify,
};
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use std::{
    collections::BTreeMap,
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};
use thiserror::Error;

/// An agent as it was read.
#[derive(Clone, PartialEq, Eq)]
pub struct Package {
    /// What it is, and asks for.
    pub manifest: Manifest,
    /// Where its component was.
    pub component: PathBuf,
    file: Hashed,
    form: Form,
    evidence: Evidence,
    installed: Option<Installation>,
}

impl fmt::Debug for Package {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, version) = (&self.manifest.name, self.manifest.version.to_string());
        f.debug_struct("Package")
            .field("name", name)
            .field("version", &version)
            .field("digest", &self.digest())
            .finish()
    }
}

/// A file's bytes and their SHA-256: computing it is most of the work of looking at a package, and is done once.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Hashed {
    bytes: Arc<[u8]>,
    digest: [u8; 32],
}

impl Hashed {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self { digest: Sha256::digest(&bytes).into(), bytes: bytes.into() }
    }

    pub(crate) const fn digest(&self) -> [u8; 32] {
        self.digest
    }

    fn packed(&self) -> Result<Packed<'_>, PackError> {
        Packed::read_hashed(&self.bytes, self.digest)
    }
}

/// Where a package's manifest stood.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Form {
    /// In the file that runs.
    Packed,
    /// Beside the component: its text.
    Folder(String),
    /// Nowhere: it asks for nothing.
    Bare,
}

/// A package that is installed, as its place in the list says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Installation {
    /// Of the statement that it was installed with.
    pub(crate) serial: Option<u64>,
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
    /// A folder where one file is asked for.
    #[error("{0} is a folder, and a package is one file: make it with `remit build`")]
    Folder(PathBuf),
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
    /// A component that a policy cannot know by its name.
    #[error(
        "{0} is a component without a manifest, of which no policy can say anything: make a package of it with `remit build`"
    )]
    Nameless(PathBuf),
    /// What was read is not what is asked for.
    #[error("{0} was changed after it was read: what it asks for is not what its manifest says")]
    Changed(PathBuf),
    /// The disk's error.
    #[error("{path} cannot be read: {error}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

impl From<EvidenceError> for PackageError {
    fn from(EvidenceError { path, error }: EvidenceError) -> Self {
        Self::Io { path, error }
    }
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
                Some((manifest, text)) => {
                    let component = path.join(&manifest.component);
                    let bytes = Hashed::new(read(&component)?);
                    Ok(Self::new(manifest, component, bytes, Form::Folder(text)))
                }
                None => Err(PackageError::NoManifest(path.to_owned())),
            };
        }
        if !path.is_file() {
            return Err(PackageError::NotFound(path.to_owned()));
        }
        let bytes = read(path)?;
        let bytes = Hashed::new(bytes);
        if let Some(manifest) = packed_manifest(path, &bytes)? {
            let mut package = Self::new(manifest, path.to_owned(), bytes, Form::Packed);
            package.evidence = Evidence::read(path)?;
            return Ok(package);
        }
        let file = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let beside = read_manifest(&path.with_file_name(MANIFEST_FILE))?;
        let named = beside.filter(|(manifest, _)| manifest.component == file);
        let (manifest, form) = named.map(|(manifest, text)| (manifest, Form::Folder(text))).unwrap_or_else(|| {
            let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
            (Manifest::bare(&stem, &file), Form::Bare)
        });
        Ok(Self::new(manifest, path.to_owned(), bytes, form))
    }

    /// Opens a packed file, and nothing else.
    ///
    /// # Errors
    /// [`PackageError`]: above all [`PackageError::Packed`] and [`PackageError::Folder`], which say what it is instead.
    pub fn open_packed(path: &Path) -> Result<Self, PackageError> {
        if path.is_dir() {
            return Err(PackageError::Folder(path.to_owned()));
        }
        let package = Self::open(path)?;
        match package.file.packed() {
            Ok(_) => Ok(package),
            Err(error) => Err(PackageError::Packed { path: path.to_owned(), error: Box::new(error) }),
        }
    }

    /// A packed file whose bytes were read already, as it is installed.
    pub(crate) fn of_installed(
        path: &Path,
        bytes: Hashed,
        evidence: Evidence,
        installation: Installation,
    ) -> Result<Self, PackageError> {
        let packed = bytes.packed();
        let wrong = |error| PackageError::Packed { path: path.to_owned(), error: Box::new(error) };
        let manifest = packed.map_err(wrong)?.manifest().clone();
        let installed = Some(installation);
        Ok(Self { evidence, installed, ..Self::new(manifest, path.to_owned(), bytes, Form::Packed) })
    }

    const fn new(manifest: Manifest, component: PathBuf, file: Hashed, form: Form) -> Self {
        let evidence = Evidence { envelope: None, bundles: None };
        Self { manifest, component, file, form, evidence, installed: None }
    }

    /// What runs: the component, with all that is packed into its file.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.file.bytes
    }

    /// SHA-256 of what runs, in hexadecimal.
    #[must_use]
    pub fn digest(&self) -> String {
        hex::encode(self.file.digest)
    }

    /// SHA-256 of what runs.
    #[must_use]
    pub const fn digest_bytes(&self) -> [u8; 32] {
        self.file.digest
    }

    /// The envelope that came with it.
    #[must_use]
    pub fn envelope(&self) -> Option<&[u8]> {
        self.evidence.envelope.as_deref()
    }

    /// All that came with it and speaks for it.
    #[must_use]
    pub const fn evidence(&self) -> &Evidence {
        &self.evidence
    }

    /// The same package with other evidence than lies beside it.
    #[must_use]
    pub fn with_evidence(self, evidence: Evidence) -> Self {
        Self { evidence, ..self }
    }

    /// Whether its manifest is in the file that runs.
    #[must_use]
    pub fn is_packed(&self) -> bool {
        self.form == Form::Packed
    }

    pub(crate) const fn installed(&self) -> Option<Installation> {
        self.installed
    }

    /// What is true of it at a moment. `newest` is the newest of its name that was installed. One that is installed itself may be
    /// an older one: an operator went back to it.
    #[must_use]
    pub fn circumstances(&self, now: Timestamp, newest: Option<Installed>) -> Circumstances {
        let installed = match self.installed {
            Some(Installation { serial }) => serial.map(|serial| Installed { serial, digest: self.digest() }),
            None => newest,
        };
        Circumstances { now, installed }
    }

    /// Looks at it before policies by name, as the file that it is, or that would be made of its folder without its assets.
    ///
    /// # Errors
    /// [`PackageError`], for what no file can be made of.
    pub fn verify(&self, policies: &[(&str, &Policy)], circumstances: &Circumstances) -> Result<Verdict, PackageError> {
        let wrong = |error| PackageError::Packed { path: self.component.clone(), error: Box::new(error) };
        let made;
        let packed = match &self.form {
            Form::Packed => self.file.packed(),
            Form::Folder(manifest) => {
                let assets = BTreeMap::new();
                let component = &self.file.bytes;
                let parts = Parts { component, manifest, assets: &assets, build: None, sbom: None };
                made = Packed::make(&parts).map_err(wrong)?;
                Packed::read(&made)
            }
            Form::Bare => return Err(PackageError::Nameless(self.component.clone())),
        };
        let packed = packed.map_err(wrong)?;
        // What is granted follows from the manifest that everybody may set, and what is judged from these bytes.
        if *packed.manifest() != self.manifest {
            return Err(PackageError::Changed(self.component.clone()));
        }
        Ok(verify(&packed, &self.evidence, policies, circumstances))
    }
}

/// The manifest in a packed file; `None` where the file is none.
fn packed_manifest(path: &Path, file: &Hashed) -> Result<Option<Manifest>, PackageError> {
    match file.packed() {
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

/// A component's file. Of one that is too large a byte more than it may have, so that a host says what is wrong with it.
fn read(path: &Path) -> Result<Vec<u8>, PackageError> {
    disk::read_start(path, PACKAGE_BYTES_MAX + 1).map_err(|error| PackageError::Io { path: path.to_owned(), error })
}

/// A manifest and its text; `None` where there is no such file.
fn read_manifest(path: &Path) -> Result<Option<(Manifest, String)>, PackageError> {
    let bytes = match disk::read_if_there(path, MANIFEST_BYTES_MAX) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
            return Err(PackageError::NotAManifest(path.to_owned()));
        }
        Err(error) => return Err(PackageError::Io { path: path.to_owned(), error }),
    };
    let text = String::from_utf8(bytes).map_err(|_| PackageError::NotAManifest(path.to_owned()))?;
    match Manifest::parse(&text) {
        Ok(manifest) => Ok(Some((manifest, text))),
        Err(error) => Err(PackageError::Manifest { path: path.to_owned(), error }),
    }
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
            assert_eq!(package.digest(), "cd5d4935a48c0672cb06407bb443bc0087aff947c6b864bac886982c73b3027f");
        }
        let large = " ".repeat(MANIFEST_BYTES_MAX as usize + 1);
        std::fs::write(folder.path().join(MANIFEST_FILE), large).expect("it is writable");
        assert!(matches!(Package::open(folder.path()), Err(PackageError::NotAManifest(_))));
        assert!(matches!(Package::open(&folder.path().join("none")), Err(PackageError::NotFound(_))));
    }
}
