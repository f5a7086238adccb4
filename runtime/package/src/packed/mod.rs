//! A package as one file: a WebAssembly component that carries the rest of itself in custom sections.
//!
//! | section | what it holds | how often |
//! | --- | --- | --- |
//! | `remit:manifest` | the text of `remit.toml`, at most 64 KiB | once |
//! | `remit:assets` | files below relative paths, see [`Assets`] | at most once |
//! | `remit:build` | who built it from what, JSON, see [`Build`] | at most once |
//! | `remit:sbom` | what is in it, CycloneDX as JSON | at most once |
//!
//! They stand behind all that belongs to the component, in this order, and nothing stands behind them. So a package is the
//! component that a host compiles, every WebAssembly tool and every registry takes it, and its digest is the SHA-256 of the
//! whole file.
//!
//! Principles:
//!
//! - The same parts make the same bytes, and whatever is read would be made of its parts again, byte by byte.
//! - Reading compiles nothing, writes nothing, and takes no more memory than the file has bytes.

mod assets;
mod build;
mod folder;
mod producers;
mod sections;

pub use assets::{AssetError, Assets};
pub use build::{Build, Producer, Source};
pub(crate) use folder::MANIFEST_FILE;
pub use folder::{Folder, FolderError};
pub use sections::World;

use crate::{Manifest, ManifestError, manifest::MANIFEST_BYTES_MAX};
use remit_abi::limits::COMPONENT_BYTES_MAX;
use sections::{Section, Sections};
use sha2::{Digest as _, Sha256};
use std::{borrow::Cow, collections::BTreeMap};
use thiserror::Error;

/// A whole package: a host reads no larger component.
pub const PACKAGE_BYTES_MAX: u64 = COMPONENT_BYTES_MAX;

/// Files that an agent brings along: half of what a package may have.
pub const ASSETS_BYTES_MAX: u64 = PACKAGE_BYTES_MAX / 2;

/// Who built it: a few names.
const BUILD_BYTES_MAX: u64 = 64 << 10;

/// What is in it: some 500 bytes for each of thousands of libraries.
const SBOM_BYTES_MAX: u64 = 8 << 20;

/// A file that is no package, or cannot become one.
#[derive(Debug, Error)]
pub enum PackError {
    /// More bytes than a host reads.
    #[error("it has {bytes} bytes, and a package has at most {PACKAGE_BYTES_MAX}")]
    TooLarge {
        /// How many.
        bytes: usize,
    },
    /// A core module.
    #[error("it is a WebAssembly module, and a package is a component: make one of it with `wasm-tools component new`")]
    Module,
    /// Machine code.
    #[error("it is compiled machine code, which is taken from nobody: a host compiles components itself")]
    Precompiled,
    /// Something else.
    #[error("it is no WebAssembly component: it does not begin as one")]
    NotWasm,
    /// A component whose sections cannot be told apart.
    #[error("it is damaged: {0}")]
    Damaged(String),
    /// A component that is nothing besides.
    #[error("it is a component without a manifest in it, so it is not a package: `remit build` makes one")]
    NotPackage,
    /// A component that is more already.
    #[error("the component has the section {0:?} already: pack the component that the compiler made")]
    AlreadyPackage(String),
    /// The same section again.
    #[error("it has the section {0} twice, and one of them would not be what was checked")]
    Twice(&'static str),
    /// A section of ours that we do not know.
    #[error("it has the section {0:?}, which this version does not know: a newer one may")]
    Unknown(String),
    /// A section elsewhere than its own place.
    #[error(
        "the section {0:?} is out of its place: behind a component stand remit:manifest, remit:assets, remit:build and remit:sbom, in this order, and nothing else"
    )]
    Misplaced(String),
    /// Two spellings of one package.
    #[error("its sections are not written in their one shortest form, so it was not made by `remit build`")]
    NotCanonical,
    /// A section that is too large.
    #[error("its section {section} has {bytes} bytes, and at most {most} are allowed")]
    SectionTooLarge {
        /// Which.
        section: &'static str,
        /// How many.
        bytes: usize,
        /// The most.
        most: u64,
    },
    /// A manifest that is not text.
    #[error("its manifest is not UTF-8 text")]
    NotText,
    /// A manifest that cannot be used.
    #[error("its manifest: {0}")]
    Manifest(#[from] ManifestError),
    /// Assets that cannot be laid out.
    #[error("its assets: {0}")]
    Assets(#[from] AssetError),
    /// A record of the build that is none.
    #[error("its section remit:build {0}")]
    Build(String),
    /// A bill of materials that is none.
    #[error("its section remit:sbom {0}")]
    Sbom(String),
}

/// What a package is made of.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a> {
    /// The component, as a compiler made it.
    pub component: &'a [u8],
    /// The text of `remit.toml`.
    pub manifest: &'a str,
    /// Files by their paths, which [`AssetError`] says the rules of.
    pub assets: &'a BTreeMap<String, Vec<u8>>,
    /// Who built it from what.
    pub build: Option<&'a Build>,
    /// CycloneDX as JSON.
    pub sbom: Option<&'a str>,
}

