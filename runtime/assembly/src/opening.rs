//! Finding an agent: by a path, or by the name of one that is installed.
//!
//! A name means the package that was [installed](Store) under it; where none was, the folder of that name among the agents of the data
//! folder, which whoever runs the host put there.

use crate::home::Home;
use remit_package::{AgentName, Package, PackageError, Store, StoreError};
use std::path::Path;
use thiserror::Error;

/// An agent that cannot be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// What lies there is no package.
    #[error(transparent)]
    Package(#[from] PackageError),
    /// What is installed cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Opens a package: a path, or the name of an installed agent, `NAME` or `NAME@VERSION`.
///
/// # Errors
/// [`OpenError`].
pub fn open_package(home: &Home, agent: &str) -> Result<Package, OpenError> {
    let path = Path::new(agent);
    let is_name = path.components().count() == 1 && !path.exists();
    if is_name { open_installed(home, agent) } else { Ok(Package::open(path)?) }
}

/// Opens an installed agent: `NAME` or `NAME@VERSION`. A path is no name.
///
/// # Errors
/// [`OpenError`].
pub fn open_installed(home: &Home, agent: &str) -> Result<Package, OpenError> {
    let asked: Option<AgentName> = agent.parse().ok();
    if let Some(asked) = &asked
        && let Some(package) = Store::at(home.packages()).open(asked)?
    {
        return Ok(package);
    }
    match is_plain_name(agent) {
        true => Ok(Package::open(&home.agent(agent))?),
        false => Err(PackageError::NotFound(agent.into()).into()),
    }
}

/// A name opens a folder of its own, and no other file of the machine.
fn is_plain_name(agent: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    agent.bytes().all(fits) && agent.starts_with(|first: char| first.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_names_open_a_folder() {
        for (name, plain) in
            [("worker", true), ("a-1_b.c", true), ("", false), ("..", false), ("../x", false), ("a/b", false)]
        {
            assert_eq!(is_plain_name(name), plain, "{name}");
        }
    }
}
