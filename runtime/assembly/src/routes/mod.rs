//! Routes of the data folder: what an operator wrote down, and what was decided about it.
//!
//! | file | who writes it | what it holds |
//! | --- | --- | --- |
//! | `routes.toml` | the operator | each route as it is wanted; its form is told in [`remit_kernel::routing::read`] |
//! | `routes.state.toml` | this program | versions that were in effect or are tried, and which is which |
//!
//! A name that is new in `routes.toml` is in effect from its first reading on, as version 1. What is changed later is in effect
//! when somebody says so: tried on a share with `set-canary`, for everybody with `promote`. `rollback` takes either back. So no
//! edit goes live by accident, and what was live is never lost.
//!
//! Whoever changes the state holds a lock of the system's meanwhile; the state is written beside its place and put there whole.

mod state;

use crate::{
    home::Home,
    models::{Registry, RegistryError},
};
use remit_abi::{Arm, Pid};
use remit_kernel::routing::{
    Candidate, Deployed, Routes, Version,
    arm::Subject,
    policy::{Explained, RequestClass, Route, Tier, explain},
    read::{Definitions, ReadError, written},
};
use sha2::{Digest, Sha256};
use state::{Kept, State};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
};
use thiserror::Error;

pub use state::{Change, Undecidable};

/// Routes that cannot be used, or not changed as asked.
#[derive(Debug, Error)]
pub enum RouteError {
    /// The list of models.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// A file cannot be read or written.
    #[error("{path}: {error}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// What the operator wrote.
    #[error("{path}, {error}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// What and where.
        error: ReadError,
    },
    /// What this program wrote.
    #[error("{path} is not what this program wrote there: {why}; put it back, or delete it to begin anew with {list}")]
    State {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
        /// The operator's file.
        list: PathBuf,
    },
    /// A version that was kept cannot be used any more.
    #[error("version {number} of the route {name} cannot be used any more: {why}")]
    Version {
        /// Of which route.
        name: String,
        /// Which.
        number: u32,
        /// Why.
        why: String,
    },
    /// No such route.
    #[error("there is no route {name:?}: known are {known}; write it down in {list}")]
    Unknown {
        /// What was asked for.
        name: String,
        /// What there is, comma-separated.
        known: String,
        /// Where routes are written down.
        list: PathBuf,
    },
    /// What was asked makes no sense now.
    #[error("{name}: {why}")]
    Undecidable {
        /// Of which route.
        name: String,
        /// Why.
        why: Undecidable,
    },
}

/// A route as the data folder has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteSummary {
    /// Its name.
    pub name: String,
    /// The version that everybody gets.
    pub stable: u32,
    /// The version that is tried, and on how many of a thousand.
    pub candidate: Option<(u32, u16)>,
    /// The version that a rollback of the stable one would bring back.
    pub before: Option<u32>,
    /// Whether `routes.toml` says something that is neither in effect nor tried.
    pub has_changed: bool,
}

/// Routes of a data folder at one moment.
#[derive(Clone, Debug)]
pub struct RouteBook {
    list: PathBuf,
    state_path: PathBuf,
    models: Vec<String>,
    written: Definitions,
    state: State,
}

impl RouteBook {
    /// Reads both files. A name that is new is kept as version 1.
    ///
    /// # Errors
    /// [`RouteError`].
    pub fn open(home: &Home) -> Result<Self, RouteError> {
        let mut book = Self::read(home)?;
        if book.take_in() {
            // Somebody else may have done so meanwhile.
            let _alone = lock(&book.state_path)?;
            book = Self::read(home)?;
            if book.take_in() {
                book.save()?;
            }
        }
        Ok(book)
    }

    fn read(home: &Home) -> Result<Self, RouteError> {
        let models: Vec<String> = Registry::of(home)?.iter().map(|model| model.name.clone()).collect();
        let (list, state_path) = (home.route_list(), home.route_state());
        let known: Vec<&str> = models.iter().map(String::as_str).collect();
        let written = Definitions::read(&read_or_empty(&list)?, &known);
        let written = written.map_err(|error| RouteError::Read { path: list.clone(), error })?;
        let wrong = |why: String| RouteError::State { path: state_path.clone(), why, list: list.clone() };
        let state: State = toml::from_str(&read_or_empty(&state_path)?).map_err(|error| wrong(error.to_string()))?;
        state.check().map_err(wrong)?;
        Ok(Self { list, state_path, models, written, state })
    }