/// A package that was read: every part of it is what it should be, as far as it can be told without compiling it.
#[derive(Clone, Debug)]
pub struct Packed<'a> {
    digest: [u8; 32],
    component: &'a [u8],
    manifest_text: &'a str,
    manifest: Manifest,
    world: World,
    assets: Assets<'a>,
    build: Option<Build>,
    sbom: Option<&'a str>,
}

impl<'a> Packed<'a> {
    /// The bytes of a package. The same parts make the same bytes.
    ///
    /// # Errors
    /// [`PackError`], for parts that no package has.
    pub fn make(parts: &Parts<'_>) -> Result<Vec<u8>, PackError> {
        let sections = Sections::read(parts.component)?;
        if let Some((section, _)) = sections.ours.first() {
            return Err(PackError::AlreadyPackage(section.name().to_owned()));
        }
        let mut ours = vec![(Section::Manifest, Cow::Borrowed(parts.manifest.as_bytes()))];
        if !parts.assets.is_empty() {
            ours.push((Section::Assets, Cow::Owned(assets::encode(parts.assets)?)));
        }
        if let Some(build) = parts.build {
            ours.push((Section::Build, Cow::Owned(build.encode())));
        }
        if let Some(sbom) = parts.sbom {
            ours.push((Section::Sbom, Cow::Borrowed(sbom.as_bytes())));
        }
        let mut bytes = parts.component.to_vec();
        sections::append(&mut bytes, &ours);
        Packed::read(&bytes)?;
        Ok(bytes)
    }

    /// Reads a package.
    ///
    /// # Errors
    /// [`PackError`], the first that is found.
    pub fn read(bytes: &'a [u8]) -> Result<Self, PackError> {
        Self::read_hashed(bytes, Sha256::digest(bytes).into())
    }

    /// As [`Packed::read`], of bytes whose digest is known: it takes most of the time.
    pub(crate) fn read_hashed(bytes: &'a [u8], digest: [u8; 32]) -> Result<Self, PackError> {
        let Sections { component, world, ours } = Sections::read(bytes)?;
        let part = |wanted| ours.iter().find(|(section, _)| *section == wanted).map(|(_, content)| *content);
        let manifest_text = part(Section::Manifest).ok_or(PackError::NotPackage)?;
        let manifest_text = str::from_utf8(manifest_text).map_err(|_| PackError::NotText)?;
        let manifest = Manifest::parse(manifest_text)?;
        let assets = part(Section::Assets).map(Assets::read).transpose()?.unwrap_or_default();
        let build = part(Section::Build).map(Build::read).transpose().map_err(PackError::Build)?;
        let sbom = part(Section::Sbom).map(build::sbom).transpose().map_err(PackError::Sbom)?;
        Ok(Self { digest, component, manifest_text, manifest, world, assets, build, sbom })
    }

    /// SHA-256 of the whole file, in hexadecimal.
    #[must_use]
    pub fn digest(&self) -> String {
        hex::encode(self.digest)
    }

    pub(crate) const fn digest_bytes(&self) -> [u8; 32] {
        self.digest
    }

    /// The component alone, without what this crate put behind it.
    #[must_use]
    pub const fn component(&self) -> &'a [u8] {
        self.component
    }

    /// What it is, and asks for.
    #[must_use]
    pub const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The same, as its author wrote it.
    #[must_use]
    pub const fn manifest_text(&self) -> &'a str {
        self.manifest_text
    }

    /// What its component imports and exports.
    #[must_use]
    pub const fn world(&self) -> &World {
        &self.world
    }

    /// The files that it brings along.
    #[must_use]
    pub const fn assets(&self) -> &Assets<'a> {
        &self.assets
    }

    /// Who built it from what, as its author says.
    #[must_use]
    pub const fn build(&self) -> Option<&Build> {
        self.build.as_ref()
    }

    /// What is in it, as its author says: CycloneDX as JSON.
    #[must_use]
    pub const fn sbom(&self) -> Option<&'a str> {
        self.sbom
    }
}

impl Section {
    /// Bytes that it may have.
    const fn bytes_max(self) -> u64 {
        match self {
            Self::Manifest => MANIFEST_BYTES_MAX,
            Self::Assets => ASSETS_BYTES_MAX,
            Self::Build => BUILD_BYTES_MAX,
            Self::Sbom => SBOM_BYTES_MAX,
        }
    }
}
