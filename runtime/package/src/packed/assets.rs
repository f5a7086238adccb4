//! Files that a package brings along, in one list.
//!
//! | what | form |
//! | --- | --- |
//! | number of files | `u32` |
//! | for each file | length of its path `u16`, its path, length of its content `u32` |
//! | contents | one after the other, in the same order |
//!
//! Numbers are little-endian. Paths ascend by their bytes, so that a list has one order, and none stands in it twice. There
//! is no place in it for a link, a mode, an owner, a time, or a compressed byte: what no form can say, nobody has to refuse.

use super::ASSETS_BYTES_MAX;
use crate::name::quoted;
use remit_abi::{GrantKind, Scope, ScopeError};
use std::collections::{BTreeMap, BTreeSet};
use thiserror::Error;

/// Files of one package: a site, or a skill with its documents.
pub(super) const FILES_MAX: usize = 4096;

/// One path: every file system takes so many.
pub(super) const PATH_BYTES_MAX: usize = 255;

/// Names that some system takes for a device, whatever stands behind their first dot.
const DEVICES: [&str; 4] = ["con", "prn", "aux", "nul"];

/// Files by path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assets<'a>(BTreeMap<&'a str, &'a [u8]>);

/// Files that no package has.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AssetError {
    /// A list that ends too early, or late.
    #[error("the list of files is damaged: its numbers do not add up to its length")]
    Damaged,
    /// A section that says nothing.
    #[error("the list of files is empty, and is left out then")]
    Empty,
    /// More than anybody looks through.
    #[error("there are {0} files, and {FILES_MAX} are the most: put them into fewer")]
    TooMany(usize),
    /// More than a package holds.
    #[error("the files have {0} bytes, and {ASSETS_BYTES_MAX} are the most: have the agent fetch what is large")]
    TooLarge(u64),
    /// A path that leads out of its folder, or to different places on different systems.
    #[error("the path {path} {fault}")]
    Path {
        /// In quotes, and not too much of it.
        path: String,
        /// Why.
        fault: String,
    },
    /// Another order.
    #[error("the paths are not in ascending order")]
    Order,
    /// Two files of which a file system holds one.
    #[error("the path {0} stands twice, if capitals are not told apart")]
    Twice(String),
    /// A file with files below it.
    #[error("the path {0} is a file's and a folder's, if capitals are not told apart")]
    FileAndFolder(String),
}

impl<'a> Assets<'a> {
    /// The content of one file.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&'a [u8]> {
        self.0.get(path).copied()
    }

    /// Every file, by path.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        self.0.iter().map(|(path, content)| (*path, *content))
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, AssetError> {
        let mut reader = Reader(bytes);
        let count = reader.length::<4>()?;
        match count {
            0 => return Err(AssetError::Empty),
            1..=FILES_MAX => {}
            _ => return Err(AssetError::TooMany(count)),
        }
        let mut index = Vec::with_capacity(count);
        for _ in 0..count {
            let length = reader.length::<2>()?;
            let path = str::from_utf8(reader.take(length)?).map_err(|_| AssetError::Damaged)?;
            if index.last().is_some_and(|(last, _)| *last >= path) {
                return Err(AssetError::Order);
            }
            index.push((path, reader.length::<4>()?));
        }
        check(index.iter().map(|(path, _)| *path))?;
        let mut files = BTreeMap::new();
        for (path, length) in index {
            files.insert(path, reader.take(length)?);
        }
        if reader.0.is_empty() { Ok(Self(files)) } else { Err(AssetError::Damaged) }
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], AssetError> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(AssetError::Damaged)?;
        self.0 = rest;
        Ok(taken)
    }

    /// A length of so many bytes.
    fn length<const BYTES: usize>(&mut self) -> Result<usize, AssetError> {
        let bytes = self.take(BYTES)?;
        Ok(bytes.iter().rev().fold(0, |length, byte| length << 8 | usize::from(*byte)))
    }
}

/// The list as bytes.
pub(super) fn encode(files: &BTreeMap<String, Vec<u8>>) -> Result<Vec<u8>, AssetError> {
    if files.len() > FILES_MAX {
        return Err(AssetError::TooMany(files.len()));
    }
    let total: u64 = files.values().map(|content| content.len() as u64).sum();
    if total > ASSETS_BYTES_MAX {
        return Err(AssetError::TooLarge(total));
    }
    check(files.keys().map(String::as_str))?;
    // What was checked fits: a path has 255 bytes at most, a file no more than all together.
    let mut bytes = (files.len() as u32).to_le_bytes().to_vec();
    for (path, content) in files {
        bytes.extend((path.len() as u16).to_le_bytes());
        bytes.extend_from_slice(path.as_bytes());
        bytes.extend((content.len() as u32).to_le_bytes());
    }
    files.values().for_each(|content| bytes.extend_from_slice(content));
    Ok(bytes)
}

/// Whether files can lie side by side below one folder, on every system.
fn check<'p>(paths: impl Iterator<Item = &'p str>) -> Result<(), AssetError> {
    let (mut files, mut folders) = (BTreeSet::new(), BTreeSet::new());
    for path in paths {
        check_path(path).map_err(|fault| AssetError::Path { path: quoted(path), fault })?;
        let folded = path.to_ascii_lowercase();
        folders.extend(folded.match_indices('/').map(|(slash, _)| folded[..slash].to_owned()));
        if !files.insert(folded) {
            return Err(AssetError::Twice(quoted(path)));
        }
    }
    match files.intersection(&folders).next() {
        Some(path) => Err(AssetError::FileAndFolder(quoted(path))),
        None => Ok(()),
    }
}

/// One path, by the rules of a grant's paths and some more: systems agree on how these characters are written.
fn check_path(path: &str) -> Result<(), String> {
    if path.len() > PATH_BYTES_MAX {
        return Err(format!("is longer than {PATH_BYTES_MAX} bytes"));
    }
    match Scope::parse(GrantKind::File, &[path]) {
        Ok(scope) if *scope.entries()[0] == *path && path != "." => {}
        Ok(_) => return Err("is a folder's, and a file's is needed".to_owned()),
        Err(ScopeError::Entry { fault, .. }) => return Err(format!("cannot be a file's: {fault}")),
        Err(error) => return Err(format!("cannot be a file's: {error}")),
    }
    let fits = |character: char| character.is_ascii_alphanumeric() || "-._+@=,~()[]{}!#$%&'^ /".contains(character);
    if let Some(other) = path.chars().find(|character| !fits(*character)) {
        return Err(format!(
            "has the character U+{:04X}: use ASCII letters, digits and common signs, since file systems disagree on others",
            u32::from(other)
        ));
    }
    for segment in path.split('/') {
        if segment.ends_with(['.', ' ']) || segment.starts_with(' ') {
            return Err("has a part that ends in a dot, or begins or ends with a space".to_owned());
        }
        let stem = segment.split('.').next().unwrap_or(segment).to_ascii_lowercase();
        let is_port = |name: &str| stem.strip_prefix(name).is_some_and(|rest| matches!(rest.as_bytes(), [b'0'..=b'9']));
        if DEVICES.contains(&stem.as_str()) || is_port("com") || is_port("lpt") {
            return Err("has a part that names a device on some systems".to_owned());
        }
    }
    Ok(())
}