    /// Keeps a first version of every new name; whether there was one.
    fn take_in(&mut self) -> bool {
        let mut is_new = false;
        for (name, route) in &self.written.routes {
            self.state.routes.entry((**name).to_owned()).or_insert_with(|| {
                is_new = true;
                Kept::first(written(name, route))
            });
        }
        is_new
    }

    fn save(&self) -> Result<(), RouteError> {
        let path = &self.state_path;
        let failed = |error| RouteError::Io { path: path.clone(), error };
        let text = toml::to_string(&self.state).map_err(|error| failed(io::Error::other(error)))?;
        let folder = path.parent().unwrap_or(Path::new("."));
        let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
        file.write_all(text.as_bytes()).and_then(|()| file.as_file().sync_all()).map_err(failed)?;
        file.persist(path).map(drop).map_err(|error| failed(error.error))
    }

    fn kept(&self, name: &str) -> Result<(&Route, &Kept), RouteError> {
        let found = self.written.routes.get(name).zip(self.state.routes.get(name));
        found.ok_or_else(|| {
            let names: Vec<&str> = self.written.routes.keys().map(|name| &**name).collect();
            let known = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            RouteError::Unknown { name: name.to_owned(), known, list: self.list.clone() }
        })
    }

    /// A version as the kernel takes it.
    ///
    /// # Errors
    /// [`RouteError::Unknown`], [`RouteError::Version`].
    pub fn version(&self, name: &str, number: u32) -> Result<Version, RouteError> {
        let wrong = |why: String| RouteError::Version { name: name.to_owned(), number, why };
        let text = self.text(name, number)?;
        let known: Vec<&str> = self.models.iter().map(String::as_str).collect();
        let read = Definitions::read(text, &known).map_err(|error| wrong(error.sentence))?;
        let route = read.routes.get(name).ok_or_else(|| wrong("it is another's".to_owned()))?;
        Ok(Version { number, digest: digest(text), route: Arc::new(route.clone()) })
    }

    /// What a version says, as `routes.toml` would.
    ///
    /// # Errors
    /// [`RouteError::Unknown`], [`RouteError::Version`].
    pub fn text(&self, name: &str, number: u32) -> Result<&str, RouteError> {
        let (_, kept) = self.kept(name)?;
        kept.text(number).ok_or_else(|| {
            let numbers: Vec<_> = kept.numbers().map(|number| number.to_string()).collect();
            let why = format!("it is not kept; those that are: {}", numbers.join(", "));
            RouteError::Version { name: name.to_owned(), number, why }
        })
    }

    /// Numbers of the versions that are kept, oldest first.
    ///
    /// # Errors
    /// [`RouteError::Unknown`].
    pub fn numbers(&self, name: &str) -> Result<Vec<u32>, RouteError> {
        Ok(self.kept(name)?.1.numbers().collect())
    }

    /// All that is in effect, as the kernel takes it.
    ///
    /// # Errors
    /// [`RouteError::Version`].
    pub fn routes(&self) -> Result<Routes, RouteError> {
        let mut deployed = BTreeMap::new();
        for name in self.written.routes.keys() {
            deployed.insert(name.clone(), self.deployed(name)?);
        }
        Ok(Routes { breaker: self.written.breaker, deployed })
    }

    fn deployed(&self, name: &str) -> Result<Deployed, RouteError> {
        let (_, kept) = self.kept(name)?;
        let candidate = match kept.candidate() {
            Some(state::Tried { version, share_per_mille, by }) => {
                Some(Candidate { version: self.version(name, version)?, share_per_mille, by })
            }
            None => None,
        };
        Ok(Deployed { stable: self.version(name, kept.stable())?, candidate })
    }

    /// Every route.
    #[must_use]
    pub fn list(&self) -> Vec<RouteSummary> {
        let names = self.written.routes.keys();
        names.filter_map(|name| self.summary(name).ok()).collect()
    }

