//! The data folder: everything that Remit keeps on a machine.
//!
//! | folder | what it holds |
//! | --- | --- |
//! | `models/NAME/` | model files, verified when they were pulled |
//! | `agents/NAME/` | installed packages |
//! | `cache/` | compiled components, by digest |

use std::path::{Path, PathBuf};
use thiserror::Error;

/// Overrides where the data folder is.
pub const HOME_VARIABLE: &str = "REMIT_HOME";

/// No data folder could be named.
#[derive(Debug, Error)]
#[error("there is no home folder to keep data in: set {HOME_VARIABLE} to a folder")]
pub struct NoHome;

/// The data folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home(PathBuf);

impl Home {
    /// A folder of the caller's choice.
    #[must_use]
    pub fn at(folder: PathBuf) -> Self {
        Self(folder)
    }

    /// `$REMIT_HOME`, or `remit` in the platform's folder for data.
    ///
    /// # Errors
    /// [`NoHome`].
    pub fn find() -> Result<Self, NoHome> {
        let named = std::env::var_os(HOME_VARIABLE).filter(|value| !value.is_empty()).map(PathBuf::from);
        let usual = || directories::BaseDirs::new().map(|folders| folders.data_dir().join("remit"));
        named.or_else(usual).map(Self).ok_or(NoHome)
    }

    /// The folder itself.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.0
    }

    /// Where models are.
    #[must_use]
    pub fn models(&self) -> PathBuf {
        self.0.join("models")
    }

    /// Where an agent of that name is installed, if it is.
    #[must_use]
    pub fn agent(&self, name: &str) -> PathBuf {
        self.0.join("agents").join(name)
    }

    /// Where compiled components are.
    #[must_use]
    pub fn cache(&self) -> PathBuf {
        self.0.join("cache")
    }
}
