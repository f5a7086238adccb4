//! A project's folder: made, found, brought up to date.

use crate::{Template, sdk};
use remit_package::{Manifest, ManifestError, disk};
use std::{
    fs, io,
    path::{Path, PathBuf},
};
use thiserror::Error;

/// Bytes of a manifest that are read: more than one may have, which its own reading says better.
const MANIFEST_BYTES_MAX: u64 = 1 << 20;

/// As long as a name can be, for it becomes a package's.
const NAME_BYTES_MAX: usize = 64;

/// The folder of a project with the cases of its tests.
pub const CASES_FOLDER: &str = "tests";

/// What no crate of an author can go by: names that mean something to Rust or cargo, and the SDK's own.
const TAKEN: &[&str] = &[
    "abstract",
    "alloc",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "build",
    "const",
    "continue",
    "core",
    "crate",
    "deps",
    "do",
    "dyn",
    "else",
    "enum",
    "examples",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "incremental",
    "let",
    "loop",
    "macro",
    "match",
    "mod",
    "move",
    "mut",
    "override",
    "priv",
    "proc-macro",
    "proc_macro",
    "pub",
    "ref",
    "remit",
    "remit-sdk",
    "remit-sdk-macros",
    "return",
    "self",
    "static",
    "std",
    "struct",
    "super",
    "test",
    "trait",
    "true",
    "try",
    "type",
    "typeof",
    "unsafe",
    "unsized",
    "use",
    "virtual",
    "where",
    "while",
    "yield",
];

/// A project that cannot be made.
#[derive(Debug, Error)]
pub enum CreateError {
    /// No agent can go by this name.
    #[error(
        "{name:?} can be no agent's name: take 1 to 64 lower-case letters, digits, dashes and underscores, the first a letter"
    )]
    Name {
        /// What was asked for.
        name: String,
    },
    /// The name means something else.
    #[error("{0:?} means something to the compiler, and can be no agent's name: take another one")]
    Taken(String),
    /// There is something already.
    #[error("{0} is there already, and is not empty: name another folder")]
    There(PathBuf),
    /// The disk's error.
    #[error("{path} cannot be written: {error}")]
    Io {
        /// Which file or folder.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// A folder that is no project.
#[derive(Debug, Error)]
pub enum ProjectError {
    /// No manifest.
    #[error("{0} holds no remit.toml: `remit new NAME` makes a project")]
    NoManifest(PathBuf),
    /// A manifest with mistakes.
    #[error("{path}: {error}")]
    Manifest {
        /// Which file.
        path: PathBuf,
        /// All that is wrong with it.
        error: ManifestError,
    },
    /// No source that cargo builds.
    #[error("{0} holds no Cargo.toml, so there is nothing to compile: its component is made elsewhere")]
    NoSource(PathBuf),
    /// The disk's error.
    #[error("{path} cannot be read: {error}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// An SDK that cannot be brought up to date.
#[derive(Debug, Error)]
pub enum UpdateError {
    /// The project has its SDK elsewhere.
    #[error("{0} holds no SDK of a project: its Cargo.toml says where its `remit-sdk` comes from")]
    Absent(PathBuf),
    /// The disk's error.
    #[error("{path} cannot be written: {error}")]
    Io {
        /// Which file or folder.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// The source of an agent, in a folder of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Project {
    folder: PathBuf,
    manifest: Manifest,
}

impl Project {
    /// Makes a project in a folder that is not there yet, or is empty.
    ///
    /// # Errors
    /// [`CreateError`]; what was written until then stays.
    pub fn create(folder: &Path, name: &str, template: Template) -> Result<(), CreateError> {
        check_name(name)?;
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |error| CreateError::Io { path, error }
        };
        match fs::read_dir(folder) {
            Ok(mut entries) => {
                if entries.next().is_some() {
                    return Err(CreateError::There(folder.to_owned()));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(folder)(error)),
        }
        sdk::write(&folder.join(sdk::FOLDER)).map_err(|(path, error)| CreateError::Io { path, error })?;
        for (file, text) in template.files(name).chain([("Cargo.lock", sdk::lock_for(name))]) {
            let path = folder.join(file);
            let parent = path.parent().unwrap_or(folder);
            fs::create_dir_all(parent).and_then(|()| fs::write(&path, text)).map_err(failed(&path))?;
        }
        Ok(())
    }

    /// Whether cargo has something to build there.
    #[must_use]
    pub fn is_at(folder: &Path) -> bool {
        folder.join("Cargo.toml").is_file()
    }

    /// The project of a folder.
    ///
    /// # Errors
    /// [`ProjectError`].
    pub fn open(folder: &Path) -> Result<Self, ProjectError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |error| ProjectError::Io { path, error }
        };
        let folder = match folder.canonicalize() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(ProjectError::NoManifest(folder.to_owned()));
            }
            canonical => canonical.map_err(failed(folder))?,
        };
        let path = folder.join("remit.toml");
        let text = disk::read_if_there(&path, MANIFEST_BYTES_MAX).map_err(failed(&path))?;
        let text = text.ok_or_else(|| ProjectError::NoManifest(folder.clone()))?;
        let text = String::from_utf8(text)
            .map_err(|error| failed(&path)(io::Error::new(io::ErrorKind::InvalidData, error.utf8_error())))?;
        let manifest = Manifest::parse(&text).map_err(|error| ProjectError::Manifest { path, error })?;
        if !Self::is_at(&folder) {
            return Err(ProjectError::NoSource(folder));
        }
        Ok(Self { folder, manifest })
    }

    /// Where it is: the folder's one name.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What the agent is, and asks for.
    #[must_use]
    pub const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Where its component goes.
    #[must_use]
    pub fn component(&self) -> PathBuf {
        self.folder.join(&self.manifest.component)
    }

    /// The version of the SDK that lies in it; `None` where its SDK is elsewhere.
    #[must_use]
    pub fn sdk_version(&self) -> Option<String> {
        sdk::version_in(&self.folder.join(sdk::FOLDER))
    }

    /// Puts the SDK of this program in the place of the one that lies in the project. The old one goes when the new one is whole.
    ///
    /// # Errors
    /// [`UpdateError`].
    pub fn update_sdk(&self) -> Result<(), UpdateError> {
        let (place, next, old) = (sdk::FOLDER, "sdk.next", "sdk.old");
        let [place, next, old] = [place, next, old].map(|name| self.folder.join(name));
        if !place.join("guest-sdk").is_dir() {
            return Err(UpdateError::Absent(place));
        }
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |error| UpdateError::Io { path, error }
        };
        for left in [&next, &old] {
            match fs::remove_dir_all(left) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(left)(error)),
                _ => {}
            }
        }
        sdk::write(&next).map_err(|(path, error)| UpdateError::Io { path, error })?;
        fs::rename(&place, &old).map_err(failed(&old))?;
        fs::rename(&next, &place).map_err(failed(&place))?;
        fs::remove_dir_all(&old).map_err(failed(&old))
    }
}

fn check_name(name: &str) -> Result<(), CreateError> {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
    let begins = name.starts_with(|first: char| first.is_ascii_lowercase());
    if !begins || name.len() > NAME_BYTES_MAX || !name.bytes().all(fits) {
        return Err(CreateError::Name { name: name.chars().take(NAME_BYTES_MAX).collect() });
    }
    if TAKEN.contains(&name) { Err(CreateError::Taken(name.to_owned())) } else { Ok(()) }
}
