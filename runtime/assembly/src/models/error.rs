//! Why a model is not here.

use super::RegistryError;
use std::{
    io,
    path::{Path, PathBuf},
};
use thiserror::Error;

/// A model that cannot be had, or kept.
#[derive(Debug, Error)]
pub enum ModelError {
    /// It was not pulled yet.
    #[error("the model {0} is not on this machine: run `remit models pull {0}`")]
    Missing(String),
    /// A file is there and is not the right one.
    #[error("{path} is damaged ({why}): run `remit models rm {name}` and `remit models pull {name}`")]
    Damaged {
        /// Which model.
        name: String,
        /// Which file.
        path: PathBuf,
        /// How it shows.
        why: String,
    },
    /// A file that is used where it lies is not there, or not the right one.
    #[error(
        "{path}, a file of the model {name}, {why}: put the file back, or run `remit models rm {name}` and add it again"
    )]
    Elsewhere {
        /// Which model.
        name: String,
        /// Which file.
        path: PathBuf,
        /// What is the matter with it.
        why: String,
    },
    /// The client that fetches it is not there.
    #[error(
        "the model {name} comes {comes} and {client} was not found: install {remedy}, or get its files elsewhere and run \
         `remit models pull {name} --from PATH`"
    )]
    NoClient {
        /// Which model.
        name: String,
        /// In what.
        comes: &'static str,
        /// The client's command.
        client: &'static str,
        /// What to install.
        remedy: &'static str,
    },
    /// The client failed.
    #[error(
        "the download of {from} failed: {why}; check the network and the free space, or get the files elsewhere and run \
         `remit models pull {name} --from PATH`"
    )]
    Download {
        /// Which model.
        name: String,
        /// Package and version, or repository.
        from: String,
        /// The client's last words.
        why: String,
    },
    /// What came is not what was asked for.
    #[error("{from} does not hold the model {name}: {why}; nothing was kept")]
    WrongFile {
        /// Which model.
        name: String,
        /// Where it came from.
        from: String,
        /// How it shows.
        why: String,
    },
    /// The disk's error.
    #[error("{path}: {error}; nothing was kept")]
    Io {
        /// Where.
        path: PathBuf,
        /// Why; a full disk says so.
        error: io::Error,
    },
}

/// Files of a hub that cannot be had under a new name.
#[derive(Debug, Error)]
pub enum PullNewError {
    /// The name, or a file's, is none.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// They cannot be had, or kept.
    #[error(transparent)]
    Model(#[from] ModelError),
}

impl ModelError {
    pub(super) fn io(path: &Path, error: io::Error) -> Self {
        Self::Io { path: path.to_owned(), error }
    }
}