    /// One of them.
    ///
    /// # Errors
    /// [`RouteError::Unknown`].
    pub fn summary(&self, name: &str) -> Result<RouteSummary, RouteError> {
        let (route, kept) = self.kept(name)?;
        Ok(RouteSummary {
            name: name.to_owned(),
            stable: kept.stable(),
            candidate: kept.candidate().map(|tried| (tried.version, tried.share_per_mille)),
            before: kept.before(),
            has_changed: !kept.uses(&written(name, route)),
        })
    }

    /// What requests of a class get where all models are well and open: from each version in effect, or from the one that a
    /// process gets.
    ///
    /// # Errors
    /// [`RouteError::Unknown`], [`RouteError::Version`].
    pub fn explain(
        &self,
        name: &str,
        class: &RequestClass,
        pid: Option<Pid>,
    ) -> Result<Vec<(Arm, u32, Explained)>, RouteError> {
        let well = Tier { is_open: true, ..Tier::default() };
        let deployed = self.deployed(name)?;
        let arms = deployed.arms().filter(|(arm, _)| pid.is_none_or(|pid| deployed.assigned(name, pid).0 == *arm));
        Ok(arms.map(|(arm, version)| (arm, version.number, explain(&version.route, class, |_| well))).collect())
    }

    /// What a promotion would give everybody: the version that is tried, else what `routes.toml` says, under the number that it
    /// would get at the earliest.
    ///
    /// # Errors
    /// [`RouteError::Unknown`], [`RouteError::Version`].
    pub fn next(&self, name: &str) -> Result<Version, RouteError> {
        let (route, kept) = self.kept(name)?;
        match kept.candidate() {
            Some(tried) => self.version(name, tried.version),
            None => {
                let number = kept.numbers().max().unwrap_or_default().saturating_add(1);
                Ok(Version { number, digest: digest(&written(name, route)), route: Arc::new(route.clone()) })
            }
        }
    }

    fn change(
        home: &Home,
        name: &str,
        change: impl FnOnce(&mut Kept, String) -> Result<Change, Undecidable>,
    ) -> Result<Change, RouteError> {
        let _alone = lock(&home.route_state())?;
        let mut book = Self::read(home)?;
        book.take_in();
        let text = written(name, book.kept(name)?.0);
        let Some(kept) = book.state.routes.get_mut(name) else { unreachable!("it was found just now") };
        let changed = change(kept, text);
        let changed = changed.map_err(|why| RouteError::Undecidable { name: name.to_owned(), why })?;
        // What cannot be used does not come into effect.
        book.deployed(name)?;
        book.save()?;
        Ok(changed)
    }

    /// Tries what `routes.toml` says of a route on a share of its requests.
    ///
    /// # Errors
    /// [`RouteError`]; nothing is changed then.
    pub fn set_canary(home: &Home, name: &str, share_per_mille: u16, by: Subject) -> Result<Change, RouteError> {
        Self::change(home, name, |kept, text| kept.set_canary(text, share_per_mille, by))
    }

    /// Makes the version that is tried everybody's; without one, what `routes.toml` says.
    ///
    /// # Errors
    /// [`RouteError`]; nothing is changed then.
    pub fn promote(home: &Home, name: &str) -> Result<Change, RouteError> {
        Self::change(home, name, Kept::promote)
    }

    /// Tries no version any more; where none is tried, brings back the version that everybody got before.
    ///
    /// # Errors
    /// [`RouteError`]; nothing is changed then.
    pub fn rollback(home: &Home, name: &str) -> Result<Change, RouteError> {
        Self::change(home, name, |kept, _| kept.rollback())
    }
}

fn digest(text: &str) -> Arc<str> {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect::<String>().into()
}

fn read_or_empty(path: &Path) -> Result<String, RouteError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(RouteError::Io { path: path.to_owned(), error }),
    }
}

/// Nobody else changes the state until this is dropped, which is soon.
fn lock(state: &Path) -> Result<File, RouteError> {
    let path = state.with_extension("lock");
    let failed = |error| RouteError::Io { path: path.clone(), error };
    fs::create_dir_all(path.parent().unwrap_or(Path::new("."))).map_err(failed)?;
    let file = File::create(&path).map_err(failed)?;
    file.lock().map_err(failed)?;
    Ok(file)
}

#[cfg(test)]
mod tests;
